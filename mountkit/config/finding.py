"""Finds the app that is meant: `module:attribute`, a module, a file, or none at all.

Where none is named, the files are those in which `fastapi dev` looks, and those that Django and
Flask have.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from starlette.routing import BaseRoute

from mountkit.config.failures import UserError, place_of
from mountkit.exceptions import InterfaceError, MountkitError, shown
from mountkit.inspection.layers import describe, has_mounts
from mountkit.wsgi.detection import recognise

#: Usual names of apps, and of what makes them.
APPS = ("app", "api", "application", "asgi", "wsgi")
FACTORIES = ("create_app", "make_app", "get_app", "build_app", "get_application")
_FILES = ("main.py", "app.py", "api.py", "asgi.py", "wsgi.py")
_FOLDERS = (".", "app", "src", "src/app")
# Other files are only imported if they look like it.
_MAKES_APP = re.compile(rf"^({'|'.join(APPS)})\s*(:.*)?=|^def ({'|'.join(FACTORIES)})\(", re.M)


class Found(NamedTuple):
    """An app, its name (`main:app`), and the file that it was looked for in, if it was not named
    in full."""

    app: Any
    name: str
    file: str = ""


class _Missing(MountkitError):
    """A module has no app."""


def find_app(target: str | None, *, is_factory: bool = False) -> Found:
    """The app that is named, or the first one that is found.

    Raises:
        UserError: the user's module, or the factory, has raised.
        MountkitError: there is none, or it is no app.
    """
    target = target or _entry_point()
    if target is None:
        return _first_of(Path(), is_factory)
    name, attribute = _divided(target)
    path = Path(name)
    is_file = path.suffix == ".py" or "/" in name or os.sep in name or name == "."
    if is_file and not path.exists():
        if not path.with_suffix(".py").exists():
            raise MountkitError(f"File {name!r} does not exist; name another, or a module.")
        path = path.with_suffix(".py")
    if is_file and path.is_dir():
        return _first_of(path, is_factory)
    if is_file:
        return _in_module(_import_file(path), attribute, is_factory, str(path))
    module = _import(name, Path.cwd())
    try:
        return _in_module(module, attribute, is_factory, _file_of(module))
    except _Missing:
        folder = Path(*name.split("."))
        if not folder.is_dir():
            raise
        return _first_of(folder, is_factory)


def _divided(target: str) -> tuple[str, str]:
    """Module or file, and attribute."""
    name, colon, attribute = target.rpartition(":")
    if not colon or "/" in attribute or "\\" in attribute:  # a drive
        return target, ""
    if attribute.endswith(")"):
        called = f"{name}:{attribute.partition('(')[0]}"
        raise MountkitError(f"App {target!r} is a call; write '{called} --factory'.")
    if not name:
        raise MountkitError(f"App {target!r} lacks a module; write 'main{target}'.")
    return name, attribute


def _entry_point() -> str | None:
    """What `fastapi dev` reads from pyproject.toml."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = Path("pyproject.toml").read_text("utf-8")
        return str(tomllib.loads(text)["tool"]["fastapi"]["entrypoint"])
    return None


def _first_of(folder: Path, is_factory: bool) -> Found:
    problem, looked_in = "", []
    for path in _candidates(folder):
        looked_in.append(str(path))
        try:
            return _in_module(_import_file(path), "", is_factory, str(path))
        except _Missing as exc:
            problem = problem or str(exc)
    if len(looked_in) > 1:
        problem += f" Nor is one in {', '.join(looked_in[1:])}."
    nowhere = f"No app was found: no {', '.join(_FILES)} is here, in app/ or in src/"
    raise MountkitError(problem or f"{nowhere}; name one, as in 'package.module:app'.")


def _candidates(folder: Path) -> Iterator[Path]:
    usual = [folder / below / name for below in _FOLDERS for name in _FILES]
    yield from filter(Path.is_file, usual)
    for name in (*_FILES[::-1], "__init__.py"):
        for path in sorted((*folder.glob(f"*/{name}"), *folder.glob(f"src/*/{name}"))):
            if path not in usual and _MAKES_APP.search(path.read_text("utf-8", "replace")):
                yield path


