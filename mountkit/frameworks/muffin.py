"""Muffin, made of asgi_tools. It matches `root_path + path` (`app.py:App.__match__`)."""

from mountkit.frameworks import Framework

MUFFIN = Framework(name="Muffin", app=("asgi_tools.app", "App"), convention="none")
