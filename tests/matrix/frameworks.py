"""The apps of the matrix by their module, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.matrix import pages
from tests.matrix.facts import Facts


def in_browser(name: str) -> Callable[[Any], None]:
    """A check of `tests.matrix.browser`, which is imported when it is made."""

    def check(site: Any) -> None:
        pytest.importorskip("playwright")
        from tests.matrix import browser

        if browser.executable() is None:
            pytest.skip("Chromium is not installed")
        getattr(browser, name)(site)

    return check


def _page(title: str, **more: Any) -> Facts:
    """An app with pages of its own, and no site of ours."""
    package = more.pop("package", title.lower().replace("mcp sdk", "mcp"))
    nothing = {
        "has_url": False,
        "has_link": False,
        "redirect": None,
        "static": None,
        "stream": None,
    }
    return Facts(title=title, package=package, **{**nothing, **more})


FRAMEWORKS: dict[str, Facts] = {
    "starlette": Facts(
        title="Starlette",
        package="starlette",
        redirect=307,
        slash=307,
        websocket="echo",
        has_lifespan=True,
    ),
    "fastapi": Facts(
        title="FastAPI",
        package="fastapi",
        redirect=307,
        slash=307,
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.fastapi_docs},
    ),
    "flask": Facts(title="Flask", package="flask", slash=308),
    "quart": Facts(
        title="Quart",
        package="quart",
        slash=308,
        websocket="echo",
        has_lifespan=True,
    ),
    "litestar": Facts(
        title="Litestar",
        package="litestar",
        slash=200,
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.litestar_docs},
    ),
    "falcon_asgi": Facts(
        title="Falcon (ASGI)",
        package="falcon",
        websocket="echo",
        has_lifespan=True,
    ),
    "falcon_wsgi": Facts(title="Falcon (WSGI)", package="falcon"),
    "blacksheep": Facts(
        title="BlackSheep",
        package="blacksheep",
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.blacksheep_docs},
    ),
    "sanic": Facts(
        title="Sanic",
        package="sanic",
        websocket="echo",
        has_lifespan=True,
    ),
    "bottle": Facts(
        title="Bottle",
        package="bottle",
        redirect=303,
        unlike={
            (check, "non_ascii"): "its URLs decode `SCRIPT_NAME` as Latin-1."
            for check in ("url", "redirect")
        },
    ),
    "pyramid": Facts(title="Pyramid", package="pyramid", slash=307),
    "cherrypy": Facts(
        title="CherryPy",
        package="cherrypy",
        redirect=303,
        slash=301,
        unlike={
            (check, "non_ascii"): "its URLs decode `SCRIPT_NAME` as Latin-1."
            for check in ("index", "url", "slash", "static")
        },
    ),
    "django_asgi": Facts(
        title="Django (ASGI), with its admin",
        package="django",
        slash=301,
        pages={"admin": pages.django_admin},
    ),
    "django_wsgi": Facts(
        title="Django (WSGI), with its admin and WhiteNoise",
        package="django",
        needs=["whitenoise"],
        slash=301,
        pages={"admin": pages.django_admin},
    ),
    "djangorestframework": Facts(
        title="Django REST framework",
        package="djangorestframework",
        recipe="Django",
        slash=301,
        pages={"api": pages.rest_pages},
    ),
    "channels": Facts(
        title="Channels",
        package="channels",
        recipe="Django",
        slash=301,
        websocket="echo",
    ),
    "dash": _page(
        "Dash",
        index="_dash-config",
        browser=in_browser("press"),
        pages={"links": pages.links, "layout": pages.dash_layout},
    ),
    "mcp": _page("MCP SDK", recipe="MCP", index=None, pages={"tools": pages.mcp_tools}),
    "fastmcp": _page("FastMCP", index=None, pages={"tools": pages.mcp_tools}),
    "socketio": _page(
        "python-socketio",
        package="python-socketio",
        recipe="Socket.IO",
        index="body",
        static="static/style.css",
        has_lifespan=True,
        pages={"event": pages.socketio_event},
    ),
    "gradio": _page(
        "Gradio",
        index="Gradio",
        has_lifespan=True,
        pages={"call": pages.gradio_call},
        browser=in_browser("gradio"),
    ),
    "nicegui": _page(
        "NiceGUI",
        index="_nicegui",
        static="static/style.css",
        has_lifespan=True,
        pages={"links": pages.links},
        browser=in_browser("nicegui"),
    ),
    "streamlit": _page(
        "Streamlit",
        index="Streamlit",
        has_lifespan=True,
        pages={"links": pages.links},
        browser=in_browser("press"),
    ),
    "panel": _page(
        "Panel", index="bokeh", pages={"links": pages.links}, browser=in_browser("press")
    ),
    "bokeh": _page(
        "Bokeh", index="bokeh", pages={"links": pages.links}, browser=in_browser("press")
    ),
    "marimo": _page(
        "marimo",
        index="marimo",
        pages={"links": pages.links},
        browser=in_browser("press"),
        unlike={
            (
                "end",
                "root_path",
            ): "at times hypercorn does not stop while a browser's websocket is open."
        },
    ),
    "datasette": _page(
        "Datasette",
        index="books",
        pages={"table": pages.datasette_table},
        unlike={("end", "host"): "it logs a traceback for a page that does not exist."},
    ),
    "strawberry": _page(
        "Strawberry",
        package="strawberry-graphql",
        index="graphiql",
        pages={"query": pages.graphql},
    ),
    "prometheus_client": _page(
        "prometheus_client's `make_asgi_app`",
        package="prometheus-client",
        recipe="Prometheus",
        index="seen_total 7.0",
        pages={"metrics": pages.metrics},
    ),
    "sqladmin": _page(
        "sqladmin", index="Login", has_lifespan=True, pages={"admin": pages.sqladmin_pages}
    ),
    "starlette_admin": _page(
        "starlette-admin",
        package="starlette-admin",
        index="password",
        has_lifespan=True,
        pages={"admin": pages.starlette_admin_pages},
    ),
    "wsgidav": _page(
        "WsgiDAV",
        index="style.css",
        static="style.css",
        pages={"dav": pages.webdav},
    ),
}
