from __future__ import annotations

from typing import Any

import marimo

from tests.matrix.apps import common

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    button = mo.ui.button(label="press", value=0, on_click=lambda value: value + 1)
    button
    return (button, mo)


@app.cell
def _(button, mo):
    mo.md(f"pressed {button.value}")
    return


if __name__ == "__main__":
    app.run()
"""


def make(prefix: str) -> Any:
    notebook = common.FOLDER / "notebook.py"
    notebook.write_text(NOTEBOOK, encoding="utf-8")
    server = marimo.create_asgi_app(include_code=True)
    return server.with_app(path="", root=str(notebook)).build()
