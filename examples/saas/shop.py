"""A tenant's app: a FastAPI application of its own, with its database and its logins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from examples.saas.control import Tenant
from examples.saas.databases import Databases
from examples.saas.logins import add_sessions, log_in, log_out, same_origin, user_of
from examples.saas.lost import add_not_found
from examples.saas.passwords import check_password
from examples.saas.settings import Settings
from examples.saas.shop_tables import Product, User

templates = Jinja2Templates(Path(__file__).with_name("templates"))
router = APIRouter(dependencies=[Depends(same_origin)])


class State(TypedDict):
    sessions: async_sessionmaker[AsyncSession]


class ShopFactory:
    """What `TenantApps` calls when the first request of a tenant comes."""

    def __init__(self, databases: Databases, settings: Settings) -> None:
        self.databases = databases
        self.settings = settings

    async def __call__(self, tenant: Tenant) -> FastAPI:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[State]:
            engine = self.databases.open(tenant.id)
            try:
                async with engine.connect():  # if it is not there, the app does not start
                    pass
                yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
            finally:
                await engine.dispose()

        app = FastAPI(title=tenant.name, lifespan=lifespan, docs_url=None, redoc_url=None)
        app.include_router(router)
        add_not_found(app, tenant.name, tenant.colour)
        add_sessions(app, self.settings.key_for(f"tenant {tenant.id}"))
        return app


async def database(request: Request) -> AsyncIterator[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.state.sessions
    async with sessions() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


async def current_user(request: Request, db: Database) -> User | None:
    name = user_of(request)
    return None if name is None else await db.get(User, name)


CurrentUser = Annotated[User | None, Depends(current_user)]


async def staff(user: CurrentUser) -> User:
    if user is None:
        raise HTTPException(401, "Log in first.")
    return user


@router.get("/", include_in_schema=False)
async def index(request: Request, db: Database, user: CurrentUser) -> Response:
    products = (await db.scalars(select(Product).order_by(Product.name))).all()
    context = {"tenant": request.state.tenant, "products": products, "user": user}
    return templates.TemplateResponse(request, "shop.html", context)


@router.get("/api/products")
async def products(db: Database) -> list[dict[str, str]]:
    found = await db.scalars(select(Product).order_by(Product.name))
    return [{"name": product.name, "price": product.price} for product in found]


def login_page(request: Request, status: int = 200, **context: Any) -> Response:
    tenant: Tenant = request.state.tenant
    context |= {"title": tenant.name, "colour": tenant.colour}
    return templates.TemplateResponse(request, "login.html", context, status_code=status)


@router.get("/login", include_in_schema=False)
async def login_form(request: Request) -> Response:
    return login_page(request)


@router.post("/login", include_in_schema=False)
async def login(
    request: Request, db: Database, name: Annotated[str, Form()], password: Annotated[str, Form()]
) -> Response:
    user = await db.get(User, name)
    if not await check_password(password, user.password if user else None):
        return login_page(request, 401, error="That name or that password is wrong.")
    log_in(request, name)
    return RedirectResponse(request.url_for("index"), 303)


@router.post("/logout", include_in_schema=False)
async def logout(request: Request) -> Response:
    log_out(request)
    return RedirectResponse(request.url_for("index"), 303)


@router.post("/products", include_in_schema=False, dependencies=[Depends(staff)])
async def add_product(
    request: Request,
    db: Database,
    name: Annotated[str, Form(min_length=1, max_length=80)],
    price: Annotated[Decimal, Form(ge=0, le=1_000_000, decimal_places=2)],
) -> Response:
    db.add(Product(name=name, cents=int(price * 100)))
    await db.commit()
    return RedirectResponse(request.url_for("index"), 303)


@router.post("/products/{number}/remove", include_in_schema=False, dependencies=[Depends(staff)])
async def remove_product(request: Request, db: Database, number: int) -> Response:
    product = await db.get(Product, number)
    if product is not None:
        await db.delete(product)
        await db.commit()
    return RedirectResponse(request.url_for("index"), 303)
