"""The marketing site on the bare domain: Flask, under WSGI."""

from __future__ import annotations

import re

from flask import Flask, redirect, render_template, request
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send
from werkzeug.wrappers import Response

from examples.saas.seed import SHOPS

_SLUG = re.compile(r"[a-z0-9-]{1,30}")


def make_site(domain: str) -> Flask:
    site = Flask(__name__, static_folder=None)

    def shop_url(slug: str) -> str:
        _, _, port = request.host.partition(":")
        return f"{request.scheme}://{slug}.{domain}{port and f':{port}'}/"

    @site.get("/")
    def index() -> str:
        shops = [(shop.name, shop_url(shop.slug)) for shop in SHOPS]
        return render_template("site.html", shops=shops, admin=shop_url("admin"), domain=domain)

    @site.errorhandler(404)
    def not_found(error: Exception) -> tuple[str, int]:
        context = {"title": "Stallholder", "colour": "#3a3f8f", "path": request.path}
        return render_template("not_found.html", **context), 404

    @site.get("/go")
    def go() -> Response | tuple[str, int]:
        slug = request.args.get("shop", "").strip().lower()
        if not _SLUG.fullmatch(slug):
            return no_shop(slug)
        return redirect(shop_url(slug), 303)

    @site.get("/no-shop")
    def nobodys_host() -> tuple[str, int]:
        return no_shop(request.args.get("host", ""))

    def no_shop(name: str) -> tuple[str, int]:
        return render_template("no_shop.html", name=name), 404

    return site


class NoShop:
    """Sends requests for unknown hosts to the marketing site."""

    def __init__(self, domain: str) -> None:
        self.domain = domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = Request(scope).url
        site = url.replace(hostname=self.domain, path="/no-shop", query="", fragment="")
        response = RedirectResponse(site.include_query_params(host=url.hostname), 303)
        await response(scope, receive, send)
