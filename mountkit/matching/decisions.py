"""The outcomes of a decision, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

M = TypeVar("M")


@dataclass(slots=True)
class Resolution(Generic[M]):
    """The mount that takes a request, and how it divides the path. Do not change one.

    `root_path + prefix + rest` is the full path.

    Attributes:
        mount: takes the request.
        root_path: came with the request, without a trailing slash.
        prefix: is taken by the mount; it never ends in a slash.
        rest: is left to the app; `""` if the request asks for the bare prefix.
        params: the converted placeholders of host and path.
    """

    mount: M
    root_path: str
    prefix: str
    rest: str
    params: dict[str, Any]


class Refusal(NamedTuple):
    """A request that no app may see.

    Attributes:
        status: of the response, such as 400.
        reason: for logs and explanations.
        is_ambiguous: a mount takes it, and other readers of the path may choose another; or the
            reverse.
    """

    status: int
    reason: str
    is_ambiguous: bool = False
