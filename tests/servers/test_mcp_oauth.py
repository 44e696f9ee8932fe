"""The MCP SDK's own client logs in to a server that is mounted below a prefix.

It finds the metadata of the resource and of the authorization server at the host's root (RFC 9728,
section 3.1; RFC 8414, section 3.1), registers itself there, and calls a tool.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import uvicorn
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken, AuthorizationCode, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientMetadata, OAuthToken

from mountkit import Dispatcher, Mount

RESOURCE = "/.well-known/oauth-protected-resource"
ISSUER = "/.well-known/oauth-authorization-server"


class Provider:
    """An authorization server that keeps everything in memory and says yes."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.tokens: dict[str, AccessToken] = {}

    async def get_client(self, client_id: str) -> Any:
        return self.clients.get(client_id)

    async def register_client(self, client_info: Any) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: Any, params: Any) -> str:
        code = AuthorizationCode(
            code=secrets.token_hex(16),
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: Any, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        token = secrets.token_hex(16)
        self.tokens[token] = AccessToken(
            token=token,
            client_id=client.client_id,
            scopes=authorization_code.scopes,
            resource=authorization_code.resource,
        )
        return OAuthToken(access_token=token, token_type="Bearer", expires_in=3600)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.tokens.get(token)


class Storage:
    """What the client remembers."""

    tokens: Any = None
    client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


def mcp_app(base: str) -> Any:
    server = MCPServer(
        "tools",
        auth_server_provider=Provider(),  # type: ignore[arg-type]
        auth=AuthSettings(
            issuer_url=f"{base}/tools",  # type: ignore[arg-type]
            resource_server_url=f"{base}/tools/mcp",  # type: ignore[arg-type]
            client_registration_options=ClientRegistrationOptions(enabled=True),
            validate_token_resource=True,
        ),
    )

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    return server.streamable_http_app(stateless_http=True, json_response=True)


@pytest.fixture
def base() -> Iterator[str]:
    """The URL of a server that has the app at `/tools`."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://localhost:{listener.getsockname()[1]}"
    at = f"{RESOURCE}/tools/mcp"
    expose = {at: at, f"{ISSUER}/tools": ISSUER}
    app = Dispatcher([Mount("/tools", mcp_app(url), expose=expose)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield url
    server.should_exit = True
    thread.join(30)
    listener.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_log_in(base: str, anyio_backend: str) -> None:
    """From a 401 to the answer of a tool, by what each answer names."""
    came_back: dict[str, str] = {}
    asked: list[tuple[str, str, int]] = []

    async def note(response: httpx2.Response) -> None:
        request = response.request
        asked.append((request.method, request.url.path, response.status_code))

    async def browse(url: str) -> None:
        async with httpx2.AsyncClient(trust_env=False) as browser:
            location = (await browser.get(url)).headers["location"]
        found = parse_qs(urlsplit(location).query)
        came_back.update({name: values[0] for name, values in found.items()})

    async def callback() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**came_back)  # type: ignore[arg-type]

    auth = OAuthClientProvider(
        f"{base}/tools/mcp",
        OAuthClientMetadata(
            redirect_uris=["http://localhost:3000/back"],  # type: ignore[list-item]
            client_name="test",
        ),
        Storage(),
        browse,
        callback,
    )
    async with (
        httpx2.AsyncClient(
            auth=auth, event_hooks={"response": [note]}, timeout=30, trust_env=False
        ) as http,
        streamable_http_client(f"{base}/tools/mcp", http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        result = await session.call_tool("add", {"a": 2, "b": 3})
    assert result.content[0].text == "5"  # type: ignore[union-attr]
    assert asked[:5] == [
        ("POST", "/tools/mcp", 401),
        ("GET", f"{RESOURCE}/tools/mcp", 200),
        ("GET", f"{ISSUER}/tools", 200),
        ("POST", "/tools/register", 201),
        ("POST", "/tools/token", 200),
    ]
