# pyright: strict
"""A user's mistakes with tenants: each marked line is an error for both checkers."""

from starlette.applications import Starlette
from starlette.middleware import Middleware

from mountkit import TenantApps, TenantMiddleware, TenantResolver


async def find(host: str) -> str | None:
    return None


def find_now(host: str) -> str | None:
    return None


async def make_app(tenant: str) -> Starlette:
    return Starlette()


async def make_app_of_number(tenant: int) -> Starlette:
    return Starlette()


async def make_text(tenant: str) -> str:
    return tenant


resolver = TenantResolver(find)
app = Starlette()

TenantResolver(find_now)  # refused
TenantResolver(find, ttl="60")  # refused

Middleware(TenantMiddleware, resolver=find)  # refused
app.add_middleware(TenantMiddleware)  # refused
app.add_middleware(TenantMiddleware, resolver=find)  # refused
app.add_middleware(TenantMiddleware, resolver=resolver, state_key=1)  # refused
app.add_middleware(TenantMiddleware, resolver=resolver, key="a")  # refused
TenantMiddleware(3, resolver)  # refused
TenantMiddleware(app, resolver, unknown=404)  # refused

TenantApps(find, make_app)  # refused
TenantApps(resolver, make_app_of_number)  # refused
TenantApps(resolver, make_text)  # refused
TenantApps(resolver, make_app).pin(1)  # refused
