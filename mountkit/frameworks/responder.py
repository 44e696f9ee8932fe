"""Responder. It routes on `path` alone (`routes.py:Router._dispatch`)."""

from mountkit.frameworks import Framework

RESPONDER = Framework(name="Responder", app=("responder", "API"), convention="strip")
