"""One OpenAPI document over all mounted apps, and one page to read them in.

OpenAPI Specification 3.1: the paths of an app are those below its prefix, its components get a
name of their own, and a host becomes a server.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from mountkit.dispatch import Dispatcher
from mountkit.exceptions import MountkitError
from mountkit.hosts import HostPattern
from mountkit.layers import flatten
from mountkit.paths import encode_path
from mountkit.routing import Mount
from mountkit.sites import SITE, Site
from mountkit.tables import Resolution
from mountkit.websockets import refuse_websocket

#: Where the page has Swagger UI from: what FastAPI's has.
SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5"

Document = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_TYPES = {"IntegerConvertor": "integer", "FloatConvertor": "number"}
# How deep mounts are followed: apps may be mounted in each other.
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Published:
    """The document of one app, and where the app is.

    Attributes:
        key: names it in URLs and in front of its components.
        title: for people.
        prefix: before its paths, with the placeholders of the mounts: `/t/{tenant}`.
        params: the OpenAPI parameters of these.
        hosts: the OpenAPI servers, if it is mounted by host.
        document: as the app publishes it.
    """

    key: str
    title: str
    prefix: str
    params: tuple[Document, ...]
    hosts: tuple[Document, ...]
    document: Document

    def is_at(self, prefix: str, document: Document) -> bool:
        """Whether it is this document at this prefix, by whatever host."""
        return bool(self.hosts) and self.prefix == prefix and self.document == document


class OpenAPI:
    """An app that shows the OpenAPI documents of all apps that are mounted beside it.

        Mount("/docs", OpenAPI(title="Our APIs"))

    `/docs/` is a page with a choice of apps, `/docs/openapi.json` all of them as one document, and
    `/docs/apps/<name>.json` one of them. Documents are asked for at each request, so that mounts
    that come and go do so here too.

    FastAPI and Litestar apps are known to publish one, wherever they are mounted, and so is the
    app underneath.

    Args:
        title, version: of the one document.
        documents: for other apps, by the name of the mount: where the app serves its document,
            below its prefix, `{"legacy": "/openapi.json"}`. The name of a nested mount is
            `"outer:inner"`.
        exclude: names of mounts that are not shown.
        swagger_ui: the URL of a directory that has `swagger-ui-bundle.js`,
            `swagger-ui-standalone-preset.js` and `swagger-ui.css`.
    """

    def __init__(
        self,
        *,
        title: str = "APIs",
        version: str = "1",
        documents: Mapping[str, str] | None = None,
        exclude: Iterable[str] = (),
        swagger_ui: str = SWAGGER_UI,
    ) -> None:
        self.title: str = title
        self.version: str = version
        self.documents: dict[str, str] = dict(documents or {})
        self.exclude: frozenset[str] = frozenset(exclude)
        self.swagger_ui: str = swagger_ui.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        elif scope["type"] == "http":
            await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if SITE not in scope:
            raise MountkitError(
                "OpenAPI() was called by no mount, so that there is nothing to show; write "
                "Mount('/docs', OpenAPI())."
            )
        site = Site(*scope[SITE])
        rest = scope["path"].removeprefix(scope["root_path"])
        if rest not in ("/", "/openapi.json") and not re.fullmatch(r"/apps/[^/]+\.json", rest):
            return PlainTextResponse("Not Found", 404)
        apps = await self._published(site, scope)
        if rest == "/":
            return HTMLResponse(self._page(apps))
        if rest == "/openapi.json":
            return JSONResponse(merge(apps, site.root_path, self.title, self.version))
        for app in apps:
            if rest == f"/apps/{app.key}.json":
                info = app.document.get("info", {})
                return JSONResponse(
                    merge([app], site.root_path, app.title, str(info.get("version", "1")))
                )
        return PlainTextResponse("Not Found", 404)

    async def _published(self, site: Site, scope: Scope) -> list[Published]:
        found: list[Published] = []
        keys: set[str] = set()
        for place in _places(site):
            if place.name in self.exclude:
                continue
            document = _document_of(place.app)
            if document is None and place.name in self.documents and place.mount is not None:
                path = self.documents[place.name]
                document = await _fetch(place, place.mount, site, path, scope)
            if document is None:
                continue
            hosts = tuple(_server(host, site.root_path) for host in place.hosts)
            twin = next((p for p in found if p.is_at(place.prefix, document)), None)
            if twin is not None and hosts:  # the same app at another host
                found[found.index(twin)] = replace(twin, hosts=twin.hosts + hosts)
                continue
            title = str(document.get("info", {}).get("title") or place.name or "API")
            key = base = re.sub(r"[^A-Za-z0-9_-]+", "-", place.name or title).strip("-") or "app"
            number = 2
            while key in keys:
                key, number = f"{base}-{number}", number + 1
            keys.add(key)
            found.append(Published(key, title, place.prefix, place.params, hosts, document))
        return found

    def _page(self, apps: Iterable[Published]) -> str:
        urls = [{"url": "./openapi.json", "name": self.title}]
        urls += [{"url": f"./apps/{app.key}.json", "name": app.title} for app in apps]
        return _PAGE.format(
            title=html.escape(self.title),
            base=html.escape(self.swagger_ui),
            urls=json.dumps(urls).replace("<", "\\u003c"),  # no "</script>" out of a title
        )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{base}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{base}/swagger-ui-bundle.js"></script>
<script src="{base}/swagger-ui-standalone-preset.js"></script>
<script>
window.ui = SwaggerUIBundle({{
  urls: {urls},
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
}});
</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """An app, where it is, and the mount that serves it, if one does."""

    app: Any
    name: str = ""
    prefix: str = ""
    params: tuple[Document, ...] = ()
    hosts: tuple[HostPattern, ...] = ()
    mount: Mount | None = None
    depth: int = 0


def _places(site: Site) -> Iterator[_Place]:
    """All apps of a site, each once for each place where it is mounted."""
    roots = {id(app): app for app in (site.router, site.app) if app is not None}
    pending = [_Place(app) for app in roots.values()]
    while pending:
        place = pending.pop()
        yield place
        if place.depth == _DEPTH:
            continue
        below = [_below(place, prefix, mount) for prefix, mount in _own_mounts(place.app)]
        if isinstance(place.app, Dispatcher):
            below.append(replace(place, app=place.app.underneath, depth=place.depth + 1))
        pending += below[::-1]


def _own_mounts(app: Any, prefix: str = "") -> Iterator[tuple[str, Mount]]:
    for route in flatten(getattr(app, "routes", None) or ()):
        if isinstance(route, Mount):
            yield prefix, route
        elif hasattr(route, "routes"):  # Starlette's own
            yield from _own_mounts(route, prefix + getattr(route, "path", ""))


def _below(place: _Place, prefix: str, mount: Mount) -> _Place:
    names = [name for name in (place.name, mount.name or mount.label.strip("/")) if name]
    params = tuple(
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": _TYPES.get(type(convertor).__name__, "string")},
        }
        for name, convertor in mount.rule.path.convertors.items()
    )
    host = mount.rule.host
    return _Place(
        mount.target,
        ":".join(names),
        place.prefix + prefix + mount.path_format.removesuffix("/{path}"),
        place.params + params,
        (host,) if host is not None else place.hosts,
        mount,
        place.depth + 1,
    )


def _document_of(app: Any) -> Document | None:
    """What FastAPI and Litestar publish."""
    make: Callable[[], Document] | None = getattr(app, "openapi", None)
    if callable(make):
        return make() if getattr(app, "openapi_url", None) else None
    if getattr(app, "openapi_config", None) is not None:
        document: Document = app.openapi_schema.to_schema()
        return document
    return None


async def _fetch(place: _Place, mount: Mount, site: Site, path: str, scope: Scope) -> Document:
    """Ask an app for its document, as a client would.

    Raises:
        MountkitError: it has none there.
    """
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    prefix = mount.path_format.removesuffix("/{path}")
    root_path = site.root_path + place.prefix.removesuffix(prefix)
    full = root_path + prefix + path
    asked = {
        **scope,
        "path": full,
        "raw_path": encode_path(full).encode("ascii"),
        "root_path": root_path,
        "query_string": b"",
        "headers": [pair for pair in scope["headers"] if pair[0] == b"host"],
    }
    await mount.serve(Resolution(mount, root_path, prefix, path, {}), asked, receive, send)
    status = sent[0]["status"] if sent else 0
    body = b"".join(message.get("body", b"") for message in sent[1:])
    try:
        document: Document = json.loads(body)
    except ValueError:
        document = {}
    if status != 200 or not isinstance(document, dict) or "paths" not in document:
        raise MountkitError(
            f"{mount.where} answered {status} to GET {path}, and no OpenAPI document; "
            "write the path at which it serves one in OpenAPI(documents=…)."
        )
    return document


def _server(host: HostPattern, root_path: str) -> Document:
    """OpenAPI's Server Object, without a scheme: that of the page."""
    pattern = re.sub(r"{(\w+):\w+}", r"{\1}", host.pattern).replace("*", "{any}", 1)
    server: Document = {"url": f"//{pattern}{encode_path(root_path)}"}
    names = re.findall(r"{(\w+)}", pattern)
    if names:
        server["variables"] = {name: {"default": name} for name in names}
    return server


