# pyright: strict
"""A user's program: what the types of tenants accept."""

from dataclasses import dataclass

from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse

from mountkit import Dispatcher, Mount, TenantApps, TenantMiddleware, TenantResolver


@dataclass(frozen=True)
class Tenant:
    id: int


async def find(host: str) -> Tenant | None:
    return Tenant(1)


async def make_app(tenant: Tenant) -> Starlette:
    return Starlette()


async def make_wsgi_app(tenant: Tenant) -> Flask:
    return Flask(str(tenant.id))


async def make_mount(tenant: Tenant) -> Mount:
    return Mount("", Starlette())


async def busiest() -> list[Tenant]:
    return []


async def manage(apps: TenantApps[Tenant]) -> Tenant | None:
    await apps.start(Tenant(1))
    await apps.evict(Tenant(1))
    resolver.invalidate_tenant(lambda tenant: tenant.id == 1)
    return await resolver.resolve("a.example.com")


resolver = TenantResolver(find, ttl=60)
sign_up = RedirectResponse("https://example.com/")

app = Starlette(middleware=[Middleware(TenantMiddleware, resolver=resolver)])
app.add_middleware(TenantMiddleware, resolver=resolver)
app.add_middleware(TenantMiddleware, resolver, state_key="account", unknown=sign_up)
Mount("/", TenantMiddleware(Flask(__name__), resolver))

TenantApps(TenantResolver(find, ttl=60), make_app)
TenantApps(resolver, make_wsgi_app, key=lambda tenant: tenant.id, unknown=app)
TenantApps(resolver, make_mount, warm_up=busiest, idle_timeout=None)
Dispatcher([Mount("/", TenantApps(resolver, make_app))])
