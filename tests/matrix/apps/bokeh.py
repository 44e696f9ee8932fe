from __future__ import annotations

from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Button, Div
from bokeh.server.asgi import BokehASGI


def page(document: Document) -> None:
    answer = Div(text="nothing")
    button = Button(label="press")
    button.on_click(lambda: answer.update(text="pressed 1"))
    document.add_root(column(button, answer))


def make(prefix: str) -> Any:
    return BokehASGI({"/": Application(FunctionHandler(page))})
