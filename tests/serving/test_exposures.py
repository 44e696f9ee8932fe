"""Paths of a mounted app that are served at the root too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mountkit import (
    ConflictError,
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    Mount,
    PatternError,
    explain,
)
from tests.support.clients import ClientFactory
from tests.support.lifespans import running
from tests.support.requests import status_of

METADATA = "/.well-known/oauth-protected-resource"


def child() -> Starlette:
    async def metadata(request: Request) -> Response:
        scope = request.scope
        found = {key: scope[key] for key in ("path", "root_path")}
        found["raw_path"] = scope["raw_path"].decode()
        return JSONResponse({**found, "self": str(request.url_for("metadata"))})

    return Starlette(routes=[Route(METADATA, metadata, name="metadata")])


def mount(**options: Any) -> Mount:
    return Mount("/mcp", child(), name="mcp", **{"expose": [METADATA], **options})


def dispatcher(mount: Mount) -> ASGIApp:
    return Dispatcher([mount])


def middleware(mount: Mount) -> ASGIApp:
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[mount])
    return app


def route(mount: Mount) -> ASGIApp:
    return Starlette(routes=[mount])


def routes(mount: Mount) -> ASGIApp:
    return Dispatcher([Mount("", routes=[mount])])


def included(mount: Mount) -> ASGIApp:
    app, router = FastAPI(), APIRouter()
    router.routes.append(mount)
    app.include_router(router)
    return app


@pytest.mark.parametrize("place", [dispatcher, middleware, route, routes, included])
def test_served_at_the_root(client: ClientFactory, place: Any) -> None:
    """The app sees a request below its own prefix; there it is served too."""
    session = client(place(mount()))
    expected = {
        "path": f"/mcp{METADATA}",
        "root_path": "/mcp",
        "raw_path": f"/mcp{METADATA}",
        "self": f"http://testserver/mcp{METADATA}",
    }
    assert session.get(METADATA).json() == expected
    assert session.get(f"/mcp{METADATA}").json() == expected
    assert session.get(f"{METADATA}/x").status_code == 404
    assert session.get("/.well-known/other").status_code == 404


def test_below_a_servers_root_path(client: ClientFactory) -> None:
    """It stands before both."""
    found = client(Dispatcher([mount()]), root_path="/outer").get(f"/outer{METADATA}").json()
    assert found["path"] == f"/outer/mcp{METADATA}"
    assert found["root_path"] == "/outer/mcp"


@pytest.mark.anyio
async def test_while_its_app_is_down() -> None:
    """It is answered like the paths below the prefix."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("down")
        yield

    options: dict[str, Any] = {"expose": [METADATA], "lifespan": Lifespan(on_failure="isolate")}
    app = Dispatcher([Mount("/mcp", Starlette(lifespan=lifespan), **options)])
    async with running(app) as server:
        for path in (METADATA, f"/mcp{METADATA}"):
            assert (await server.ask(path))[0] == 503


def test_at_another_path(client: ClientFactory) -> None:
    """RFC 9728 puts the resource's path behind: `/.well-known/oauth-protected-resource/mcp`."""
    session = client(Dispatcher([mount(expose={f"{METADATA}/mcp": METADATA})]))
    assert session.get(f"{METADATA}/mcp").json()["path"] == f"/mcp{METADATA}"
    assert session.get(METADATA).status_code == 404


def test_the_conditions_of_the_mount_hold(client: ClientFactory) -> None:
    """Each host has its own."""
    app = Dispatcher([mount(host="a.com"), mount(host="b.com")])
    assert client(app, base_url="http://a.com").get(METADATA).status_code == 200
    assert client(app).get(METADATA).status_code == 404


def test_of_two_apps_only_one_has_it() -> None:
    """Whose it is has to be said."""
    with pytest.raises(ConflictError, match=METADATA):
        Dispatcher([mount(), Mount("/other", child(), expose=[METADATA])])


def test_the_url_of_its_route_is_below_the_prefix() -> None:
    """One route, one URL."""
    app = Dispatcher([mount()])
    assert app.url_path_for("mcp:metadata") == f"/mcp{METADATA}"
    assert [found.path for found in app.routes] == ["/mcp"]  # type: ignore[attr-defined]
    assert len(app.health) == 1


def test_explained() -> None:
    """It stands in the table like every mount."""
    explanation = explain(Dispatcher([mount()]), METADATA)
    assert (explanation.path, explanation.root_path) == (f"/mcp{METADATA}", "/mcp")


@pytest.mark.anyio
async def test_it_comes_and_goes_with_its_mount() -> None:
    """In the same step."""
    app = Dispatcher()
    async with running(app) as server:
        for new in (mount(), mount()):
            await app.add(new)
            assert await status_of(server, METADATA) == 200
            other = mount(expose=[METADATA, "/.well-known/x"])
            await app.replace(new, other)
            assert await status_of(server, METADATA) == 200
            await app.remove(other)
            assert await status_of(server, METADATA) == 404


@pytest.mark.parametrize("expose", [["well-known"], ["/"], ["/{x}"], [3], {"/x": "y"}], ids=repr)
def test_paths_that_are_none(expose: Any) -> None:
    """Are refused, with what to write."""
    with pytest.raises(
        PatternError, match=r"which is not a path that begins with '/'; write e\.g\."
    ):
        mount(expose=expose)


def test_a_prefix_with_placeholders_exposes_nothing() -> None:
    """Which of its apps would it be?"""
    with pytest.raises(PatternError, match="needs a prefix without placeholders"):
        Mount("/t/{tenant}", child(), expose=[METADATA])


class NoTokens(TokenVerifier):
    async def verify_token(self, token: str) -> AccessToken | None:
        return None


def test_the_mcp_sdks_metadata(client: ClientFactory) -> None:
    """What a client is pointed to by the 401 is served there (RFC 9728, section 3.1)."""
    resource = "http://testserver/tools/mcp"
    server = MCPServer(
        "tools",
        token_verifier=NoTokens(),
        auth=AuthSettings(
            issuer_url="http://testserver",  # type: ignore[arg-type]
            resource_server_url=resource,  # type: ignore[arg-type]
            validate_token_resource=True,
        ),
    )
    at = f"{METADATA}/tools/mcp"
    app = Dispatcher([Mount("/tools", server.streamable_http_app(), expose=[at])])
    with client(app) as session:
        refused = session.post("/tools/mcp", json={})
        assert refused.status_code == 401
        assert f'resource_metadata="http://testserver{at}"' in refused.headers["www-authenticate"]
        assert session.get(at).json()["resource"] == resource
