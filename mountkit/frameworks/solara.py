"""Solara. It keeps the `root_path` of the first request (`solara/server/starlette.py:root`)."""

from mountkit.frameworks.base import Framework

SOLARA = Framework(name="Solara", app=("solara.server.starlette", "app"), keeps_first_prefix=True)