def merge(apps: Iterable[Published], root_path: str, title: str, version: str) -> Document:
    """Several documents as one.

    Args:
        root_path: where the site is; the server of the document.
        title, version: of the document.
    """
    merged: Document = {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version},
        "servers": [{"url": encode_path(root_path) or "/"}],
        "paths": {},
    }
    components: Document = {}
    tags: list[Document] = []
    for app in sorted(apps, key=lambda app: bool(app.hosts)):  # paths at any host come first
        document = _kept_apart(app)
        if document.get("openapi", "") >= "3.1":
            merged["openapi"] = "3.1.0"
        for kind, named in document.get("components", {}).items():
            components.setdefault(kind, {}).update(named)
        tags += document.get("tags", ())
        for path, item in document.get("paths", {}).items():
            _add_path(merged["paths"], path, item, app)
        for name, item in document.get("webhooks", {}).items():
            merged.setdefault("webhooks", {})[f"{app.key}.{name}"] = item
    if components:
        merged["components"] = components
    if tags:
        merged["tags"] = tags
    return merged


def _add_path(paths: Document, path: str, item: Document, app: Published) -> None:
    full = "".join(
        part if part.startswith("{") else encode_path(part)
        for part in re.split(r"({[^{}]*})", app.prefix + path)
    )
    item = dict(item)
    if app.params:
        item["parameters"] = [*app.params, *item.get("parameters", ())]
    if app.hosts:
        item["servers"] = list(app.hosts)
    if full in paths:  # of another host: what follows a "#" is not sent
        full = f"{full}#{app.key}"
    paths[full] = item


def _kept_apart(app: Published) -> Document:
    """The document with names that no other app has."""

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, str) and value.startswith("#/components/"):
            return re.sub(r"^(#/components/[^/]+/)", rf"\g<1>{app.key}.", value)
        return value

    result: Document = renamed(app.document)
    for named in result.get("components", {}).values():
        for name in list(named):
            named[f"{app.key}.{name}"] = named.pop(name)
    for item in result.get("paths", {}).values():
        for method in _METHODS:
            if method in item:
                _keep_apart(item[method], app)
    for tag in result.get("tags", ()):
        tag["name"] = f"{app.title}: {tag['name']}"
    return result


def _keep_apart(operation: Document, app: Published) -> None:
    if "operationId" in operation:
        operation["operationId"] = f"{app.key}_{operation['operationId']}"
    operation["tags"] = [f"{app.title}: {tag}" for tag in operation.get("tags", ())] or [app.title]
    requirements = operation.get("security", app.document.get("security"))
    if requirements is not None:
        operation["security"] = [
            {f"{app.key}.{name}": scopes for name, scopes in requirement.items()}
            for requirement in requirements
        ]