def _import_file(path: Path) -> ModuleType:
    """As part of its package, if it has one."""
    path = path.resolve()
    parts = [path.stem] if path.stem != "__init__" else []
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    _refuse_namesakes(path, folder)
    module = _import(".".join(parts), folder)
    if _file_of(module) != str(path):
        raise MountkitError(
            f"File {path.name!r} has the name of the module {module.__name__!r}, which is loaded "
            "already; rename it."
        )
    return module


def _refuse_namesakes(path: Path, folder: Path) -> None:
    """Modules beside a file that it would not get, as others of their names are loaded already: of
    another app's folder, as a rule."""
    for name in _imports_of(path):
        loaded = sys.modules.get(name)
        own = {str(folder / f"{name}.py"), str(folder / name / "__init__.py")}
        if loaded is None or name in sys.stdlib_module_names or _file_of(loaded) in own:
            continue
        if any(map(os.path.exists, own)):
            other = os.path.relpath(_file_of(loaded))
            raise MountkitError(
                f"File {path.name!r} imports {name!r}, of which another is loaded already "
                f"({other}), and a process has one of a name; rename it, or put it into a package."
            )


def _imports_of(path: Path) -> set[str]:
    """The first parts of the names of modules that a file imports."""
    found: set[str] = set()
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def _file_of(module: ModuleType) -> str:
    return str(Path(module.__file__ or "").resolve())


def _import(name: str, folder: Path) -> ModuleType:
    # As `uvicorn` and `python -m` do; a file's own folder goes first.
    sys.path[:0] = [
        one for one in dict.fromkeys((str(folder), str(Path.cwd()))) if one not in sys.path
    ]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{name}.".startswith(f"{exc.name}."):
            raise MountkitError(f"Module {name!r} was not found; {_other_name(name)}.") from exc
        where = place_of(exc)
        raise MountkitError(
            f"Module {name!r} imports {exc.name!r} ({where}), which is not installed; install it, "
            "or fix the import."
        ) from exc
    except (Exception, SystemExit) as exc:
        raise UserError(
            f"Module {name!r} cannot be imported: {{what}}; fix it first.", exc
        ) from exc


def _other_name(name: str) -> str:
    module, _, attribute = name.rpartition(".")
    if module and Path(*module.split(".")).with_suffix(".py").exists():
        return f"write '{module}:{attribute}'"
    return "name another"


def _in_module(module: ModuleType, attribute: str, is_factory: bool, file: str) -> Found:
    if not attribute:
        name = _discovered(module, is_factory)
        app = getattr(module, name)
        found = Found(app, f"{module.__name__}:{name}", os.path.relpath(file))
    else:
        found = Found(_attribute(module, attribute), f"{module.__name__}:{attribute}")
    if is_factory:
        found = found._replace(app=_made(found.app, found.name))
    reason = reason_against(found.app, found.name, is_made=is_factory)
    if reason:
        raise MountkitError(f"{found.name!r} {reason}.")
    return found


def _attribute(module: ModuleType, attribute: str) -> Any:
    value: Any = module
    for name in attribute.split("."):
        if not hasattr(value, name):
            others = _names_of_apps(module)
            fix = f"it has {', '.join(others)}" if others else "it has no app with mounts"
            raise MountkitError(f"Module {module.__name__!r} has no {attribute!r}; {fix}.")
        value = getattr(value, name)
    return value


