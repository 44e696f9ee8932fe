"""Sanic. It routes on `raw_path` and never reads `root_path` (`asgi.py:ASGIApp.create`)."""

from mountkit.frameworks import Framework

SANIC = Framework(name="Sanic", app=("sanic", "Sanic"), convention="strip")
