"""What is known of other frameworks: one file for each, and the questions that mountkit asks.

Imports nothing of mountkit, and no framework: apps are recognised by class through `sys.modules`.
The files are loaded when the first question is asked.

To add a framework, add a file that makes a `mountkit.frameworks.base.Framework`; there is no list
to extend. `sanic.py` is a short one, `django.py` a long one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mountkit.frameworks import base


@cache
def all_frameworks() -> tuple[base.Framework, ...]:
    """The frameworks that have a file here, in the order of the files."""
    files = [import_module(file.name) for file in iter_modules(__path__, f"{__name__}.")]
    values = (value for file in files for value in vars(file).values())
    return tuple(value for value in values if isinstance(value, base.Framework))


@cache
def _with(hook: str) -> tuple[base.Framework, ...]:
    """The frameworks that have this hook; the others need not look at an app."""
    return tuple(framework for framework in all_frameworks() if getattr(framework, hook))


def _ask(hook: str, app: Any, *arguments: Any) -> Iterator[Any]:
    """The answers of the frameworks that recognise `app` and have this hook."""
    for framework in _with(hook):
        found = framework.found_in(app)
        if found is not None:
            answer = getattr(framework, hook)
            yield answer(found, *arguments) if callable(answer) else answer


def convention_of(app: Any, prefix: str) -> base.Stripped | None:
    """The convention that an app needs at `prefix`, or an app that it shows as `.app` or `.server`;
    `None` if no framework asks for another than the default."""
    for shown in base.inner(app, "app", "server"):
        for convention in filter(None, _ask("convention", shown, prefix)):
            found: base.Stripped = convention
            return found
    return None


def advice(app: Any, prefix: str) -> str:
    """What an app was told of its prefix and what it should have been told; `""` if that is right,
    or the app is not known. A proxy may add to the left of the prefix."""
    known = ((one, one.found_in(app)) for one in _with("advice"))
    answers = (one.advise(found, prefix) for one, found in known if found is not None)
    return next(filter(None, answers), "")


def problems(app: Any, place: base.Place) -> Iterator[base.Problem]:
    """What is wrong with an app at its place, `advice` included."""
    told = advice(app, place.prefix) if place.convention != "whole" else ""
    if told:
        yield base.Problem("unaware-of-prefix", told)
    for found in _ask("problems", app, place):
        yield from found


def keeps_first_prefix(app: Any) -> str:
    """The name of the framework, if its apps keep the first prefix that they see, else `""`."""
    known = (one for one in _with("keeps_first_prefix") if one.found_in(app) is not None)
    return next((framework.name for framework in known), "")


def reversal_of(app: Any) -> base.Reversal | None:
    """How to ask an app for its URLs, or `None` if that is not known."""
    return next(_ask("reversal", app), None)


def document_of(app: Any) -> dict[str, Any] | None:
    """The OpenAPI document that an app publishes, if its framework is known to have one."""
    return next(_ask("document", app), None)


def session_cookie(app: Any) -> base.SessionCookie | None:
    """The cookie in which an app keeps its sessions for the whole host."""
    return next(_ask("session_cookie", app), None)


def route_of(scope: Mapping[str, Any]) -> Any:
    """The route that served this scope, or `None` if the app does not show it."""
    answers = (framework.route_of(scope) for framework in _with("route_of") if framework.route_of)
    return next(filter(None, answers), scope.get("route"))


def wsgi_route_of(environ: Mapping[str, Any]) -> base.WSGIRoute | None:
    """The route that served this environ, in Starlette's form, `/item/{id}`."""
    answers = (one.wsgi_route_of(environ) for one in _with("wsgi_route_of") if one.wsgi_route_of)
    return next(answers, None)


@cache
def left_keys() -> frozenset[str]:
    """The scope keys that belong to a parent's router; no mounted app may get them from it."""
    return frozenset(key for one in all_frameworks() for key in one.left_keys.split())
