"""The apps of a file: imported, made and kept, each once for all mounts that name it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from mountkit.config.failures import UserError, text_of
from mountkit.config.finding import imported, reason_against
from mountkit.config.models import AppConfig, MountConfig, Place
from mountkit.config.options import own_app, split_of
from mountkit.config.problems import Problem, toml
from mountkit.config.targets import name_of_app
from mountkit.exceptions import MountkitError, shown
from mountkit.wsgi.detection import is_built

#: What makes an app that is not imported: first what it is.
_OWN = (
    *("static", "redirect", "proxy", "command", "app", "html", "status", "python", "cwd", "env"),
    *("factory", "interface", "process"),
)


class Loader:
    """Finds what tables name.

    Args:
        folder: of the file, from which modules are imported.
        known: the apps of before, by key; they are used again.

    Attributes:
        apps: those that were asked for, by key.
        problems: what could not be loaded.
        errors: what code of the user's has raised.
    """

    def __init__(self, folder: Path, known: Mapping[str, Any]) -> None:
        self.apps: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.errors: list[UserError] = []
        self._folder = folder
        self._known = known
        self._failed: dict[str, str] = {}

    def app_of(self, mount: MountConfig) -> Any:
        """What a mount serves; `None` if it cannot be loaded."""
        if mount.app is not None and not mount.is_child:
            named = AppConfig.model_construct(app=mount.app, factory=mount.factory, args=mount.args)
            return self._named(named, mount, ())
        if mount.split is None:
            make = partial(own_app, mount, self._folder)
            names = [name for name in _OWN if getattr(mount, name) not in (None, {})]
            options = [(name, getattr(mount, name)) for name in names]
            key = f"own {mount.place.folder} {options}"
            return self._kept(key, make, mount.place, (names[0],))
        apps = {
            name: self._named(share, mount, ("split", "apps", name))
            for name, share in mount.split.apps.items()
        }
        if None in apps.values():
            return None
        make = partial(split_of, mount.split, apps, mount.place.where)
        ids = {name: id(app) for name, app in apps.items()}
        key = f"split {mount.name} {mount.split!r} {ids}"
        return self._kept(key, make, mount.place, ("split",))

    def _named(self, named: AppConfig, mount: MountConfig, keys: tuple[str, ...]) -> Any:
        name = name_of_app(named.app, mount.place.folder)
        env = {**mount.env} if named.factory or named.args else {}
        key = f"app {name} {named.factory} {toml(named.args)} {toml(env)}"
        is_told = mount.interface != "auto"
        make = partial(self._made, named, name, is_told)
        return self._kept(key, make, mount.place, (*keys, "app"))

    def _kept(self, key: str, make: Any, place: Place, keys: tuple[str, ...]) -> Any:
        if key not in self.apps and key in self._known:
            self.apps[key] = self._known[key]
        if key not in self.apps and key not in self._failed:
            try:
                self.apps[key] = make()
            except MountkitError as exc:
                self._failed[key] = _in_toml(str(exc))
                if isinstance(exc, UserError):
                    self.errors.append(exc)
        if key in self._failed:
            self.problems.append(place.problem(self._failed[key], *keys))
        return self.apps.get(key)

    def _made(self, named: AppConfig, name: str, is_told: bool) -> Any:
        value = self._imported(name)
        if named.factory or named.args:
            given = named.args
            args, options = (given, {}) if isinstance(given, list) else ([], given)
            if not callable(value):
                raise MountkitError(
                    f"{named.app!r} is {shown(value)}, not a factory; leave factory and args out."
                )
            if reason := _not_called(value, *args, **options):
                raise MountkitError(f"Factory {named.app!r} cannot be called: {reason}; fix args.")
            try:
                value = value(*args, **options)
            except (Exception, SystemExit) as exc:
                message = f"Factory {named.app!r} failed: {{what}}; fix it first."
                raise UserError(message, exc) from exc
        is_made = bool(named.factory or named.args)
        if not is_told and (reason := reason_against(value, named.app, is_made=is_made)):
            raise MountkitError(f"{named.app!r} {reason}.")
        return value

    def _imported(self, name: str) -> Any:
        return imported(name, self._folder)

    def middleware_of(self, mount: MountConfig) -> list[Middleware]:
        """The layers that a mount names by class."""
        found = []
        for at, layer in enumerate(mount.middleware):
            try:
                cls: Any = self._imported(name_of_app(layer.class_, mount.place.folder))
                options = layer.model_extra or {}
                if not _makes_layers(cls):
                    raise MountkitError(f"{layer.class_!r} is {shown(cls)}, not a class; name one.")
                if reason := _not_called(cls, None, **options):
                    raise MountkitError(
                        f"{layer.class_!r} cannot be called: {reason}; fix its options."
                    )
                found.append(Middleware(cls, **options))
            except MountkitError as exc:
                self.problems.append(mount.place.problem(str(exc), "middleware", at, "class"))
                if isinstance(exc, UserError):
                    self.errors.append(exc)
        return found

    @property
    def traceback(self) -> str:
        """Of what code of the user's has raised."""
        return "".join(text_of(one.error) for one in self.errors)


def _makes_layers(value: Any) -> bool:
    return callable(value) and not is_built(value)


def _not_called(function: Any, /, *args: Any, **options: Any) -> str:
    """Why a call is not possible, if that is known."""
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError as exc:
        return str(exc)
    except ValueError:  # it does not show its parameters
        return ""
    return ""


def _in_toml(message: str) -> str:
    """The fix of a message, as the file has it."""
    return message.replace("add --factory", "write factory = true").replace(
        " --factory'", "' and factory = true"
    )


def set_environment(values: Mapping[str, str]) -> Mapping[str, str | None]:
    """Set variables of the process.

    Returns:
        What they were before; `None` if they were not set.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    return before


def reset_environment(before: Mapping[str, str | None]) -> None:
    """Undo `set_environment`."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
