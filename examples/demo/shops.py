"""Starlette again: two tenants, told apart by the host that was asked for."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

SHOPS = {
    "acme": {"title": "Acme Anvils", "colour": "#b3372b", "goods": ["Anvil", "Rocket skates"]},
    "globex": {"title": "Globex Gardens", "colour": "#2b7a4b", "goods": ["Tulips", "Hammock"]},
}

templates = Jinja2Templates(Path(__file__).with_name("templates"))


async def index(request: Request) -> Response:
    tenant = request.path_params["tenant"]  # from the mount's host="{tenant}.localhost"
    if tenant not in SHOPS:
        return await not_found(request)
    start = request.url.replace(hostname="localhost", path="/")
    return templates.TemplateResponse(request, "shop.html", {"start": start, **SHOPS[tenant]})


async def not_found(request: Request, exc: Exception | None = None) -> Response:
    """The page for unknown tenants, and for what a known one does not have."""
    start = request.url.replace(hostname="localhost", path="/", query="")
    shops = {name: start.replace(hostname=f"{name}.localhost") for name in SHOPS}
    context = {"start": start, "shops": shops, "shop": SHOPS.get(request.path_params["tenant"])}
    return templates.TemplateResponse(request, "no_shop.html", context, status_code=404)


app = Starlette(routes=[Route("/", index)], exception_handlers={404: not_found})
