"""Queries and cookies, read once a request, however many conditions there are.

A decision is synchronous: the text that was read last is the one that is asked for again. What has
more than this in it is not read, and fulfils no condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl

#: Header fields of a request.
MAX_HEADERS = 500
#: Characters and pairs of a query, and of all cookies.
MAX_LENGTH, MAX_PAIRS = 32_000, 1_000


_QUOTED = re.compile('^"(.*)"$', re.DOTALL)


@lru_cache(maxsize=1)
def parse_query(query: bytes) -> dict[str, list[str]] | None:
    """The decoded values by name, not to be changed; `None` if there are too many."""
    if len(query) > MAX_LENGTH or query.count(b"&") >= MAX_PAIRS:
        return None
    return _grouped(parse_qsl(query.decode("latin-1"), keep_blank_values=True))


@lru_cache(maxsize=1)
def parse_cookies(header: bytes) -> dict[str, list[str]] | None:
    """The values by name (RFC 6265, section 5.4), not to be changed; `None` if there are too many.

    Quotes around a value do not belong to it; a single quote does.
    """
    if len(header) > MAX_LENGTH or header.count(b";") >= MAX_PAIRS:
        return None
    pairs = (pair.partition("=") for pair in header.decode("latin-1").split(";"))
    return _grouped(
        (name.strip(), _QUOTED.sub(r"\1", value.strip()))
        for name, separator, value in pairs
        if separator
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
