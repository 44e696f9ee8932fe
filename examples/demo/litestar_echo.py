"""Litestar: a websocket, and a page that talks to it."""

from pathlib import Path

from litestar import Litestar, Request, get
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.handlers import websocket_listener
from litestar.response import Template
from litestar.template import TemplateConfig


@get("/")
async def index(request: Request) -> Template:
    url = request.url_for("echo").replace("http", "ws", 1)
    return Template("litestar.html", context={"websocket_url": url})


@websocket_listener("/echo", name="echo")
async def echo(data: str) -> str:
    return f"Litestar heard: {data}"


app = Litestar(
    [index, echo],
    template_config=TemplateConfig(
        directory=Path(__file__).with_name("templates"), engine=JinjaTemplateEngine
    ),
    # Litestar's docs pages ask for their schema at the host's root, whatever the prefix.
    openapi_config=None,
    logging_config=None,  # by default Litestar takes over the logging of the whole process
)
