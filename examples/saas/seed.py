"""What there is to see after the first start: two tenants, a custom domain, an admin."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from examples.saas.control import Admin, Control
from examples.saas.passwords import hash_password
from examples.saas.shop_tables import Product

ADMIN_PASSWORD = "demo-admin"


class Shop(NamedTuple):
    slug: str
    name: str
    colour: str
    password: str
    products: dict[str, int]
    domain: str | None = None


SHOPS = (
    Shop(
        "acme",
        "Acme Anvils",
        "#b3372b",
        "demo-acme",
        {"Anvil": 12900, "Earthquake pills": 1250, "Rocket skates": 4999},
        "anvils.acme.localhost",  # a browser finds it on this machine without any DNS
    ),
    Shop(
        "globex",
        "Globex Gardens",
        "#2b7a4b",
        "demo-globex",
        {"Hammock": 8900, "Tulips": 750},
    ),
)


async def plant(control: Control) -> None:
    """Fill a control database that has no admin yet."""
    async with control.sessions() as session:
        if await session.scalar(select(Admin.name).limit(1)) is not None:
            return
    there = {tenant.slug for tenant in await control.tenants()}  # if it was interrupted
    for shop in SHOPS:
        if shop.slug in there:
            continue
        tenant = await control.add_tenant(shop.slug, shop.name, shop.colour, shop.password)
        engine = control.databases.open(tenant.id)
        async with async_sessionmaker(engine).begin() as session:
            session.add_all(
                Product(name=name, cents=cents) for name, cents in shop.products.items()
            )
        await engine.dispose()
        if shop.domain is not None:
            await control.add_domain(tenant.id, shop.domain)
    async with control.sessions.begin() as session:
        session.add(Admin(name="admin", password=await hash_password(ADMIN_PASSWORD)))
