"""Other processes that a table names: servers, and children."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, cast

from mountkit.config.models import MountConfig
from mountkit.config.tables import PassingConfig
from mountkit.exceptions import PatternError
from mountkit.processes.processes import Process
from mountkit.proxy.proxies import Proxy

# The names of interfaces in a mount, and in a process of its own.
_INTERFACES = {"asgi3": "asgi", "asgi2": "auto"}


def proxy_of(config: MountConfig) -> Proxy:
    """The proxy that a table describes.

    Raises:
        PatternError: it can never work.
    """
    given = config.proxy
    if given is None or isinstance(given, (str, list)):
        return Proxy(given or [])
    options = _given(given)
    if given.ca is not None:
        options["ssl_context"] = _trusting(options.pop("ca"), config.place.folder)
    return Proxy(options.pop("url"), **options)


def process_of(config: MountConfig, main: Path | None) -> Process:
    """The child process that a table describes.

    Args:
        main: the folder to run in, if it names none.

    Raises:
        PatternError: it can never work.
    """
    folder = config.place.folder
    return Process(
        config.command,
        app=None if config.app is None else name_of_app(config.app, folder),
        factory=config.factory,
        interface=cast("Any", _INTERFACES.get(config.interface, config.interface)),
        python=None if config.python is None else folder / config.python,
        cwd=main if config.cwd is None else folder / config.cwd,
        env=config.env,
        **_given(config.process),
    )


def name_of_app(target: str, folder: Path) -> str:
    """`module:attribute`, or the path of a file with the attribute.

    Args:
        folder: where paths start.
    """
    name, colon, attribute = target.rpartition(":")
    if colon and (name.endswith(".py") or "/" in name):
        return f"{(folder / name).with_suffix('.py').absolute()}:{attribute}"
    return target


def _given(config: PassingConfig) -> dict[str, Any]:
    """What a table says; "off" is `None`."""
    values = {name: getattr(config, name) for name in config.model_fields_set}
    return {name: None if value == "off" else value for name, value in values.items()}


def _trusting(ca: str, folder: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=folder / ca)
    except (OSError, ssl.SSLError) as exc:
        raise PatternError(
            f"ca = {ca!r} cannot be read ({exc}); name a PEM file, from the folder of the file."
        ) from exc
