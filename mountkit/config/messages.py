"""What pydantic finds, as sentences with value, reason and fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mountkit.config.lines import Path
from mountkit.config.models import BaseModel, ValidationError
from mountkit.config.problems import key_of, near, shown_value, toml

#: What a key wants, by the type of pydantic's error.
_WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

_EXAMPLES = {"string_type": "text", "int_type": 1, "float_type": 1.5, "bool_type": True}


def messages(
    model: type[BaseModel], value: Any, error: ValidationError, path: Path
) -> Iterator[tuple[Path, str]]:
    """Each problem once, with the way to its key.

    Args:
        model: of the table.
        value: the table.
        path: where the table stands.
    """
    found: dict[Path, list[Any]] = {}
    for one in error.errors(include_url=False):
        at = data_path(value, one["loc"])
        if one["type"] == "missing":
            at = (*at, one["loc"][-1])
        found.setdefault(at, []).append(one)
    for at, errors in found.items():
        is_above = any(other[: len(at)] == at and other != at for other in found)
        if not is_above or at == ():
            yield at, _message(model, value, at, errors, path)


def data_path(value: Any, loc: Sequence[Any]) -> Path:
    """The way through the data; pydantic's has the members of unions too."""
    path: list[str | int] = []
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(part)
    return tuple(path)


def _message(
    model: type[BaseModel], value: Any, at: Path, errors: Sequence[Any], path: Path
) -> str:
    key = next((part for part in reversed(at) if isinstance(part, str)), "")
    first = errors[0]
    if first["type"] == "extra_forbidden":
        holder = _model_at(model, at[:-1])
        known = [one.alias or name for name, one in holder.model_fields.items()]
        return f"The key {key!r} is not known; {near(key, known)}."
    example = _example(model, at)
    if example is None:
        example = _EXAMPLES.get(first["type"])
    if first["type"] == "missing":
        return f"The key {key!r} is missing; write e.g. {key} = {toml(example)}."
    if not at:
        name = "[[mount]]" if path[0] == "mount" else f"[{path[0]}]"
        return f"{path[0]} = {shown_value(value)} is not a table; write {name}."
    start = len(at) - at[::-1].index(key) - 1
    shown = f"{key_of(at[start:])} = {shown_value(first['input'])}"
    fix = "write one" if example is None else f"write e.g. {key} = {toml(example)}"
    return f"{shown} is not {_listed(dict.fromkeys(map(_wanted, errors)))}; {fix}."


def _listed(words: Iterable[str]) -> str:
    """One word or the other."""
    *others, last = words
    if not others:
        return last
    return f"{', '.join(others)}{',' * (len(others) > 1)} or {last}"


def _wanted(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return f"one of {context['expected']}"
    bounds = {"greater_than": "gt", "greater_than_equal": "ge", "less_than_equal": "le"}
    if kind in bounds:
        words = {"gt": "above", "ge": "from", "le": "up to"}[bounds[kind]]
        return f"a number {words} {context[bounds[kind]]:g}"
    return _WANTED.get(kind, str(error["msg"]).lower())


def _fields(model: type[BaseModel], at: Path) -> tuple[str, Any]:
    """The last field on a way, with its key."""
    found: tuple[str, Any] = ("", None)
    holder: type[BaseModel] | None = model
    for part in at:
        if isinstance(part, int) or holder is None:
            continue
        named = {one.alias or name: one for name, one in holder.model_fields.items()}
        if part in named:
            found = part, named[part]
            holder = _model_in(found[1].annotation) or holder
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _model_at(model: type[BaseModel], at: Path) -> type[BaseModel]:
    _, field = _fields(model, at)
    return (None if field is None else _model_in(field.annotation)) or model


def _example(model: type[BaseModel], at: Path) -> Any:
    name, field = _fields(model, at)
    is_its_own = at and name == next((part for part in reversed(at) if isinstance(part, str)), None)
    return field.examples[0] if is_its_own and field.examples else None
