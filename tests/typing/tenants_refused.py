# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""A user's mistakes with tenants: each line is an error."""

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

TenantResolver(find_now)  # type: ignore[arg-type]
TenantResolver(find, ttl="60")  # type: ignore[arg-type]

Middleware(TenantMiddleware, resolver=find)  # type: ignore[arg-type]
app.add_middleware(TenantMiddleware)  # type: ignore[call-arg]
app.add_middleware(TenantMiddleware, resolver=find)  # type: ignore[arg-type]
app.add_middleware(TenantMiddleware, resolver=resolver, state_key=1)  # type: ignore[arg-type]
app.add_middleware(TenantMiddleware, resolver=resolver, key="a")  # type: ignore[call-arg]
TenantMiddleware(3, resolver)  # type: ignore[arg-type]
TenantMiddleware(app, resolver, unknown=404)  # type: ignore[arg-type]

TenantApps(find, make_app)  # type: ignore[arg-type]
TenantApps(resolver, make_app_of_number)  # type: ignore[arg-type]
TenantApps(resolver, make_text)  # type: ignore[arg-type]
TenantApps(resolver, make_app).pin(1)  # type: ignore[arg-type]
