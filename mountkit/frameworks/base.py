"""`Framework`, which each file of this package makes one of, and what its hooks return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

#: The conventions that only a framework asks for; see `mountkit.serving.scopes.Convention`.
Stripped: TypeAlias = Literal["strip", "none"]


@dataclass(frozen=True, kw_only=True)
class Framework:
    """What is known of one framework. All but the name is optional.

    Attributes:
        name: the framework, as its users write it.
        app: where the class of its apps can be imported from, as a module and a name; of the app
            itself, if there is only one.
        find: for apps that `app` does not tell: returns the framework's own app in an object,
            which may wrap it, or `None`. The hooks below get what it returns; they are not called
            for other apps.
        left_keys: the scope keys that its router sets for itself, separated by spaces. A mounted
            app does not get them from its parent.
        convention: which one its apps need, if the default is wrong; may depend on the app and the
            path of the mount.
        keeps_first_prefix: whether its apps write the first prefix that they see into all later
            URLs, so that one app cannot be mounted at two.
        told: the prefix that an app was told, for frameworks that do not read it from the request.
        advice: for an app that was told another: what it was told and what to write, with
            `{told!r}` and `{prefix!r}` in it and without a full stop, as it becomes a part of a
            finding and of a log record. A function, if there is more to it; it returns `""` if all
            is well.
        problems: what else is wrong with an app at its place.
        reversal: how to get the URLs of its named routes, if it lacks Starlette's `url_path_for`.
        document: the OpenAPI document that an app publishes.
        session_cookie: the cookie that holds its sessions, if the whole host gets it (`Path=/`).
        route_of: the route in a scope that an app was called with, if not `scope["route"]`.
        wsgi_route_of: the route in an environ that an app was called with.
    """

    name: str
    app: tuple[str, str] | None = None
    find: Callable[[Any], Any] | None = None
    left_keys: str = ""
    convention: Stripped | Callable[[Any, str], Stripped | None] | None = None
    keeps_first_prefix: bool = False
    told: Callable[[Any], str | None] | None = None
    advice: str | Callable[[Any, str], str] = ""
    problems: Callable[[Any, Place], Iterable[Problem]] | None = None
    reversal: Callable[[Any], Reversal | None] | None = None
    document: Callable[[Any], dict[str, Any] | None] | None = None
    session_cookie: Callable[[Any], SessionCookie | None] | None = None
    route_of: Callable[[Mapping[str, Any]], Any] | None = None
    wsgi_route_of: Callable[[Mapping[str, Any]], WSGIRoute | None] | None = None

    def found_in(self, app: Any) -> Any:
        """The framework's own app in `app`, or `None`."""
        if self.find is not None:
            return self.find(app)
        return app if self.app is not None and is_a(app, *self.app) else None

    def advise(self, app: Any, prefix: str) -> str:
        """The advice for an app that `found_in` has returned, or `""`."""
        if not isinstance(self.advice, str):
            return self.advice(app, prefix)
        told = None if self.told is None else self.told(app)
        return "" if is_told(told, prefix) else self.advice.format(told=told, prefix=prefix)


class Place(NamedTuple):
    """Where an app is mounted: the whole prefix (`""` is the root), the one host that the mount
    takes, its convention, and whether the app is told to shut down."""

    prefix: str
    host: str | None
    convention: str
    is_stopped: bool


class Problem(NamedTuple):
    """What `mountkit.check` reports: value, reason and fix, without the mount and a full stop."""

    code: Literal["own-root-path", "unaware-of-prefix", "ends-the-process", "refuses-host"]
    message: str


class Reversal(NamedTuple):
    """How to ask an app for its own URLs: the decoded path below the app, from a name and its
    parameters (raises what it likes if no route takes them), and all names."""

    path_for: Callable[[str, Mapping[str, Any]], str]
    names: Callable[[], Iterable[str]]


class SessionCookie(NamedTuple):
    """A cookie that holds sessions: its name, how it is signed, and with which key. Apps whose
    cookies are equal can read each other's."""

    name: str
    form: str
    secret: Any


class WSGIRoute(NamedTuple):
    """The part of a Starlette route that traces and logs read."""

    path: str
    path_format: str
    name: str
    endpoint: Any = None


def loaded(module: str, name: str) -> Any:
    """An object of a module, or `None` if the module was not imported."""
    return getattr(sys.modules.get(module), name, None)


def is_a(app: Any, module: str, name: str) -> bool:
    """Whether `app` is an instance of this class, or this very object. No instance exists before
    the module of its class is imported, so nothing has to be imported to look."""
    known = loaded(module, name)
    return isinstance(app, known) if isinstance(known, type) else known is not None and app is known


def inner(app: Any, *attributes: str) -> Iterator[Any]:
    """An app and what it wraps, the outermost first; up to eight, as they may go in a circle."""
    for _ in range(8):
        if app is None:
            return
        yield app
        found = (getattr(app, name, None) for name in attributes)
        app = next((one for one in found if one is not None), None)


def cells_of(function: Any) -> Iterator[Any]:
    """What a function has closed over, as decorators do with what they wrap."""
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # the variable has no value yet
            yield cell.cell_contents


def is_told(told: str | None, prefix: str) -> bool:
    """Whether an app that was told `told` is right at `prefix`. A proxy may add to the left."""
    return f"/{(told or '').strip('/')}".endswith(prefix or "/")
