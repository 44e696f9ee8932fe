"""A site that runs: built from a `SiteConfig`, and changed to another while it serves."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread
from starlette.middleware import Middleware

from mountkit.config.failures import UserError
from mountkit.config.loading import Loader, reset_environment, set_environment
from mountkit.config.models import AppConfig, MountConfig, SiteConfig
from mountkit.config.options import mount_of, rule_problems
from mountkit.config.orders import out_of_order, rules_of
from mountkit.config.problems import ConfigError, error_of
from mountkit.exceptions import ConflictError, MountkitError
from mountkit.serving.changes import PreparedChange
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount

if TYPE_CHECKING:
    from mountkit.middleware.meters import Meter


_LEFT = 1000  # meters of mounts that have left


class _Served(NamedTuple):
    """A mount that is served, and what it was made from."""

    config: MountConfig
    mount: Mount
    app: Any


def check_rules(config: SiteConfig) -> None:
    """Check what mounts and their layers refuse, and conflicts, with stand-ins for the apps.

    Raises:
        ConfigError: with all problems.
    """
    problems = rule_problems(config.mounts)
    if problems:
        raise error_of(problems, map(str, config.files))


def _conflicts(config: SiteConfig, error: ConflictError) -> ConfigError:
    """All conflicts, where one is known."""
    problems = rule_problems(config.mounts) or [config.mounts[0].place.problem(str(error))]
    return error_of(problems, map(str, config.files))


class Site:
    """What runs: made once for each process.

    Attributes:
        dispatcher: the ASGI app.
        config: what it serves now.
        meters: by the names of mounts, which outlive them; empty if nobody counts.
    """

    def __init__(self, config: SiteConfig, loaded: _Loaded) -> None:
        self.config: SiteConfig = config
        self.meters: dict[str, Meter] = loaded.meters
        self._served = loaded.served
        self._apps = loaded.apps
        server = config.server
        self.dispatcher: Dispatcher = Dispatcher(
            [one.mount for one in loaded.served.values()],
            startup_timeout=server.startup_timeout,
            shutdown_timeout=server.shutdown_timeout,
            unknown_host=server.unknown_host,
            debug=server.debug,
        )

    @classmethod
    def build(cls, config: SiteConfig) -> Site:
        """Import the apps, and make the mounts.

        Raises:
            ConfigError: with all problems: of the rules, and of the apps.
        """
        loaded = _load(config, {}, {}, {})
        try:
            return cls(config, loaded)
        except ConflictError as exc:
            raise _conflicts(config, exc) from exc

    async def prepare(self, config: SiteConfig) -> SiteChange:
        """Make ready what a changed file says: import and start what is new. What is the same
        keeps its `Mount`; an app under other options is neither stopped nor started.

        A change of `[server]`, `[status]` or `[metrics]` is not made here: see `restart_reasons`.

        Returns:
            What commits the change or aborts it. Until then no request sees anything of it.

        Raises:
            ConfigError: with all problems. Nothing has changed.
            LifespanError: an app did not start. Nothing has changed.
        """
        loaded = await anyio.to_thread.run_sync(self._loaded, config)
        try:
            change = _difference(self._served, loaded)
            prepared = await self.dispatcher.prepare(
                **change.arguments, drain_timeout=config.server.drain_timeout
            )
        except BaseException as exc:
            reset_environment(loaded.environment)
            if isinstance(exc, ConflictError):
                raise _conflicts(config, exc) from exc
            raise
        return SiteChange(self, config, loaded, change, prepared)

    def _loaded(self, config: SiteConfig) -> _Loaded:
        importlib.invalidate_caches()  # modules may have come
        return _load(config, self._served, self._apps, self.meters)


class SiteChange:
    """A change that is ready: see `Site.prepare`. Call `commit` or `abort`, once.

    Attributes:
        added, removed, replaced: names of mounts.
        changed: set by `commit` when the new site is served.
    """

    def __init__(
        self,
        site: Site,
        config: SiteConfig,
        loaded: _Loaded,
        change: _Difference,
        prepared: PreparedChange,
    ) -> None:
        self.added: list[str] = change.added
        self.removed: list[str] = change.removed
        self.replaced: list[str] = change.replaced
        self._site = site
        self._config = config
        self._loaded = loaded
        self._prepared = prepared
        self.changed: anyio.Event = prepared.changed

    async def commit(self) -> None:
        """Serve the new site. Returns when what has left is drained and stopped; the new site is
        served long before.

        Raises:
            MountkitError: as `PreparedChange.commit`. Nothing has changed.
        """
        site, loaded = self._site, self._loaded
        before = (site.config, site._served, site._apps, site.meters)
        site.config, site._served = self._config, loaded.served
        site._apps, site.meters = loaded.apps, loaded.meters
        for one in loaded.served.values():
            one.mount.rule.where = one.config.place.where
        try:
            await self._prepared.commit()
        except BaseException:  # it may also have been cancelled while mounts drain
            if not self.changed.is_set():
                site.config, site._served, site._apps, site.meters = before
                reset_environment(loaded.environment)
            raise

    async def abort(self) -> None:
        """Stop the apps that are new. Nothing has changed."""
        reset_environment(self._loaded.environment)
        await self._prepared.abort()


class _Loaded(NamedTuple):
    """A site, ready to be served."""

    served: dict[str, _Served]  # in the order of declaration in the table
    anew: set[str]  # those of them that are declared last
    apps: dict[str, Any]
    meters: dict[str, Meter]
    environment: Mapping[str, str | None]


def _load(
    config: SiteConfig,
    served: Mapping[str, _Served],
    apps: Mapping[str, Any],
    meters: Mapping[str, Meter],
) -> _Loaded:
    """Import the apps, and make the mounts that are new.

    Args:
        served, apps, meters: of before.

    Raises:
        ConfigError: with all problems.
    """
    variables = {name: value for mount in config.mounts for name, value in mount.own_env.items()}
    before = set_environment(variables)
    loader = Loader(config.files[0].parent.resolve(), apps)
    meters = _meters(config, meters)
    maker = _Maker(config, loader, meters)
    found: dict[str, _Served] = {}
    try:
        for mount in config.mounts:
            made = maker.made(mount, served.get(str(mount.name)))
            if made is not None:
                found[str(mount.name)] = made
        anew = set[str]() if loader.problems else _anew(served, found)
        for name in anew:
            if name in served and found[name].mount is served[name].mount:
                found[name] = maker.made(found[name].config, None) or found[name]
        if loader.problems:
            known = rule_problems(config.mounts)
            messages = {problem.message for problem in known}
            known += [one for one in loader.problems if one.message not in messages]
            raise error_of(known, map(str, config.files), loader.traceback)
    except BaseException:
        reset_environment(before)
        raise
    order = [*(name for name in served if name in found and name not in anew)]
    order += [name for name in found if name in anew]
    ordered = {name: found[name] for name in order}
    return _Loaded(ordered, anew, loader.apps, dict(meters), before)


def _anew(served: Mapping[str, _Served], found: Mapping[str, _Served]) -> set[str]:
    """The names of the mounts that are declared last. What a mount exposes always is, when the
    mount is replaced, so the mount is too."""
    last = {
        name
        for name, one in found.items()
        if name in served
        and one.mount is not served[name].mount
        and (one.mount.exposures or served[name].mount.exposures)
    }
    wanted = {name: [*rules_of(one.mount)] for name, one in found.items()}
    return out_of_order([*served], wanted, last)


class _Maker:
    """Makes mounts with their apps."""

    def __init__(self, config: SiteConfig, loader: Loader, meters: Mapping[str, Meter]) -> None:
        self._routes = config.metrics is not None and config.metrics.routes
        self._loader = loader
        self._meters = meters

    def made(self, config: MountConfig, known: _Served | None) -> _Served | None:
        """A mount, or that of before, if it is the same; `None` if there is a problem."""
        app = self._loader.app_of(config)
        if known is not None and known.app is app and known.config.options == config.options:
            return known._replace(config=config)
        inner = self._loader.middleware_of(config)
        if app is None:
            return None
        try:
            return _Served(config, mount_of(config, app, self._outer(config), inner), app)
        except Exception as exc:  # mountkit's, or of a layer of the user's
            what = str(exc)
            if not isinstance(exc, MountkitError):
                error = UserError("Its middleware failed: {what}; fix it first.", exc)
                self._loader.errors.append(error)
                what = str(error)
            self._loader.problems.append(config.place.problem(what))
            return None

    def _outer(self, config: MountConfig) -> list[Middleware]:
        meter = self._meters.get(str(config.name))
        if meter is None:
            return []
        from mountkit.middleware.meters import MeterMiddleware

        return [Middleware(MeterMiddleware, meter=meter, routes=self._routes)]


def _meters(config: SiteConfig, meters: Mapping[str, Meter]) -> Mapping[str, Meter]:
    """One for each mount, if anybody reads them; and those of the mounts that left last, as a
    name may come back."""
    if config.status is None and config.metrics is None:
        return {}
    from mountkit.middleware.meters import Meter

    names = [str(mount.name) for mount in config.mounts]
    used = {name: meters[name] if name in meters else Meter() for name in names}
    left = [name for name in meters if name not in used][-_LEFT:]
    return {**{name: meters[name] for name in left}, **used}


class _Difference(NamedTuple):
    """What changes."""

    added: list[str]
    removed: list[str]
    replaced: list[str]
    arguments: dict[str, Any]


def _difference(old: Mapping[str, _Served], loaded: _Loaded) -> _Difference:
    new, anew = loaded.served, loaded.anew
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    replaced = [name for name in new if name in old and old[name].mount is not new[name].mount]
    pairs = [(old[name].mount, new[name].mount) for name in replaced if name not in anew]
    arguments: dict[str, Any] = {
        "add": [one.mount for name, one in new.items() if name in anew],
        "remove": [one.mount for name, one in old.items() if name not in new or name in anew],
        "replace": pairs,
    }
    return _Difference(added, removed, replaced, arguments)


def restart_reasons(old: SiteConfig, new: SiteConfig) -> Sequence[str]:
    """What of a change takes other processes: tables, and variables that have another value."""
    reasons = [
        f"[{name}]"
        for name in ("server", "status", "metrics")
        if getattr(old, name) != getattr(new, name)
    ]
    before, after = _variables(old), _variables(new)
    changed = {name: None for name in before if before[name] != after.get(name)}
    imported = {app.app for mount in old.mounts for app in _named(mount)}
    for mount in new.mounts:
        if any(app.app in imported and not (app.factory or app.args) for app in _named(mount)):
            changed |= dict.fromkeys(
                mount.own_env.keys() - before.keys()
            )  # its app has not seen them
    return reasons + [f"env.{name}" for name in changed]


def _named(mount: MountConfig) -> Sequence[AppConfig]:
    """The apps that a mount names."""
    if mount.split is not None:
        return [*mount.split.apps.values()]
    own = AppConfig.model_construct(app=mount.app, factory=mount.factory, args=mount.args)
    return [] if mount.app is None else [own]


def _variables(config: SiteConfig) -> dict[str, str]:
    return {name: value for mount in config.mounts for name, value in mount.own_env.items()}
