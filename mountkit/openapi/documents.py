"""Merges OpenAPI documents (OpenAPI Specification 3.0 to 3.2).

Paths get the prefix of their app; components, operations and tags get names that no other app has;
a host becomes a server.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from mountkit.locations import encode_path

Document = dict[str, Any]

_METHODS = frozenset(("get", "put", "post", "delete", "options", "head", "patch", "trace", "query"))
# Keys whose value is the user's data, even if it looks like a reference.
_DATA = frozenset(("example", "default", "const", "enum"))
# Keys whose value maps names, which may be the same as words of the specification.
_MAPS = frozenset(
    (
        *("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"),
        *("content", "encoding", "examples", "headers", "links", "parameters", "responses"),
        *("callbacks", "mediaTypes", "pathItems", "requestBodies", "schemas", "securitySchemes"),
        "variables",
    )
)
_URLS = ("authorizationUrl", "deviceAuthorizationUrl", "refreshUrl", "tokenUrl")
_SCHEMAS = "#/components/schemas/"
_PLACEHOLDER = re.compile(r"{([a-zA-Z_]\w*)}")


@dataclass(frozen=True, slots=True)
class Published:
    """The document of one app, and where the app is.

    Attributes:
        key: its name in URLs and before the names of its components.
        title: for people.
        prefix: before its paths, with the placeholders of the mounts: `/t/{tenant}`.
        params: OpenAPI's Parameter Objects for these placeholders.
        hosts: OpenAPI's Server Objects, if it is mounted by host.
        document: as the app publishes it.
    """

    key: str
    title: str
    prefix: str
    params: tuple[Document, ...]
    hosts: tuple[Document, ...]
    document: Document


def merge(apps: Iterable[Published], root_path: str, title: str, version: str) -> Document:
    """Merge documents into one, of the newest version of OpenAPI among them.

    Args:
        root_path: where the site is; the server of the document.
    """
    apps = sorted(apps, key=lambda app: bool(app.hosts))  # paths at any host come first
    minor = max((_minor(app.document) for app in apps), default=0)
    merged: Document = {
        "openapi": ("3.0.3", "3.1.0", "3.2.0")[min(minor, 2)],
        "info": {"title": title, "version": version},
        "servers": [{"url": encode_path(root_path) or "/"}],
        "paths": {},
        "components": {},
        "tags": [],
        "webhooks": {},
    }
    for app in apps:
        part = _Part(app, root_path, merged["paths"], is_upgraded=_minor(app.document) < minor)
        merged["paths"] |= part.paths()
        merged["webhooks"] |= part.webhooks()
        merged["tags"] += part.tags()
        for kind, named in part.components().items():
            merged["components"].setdefault(kind, {}).update(named)
    return {name: value for name, value in merged.items() if value or name == "paths"}


def _minor(document: Document) -> int:
    """The minor version of the specification."""
    match = re.match(r"3\.(\d+)", str(document.get("openapi", "")))
    return int(match[1]) if match else 0


class _Part:
    """The document of one app, rewritten for the merged document.

    Args:
        taken: the paths of the apps before it.
        is_upgraded: the document is older than the merged one.
    """

    def __init__(
        self, app: Published, root_path: str, taken: Collection[str], *, is_upgraded: bool
    ) -> None:
        self.app = app
        self.document = app.document
        self.schemas: Document = app.document.get("components", {}).get("schemas", {})
        self.is_upgraded = is_upgraded
        paths = [path for path in app.document.get("paths", {}) if path[:1] == "/"]
        self._places = {path: self._place(path, taken) for path in paths}
        server = app.hosts[0]["url"] if len(app.hosts) == 1 else encode_path(root_path)
        self._base = f"{server}{_encoded(app.prefix)}/"

    def _place(self, path: str, taken: Collection[str]) -> tuple[str, list[Document]]:
        """The whole path, and the parameters of its mounts. A placeholder of theirs that the path
        has too gets a number."""
        parts, names = _PLACEHOLDER.split(self.app.prefix), _PLACEHOLDER.findall(path)
        for place in range(len(parts) - 2, 0, -2):  # the one nearer to the app keeps its name
            parts[place] = unused(parts[place], names, "_")
            names.append(parts[place])
        new = parts[1::2]
        parts[1::2] = [f"{{{name}}}" for name in new]
        full = _encoded("".join(parts) + path)
        if full in taken:  # by an app at another host; what follows a "#" is not sent
            full = f"{full}#{self.app.key}"
        return full, [{**p, "name": name} for p, name in zip(self.app.params, new, strict=True)]

    def paths(self) -> Document:
        result: Document = {}
        for path, (full, params) in self._places.items():
            item = self._item(self.document["paths"][path])
            own = item.get("parameters", [])
            theirs = {param.get("name") for param in own if param.get("in") == "path"}
            if more := [param for param in params if param["name"] not in theirs]:
                item["parameters"] = [*more, *own]
            if self.app.hosts:
                item["servers"] = list(self.app.hosts)
            result[full] = item
        return result

    def webhooks(self) -> Document:
        found = self.document.get("webhooks", {})
        return {self._named(name): self._item(item) for name, item in found.items()}

    def tags(self) -> list[Document]:
        return [
            {**tag, **{k: self._tag(tag[k]) for k in ("name", "parent") if k in tag}}
            for tag in self.document.get("tags", ())
        ]

    def components(self) -> Document:
        walks = {"callbacks": self._callback, "examples": self._example, "pathItems": self._item}
        result: Document = {}
        for kind, named in self.document.get("components", {}).items():
            if kind[:2] == "x-":
                continue
            walk = walks.get(kind, self._object)
            result[kind] = {self._named(name): walk(value) for name, value in named.items()}
        for scheme in result.get("securitySchemes", {}).values():
            for flow in scheme.get("flows", {}).values():
                flow.update({k: self._url(flow[k]) for k in _URLS if k in flow})
            if "openIdConnectUrl" in scheme:
                scheme["openIdConnectUrl"] = self._url(scheme["openIdConnectUrl"])
        return result

    def _named(self, name: str) -> str:
        return f"{self.app.key}.{name}"

    def _tag(self, name: str) -> str:
        return f"{self.app.title}: {name}"

    def _url(self, url: str) -> str:
        """A URL, below the app if it is relative."""
        return url if re.match(r"/|[a-zA-Z][\w+.-]*:", url) else self._base + url.removeprefix("./")

    def _item(self, item: Document) -> Document:
        """A Path Item Object."""
        own: Document = {k: self._operation(v) for k, v in item.items() if k in _METHODS}
        if "additionalOperations" in item:
            more = item["additionalOperations"]
            own["additionalOperations"] = {k: self._operation(v) for k, v in more.items()}
        return self._object({k: v for k, v in item.items() if k not in own}) | own

    def _operation(self, operation: Document) -> Document:
        tags = [self._tag(tag) for tag in operation.get("tags", ())]
        own: Document = {"tags": tags or [self.app.title]}
        requirements = operation.get("security", self.document.get("security"))
        if requirements is not None:
            own["security"] = [{self._named(k): v for k, v in one.items()} for one in requirements]
        if "callbacks" in operation:
            found = operation["callbacks"].items()
            own["callbacks"] = {name: self._callback(callback) for name, callback in found}
        return self._object({k: v for k, v in operation.items() if k not in own}) | own

    def _callback(self, callback: Document) -> Document:
        """A Callback Object, or a reference to one."""
        if "$ref" in callback:
            return self._object(callback)
        return {k: v if k[:2] == "x-" else self._item(v) for k, v in callback.items()}

    def _walk(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._object(value)
        return [self._walk(item) for item in value] if isinstance(value, list) else value

    def _object(self, found: Document) -> Document:
        """Any other object of the specification or of JSON Schema."""
        result: Document = {}
        for key, value in found.items():
            if key in _DATA or key[:2] == "x-" or (key == "examples" and isinstance(value, list)):
                result[key] = value
            elif key == "examples":
                result[key] = {name: self._example(example) for name, example in value.items()}
            elif key in _MAPS and isinstance(value, dict):
                result[key] = {name: self._walk(item) for name, item in value.items()}
            elif key in ("$ref", "operationRef"):
                result[key] = self._reference(value)
            elif key == "operationId":
                result[key] = f"{self.app.key}_{value}"
            else:
                result[key] = self._walk(value)
        if isinstance(found.get("discriminator"), dict):
            result["discriminator"] = self._discriminator(found)
        return _upgraded(result) if self.is_upgraded else result

    def _example(self, example: Document) -> Document:
        return {k: self._reference(v) if k == "$ref" else v for k, v in example.items()}

    def _discriminator(self, schema: Document) -> Document:
        """A Discriminator Object that names all its schemas: without a mapping, they are found by
        names that have changed."""
        discriminator = schema["discriminator"]
        mapping = {
            value: self._reference(_SCHEMAS + target if target in self.schemas else target)
            for value, target in discriminator.get("mapping", {}).items()
        }
        options = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        references = [option["$ref"] for option in options if "$ref" in option]
        if not references:  # a base that others name in their allOf
            own = [_SCHEMAS + name for name, other in self.schemas.items() if other is schema]
            references = [
                _SCHEMAS + name
                for name, other in self.schemas.items()
                if any(base.get("$ref") in own for base in other.get("allOf", ()))
            ]
        for reference in map(self._reference, references):
            if reference not in mapping.values():
                name = reference.rpartition("/")[2].removeprefix(f"{self.app.key}.")
                mapping.setdefault(name, reference)
        return {**discriminator, "mapping": mapping} if mapping else dict(discriminator)

    def _reference(self, reference: str) -> str:
        """A reference, to the place of its target in the merged document."""
        parts = reference.split("/", 3)
        if parts[:2] == ["#", "components"] and len(parts) == 4:
            return f"#/components/{parts[2]}/{self._named(parts[3])}"
        if parts[:2] == ["#", "webhooks"]:
            return "/".join(["#", "webhooks", self._named(parts[2]), *parts[3:]])
        if parts[:2] == ["#", "paths"]:
            path = parts[2].replace("~1", "/").replace("~0", "~")
            if path in self._places:
                full = self._places[path][0].replace("~", "~0").replace("/", "~1")
                return "/".join(["#", "paths", full, *parts[3:]])
        return reference


def unused(name: str, taken: Collection[str], mark: str) -> str:
    """The name, with a number after the mark if it is taken."""
    names = chain([name], (f"{name}{mark}{number}" for number in count(2)))
    return next(one for one in names if one not in taken)


def _encoded(path: str) -> str:
    """A path, encoded except for its placeholders."""
    parts = re.split(r"({[^{}]*})", path)
    return "".join(part if part.startswith("{") else encode_path(part) for part in parts)


def _upgraded(schema: Document) -> Document:
    """A Schema Object of 3.0 in the words of JSON Schema, which later versions use."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and limit in schema:
            schema[exclusive] = schema.pop(limit)
    if not isinstance(schema.get("nullable"), bool) or not schema.pop("nullable"):
        return schema
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, {"type": "null"}]}
    schema["type"] = [schema["type"], "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema
