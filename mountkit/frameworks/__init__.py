"""What is known of other frameworks: one file for each, and the questions that mountkit asks.

May import: nothing of mountkit, and no framework; apps are recognised by class through
`sys.modules`. The files are loaded when the first question is asked.

To add a framework, add a file that makes a `Framework`; there is no list to extend. `sanic.py` is
a short one, `django.py` a long one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal, NamedTuple, TypeAlias

#: The conventions that only a framework asks for; see `mountkit.serving.scopes.Convention`.
Stripped: TypeAlias = Literal["strip", "none"]


@dataclass(frozen=True, kw_only=True)
class Framework:
    """What is known of one framework. All but the name is optional; the other attributes, which
    may be functions, answer the question of the same name below for what `find` has returned.

    Attributes:
        name: the framework, as its users write it.
        app: where the class of its apps can be imported from, as a module and a name.
        find: returns the framework's own app in an object of that class, which may wrap it, or
            `None`.
        left_keys: the scope keys that its router sets for itself, separated by spaces.
        convention: which one its apps need, if the default is wrong; may depend on the app and the
            path of the mount.
        keeps_first_prefix: whether its apps write the first prefix that they see into all later
            URLs, so that one app cannot be mounted at two.
        advice: without a full stop. See `unless_told`.
        reversal: if it lacks Starlette's `url_path_for`.
        route_of: if it is not `scope["route"]`.
        cut_off: if its WSGI apps read bodies without a length, by `wsgi.input_terminated`: what
            they expect of one that is cut off, an exception as a module and a name.
        parts: classes of what is mounted by mistake in place of an app, and what to write.
    """

    name: str
    app: tuple[str, str] = ("builtins", "object")
    find: Callable[[Any], Any] = lambda app: app
    left_keys: str = ""
    convention: Stripped | Callable[[Any, str], Stripped | None] | None = None
    keeps_first_prefix: bool = False
    advice: Callable[[Any, str], str] | None = None
    problems: Callable[[Any, Place], Iterable[Problem]] | None = None
    reversal: Callable[[Any], Reversal | None] | None = None
    document: Callable[[Any], dict[str, Any] | None] | None = None
    session_cookie: Callable[[Any], SessionCookie | None] | None = None
    route_of: Callable[[Mapping[str, Any]], Any] | None = None
    wsgi_route_of: Callable[[Mapping[str, Any]], WSGIRoute | None] | None = None
    cut_off: tuple[str, str] | None = None
    parts: Mapping[tuple[str, str], str] = field(default_factory=dict)


class Place(NamedTuple):
    """Where an app is mounted: its whole prefix (`""` is the root), the one host that the mount
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
    """How to ask an app for the URLs of its named routes: the decoded path below the app, from a
    name and its parameters (raises any error if no route takes them), and all names."""

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
    """Whether `app` is an instance of this class. No instance exists before the module of its class
    is imported, so nothing has to be imported to look."""
    return isinstance(app, loaded(module, name) or ())


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


def unless_told(told: Callable[[Any], str | None], text: str) -> Callable[[Any, str], str]:
    """An `advice` for apps that do not read their prefix from the request: `text`, with `{told!r}`
    and `{prefix!r}` in it, unless `told` of the app is the prefix."""

    def advice(app: Any, prefix: str) -> str:
        was_told = told(app)
        return "" if is_told(was_told, prefix) else text.format(told=was_told, prefix=prefix)

    return advice


@cache
def all_frameworks() -> tuple[Framework, ...]:
    """The frameworks that have a file here, in the order of the files."""
    files = [import_module(file.name) for file in iter_modules(__path__, f"{__name__}.")]
    values = (value for file in files for value in vars(file).values())
    return tuple(value for value in values if isinstance(value, Framework))


@lru_cache(maxsize=1024)
def _with(hook: str, cls: type | None = None) -> tuple[Framework, ...]:
    """The frameworks that have this hook, and may recognise an instance of `cls`. Cached, as every
    mount that is built asks; a class can have no instance before its module is loaded."""
    having = (one for one in all_frameworks() if getattr(one, hook))
    return tuple(one for one in having if not cls or issubclass(cls, loaded(*one.app) or ()))


