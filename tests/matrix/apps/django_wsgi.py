from __future__ import annotations

from typing import Any

from tests.matrix.apps import django_site


def make(prefix: str) -> Any:
    django_site.configure(
        urls="tests.matrix.apps.django_urls",
        STATIC_URL=f"{prefix}/static/",
        FORCE_SCRIPT_NAME=prefix,
        WHITENOISE_USE_FINDERS=True,
        WHITENOISE_AUTOREFRESH=True,
        more_middleware=["whitenoise.middleware.WhiteNoiseMiddleware"],
    )
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
