"""What is known of other frameworks: one file for each, and the questions that mountkit asks.

May import: nothing of mountkit, and no framework; apps are recognised by class through
`sys.modules`. The files are loaded when the first question is asked.

To add a framework, add a file that makes a `Framework`; there is no list to extend. `sanic.py` is
a short one, `django.py` a long one, and `others.py` has those of which one thing is known.
`docs/architecture.md` says how to find what an app needs, and where its test goes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from inspect import ismemberdescriptor
from typing import Any, Literal, NamedTuple, TypeAlias

#: The conventions that only a framework asks for; see `mountkit.serving.scopes.Convention`.
Special: TypeAlias = Literal["strip", "none", "whole"]
#: Where wrappers keep what they wrap.
WRAPPED: tuple[str, ...] = (
    *("__wrapped__", "app", "application", "wsgi_app", "wsgi_application"),
    *("asgi_app", "asgi", "wsgi", "_app", "_application", "wrapped", "inner", "server", "ds"),
)
_INSIDE = (*WRAPPED, "__self__")
# Such as `flask.request`, which raise if they are looked at outside of a request.
_PROXY = ("werkzeug.local", "LocalProxy")


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
        convention: which one its apps need (`mountkit.serving.scopes.Convention`), if the default
            is wrong; may depend on the app and the path of the mount.
        hands_on: for apps with such a convention that serve some paths by themselves and hand on
            all others to another app, which needs a convention of its own: whether a path below
            the mount is the app's own, and the other app; or `None`.
        needs_nothing: whether its apps find their prefix, and no more has to be known.
        starts_nothing: whether its apps have no lifespan of their own.
        refuses_params: whether its apps fail on `path_params` that are not their own.
        keeps_first_prefix: whether its apps write the first prefix that they see into all later
            URLs, so that one app cannot be mounted at two.
        instead: what an object is if it is not an app, and what to mount instead.
        advice: without a full stop. See `unless_told`.
        reversal: if it lacks Starlette's `url_path_for`.
        route_of: if it is not `scope["route"]`.
        cut_off: if its WSGI apps read bodies without a length, by `wsgi.input_terminated`: what
            they expect of one that is cut off, an exception as a module and a name.
    """

    name: str
    app: tuple[str, str] = ("builtins", "object")
    find: Callable[[Any], Any] = lambda app: app
    left_keys: str = ""
    convention: Special | Callable[[Any, str], Special | None] | None = None
    hands_on: Callable[[Any], tuple[Callable[[str], bool], Any] | None] | None = None
    refuses_params: bool = False
    needs_nothing: bool = False
    starts_nothing: bool | Callable[[Any], bool] = False
    keeps_first_prefix: bool = False
    instead: Callable[[Any], str] | None = None
    advice: Callable[[Any, str], str] | None = None
    problems: Callable[[Any, Place], Iterable[Problem]] | None = None
    reversal: Callable[[Any], Reversal | None] | None = None
    document: Callable[[Any], dict[str, Any] | None] | None = None
    session_cookie: Callable[[Any], SessionCookie | None] | None = None
    route_of: Callable[[Mapping[str, Any]], Any] | None = None
    wsgi_route_of: Callable[[Mapping[str, Any]], WSGIRoute | None] | None = None
    cut_off: tuple[str, str] | None = None


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


def within(app: Any, *, functions: bool = True) -> Iterator[Any]:
    """An app and what it wraps, the outermost first; up to 50 objects, as they may go in a circle.

    Args:
        functions: whether to look for the one thing that a function has closed over, too.
    """
    found, seen = [app], {id(None), id(app)}
    for one in found:
        yield one
        wrapped = [attribute_of(one, name) for name in _INSIDE]
        closed = [cell for cell in cells_of(one) if callable(cell)] if functions else []
        for inner in (*wrapped, *(closed if len(closed) == 1 else ())):
            if id(inner) not in seen and len(found) < 50:
                seen.add(id(inner))
                found.append(inner)


def attribute_of(app: Any, name: str) -> Any:
    """An attribute, or `None`."""
    try:
        return getattr(app, name, None)
    except Exception:  # properties may raise anything
        return None


def held_by(holder: Any) -> list[tuple[str, Any]]:
    """What an object may wrap, by name: its attributes, what is in its lists and mappings, what it
    has closed over or is bound to. Of a framework's app, what it hands on to."""
    found = [(name, attribute_of(holder, name)) for name in _INSIDE]
    known = [*_known("name", [holder])]
    handed_on = [one.hands_on(own) for one, own in known if one.hands_on]
    found += [("app", one[1]) for one in handed_on if one is not None]
    if not known:
        members = [(cls, name) for cls in type(holder).__mro__ for name in vars(cls)]
        slots = [name for cls, name in members if ismemberdescriptor(vars(cls)[name])]
        slots = [name for name in slots if not name.startswith("__")]
        names = [*getattr(holder, "__dict__", ()), *slots]
        held = [(name, attribute_of(holder, name)) for name in names]
        for name, value in held + [("", cell) for cell in cells_of(holder)]:
            values = [*value.values()] if isinstance(value, dict) else value
            is_several = isinstance(values, (list, tuple))
            found += ((name, one) for one in (values if is_several else [value]))
    kept = [(name, one) for name, one in found if callable(one) or (one and name in WRAPPED)]
    return [one for one in kept if not (isinstance(one[1], type) or is_a(one[1], *_PROXY))]


def cells_of(function: Any) -> Iterator[Any]:
    """What a function has closed over, as decorators do with what they wrap."""
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # the variable has no value yet
            if not is_a(cell.cell_contents, *_PROXY):
                yield cell.cell_contents