def _known(hook: str, app: Any) -> Iterator[tuple[Framework, Any]]:
    """The frameworks that recognise `app` and have this hook, each with its own app in it."""
    found = ((framework, framework.find(app)) for framework in _with(hook, app.__class__))
    return (pair for pair in found if pair[1] is not None)


def _ask(hook: str, app: Any, *arguments: Any) -> Iterator[Any]:
    """The answers of the frameworks that recognise `app` and have this hook."""
    for framework, found in _known(hook, app):
        answer = getattr(framework, hook)
        yield answer(found, *arguments) if callable(answer) else answer


def convention_of(app: Any, prefix: str) -> Stripped | None:
    """The convention that an app needs at `prefix`, or an app that it shows as `.app` or `.server`;
    `None` if no framework asks for another than the default."""
    for shown in inner(app, "app", "server"):
        convention: Stripped
        for convention in filter(None, _ask("convention", shown, prefix)):
            return convention
    return None


def advice(app: Any, prefix: str) -> str:
    """What an app was told of its prefix and what to write instead; `""` if that is right, or the
    app is not known. A proxy may add to the left of the prefix."""
    return next(filter(None, _ask("advice", app, prefix)), "")


def problems(app: Any, place: Place) -> Iterator[Problem]:
    """What is wrong with an app at its place, `advice` included."""
    if place.convention != "whole" and (told := advice(app, place.prefix)):
        yield Problem("unaware-of-prefix", told)
    for found in _ask("problems", app, place):
        yield from found


def part_of_an_app(app: Any) -> str:
    """What to write in place of a part of an app, or a list of such; `""` for anything else."""
    if isinstance(app, (list, tuple)) and app:
        app = app[0]
    return _part(app.__class__)


@lru_cache(maxsize=1024)
def _part(cls: type) -> str:
    known = (pair for framework in _with("parts") for pair in framework.parts.items())
    return next((how for at, how in known if issubclass(cls, loaded(*at) or ())), "")


def keeps_first_prefix(app: Any) -> str:
    """The name of the framework, if its apps keep the first prefix that they see, else `""`."""
    return next((framework.name for framework, _ in _known("keeps_first_prefix", app)), "")


def reversal_of(app: Any) -> Reversal | None:
    """How to ask an app for its URLs, or `None` if that is not known."""
    return next(_ask("reversal", app), None)


def document_of(app: Any) -> dict[str, Any] | None:
    """The OpenAPI document that an app publishes, if it is known."""
    return next(_ask("document", app), None)


def session_cookie(app: Any) -> SessionCookie | None:
    """The cookie that holds an app's sessions, if the whole host gets it (`Path=/`)."""
    return next(_ask("session_cookie", app), None)


def route_of(scope: Mapping[str, Any]) -> Any:
    """The route that served this scope, or `None` if the app does not show it."""
    answers = (one.route_of(scope) for one in _with("route_of") if one.route_of)
    return next(filter(None, answers), scope.get("route"))


def wsgi_route_of(environ: Mapping[str, Any]) -> WSGIRoute | None:
    """The route that served this environ, in Starlette's form, `/item/{id}`."""
    answers = (one.wsgi_route_of(environ) for one in _with("wsgi_route_of") if one.wsgi_route_of)
    return next(answers, None)


def cut_off_of(app: Any) -> Any:
    """The exception by which a WSGI app, or one that it shows that it wraps, is told that a body
    without a length was cut off; `None` if it is not known to read such bodies."""
    shown = inner(app, "app", "wsgi_app", "application", "server", "__self__")
    return next((loaded(*name) for one in shown for name in _ask("cut_off", one)), None)


@cache
def left_keys() -> frozenset[str]:
    """The scope keys that belong to a parent's router; no mounted app may get them from it."""
    return frozenset(key for one in all_frameworks() for key in one.left_keys.split())