def imported(target: str, folder: Path) -> Any:
    """What a name means, whatever it is.

    Args:
        target: `module:attribute`, or the path of a file, a colon and the attribute.
        folder: where modules are looked for, before the current one.

    Raises:
        UserError: the user's module has raised.
        MountkitError: there is no such module, file or attribute.
    """
    name, attribute = _divided(target)
    if not attribute:
        example = f"{target or 'package.module'}:app"
        raise MountkitError(f"{target!r} lacks an attribute; write {example!r}.")
    if not name.endswith(".py"):
        if name.startswith("."):
            raise MountkitError(f"Module {name!r} is relative; write its whole name.")
        return _attribute(_import(name, folder), attribute)
    if not Path(name).is_file():
        raise MountkitError(f"File {os.path.relpath(name)!r} does not exist; name another.")
    return _attribute(_import_file(Path(name)), attribute)


def _discovered(module: ModuleType, is_factory: bool) -> str:
    """The name of a module's app, or of its factory."""
    factories = [name for name in FACTORIES if callable(getattr(module, name, None))]
    if is_factory and factories:
        return factories[0]
    names = _names_of_apps(module)
    names = [name for name in names if has_mounts(getattr(module, name))] or names
    usual = [name for name in APPS if name in names]
    if usual or len(names) == 1:
        return (usual or names)[0]
    if names:
        several = ", ".join(names)
        write = f"write e.g. '{module.__name__}:{names[0]}'"
        raise MountkitError(f"Module {module.__name__!r} has several apps: {several}; {write}.")
    if factories:
        call = f"'{module.__name__}:{factories[0]} --factory'"
        raise _Missing(f"Module {module.__name__!r} has no app, but a factory; write {call}.")
    raise _Missing(f"Module {module.__name__!r} has no app; name one, as in 'module:app'.")


def _names_of_apps(module: ModuleType) -> Sequence[str]:
    """Those with a usual name, and those that have mounts."""
    names = []
    for name, value in vars(module).items():
        with suppress(Exception):  # Flask's `request` raises outside of a request
            is_app = not name.startswith("_") and not _why_not(value, name)
            if is_app and (name in APPS or has_mounts(value)):
                names.append(name)
    return names


def _made(factory: Any, name: str) -> Any:
    """What a factory returns."""
    if not callable(factory):
        raise MountkitError(f"{name!r} is {shown(factory)}, not a factory; leave --factory out.")
    if needed := ", ".join(_needed(factory)):
        raise MountkitError(f"Factory {name!r} has parameters ({needed}); write one without.")
    try:
        return factory()
    except (Exception, SystemExit) as exc:
        raise UserError(f"Factory {name!r} failed: {{what}}; fix it first.", exc) from exc


def _needed(function: Any) -> list[str]:
    """The parameters that a call must give, if that is known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variadic]


def reason_against(value: Any, target: str, *, is_made: bool = False) -> str:
    """Why what a name means is not an app, and what to write; `""` if it is one.

    Args:
        target: the name, `module:attribute`.
        is_made: a factory has made it.
    """
    return _why_not(value, target.rpartition(":")[2], is_made=is_made)


def _why_not(value: Any, name: str, *, is_made: bool = False) -> str:
    """Why a value is not an app, and what to write; `""` if it is one."""
    if inspect.iscoroutine(value):
        value.close()
        return "is an async factory; write one that returns its app without 'await'"
    if isinstance(value, ModuleType):
        return f"is a module; write '{value.__name__}:app'"
    if isinstance(value, BaseRoute):
        return f"is {describe(value)}, not an app; write app = Dispatcher([{name}])"
    if isinstance(value, (list, tuple, dict)) and value:
        return f"is a {type(value).__name__}, not an app; write app = Dispatcher({name})"
    if not callable(value):
        return f"is {shown(value)}, not an app; name the app"
    try:
        recognise(value)
    except InterfaceError:
        return _why_unclear(value, is_made)
    return ""


def _why_unclear(value: Any, is_made: bool) -> str:
    if inspect.isclass(value):
        return "is a class, not an app; name an instance, or add --factory to make one"
    needed = ", ".join(_needed(value))
    if not needed and not is_made:
        return "can be called without arguments, so it may return an app; add --factory"
    return f"is a function of ({needed}), not an app; name the app"
