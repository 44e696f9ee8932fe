from __future__ import annotations

from typing import Any

from tests.matrix.apps import django_site


def make(prefix: str) -> Any:
    # Django keeps the first prefix that it sees for a STATIC_URL without a slash.
    django_site.configure(urls="tests.matrix.apps.django_urls", STATIC_URL=f"{prefix}/static/")
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.asgi import get_asgi_application

    return ASGIStaticFilesHandler(get_asgi_application())
