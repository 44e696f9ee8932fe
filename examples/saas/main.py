"""All of it as one app: `uvicorn examples.saas.main:app`."""

from __future__ import annotations

from pathlib import Path

from starlette.staticfiles import StaticFiles

from examples.saas.admin import Admin
from examples.saas.control import Control
from examples.saas.databases import Databases
from examples.saas.marketing import NoShop, make_site
from examples.saas.settings import Settings
from examples.saas.shop import ShopFactory
from mountkit import Dispatcher, Mount, TenantApps, TenantResolver


def make_app(settings: Settings) -> Dispatcher:
    databases = Databases(settings.database_url)
    control = Control(databases, settings.domain)
    resolver = TenantResolver(control.find, ttl=60, unknown_ttl=10, stale_ttl=300)
    shops = TenantApps(
        resolver,
        ShopFactory(databases, settings),
        key=lambda tenant: tenant.id,
        max_apps=20,  # times 4 connections to a PostgreSQL server, which allows 100 by default
        unknown=NoShop(settings.domain),
    )
    admin = Admin(control, resolver, shops).app(settings.key_for("admin"))
    static = StaticFiles(directory=Path(__file__).with_name("static"))
    return Dispatcher(
        [
            # It opens the control database, so it is first to start and last to stop.
            Mount("/", admin, host=f"admin.{settings.domain}"),
            Mount("/", make_site(settings.domain), host=settings.domain),  # WSGI
            Mount("/static", static, priority=1),  # at every host
            Mount("/", shops),  # all hosts that are left
        ]
    )


app = make_app(Settings.from_environ())
