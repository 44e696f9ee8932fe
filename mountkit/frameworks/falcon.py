"""Falcon. ASGI apps route on `path` alone; they are a subclass of its WSGI apps."""

from mountkit.frameworks import Framework

FALCON = Framework(name="Falcon", app=("falcon.asgi", "App"), convention="strip")
