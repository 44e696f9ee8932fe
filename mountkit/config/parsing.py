"""From texts to a `SiteConfig`, or to all that is wrong with them."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from glob import has_magic
from itertools import takewhile
from pathlib import Path as FilePath
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from mountkit.config.elsewhere import leave_out
from mountkit.config.lines import Path, lines_of
from mountkit.config.messages import data_path, messages
from mountkit.config.models import (
    BELONGS,
    TARGETS,
    BaseModel,
    DefaultConfig,
    FileConfig,
    MetricsConfig,
    MountConfig,
    Place,
    ServerConfig,
    SiteConfig,
    StatusConfig,
    ValidationError,
)
from mountkit.config.options import own_problems, rule_problems
from mountkit.config.problems import Problem, error_of, key_of, near
from mountkit.config.sources import PYPROJECT, Source, include_patterns, table_of
from mountkit.config.variables import Given, scalar_of
from mountkit.exceptions import PatternError
from mountkit.matching.rules import Rule
from mountkit.middleware.forwarded import ForwardedMiddleware

_M = TypeVar("_M", bound=BaseModel)
_LISTEN = re.compile(r"unix:.+|(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
_LAST_PORT = 65535
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass
class _File:
    """One file, while it is read."""

    name: str
    text: str
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    raw: dict[Path, list[tuple[str, str]]] = field(default_factory=dict)
    parts: list[tuple[BaseModel, Place]] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    top: Path = ()

    def __post_init__(self) -> None:
        try:
            data = tomllib.loads(self.text)
        except (ValueError, RecursionError) as exc:
            self.problems.append(_syntax_problem(self.name, self.text, exc))
            return
        self.lines = lines_of(self.text)
        self.table = table_of(self.name, data)
        if FilePath(self.name).name == PYPROJECT:
            self.top = ("tool", "mountkit")
            if not self.table:
                self.refuse(
                    (), "[tool.mountkit] is missing or empty; write the site's tables in it."
                )

    def refuse(self, path: Path, message: str) -> None:
        """Note a problem."""
        self.refused.add(path)
        problem = Place(self.name, self.top, self.lines, self.raw).problem(message, *path)
        self.problems.append(replace(problem, key=key_of(path)))

    def read(self, model: type[_M], path: Path, value: Any) -> tuple[_M, Place] | None:
        """A table of the file; `None` if it has problems. Then what is left of it without them is
        in `parts`."""
        before = len(self.problems)
        given = Given(value, path, self.environ, self.refuse)
        raw = {(*self.top, *at): pair for at, pair in given.raw.items()}
        self.raw |= raw
        place = Place(self.name, (*self.top, *path), self.lines, raw)
        found = None
        try:
            found = model.model_validate(given.value)
        except ValidationError as exc:
            if _coerced(given, path, exc):
                try:
                    found = model.model_validate(given.value)
                except ValidationError as again:
                    exc = again
            if found is None:
                wrong = list(messages(model, given.value, value, exc, path))
                for keys, message in wrong:
                    if (*path, *keys) not in self.refused:
                        self.problems.append(place.problem(message, *keys))
                if isinstance(given.value, dict):
                    bad = {keys[0] for keys, _ in wrong if keys}
                    left = {key: one for key, one in given.value.items() if key not in bad}
                    with suppress(ValidationError):
                        self.parts.append((model.model_validate(left), place))
        return None if found is None or len(self.problems) > before else (found, place)


def parse(
    source: Source,
    environ: Mapping[str, str] = os.environ,
    *,
    only: Sequence[str] | None = None,
    upstreams: Sequence[str] = (),
) -> SiteConfig:
    """Read and validate a site. Nothing is imported.

    Args:
        source: its texts.
        environ: for `${NAME}`.
        only, upstreams: which mounts are served, and where others are: see `leave_out`.

    Raises:
        PatternError: there is no such mount or upstream.
        ConfigError: with all problems. If the tables are right, those of the rules, which the
            mounts find themselves (patterns, conflicts), are left to `check_rules`.
    """
    files = [_File(name, text, environ) for name, text in source.texts.items()]
    main = files[0]
    if (only is not None or upstreams) and not any(file.problems for file in files):
        leave_out(only, upstreams, [file.table for file in files], environ)
    server = _from(main, _single(main, ServerConfig, "server") or ServerConfig())
    status = _single(main, StatusConfig, "status")
    metrics = _single(main, MetricsConfig, "metrics")
    _check_single(main, server, status, metrics)
    mounts = [mount for file in files for mount in _mounts(file)]
    if status is not None and status.path is not None:
        _check_page(main, status.path, mounts)
    default = _default(main, mounts)
    if default is not None:
        mounts.append(default)
    _check_top(main, files[1:])
    _check_includes(main, source, environ)
    problems = [problem for file in files for problem in file.problems]
    problems += [*_target_problems(mounts), *_env_problems(mounts)]
    names = list(_name_problems(mounts))
    if problems or names:
        rules = rule_problems(mounts) + [one for file in files for one in _part_problems(file)]
        known = {(one.file, one.line) for one in rules}  # conflicts say it better
        problems += rules + [one for one in names if (one.file, one.line) not in known]
        raise error_of(problems, source.texts)
    paths = tuple(map(FilePath, source.texts))
    folders = _folders(main, paths, environ)
    return SiteConfig(server, status, metrics, tuple(mounts), paths, folders)


def _single(file: _File, model: type[_M], name: str) -> _M | None:
    """A table that a file has once."""
    if name not in file.table:
        return None
    found = file.read(model, (name,), file.table[name])
    return None if found is None else found[0]


def _from(main: _File, server: ServerConfig) -> ServerConfig:
    """With its paths from the folder of the file."""
    folder = FilePath(main.name).parent
    changes: dict[str, Any] = {}
    if server.unix_socket is not None:
        changes["unix_socket"] = str(folder / server.unix_socket)
    if server.tls is not None:
        paths = {"cert": str(folder / server.tls.cert), "key": str(folder / server.tls.key)}
        changes["tls"] = server.tls.model_copy(update=paths)
    return server.model_copy(update=changes)


def _check_single(
    main: _File, server: ServerConfig, status: StatusConfig | None, metrics: MetricsConfig | None
) -> None:
    """What a type cannot say of these tables."""
    try:
        ForwardedMiddleware(_nothing, trusted=server.proxies)
    except PatternError as exc:
        main.refuse(("server", "trusted"), str(exc))
    root = server.root_path
    if root and (root[0] != "/" or root[-1] == "/"):
        fix = f"write {'/' + root.strip('/') if root.strip('/') else ''!r}"
        message = f"root_path = {root!r} is not a prefix: it begins with '/' and does not end in it"
        main.refuse(("server", "root_path"), f"{message}; {fix}.")
    if status is not None:
        listen = status.listen
        if listen is not None and not _is_address(listen):
            example = "write '127.0.0.1:9000' or 'unix:/run/status.sock'"
            main.refuse(("status", "listen"), f"listen = {listen!r} is not an address; {example}.")
        if status.path is not None and status.guard is None:
            message = f"path = {status.path!r} has no guard, so that all could see the page"
            main.refuse(("status", "path"), f"{message}; write guard = 'package.module:Guard'.")
        if status.path is None and status.guard is not None and listen is not None:
            message = f"guard = {status.guard!r} guards nothing: it is for the page on a path"
            main.refuse(("status", "guard"), f"{message} of the site; write path, or leave it out.")
        if listen is None and status.path is None:
            message = "[status] says no place; write listen = '127.0.0.1:9000'."
            main.refuse(("status",), message)
    if metrics is not None and (status is None or status.listen is None):
        message = "[metrics] has no listener; write listen = '127.0.0.1:9000' in [status]."
        main.refuse(("metrics",), message)


def _is_address(text: str) -> bool:
    return bool(_LISTEN.fullmatch(text)) and (
        text.startswith("unix:") or int(text.rpartition(":")[2]) <= _LAST_PORT
    )


def _check_page(main: _File, path: str, mounts: Sequence[MountConfig]) -> None:
    """Whether the page can be mounted on this path of the site."""
    try:
        wanted = Rule(path).key
    except PatternError as exc:
        main.refuse(("status", "path"), str(exc))
        return
    for mount in mounts:
        has_more = mount.when is not None or mount.headers or mount.query or mount.methods
        if not has_more and _key(mount) == wanted:
            message = f"path = {path!r} is that of the mount at {mount.place.where}"
            main.refuse(("status", "path"), f"{message}; write another, such as '/-/status'.")


def _key(mount: MountConfig) -> Any:
    with suppress(PatternError):
        return Rule(mount.path, host=mount.host, priority=mount.priority, exact=mount.exact).key


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


def _mounts(file: _File) -> Iterator[MountConfig]:
    tables = file.table.get("mount", [])
    if not isinstance(tables, list):
        file.refuse(("mount",), "[mount] is one table, and a site has several; write [[mount]].")
        return
    for number, value in enumerate(tables):
        found = file.read(MountConfig, ("mount", number), value)
        if found is not None:
            yield _placed(*found)


def _default(file: _File, mounts: Sequence[MountConfig]) -> MountConfig | None:
    """The least specific of all mounts. It gets a priority only if others are below 0, as those
    make each decision slower."""
    if "default" not in file.table:
        return None
    found = file.read(DefaultConfig, ("default",), file.table["default"])
    if found is None:
        return None
    values = {name: getattr(found[0], name) for name in found[0].model_fields_set}
    lowest = min((mount.priority for mount in mounts), default=0)
    priority = lowest - 1 if lowest < 0 else 0
    values |= {"name": "default", "priority": priority, "redirect_slashes": False}
    return _placed(MountConfig.model_construct(**values), found[1])


def _placed(mount: MountConfig, place: Place) -> MountConfig:
    """With its place and its name."""
    named = mount.model_copy(update={"name": mount.name or _label(mount)})
    named._place = Place(place.file, place.path, place.lines, place.raw, mount.name is not None)
    return named


def _label(mount: MountConfig) -> str:
    """Host and path, as the label of its `Mount`."""
    try:
        rule = Rule(mount.path, host=mount.host, exact=mount.exact)
    except PatternError:
        return mount.path
    return ("" if rule.host is None else rule.host.pattern) + (rule.path.text or "/")


def _part_problems(file: _File) -> Iterator[Problem]:
    """What the rules say of mounts that have other problems."""
    for part, place in file.parts:
        if isinstance(part, MountConfig):
            yield from own_problems(_placed(part, place))


def _check_top(main: _File, included: Sequence[_File]) -> None:
    """Keys of the top level that are not known, or not there."""
    known = FileConfig.model_fields
    for name in main.table.keys() - known.keys():
        main.refuse((name,), f"The key {name!r} is not known; {near(name, known)}.")
    for file in included:
        for name in file.table.keys() - {"mount"}:
            message = f"The key {name!r} is not known; write [[mount]] here."
            if name in known:
                message = f"{name!r} is in a file that is included; write it in {main.name}."
            file.refuse((name,), message)


def _check_includes(main: _File, source: Source, environ: Mapping[str, str]) -> None:
    value = main.table.get("include", [])
    main.read(FileConfig, (), {"include": value})
    for at, pattern in include_patterns(source.main, main.text, environ):
        path = str(FilePath(source.main).parent / pattern)
        if not has_magic(pattern) and path not in source.texts:
            message = f"The file {pattern!r} to include does not exist; name another."
            main.refuse(("include", *at), message)


def _folders(
    main: _File, paths: Sequence[FilePath], environ: Mapping[str, str]
) -> tuple[FilePath, ...]:
    """Those of the files, and those in which files to include may appear."""
    folders = [path.parent for path in paths]
    for _, pattern in include_patterns(main.name, main.text, environ):
        parts = takewhile(lambda part: not has_magic(part), FilePath(pattern).parts[:-1])
        folders.append(FilePath(main.name).parent.joinpath(*parts))
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def _target_problems(mounts: Sequence[MountConfig]) -> Iterator[Problem]:
    """Mounts with nothing or too much to serve, and keys of what they do not serve."""
    for mount in mounts:
        given = [name for name in TARGETS if getattr(mount, name) is not None]
        if not given:
            yield mount.place.problem('It has nothing to serve; write app = "package.module:app".')
        for name in given[1:]:
            message = f"It has {given[0]} and {name}; write one of {', '.join(TARGETS)}."
            yield mount.place.problem(message, name)
        for name, targets in BELONGS.items():
            is_alone = not any(getattr(mount, target) is not None for target in targets)
            if given and name in mount.model_fields_set and is_alone:
                message = f"{name} has no effect without {' or '.join(targets)}; leave it out."
                yield mount.place.problem(message, name)
        if mount.is_child:
            yield from _child_problems(mount)
        if mount.max_body_size is not None and mount.limits.max_body_size is not None:
            message = "max_body_size is given twice; write it here or in [mount.limits]."
            yield mount.place.problem(message, "max_body_size")


def _child_problems(mount: MountConfig) -> Iterator[Problem]:
    """What cannot be said of another process."""
    names = ("args", "wsgi") if mount.command is None else ("wsgi", "interface")
    for name in names:
        if name in mount.model_fields_set:
            message = f"{name} has no effect on another process; leave it out."
            yield mount.place.problem(message, name)
    if mount.interface == "asgi2":
        message = 'interface = "asgi2" is not served in another process; write "asgi3" or "wsgi".'
        yield mount.place.problem(message, "interface")
    if mount.lifespan == "off":
        message = 'lifespan = "off" never starts the process; leave it out.'
        yield mount.place.problem(message, "lifespan")


def _name_problems(mounts: Sequence[MountConfig]) -> Iterator[Problem]:
    """Names that several mounts have, and those that would break a line of the log."""
    first: dict[str | None, MountConfig] = {}
    for mount in mounts:
        if mount.name is not None and not mount.name.isprintable():
            message = f"The name {mount.name!r} has characters that do not print; remove them."
            yield mount.place.problem(message, "name")
        other = first.setdefault(mount.name, mount)
        if other is not mount:
            fix = "" if mount.place.is_named else ', as in name = "beta"'
            message = f"The name {mount.name!r} is that of {other.place.where} too; write another"
            yield mount.place.problem(f"{message}{fix}.", "name")


def _env_problems(mounts: Sequence[MountConfig]) -> Iterator[Problem]:
    """Variables that cannot be set, or to two values."""
    first: dict[str, MountConfig] = {}
    for mount in mounts:
        for name, value in mount.own_env.items():
            if not name or "=" in name or "\0" in name + value:
                message = f"The variable {name!r} cannot be set; write a name such as 'DEBUG'."
                yield mount.place.problem(message, "env", name)
                continue
            other = first.setdefault(name, mount)
            if other.env[name] != value:
                message = (
                    f"The variable {name!r} has another value at {other.place.where}, and a "
                    "process has one environment; write the same, or serve them apart."
                )
                yield mount.place.problem(message, "env", name)


def _syntax_problem(name: str, text: str, error: Exception) -> Problem:
    message = str(error)
    if isinstance(error, RecursionError):
        return Problem(name, 1, "", "The file is nested too deeply; write tables.")
    at = _AT.search(message)
    reason = _AT.sub("", message)
    line = int(at[1]) if at and at[1] else text.count("\n") + 1
    shown = next(iter(text.split("\n")[line - 1 :]), "").strip()
    where = f" in {shown[:60]!r}" if shown else ""
    fix = "put texts into quotes" if reason == "Invalid value" else "fix the TOML"
    return Problem(name, line, "", f"{reason}{where}; {fix}.")


def _coerced(given: Given, path: Path, error: ValidationError) -> bool:
    """Whether values of variables became numbers or truth values where a key wants those."""
    changed = False
    for at in Counter(data_path(given.value, one["loc"]) for one in error.errors()):
        if (*path, *at) in given.raw:
            holder = given.value
            for part in at[:-1]:
                holder = holder[part]
            value = scalar_of(holder[at[-1]])
            if value is not None:
                holder[at[-1]] = value
                changed = True
    return changed
