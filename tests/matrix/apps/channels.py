from __future__ import annotations

from typing import Any

from tests.matrix.apps import django_site


def make(prefix: str) -> Any:
    django_site.configure(urls="tests.matrix.apps.django_urls", STATIC_URL=f"{prefix}/static/")
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.asgi import get_asgi_application
    from django.urls import path

    class Echo(AsyncWebsocketConsumer):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.send(text_data)
            await self.close()

    return ProtocolTypeRouter(
        {
            "http": ASGIStaticFilesHandler(get_asgi_application()),
            "websocket": URLRouter([path("echo", Echo.as_asgi())]),
        }
    )
