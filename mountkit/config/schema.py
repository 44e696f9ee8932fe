"""The JSON Schema of a site's file, made from the models."""

from __future__ import annotations

from typing import Any

from mountkit.config.models import FileConfig


def schema() -> dict[str, Any]:
    """The schema, in constructs of draft 4, which TOML editors know."""
    made: dict[str, Any] = _older(FileConfig.model_json_schema(mode="validation"))
    return {"$schema": "http://json-schema.org/draft-04/schema#", **made}


def _older(value: Any) -> Any:
    return value
