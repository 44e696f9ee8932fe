from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui

from tests.matrix.apps import common


@ui.page("/")
def index() -> None:
    answer = ui.label("nothing")
    ui.button("press", on_click=lambda: answer.set_text("pressed 1"))
    ui.link("next", other)


@ui.page("/other")
def other() -> None:
    ui.label("the other page")


def make(prefix: str) -> Any:
    app = FastAPI()
    nicegui_app.on_startup(common.started)
    nicegui_app.on_shutdown(common.stopped)
    nicegui_app.add_static_files("/static", common.STATIC)
    ui.run_with(app, storage_secret="of the tests")
    return app
