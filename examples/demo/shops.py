"""Starlette again: two tenants, told apart by the host that was asked for."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
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
        raise HTTPException(404, f"No shop is called {tenant!r}.")
    start = request.url.replace(hostname="localhost", path="/")
    return templates.TemplateResponse(request, "shop.html", {"start": start, **SHOPS[tenant]})


app = Starlette(routes=[Route("/", index)])
