"""Solara. It keeps the `root_path` of the first request (`solara/server/starlette.py:root`)."""

from mountkit.frameworks import Framework, loaded

SOLARA = Framework(
    name="Solara",
    find=lambda app: app if app is loaded("solara.server.starlette", "app") else None,
    keeps_first_prefix=True,
)
