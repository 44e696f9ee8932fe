"""A Django project with WhiteNoise, whose `application` is made as `wsgi.py` of a new project makes
it, mounted at `/sub`."""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import path, reverse

from mountkit import Dispatcher
from tests.matrix.apps import common

options: dict[str, Any] = json.loads(os.environ["OPTIONS"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.staticfiles"],
    MIDDLEWARE=["whitenoise.middleware.WhiteNoiseMiddleware"],
    ROOT_URLCONF=__name__,
    STATIC_ROOT=common.STATIC,
    **options,
)


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{reverse('index')} {static('style.css')}")


urlpatterns = [path("", index, name="index")]


def made() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


application = made()
app = Dispatcher({"/sub": application})
