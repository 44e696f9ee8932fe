"""The apps of the matrix by their module, and what is known of each."""

from __future__ import annotations

from tests.matrix import pages
from tests.matrix.facts import Facts

FRAMEWORKS: dict[str, Facts] = {
    "starlette": Facts(
        title="Starlette",
        package="starlette",
        needs=["starlette"],
        redirect=307,
        slash=307,
        websocket="echo",
        has_lifespan=True,
    ),
    "fastapi": Facts(
        title="FastAPI",
        package="fastapi",
        needs=["fastapi"],
        redirect=307,
        slash=307,
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.fastapi_docs},
    ),
    "flask": Facts(title="Flask", package="flask", needs=["flask"], slash=308),
    "quart": Facts(
        title="Quart",
        package="quart",
        needs=["quart"],
        slash=308,
        websocket="echo",
        has_lifespan=True,
    ),
    "litestar": Facts(
        title="Litestar",
        package="litestar",
        needs=["litestar"],
        slash=200,
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.litestar_docs},
    ),
    "falcon_asgi": Facts(
        title="Falcon (ASGI)",
        package="falcon",
        needs=["falcon"],
        websocket="echo",
        has_lifespan=True,
        scope="strip, recognised",
    ),
    "falcon_wsgi": Facts(title="Falcon (WSGI)", package="falcon", needs=["falcon"]),
    "blacksheep": Facts(
        title="BlackSheep",
        package="blacksheep",
        needs=["blacksheep"],
        websocket="echo",
        has_lifespan=True,
        pages={"docs": pages.blacksheep_docs},
    ),
    "sanic": Facts(
        title="Sanic",
        package="sanic",
        needs=["sanic"],
        websocket="echo",
        has_lifespan=True,
        scope="whole, routes in a blueprint at the prefix",
    ),
    "bottle": Facts(title="Bottle", package="bottle", needs=["bottle"], redirect=303),
    "pyramid": Facts(title="Pyramid", package="pyramid", needs=["pyramid"], slash=307),
    "cherrypy": Facts(
        title="CherryPy",
        package="cherrypy",
        needs=["cherrypy"],
        redirect=303,
        slash=301,
    ),
}
