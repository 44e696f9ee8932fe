from __future__ import annotations

from typing import Any

from tests.matrix.apps import django_site


def make(prefix: str) -> Any:
    django_site.configure(
        urls="tests.matrix.apps.djangorestframework_urls",
        more_apps=["rest_framework"],
        STATIC_URL=f"{prefix}/static/",
        REST_FRAMEWORK={
            "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
            "PAGE_SIZE": 1,
        },
    )
    from django.contrib.auth import get_user_model
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.asgi import get_asgi_application

    get_user_model().objects.create_user("bob")
    return ASGIStaticFilesHandler(get_asgi_application())
