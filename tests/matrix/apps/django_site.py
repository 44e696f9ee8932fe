"""A Django project in one module; `configure` has to come first."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse

from tests.matrix.apps import common


def configure(*, more_apps: list[str] | None = None, urls: str = __name__, **more: Any) -> None:
    """The settings, a database with the superuser `ada`."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(common.FOLDER / "db.sqlite3"),
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            *(more_apps or []),
        ],
        MIDDLEWARE=[
            *more.pop("more_middleware", []),
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        ROOT_URLCONF=urls,
        SECRET_KEY="of the tests",
        STATICFILES_DIRS=[common.STATIC],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
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
        **more,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser("ada", password="lovelace")


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"index {reverse('item', args=[7])}")


def item(request: HttpRequest, id: int) -> HttpResponse:
    return HttpResponse(f"item {id}")


def go(request: HttpRequest) -> HttpResponse:
    return redirect("item", id=7)


def link(request: HttpRequest) -> HttpResponse:
    return HttpResponse(common.link(request))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    is_async = hasattr(request, "scope")
    return StreamingHttpResponse(common.async_chunks() if is_async else common.chunks())


def urlpatterns_with(*more: Any) -> list[Any]:
    return [
        path("", index),
        path("item/<int:id>", item, name="item"),
        path("things/", index),
        path("go", go),
        path("link", link),
        path("stream", stream),
        *more,
    ]
