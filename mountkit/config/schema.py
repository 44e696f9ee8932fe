"""The JSON Schema of a site's file, made from the models.

In constructs of draft 4, the newest that TOML editors know (Taplo).
"""

from __future__ import annotations

from typing import Any

from mountkit.config.models import FileConfig

#: Keys that draft 4 does not have, or that say what a key's name says already.
_LEFT_OUT = {"examples", "title"}
_ABOUT = ("description", "default")
#: A number or a choice can also come from the environment.
_VARIABLE = {"$ref": "#/definitions/Variable"}


def schema() -> dict[str, Any]:
    """The schema of `mountkit.toml`."""
    made: dict[str, Any] = FileConfig.model_json_schema()
    definitions = {name: _older(one) for name, one in made.pop("$defs").items()}
    definitions["Variable"] = {
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
        "description": "A variable of the environment, with or without a default.",
    }
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "mountkit.toml",
        **_older(made),
        "definitions": definitions,
    }


def _older(value: dict[str, Any]) -> dict[str, Any]:
    """A schema of 2020-12 in draft 4."""
    made: dict[str, Any] = {}
    for key, inner in value.items():
        if key == "properties":
            made[key] = {name: _older(one) for name, one in inner.items()}
        elif key == "exclusiveMinimum":
            made |= {"minimum": inner, "exclusiveMinimum": True}
        elif key == "const":
            made["enum"] = [inner]
        elif key == "$ref":
            made["allOf"] = [{"$ref": _moved(inner)}]  # what stands beside it would not count
        elif key == "anyOf":
            ways = [_older(one) for one in inner if one != {"type": "null"}]
            made |= ways[0] if len(ways) == 1 else {key: ways}
        elif isinstance(inner, dict) and key in ("items", "additionalProperties"):
            made[key] = _older(inner)
        elif key not in _LEFT_OUT and not (key == "default" and inner is None):
            made[key] = inner
    is_list = isinstance(made.get("enum"), list)
    if made.get("type") in ("integer", "number", "boolean") or is_list:
        about: dict[str, Any] = {key: made.pop(key) for key in _ABOUT if key in made}
        return {**about, "anyOf": [made, _VARIABLE]}
    return made


def _moved(reference: str) -> str:
    return reference.replace("#/$defs/", "#/definitions/")
