from __future__ import annotations

from typing import Any

import panel
from panel.io.asgi import PanelASGI, build_applications


def page() -> Any:
    button = panel.widgets.Button(name="press")
    return panel.Column(button, panel.bind(lambda clicks: f"pressed {clicks}", button.param.clicks))


def make(prefix: str) -> Any:
    panel.extension()
    return PanelASGI(build_applications({"/": page}))
