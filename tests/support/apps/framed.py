"""Flask, Django and FastAPI, each with a page whose URL it makes, and a redirect there."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response


def flask() -> Any:
    from flask import Flask, redirect, url_for

    app = Flask(__name__)

    @app.get("/")
    def home() -> str:
        return url_for("item", _external=True)

    @app.get("/item/")
    def item() -> str:
        return ""

    @app.get("/go")
    def go() -> Any:
        return redirect(url_for("item"))

    return app


def django() -> Any:
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
    from django.urls import path, reverse

    def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.build_absolute_uri(reverse("item")))

    def go(request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("item"))

    common = "django.middleware.common.CommonMiddleware"  # redirects to the slash
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[common])
    globals()["urlpatterns"] = [path("", home), path("item/", home, name="item"), path("go", go)]

    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def fastapi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def home(request: Request) -> Response:
        return PlainTextResponse(str(request.url_for("item")))

    @app.get("/item/")
    async def item() -> None: ...

    @app.get("/go")
    async def go(request: Request) -> Response:
        return RedirectResponse(request.url_for("item"))

    return app
