"""The admin app: adds and removes tenants and their domains, which are served at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from examples.saas import seed
from examples.saas.control import Control, Refused, Tenant
from examples.saas.logins import add_sessions, log_in, log_out, said, same_origin, say, user_of
from examples.saas.lost import add_not_found
from examples.saas.passwords import check_password
from mountkit import TenantApps, TenantResolver

templates = Jinja2Templates(Path(__file__).with_name("templates"))
COLOUR = "#333842"


class Admin:
    """The pages, over the control database and what serves the tenants."""

    def __init__(
        self, control: Control, resolver: TenantResolver[Tenant], shops: TenantApps[Tenant]
    ) -> None:
        self.control = control
        self.resolver = resolver
        self.shops = shops

    def app(self, key: str) -> FastAPI:
        app = FastAPI(title="Admin", lifespan=self._lifespan, openapi_url=None)
        anyone = APIRouter(dependencies=[Depends(same_origin)])
        anyone.add_api_route("/login", self.login_form, methods=["GET"])
        anyone.add_api_route("/login", self.login, methods=["POST"])
        anyone.add_api_route("/logout", self.logout, methods=["POST"])
        admins = APIRouter(dependencies=[Depends(same_origin), Depends(self.only_admins)])
        admins.add_api_route("/", self.index, methods=["GET"])
        admins.add_api_route("/tenants", self.add_tenant, methods=["POST"])
        admins.add_api_route("/tenants/{tenant_id}/remove", self.remove_tenant, methods=["POST"])
        admins.add_api_route("/tenants/{tenant_id}/domains", self.add_domain, methods=["POST"])
        admins.add_api_route("/domains/{host}/remove", self.remove_domain, methods=["POST"])
        app.include_router(anyone)
        app.include_router(admins)
        add_not_found(app, "Admin", COLOUR)
        add_sessions(app, key)
        return app

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        await self.control.open()
        await seed.plant(self.control)
        yield
        await self.control.close()

    async def only_admins(self, request: Request) -> None:
        name = user_of(request)
        if name is None or await self.control.admin_password(name) is None:
            raise HTTPException(303, headers={"location": str(request.url_for("login_form"))})

    async def login_form(self, request: Request) -> Response:
        return self._login_page(request)

    async def login(
        self, request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]
    ) -> Response:
        if not await check_password(password, await self.control.admin_password(name)):
            return self._login_page(request, 401, error="That name or that password is wrong.")
        log_in(request, name)
        return RedirectResponse(request.url_for("index"), 303)

    async def logout(self, request: Request) -> Response:
        log_out(request)
        return RedirectResponse(request.url_for("login_form"), 303)

    async def index(self, request: Request) -> Response:
        return await self._page(request)

    async def add_tenant(
        self,
        request: Request,
        slug: Annotated[str, Form()],
        name: Annotated[str, Form()],
        colour: Annotated[str, Form()],
        password: Annotated[str, Form()],
    ) -> Response:
        try:
            tenant = await self.control.add_tenant(slug.strip().lower(), name, colour, password)
        except Refused as exc:
            return await self._page(request, str(exc), filled=await request.form())
        # A request may have asked for it before, and got the answer for unknown hosts.
        self.resolver.invalidate(self.control.host_of(tenant))
        say(request, f"{tenant.name} is served now, at {self.control.host_of(tenant)}.")
        return RedirectResponse(request.url_for("index"), 303)

    async def remove_tenant(self, request: Request, tenant_id: str) -> Response:
        tenant = await self.control.remove_tenant(tenant_id)
        if tenant is not None:
            self.resolver.invalidate_tenant(lambda known: known.id == tenant_id)
            await self.shops.evict(tenant)  # its last requests end, and its database is closed
            await self.control.databases.drop(tenant.id)
            say(request, f"{tenant.name} is gone, with all of its data.")
        return RedirectResponse(request.url_for("index"), 303)

    async def add_domain(
        self, request: Request, tenant_id: str, host: Annotated[str, Form()]
    ) -> Response:
        try:
            stored = await self.control.add_domain(tenant_id, host)
        except Refused as exc:
            return await self._page(request, str(exc))
        self.resolver.invalidate(stored)
        say(request, f"{stored} is served now.")
        return RedirectResponse(request.url_for("index"), 303)

    async def remove_domain(self, request: Request, host: str) -> Response:
        await self.control.remove_domain(host)
        self.resolver.invalidate(host)
        say(request, f"{host} is not served any more.")
        return RedirectResponse(request.url_for("index"), 303)

    def _login_page(self, request: Request, status: int = 200, **context: Any) -> Response:
        context |= {"title": "Admin", "colour": COLOUR}
        return templates.TemplateResponse(request, "login.html", context, status_code=status)

    async def _page(self, request: Request, error: str = "", filled: Any = None) -> Response:
        port = request.url.port
        context = {
            "tenants": await self.control.tenants(),
            "control": self.control,
            "health": {health.mount: health for health in self.shops.health},
            "port": "" if port is None else f":{port}",
            "error": error,
            "said": said(request),
            "filled": filled or {},
        }
        status = 400 if error else 200
        return templates.TemplateResponse(request, "admin.html", context, status_code=status)
