"""The `OpenAPI` app, and how it finds the apps of its site and their documents."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import starlette.routing
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Router
from starlette.types import Message, Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.exceptions import MountkitError, PatternError
from mountkit.frameworks import document_of
from mountkit.inspection.layers import flatten
from mountkit.locations import encode_path
from mountkit.matching.hosts import HostPattern
from mountkit.matching.tables import Resolution
from mountkit.openapi.documents import Document, Published, merge, unused
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount
from mountkit.serving.sites import SITE, Site
from mountkit.serving.tables import MountTable

#: Where the page loads Swagger UI from; FastAPI's pages do the same.
SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5"

_TYPES = {"IntegerConvertor": "integer", "FloatConvertor": "number"}


class OpenAPI:
    """An app that merges and shows the OpenAPI documents of all apps of its site.

        Mount("/docs", OpenAPI(title="Our APIs"))

    `/docs/` is a page where you choose an app, `/docs/openapi.json` one document of all of them,
    and `/docs/apps/<name>.json` the document of one. They are made for each request, so changes of
    mounts show at once. FastAPI and Litestar apps are found wherever they are mounted, and as the
    app underneath.

    Args:
        title, version: of the one document.
        documents: where other apps serve their documents, below their prefixes, by the name of the
            mount: `{"legacy": "/openapi.json"}`. The name of a nested mount is `"outer:inner"`.
        exclude: names of mounts that are not shown.
        swagger_ui: the URL of a directory that has `swagger-ui-bundle.js`,
            `swagger-ui-standalone-preset.js` and `swagger-ui.css`; a path is below this site's.
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
                "OpenAPI() is not mounted, so it has no apps to show; write "
                "Mount('/docs', OpenAPI())."
            )
        site = Site(*scope[SITE])
        rest = scope["path"].removeprefix(scope["root_path"])
        if re.fullmatch(r"/(openapi\.json|apps/[^/]+\.json)?", rest):
            apps = await self._published(site, scope)
            if rest == "/":
                return HTMLResponse(self._page(apps, site.root_path))
            if rest == "/openapi.json":
                return JSONResponse(merge(apps, site.root_path, self.title, self.version))
            for app in apps:
                if rest == f"/apps/{app.key}.json":
                    version = str(app.document.get("info", {}).get("version", "1"))
                    return JSONResponse(merge([app], site.root_path, app.title, version))
        return PlainTextResponse("Not Found", 404)

    async def _published(self, site: Site, scope: Scope) -> list[Published]:
        found: list[Published] = []
        roots = {id(app): app for app in (site.router, site.app) if app is not None}
        for place in chain.from_iterable(_places(_Place(app)) for app in reversed(roots.values())):
            document = await self._document(place, site, scope)
            if document is None:
                continue
            hosts = tuple(_server(host, site.root_path) for host in place.hosts)
            at = [(p.prefix, p.document) if p.hosts else None for p in found]
            if hosts and (place.prefix, document) in at:  # the same app at another host
                twin = at.index((place.prefix, document))
                found[twin] = replace(found[twin], hosts=found[twin].hosts + hosts)
                continue
            title = str(document.get("info", {}).get("title") or place.name or "API")
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", place.name or title).strip("-") or "app"
            key = unused(key, {app.key for app in found}, "-")
            found.append(Published(key, title, place.prefix, place.params, hosts, document))
        titles = [app.title for app in found]
        return [
            app if titles.count(app.title) == 1 else replace(app, title=f"{app.title} ({app.key})")
            for app in found
        ]

    async def _document(self, place: _Place, site: Site, scope: Scope) -> Document | None:
        if place.name in self.exclude:
            return None
        document = document_of(place.app)
        if document is None and place.name in self.documents and place.mount is not None:
            return await _fetch(place, place.mount, site, self.documents[place.name], scope)
        return document

    def _page(self, apps: Iterable[Published], root_path: str) -> str:
        is_ours = re.match("/(?!/)", self.swagger_ui)
        base = encode_path(root_path) + self.swagger_ui if is_ours else self.swagger_ui
        urls = [{"url": "./openapi.json", "name": self.title}]
        urls += [{"url": f"./apps/{app.key}.json", "name": app.title} for app in apps]
        return _PAGE.format(
            title=html.escape(self.title),
            base=html.escape(base),
            urls=json.dumps(urls).replace("<", "\\u003c"),  # a title may hold "</script>"
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
    """An app, where it is, and the `mountkit.Mount` that serves it, if one does."""

    app: Any
    name: str = ""
    prefix: str = ""
    params: tuple[Document, ...] = ()
    hosts: tuple[HostPattern, ...] = ()
    mount: Mount | None = None


def _places(place: _Place, depth: int = 10) -> Iterator[_Place]:
    """An app and all that are mounted in it, once for each place. Apps may be mounted in each
    other: mounts are followed so deep."""
    yield place
    if depth:
        for route in flatten(getattr(place.app, "routes", None) or ()):
            below = _below(place, route)
            if below is not None:
                yield from _places(below, depth - 1)
        if isinstance(place.app, Dispatcher):
            yield from _places(replace(place, app=place.app.underneath), depth - 1)


def _below(place: _Place, route: BaseRoute) -> _Place | None:
    """The app that a route mounts, if it mounts one."""
    if isinstance(route, MountTable):
        return replace(place, app=route)
    prefix, name, host, mount = "", getattr(route, "name", None) or "", None, None
    if isinstance(route, starlette.routing.Host):
        with suppress(PatternError):  # Starlette's hosts may hold any regular expression
            host = HostPattern(route.host)
    elif isinstance(route, starlette.routing.Mount):
        prefix = route.path_format.removesuffix("/{path}")
        name = name or prefix.strip("/")
    else:
        return None
    if isinstance(route, Mount):
        mount, host = route, route.rule.host
        name = route.name or route.label.strip("/")
    elif isinstance(route.app, Router):
        name = ""  # Starlette's way to write a prefix once
    types = {key: type(convertor).__name__ for key, convertor in route.param_convertors.items()}
    params: list[Document] = [
        {
            "name": key,
            "in": "path",
            "required": True,
            "schema": {"type": _TYPES.get(kind, "string")},
        }
        for key, kind in types.items()
        if f"{{{key}}}" in prefix
    ]
    return _Place(
        route.app if mount is None else mount.target,
        ":".join(filter(None, (place.name, name))),
        place.prefix + prefix,
        (*place.params, *params),
        place.hosts if host is None else (host,),
        mount,
    )


async def _fetch(place: _Place, mount: Mount, site: Site, path: str, scope: Scope) -> Document:
    """Request an app's document as a client would.

    Raises:
        MountkitError: the answer is not a document of OpenAPI 3.
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
    document: Document = {}
    with suppress(ValueError):
        document = json.loads(body)
    version = document.get("openapi") if isinstance(document, dict) else None
    if status != 200 or not str(version).startswith("3."):
        what = "a Swagger 2 document" if "swagger" in document else "no OpenAPI document"
        raise MountkitError(
            f"{mount.where} answered GET {path} with {status} and {what}; give the path of an "
            "OpenAPI 3 document in OpenAPI(documents=…)."
        )
    return document


def _server(host: HostPattern, root_path: str) -> Document:
    """OpenAPI's Server Object; without a scheme, the page's counts."""
    pattern = re.sub(r"{(\w+):\w+}", r"{\1}", host.pattern).replace("*", "{any}", 1)
    server: Document = {"url": f"//{pattern}{encode_path(root_path)}"}
    names = re.findall(r"{(\w+)}", pattern)
    if names:
        server["variables"] = {name: {"default": name} for name in names}
    return server
