"""The SaaS of `examples/saas`, served, and visitors of its hosts over real connections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import httpx

from tests.support import http
from tests.support.servers import Server, serve

PASSWORDS = {"admin": "demo-admin", "acme": "demo-acme", "globex": "demo-globex"}


class _Loopback(httpx.HTTPTransport):
    """Every host is on this machine, whatever its resolver says."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return super().handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1"),
                headers=request.headers,  # with the host that was meant
                stream=request.stream,
                extensions=request.extensions,
            )
        )


class Saas:
    """A SaaS that is served.

    Attributes:
        data: the directory of its files.
        database_url: that of its control database, if it is not a file in there.
    """

    def __init__(self, server: Server, data: Path, database_url: str, visitors: ExitStack) -> None:
        self.server = server
        self.data = data
        self.database_url = database_url
        self._visitors = visitors

    def url(self, host: str) -> str:
        return f"http://{host}:{self.server.port}"

    def visitor(self, host: str) -> httpx.Client:
        """One who has not been at a host before. Redirects are not followed."""
        client = httpx.Client(
            base_url=self.url(host), transport=_Loopback(verify=http.CONTEXT), timeout=60
        )
        return self._visitors.enter_context(client)

    def user(self, host: str, name: str = "owner", password: str = "") -> httpx.Client:
        """One who has logged in at a host."""
        visitor = self.visitor(host)
        password = password or PASSWORDS[host.partition(".")[0]]
        answer = visitor.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        return visitor

    @cached_property
    def admin(self) -> httpx.Client:
        """One who has logged in to the admin app."""
        return self.user("admin.localhost", "admin")

    def add_tenant(self, slug: str, **fields: str) -> httpx.Response:
        filled = {"name": slug.title(), "colour": "#336699", "password": f"demo-{slug}"}
        return self.admin.post("/tenants", data={"slug": slug, **filled, **fields})

    def tenant_id(self, slug: str) -> str:
        page = self.admin.get("/").text
        found = re.search(rf"/tenants/({slug}-[0-9a-f]{{8}})/", page)
        assert found is not None, page
        return found[1]

    def add_domain(self, slug: str, host: str) -> httpx.Response:
        return self.admin.post(f"/tenants/{self.tenant_id(slug)}/domains", data={"host": host})

    def remove_tenant(self, slug: str) -> None:
        answer = self.admin.post(f"/tenants/{self.tenant_id(slug)}/remove")
        assert answer.status_code == 303, answer.text


@contextmanager
def serve_saas(data: Path, database_url: str = "") -> Iterator[Saas]:
    env = {
        "SAAS_DATA": str(data),
        "SAAS_DATABASE_URL": database_url,
        "SAAS_DOMAIN": "localhost",
        "SAAS_SECRET_KEY": "",  # the one in its file
    }
    with (
        serve("uvicorn-httptools", "examples.saas.main:app", env=env) as server,
        ExitStack() as visitors,
    ):
        yield Saas(server, data, database_url, visitors)
