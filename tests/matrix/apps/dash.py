from __future__ import annotations

from typing import Any
from urllib.parse import quote

import dash
from dash import Input, Output, dcc, html


def make(prefix: str) -> Any:
    app = dash.Dash(
        "site",
        requests_pathname_prefix=f"{quote(prefix)}/",
        routes_pathname_prefix="/",
    )
    app.layout = html.Div(
        [html.Button("press", id="button"), html.P(id="answer"), dcc.Store(id="store")]
    )

    @app.callback(Output("answer", "children"), Input("button", "n_clicks"))
    def answer(n_clicks: int | None) -> str:
        return f"pressed {n_clicks or 0}"

    return app.server