def items_of(app: Any, name: str) -> list[Any]:
    """A list that apps of some frameworks have under this name; empty for all others."""
    found = getattr(app, name, None)
    return [*found] if isinstance(found, list | tuple) else []


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
    from pkgutil import iter_modules

    files = [import_module(file.name) for file in iter_modules(__path__, f"{__name__}.")]
    values = (value for file in files for value in vars(file).values())
    return tuple(value for value in values if isinstance(value, Framework))


@lru_cache(maxsize=1024)
def _with(hook: str, cls: type | None = None) -> tuple[Framework, ...]:
    """The frameworks that have this hook, and may recognise an instance of `cls`. Cached, as every
    mount that is built asks; a class can have no instance before its module is loaded."""
    having = (one for one in all_frameworks() if getattr(one, hook))
    return tuple(one for one in having if not cls or issubclass(cls, loaded(*one.app) or ()))


def _known(hook: str, apps: Iterable[Any]) -> Iterator[tuple[Framework, Any]]:
    """The frameworks that recognise one of `apps` and have this hook, each with its own app in the
    first of them."""
    seen: set[str] = set()
    for app in apps:
        for framework in _with(hook, app.__class__):
            if framework.name not in seen and (found := framework.find(app)) is not None:
                seen.add(framework.name)
                yield framework, found


def _ask(hook: str, apps: Iterable[Any], *arguments: Any) -> Iterator[Any]:
    """The answers of the frameworks that recognise one of `apps` and have this hook."""
    for framework, found in _known(hook, apps):
        answer = getattr(framework, hook)
        yield answer(found, *arguments) if callable(answer) else answer


def first(hook: str, app: Any, *arguments: Any) -> Any:
    """The first answer that says something, on an app or what it wraps; else `None`."""
    if not any(loaded(*framework.app) for framework in _with(hook)):
        return None  # the usual case, as every mount that is built asks
    return next(filter(None, _ask(hook, within(app, functions=False), *arguments)), None)


def convention_of(app: Any, prefix: str) -> Special | None:
    """The convention that an app needs at `prefix`; `None` if no framework asks for another than
    the default."""
    convention: Special | None = first("convention", app, prefix)
    return convention


def instead_of(app: Any) -> str:
    """What an object is that is no app, and what to mount instead; `""` if that is not known."""
    return next(_ask("instead", [app]), "")


def is_known(app: Any, *, but: Sequence[str] = ()) -> bool:
    """Whether an app, or what it wraps, is of a framework that has a file here, but for these."""
    return any(framework.name not in but for framework, _ in _known("name", within(app)))


def advice(app: Any, prefix: str) -> str:
    """What an app was told of its prefix and what to write instead; `""` if that is right, or the
    app is not known. A proxy may add to the left of the prefix."""
    return next(filter(None, _ask("advice", within(app), prefix)), "")


def problems(app: Any, place: Place) -> Iterator[Problem]:
    """What is wrong with an app at its place, `advice` included."""
    if place.convention != "whole" and (told := advice(app, place.prefix)):
        yield Problem("unaware-of-prefix", told)
    for found in _ask("problems", within(app), place):
        yield from found


def starts_nothing(app: Any) -> bool:
    """Whether an app is known to be the same whether it was started or not."""
    return any(_ask("starts_nothing", [app]))


def keeps_first_prefix(app: Any) -> tuple[str, Any]:
    """The name of the framework and its app, if it keeps the first prefix that it sees; else `""`
    and `None`."""
    found = _known("keeps_first_prefix", within(app))
    return next(((framework.name, own) for framework, own in found), ("", None))


def reversal_of(app: Any) -> Reversal | None:
    """How to ask an app for its URLs, or `None` if that is not known."""
    return next(_ask("reversal", [app]), None)


def document_of(app: Any) -> dict[str, Any] | None:
    """The OpenAPI document that an app publishes, if it is known."""
    return next(_ask("document", [app]), None)


def session_cookie(app: Any) -> SessionCookie | None:
    """The cookie that holds an app's sessions, if the whole host gets it (`Path=/`)."""
    return next(_ask("session_cookie", within(app)), None)


def route_of(scope: Mapping[str, Any]) -> Any:
    """The route that served this scope, or `None` if the app does not show it."""
    answers = (one.route_of(scope) for one in _with("route_of") if one.route_of)
    return next(filter(None, answers), scope.get("route"))


def route_below(scope: Mapping[str, Any], own_root: str) -> str | None:
    """The template of the route that served this scope, below the app; `None` if the app does not
    show it (Django).

    Args:
        own_root: the `root_path` of the scope before the app was called.
    """
    route = route_of(scope)
    path_format = getattr(route, "path_format", None)
    if not isinstance(path_format, str):
        return None
    grown: str = scope.get("root_path", "")
    # Starlette's own mounts below the app grow its root_path in place. A mount that is itself the
    # last route has its prefix in both.
    inner = grown[len(own_root) :] if grown.startswith(own_root) else ""
    if inner and hasattr(route, "app") and path_format.endswith("/{path}"):
        inner = ""
    return inner + path_format


def wsgi_route_of(environ: Mapping[str, Any]) -> WSGIRoute | None:
    """The route that served this environ, in Starlette's form, `/item/{id}`."""
    answers = (one.wsgi_route_of(environ) for one in _with("wsgi_route_of") if one.wsgi_route_of)
    return next(answers, None)


def cut_off_of(app: Any) -> Any:
    """The exception by which a WSGI app, or one that it shows that it wraps, is told that a body
    without a length was cut off; `None` if it is not known to read such bodies."""
    name = next(_ask("cut_off", within(app, functions=False)), None)
    return loaded(*name) if name else None


@cache
def left_keys() -> frozenset[str]:
    """The scope keys that belong to a parent's router; no mounted app may get them from it."""
    return frozenset(key for one in all_frameworks() for key in one.left_keys.split())
