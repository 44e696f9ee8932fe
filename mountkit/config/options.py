"""From what a mount says in a file to a `Mount`: the one place that knows both.

`Mount` and the layers check what they are given. `rule_problems` makes mounts with a stand-in for
their apps, and gives what they refuse, each at its own key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from mountkit.config.conditions import matcher_of, wanted
from mountkit.config.models import BELONGS, MountConfig, SplitConfig
from mountkit.config.problems import Problem
from mountkit.config.redirects import Redirect
from mountkit.config.tables import ProxyConfig
from mountkit.config.targets import process_of, proxy_of
from mountkit.exceptions import ConflictError, MountkitError, PatternError
from mountkit.lifespans.options import Lifespan
from mountkit.matching.callers import written_at
from mountkit.matching.tables import Table
from mountkit.middleware.checks import CheckMiddleware
from mountkit.middleware.contexts import ContextMiddleware
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.middleware.errors import ContainMiddleware
from mountkit.middleware.limits import LimitMiddleware
from mountkit.middleware.redirects import RedirectMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware
from mountkit.serving.exposures import with_exposures
from mountkit.serving.mounts import Mount
from mountkit.serving.splits import Split
from mountkit.wsgi.bridge import WSGIBridge

#: Layers that a key switches on, the outermost first.
_LAYERS: dict[str, Any] = {
    "fix_redirects": RedirectMiddleware,
    "cookie_path": CookiePathMiddleware,
    "check": CheckMiddleware,
    "context": ContextMiddleware,
    "contain": ContainMiddleware,
}
# Those with which nothing is wrong.
_ANY_URL = "http://localhost"
_ANY_COMMAND = ["{fd}"]
_OPTIONS = ("path", "host", "methods", "priority", "exact", "interface", "errors")


def mount_of(config: MountConfig, app: Any, outer: Sequence[Middleware] = (),
             inner: Sequence[Middleware] = ()) -> Mount:  # fmt: skip
    """The mount that a table describes.

    Args:
        app: what it serves.
        outer, inner: layers around those that the table names by keys, and inside of them.

    Raises:
        MountkitError: as `Mount` and its layers do.
    """
    options: dict[str, Any] = {name: getattr(config, name) for name in _OPTIONS}
    options["name"] = config.name if config.place.is_named else None
    options["expose"] = config.expose
    for name in ("headers", "query"):
        if getattr(config, name) is not None:
            options[name] = wanted(getattr(config, name))
    if config.when is not None:
        options["when"] = matcher_of(config.when)
    slashes = config.redirect_slashes
    if slashes is not None:
        options["redirect_slashes"] = slashes
    elif config.redirect is not None:
        options["redirect_slashes"] = False
    options["convention"] = "strip" if config.redirect is not None else config.convention
    if config.is_child:
        options["interface"] = "auto"  # that of the app, which the child has been told
    lifespan = config.lifespan
    options["lifespan"] = lifespan if isinstance(lifespan, str) else Lifespan(**dict(lifespan))
    if config.wsgi is not None:
        options["bridge"] = partial(WSGIBridge, **dict(config.wsgi))
    with written_at(config.place.where):
        return Mount(app=app, middleware=[*outer, *layers_of(config), *inner], **options)


def layers_of(config: MountConfig) -> Iterator[Middleware]:
    """The layers that a table names by keys, the outermost first."""
    limits = config.limits
    size = config.max_body_size if limits.max_body_size is None else limits.max_body_size
    if size is not None:
        yield Middleware(RequestBodyLimitMiddleware, size)
    if limits.response is not None or limits.total is not None:
        yield Middleware(TimeoutMiddleware, response=limits.response, total=limits.total)
    if limits.max_concurrency is not None:
        yield Middleware(
            LimitMiddleware, max_concurrency=limits.max_concurrency, when_full=limits.when_full
        )
    for name, cls in _LAYERS.items():
        if getattr(config, name):
            yield Middleware(cls)


def split_of(config: SplitConfig, apps: dict[str, Any], where: str) -> Split:
    """The split that a table describes.

    Args:
        apps: by name.
        where: it is written.
    """
    shares = {name: (apps[name], share.weight) for name, share in config.apps.items()}
    sticky = {name: getattr(config, name) for name in ("sticky_cookie", "sticky_header", "seed")}
    with written_at(where):
        return Split(shares, **sticky)


def own_app(config: MountConfig, main: Path | None = None) -> Any:
    """What a table serves without an import: a folder, a redirect or another process; `None` for
    others.

    Args:
        main: the folder of the main file.

    Raises:
        PatternError: the folder is not there, or it can never work.
    """
    if config.is_child and (config.app or config.command is not None):
        return process_of(config, main)
    if config.proxy is not None:
        return proxy_of(config)
    if config.static is not None:
        folder = config.place.folder / config.static
        if not config.static:
            raise PatternError(
                "static = '' names no folder; write '.' for that of the file and all that is in it."
            )
        if not folder.is_dir():
            raise PatternError(
                f"static = {config.static!r} is not an existing folder; name one, from the "
                f"folder of {Path(config.place.file).name}."
            )
        return StaticFiles(directory=folder, html=config.html)
    return None if config.redirect is None else Redirect(config.redirect, config.status)


async def _stand_in(scope: Scope, receive: Receive, send: Send) -> None: ...


def _checked(config: MountConfig) -> Mount:
    """The mount with a stand-in for the app."""
    app = own_app(config) or _stand_in
    if config.split is not None:
        app = split_of(config.split, dict.fromkeys(config.split.apps, app), config.place.where)
    return mount_of(config, app)


def rule_problems(mounts: Iterable[MountConfig]) -> list[Problem]:
    """What mounts and their layers refuse, and which mounts would take the same requests."""
    problems: list[Problem] = []
    table: Table[Any] = Table()
    built: list[Mount] = []
    places = {}
    for config in mounts:
        try:
            mount = _checked(config)
        except MountkitError as exc:
            problems += _refused(config, exc)
        else:
            built.append(mount)
            places[id(mount)] = config.place
    try:
        Table(with_exposures(built))
    except ConflictError:
        for mount in built:
            try:
                table.apply(add=list(with_exposures([mount])))
            except ConflictError as exc:
                problems.append(places[id(mount)].problem(str(exc)))
    return problems


def own_problems(config: MountConfig) -> Iterator[Problem]:
    """What a mount and its layers refuse, whatever other mounts there are."""
    try:
        _checked(config)
    except MountkitError as exc:
        yield from _refused(config, exc)


def _refused(config: MountConfig, error: MountkitError) -> Iterator[Problem]:
    """The keys that are refused by themselves, else the whole mount."""
    found = False
    for keys, part in _parts(config):
        try:
            _checked(part)
        except MountkitError as exc:
            found = True
            yield config.place.problem(str(exc), *keys)
    if not found:
        yield config.place.problem(str(error))


def _parts(config: MountConfig) -> Iterator[tuple[tuple[str, ...], MountConfig]]:
    """The mount with one of its keys alone, for each of them."""
    for name in sorted(config.model_fields_set - {"name", *BELONGS}):
        value = getattr(config, name)
        if name in ("headers", "query") and isinstance(value, dict):
            for key in value:
                yield (name, key), _alone(config, **{name: {key: value[key]}})
        elif name == "limits":
            for key in value.model_fields_set - {"when_full"}:
                only = value.model_construct(**{key: getattr(value, key)})
                yield (name, key), _alone(config, limits=only)
        elif name == "proxy" and isinstance(value, ProxyConfig):
            for key in value.model_fields_set:
                only = value.model_construct(**{"url": _ANY_URL, key: getattr(value, key)})
                yield (name, key), _alone(config, proxy=only)
        else:
            child = {"python": sys.executable} if name == "app" and config.is_child else {}
            yield (name,), _alone(config, **{name: value}, **child)
    if config.is_child:
        yield from _parts_of_a_child(config)


def _parts_of_a_child(config: MountConfig) -> Iterator[tuple[tuple[str, ...], MountConfig]]:
    """What says how a child is run, with a command that can."""
    for name in config.model_fields_set & {"python", "env"}:
        yield (name,), _alone(config, command=_ANY_COMMAND, **{name: getattr(config, name)})
    for key in config.process.model_fields_set:
        only = config.process.model_construct(**{key: getattr(config.process, key)})
        yield ("process", key), _alone(config, command=_ANY_COMMAND, process=only)


def _alone(config: MountConfig, **values: Any) -> MountConfig:
    if "expose" in values:
        values["path"] = config.path
    part = MountConfig.model_construct(**values)
    part._place = config.place
    return part
