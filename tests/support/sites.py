"""Sites in files: folders of modules, and what is made from them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from mountkit.config.building import Site, check_rules
from mountkit.config.models import SiteConfig
from mountkit.config.parsing import parse
from mountkit.config.sources import read_source

#: An app that tells its name, and how often it was started.
APP = '''\
"""An app."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

events = []


class Lifespan:
    def __init__(self, name):
        self.name = name

    def __call__(self, app):
        return self

    async def __aenter__(self):
        events.append(f"{self.name} up")

    async def __aexit__(self, *_):
        events.append(f"{self.name} down")


def make(name="made", *, punctuation=""):
    async def page(request):
        return PlainTextResponse(name + punctuation)

    async def scope(request):
        names = ("path", "root_path")
        return JSONResponse({key: request.scope[key] for key in names})

    routes = [Route("/scope", scope), Route("/{path:path}", page, methods=["GET", "POST"])]
    return Starlette(routes=routes, lifespan=Lifespan(name + punctuation))


app = make("app")
other = make("other")
'''


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files, with the folders that they need."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")


def config_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> SiteConfig:
    """The site that `mountkit.toml` describes."""
    (folder / "mountkit.toml").write_text(dedent(text), encoding="utf-8")
    source = read_source(folder / "mountkit.toml", environ or {})
    config = parse(source, environ or {})
    check_rules(config)
    return config


def site_of(folder: Path, text: str) -> Site:
    """The same, built."""
    return Site.build(config_of(folder, text))
