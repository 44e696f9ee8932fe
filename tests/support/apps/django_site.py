"""A Django project in one module: three pages, the admin, static files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.contrib.staticfiles.views import serve
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import path, reverse

STATIC = Path(__file__).parent / "static"

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ],
    LOGGING_CONFIG=None,  # it is the whole process's
    MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    STATICFILES_DIRS=[STATIC],
    STATIC_URL="static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()


def index(request: HttpRequest) -> HttpResponse:
    links = {"item": reverse("item", args=[3]), "static": static("style.css")}
    return JsonResponse({**links, "asked": request.build_absolute_uri()})


def item(request: HttpRequest, id: int) -> HttpResponse:
    return HttpResponse(f"item {id}")


def go(request: HttpRequest) -> HttpResponse:
    return redirect("item", id=3)


urlpatterns = [
    path("", index),
    path("item/<int:id>", item, name="item"),
    path("dir/", index),
    path("go", go),
    path("admin/", admin.site.urls),
    # For the WSGI application: its handler of static files knows no SCRIPT_NAME.
    path("static/<path:path>", serve, {"insecure": True}),
]


def asgi_site() -> Any:
    """As `STATIC_URL` has it, which the handler reads here and now."""
    return ASGIStaticFilesHandler(ASGIHandler())


def wsgi_site() -> Any:
    return WSGIHandler()
