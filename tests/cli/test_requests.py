"""`mountkit request`: one request in the command's own process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import run

pytestmark = pytest.mark.slow  # all of them together

SHOP = """
import asyncio
import os
from contextlib import asynccontextmanager

from flask import Flask, request as flask_request
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from mountkit import Dispatcher, LifespanMiddleware, Mount


@asynccontextmanager
async def lifespan(app):
    print("up")
    yield {"pool": "of the lifespan"}
    print("down")


async def echo(request):
    body = await request.body()
    return JSONResponse({
        "method": request.method, "body": body.decode(), "type": request.headers.get("content-type"),
        "host": request.headers.get("host"), "client": request.client.host,
        "x": request.headers.getlist("x"), "pool": request.state.pool,
    })


async def fails(request):
    raise ValueError("no stock")


async def endless(request):
    async def ticks():
        while True:
            yield "tick "
            await asyncio.sleep(0.01)
    return StreamingResponse(ticks(), media_type="text/plain")


async def never(request):
    await asyncio.sleep(3600)


async def stubborn(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        try:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.01)
        except RuntimeError:
            ...


async def silent(scope, receive, send): ...


async def complains(scope, receive, send):
    assert scope["type"] == "http"
    while (await receive())["type"] != "http.disconnect": ...
    raise ValueError("the client has gone")


async def chat(websocket):
    await websocket.accept()
    text = await websocket.receive_text()
    await websocket.send_text(text.upper())
    await websocket.send_bytes(b"12")
    await websocket.close(4001)


async def stays(websocket):
    await websocket.accept(headers=[(b"x", b"1")])
    await websocket.receive_text()


async def later():
    await asyncio.sleep(0.1)
    print("done")


async def background(request):
    return PlainTextResponse("ok", background=BackgroundTask(later))


def image(request):
    return Response(b"\\x89PNG", media_type="image/png")


def accents(request):
    return PlainTextResponse("é" * 100)


shop = Starlette(lifespan=lifespan, routes=[
    Route("/echo", echo, methods=["GET", "POST"]), Route("/fails", fails), Route("/never", never),
    Route("/endless", endless), Route("/background", background), Route("/image", image),
    Route("/accents", accents), WebSocketRoute("/chat", chat), WebSocketRoute("/stays", stays),
])
legacy = Flask(__name__)


@legacy.post("/form")
def form():
    return flask_request.form["name"]


@legacy.get("/endless")
def rows():
    def numbers():
        while True:
            yield "1 "
    return numbers()


app = Dispatcher([
    Mount("/shop", shop), Mount("/legacy", legacy), Mount("/silent", silent),
    Mount("/stubborn", stubborn),
])
plain = Starlette(routes=[Route("/image", image)])


@asynccontextmanager
async def broken(app):
    raise RuntimeError("no database")
    yield


unable = Starlette(lifespan=broken)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize("backend", [[], ["--trio"]], ids=["asyncio", "trio"])
@pytest.mark.parametrize("has_extra", [True, False], ids=["rich", "plain"])
def test_what_comes_back(folder: Path, backend: list[str], has_extra: bool) -> None:
    """Beside the explanation, with the app's lifespan around it."""
    options = ["-H", "X: 1", "-H", "X: é€", "--client", "10.0.0.1", *backend]
    done = run(folder, "request", "shop:app", "/shop/echo", *options, has_extra=has_extra)
    assert (done.returncode, done.stderr) == (0, "")
    line = SHOP[: SHOP.index('Mount("/shop"')].count("\n") + 1
    head, _, body = done.stdout.rpartition("\n\n")
    assert (
        head
        == f"""\
up
down
GET http://localhost/shop/echo
-> Mount('/shop')  shop.py:{line}
   app          Starlette
   path         '/shop/echo'
   root_path    '/shop'
   answer       Route('/echo'), echo()

HTTP 200 OK
content-length: {len(body.encode()) - 1}
content-type: application/json"""
    )
    assert json.loads(body) == {
        "method": "GET", "body": "", "type": None, "host": "localhost", "client": "10.0.0.1",
        "x": ["1", "é€".encode().decode("latin-1")], "pool": "of the lifespan",
    }  # fmt: skip


def test_json(folder: Path) -> None:
    """The explanation and the response."""
    done = run(folder, "request", "shop:plain", "/image", "--json")
    found = json.loads(done.stdout)
    assert found["explanation"]["request"] == "GET http://localhost/image"
    assert found["explanation"]["answer"] == "Route('/image'), image()"
    assert found["response"] == {
        "status": 200,
        "headers": [["content-length", "4"], ["content-type", "image/png"]],
        "body": "iVBORw==", "encoding": "base64", "cut": "", "error": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "method", "body", "kind"),
    [
        (["-d", "a=1"], "POST", "a=1", "application/x-www-form-urlencoded"),
        (["-d", "{}", "-H", "Content-Type: application/json"], "POST", "{}", "application/json"),
        (["-d", "@data.txt"], "POST", "from a file", "application/x-www-form-urlencoded"),
        (["-X", "get", "-d", ""], "GET", "", "application/x-www-form-urlencoded"),
    ],
    ids=["form", "json", "file", "method"],
)
def test_data(folder: Path, options: list[str], method: str, body: str, kind: str) -> None:
    """As curl sends it."""
    (folder / "data.txt").write_text("from a file")
    done = run(folder, "request", "shop:app", "http://a.com/shop/echo", "--json", *options)
    answer = json.loads(json.loads(done.stdout.partition("down\n")[2])["response"]["body"])
    assert (answer["method"], answer["body"], answer["type"]) == (method, body, kind)
    assert answer["host"] == "a.com"


def test_a_wsgi_app(folder: Path) -> None:
    """Below a mount, and as the app itself."""
    for target in ("shop:app", "shop:legacy"):
        path = "/legacy/form" if target == "shop:app" else "/form"
        done = run(folder, "request", target, path, "-d", "name=ada")
        assert done.stdout.splitlines()[-3:] == ["content-length: 3", "", "ada"]


def test_an_exception(folder: Path) -> None:
    """The response that it left, and the user's traceback; exit code 1."""
    done = run(folder, "request", "shop:app", "/shop/fails")
    assert done.returncode == 1
    assert done.stdout.endswith("\n\nInternal Server Error\n")
    line = SHOP[: SHOP.index('raise ValueError("no stock")')].count("\n") + 1
    place = f'  File "{folder}/shop.py", line {line}, in fails\n    raise ValueError("no stock")\n'
    assert done.stderr.startswith(
        f"Traceback (most recent call last):\n{place}ValueError: no stock\n"
    )
    assert done.stderr.endswith(f"\nmountkit: The app raised ValueError at shop.py:{line}.\n")
    done = run(folder, "request", "shop:app", "/shop/fails", "--json")
    assert (
        json.loads(done.stdout.partition("down\n")[2])["response"]["error"]
        == "ValueError('no stock')"
    )


def test_an_app_that_does_not_start(folder: Path) -> None:
    """Its reason; no request was sent."""
    done = run(folder, "request", "shop:unable", "/")
    assert done.returncode == 1
    assert "RuntimeError: no database" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("mountkit: The app raised LifespanError")
    assert "HTTP" not in done.stdout


def test_no_answer(folder: Path) -> None:
    """An app that returns without one, and one that does not answer in time."""
    done = run(folder, "request", "shop:silent", "/silent")
    assert (done.returncode, done.stderr) == (1, "mountkit: The app sent no answer.\n")
    for target, path in (("shop:app", "/shop/never"), ("shop:complains", "/")):
        done = run(folder, "request", target, path, "--max-time", "0.2")
        assert done.returncode == 1
        assert done.stderr == "mountkit: The app sent no answer in 0.2 seconds (--max-time).\n"
    assert "(no more was read after 0.2 seconds (--max-time))" in done.stdout


@pytest.mark.parametrize("path", ["/shop/endless", "/legacy/endless", "/stubborn"])
@pytest.mark.parametrize(
    ("options", "end"),
    [
        (["--max-bytes", "20"], "(no more was read after 20 bytes (--max-bytes))"),
        (["--max-time", "0.5"], "(no more was read after 0.5 seconds (--max-time))"),
    ],
    ids=["bytes", "time"],
)
def test_an_endless_answer(folder: Path, path: str, options: list[str], end: str) -> None:
    """It is cut, by size or by time."""
    if path.startswith("/legacy") and "--max-time" in options:
        options = [*options, "--max-bytes", "100000000"]
    done = run(folder, "request", "shop:app", path, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == end


def test_a_body_that_is_not_text(folder: Path) -> None:
    """Only its size is printed; a text that is cut within a character stays one."""
    done = run(folder, "request", "shop:plain", "/image")
    assert done.stdout.splitlines()[-1] == "(4 bytes, not text)"
    done = run(folder, "request", "shop:app", "/shop/accents", "--max-bytes", "5")
    assert done.stdout.splitlines()[-2] == "éé"


def test_work_after_the_answer_is_done(folder: Path) -> None:
    """Before the lifespan ends."""
    done = run(folder, "request", "shop:app", "/shop/background")
    assert done.stdout.startswith("up\ndone\ndown\n")


def test_a_websocket(folder: Path) -> None:
    """What it sends, and how it is closed."""
    done = run(folder, "request", "shop:app", "ws://localhost/shop/chat", "-d", "hello")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.partition("\n\n")[2] == (
        "websocket accepted\n<- 'HELLO'\n<- b'12'\nclosed with 4001\n"
    )
    done = run(folder, "request", "shop:app", "ws://localhost/shop/chat", "-d", "hello", "--json")
    response = json.loads(done.stdout.partition("down\n")[2])["response"]
    assert response["messages"] == ["HELLO", "31 32"]
    assert (response["accepted"], response["code"], response["status"]) == (True, 4001, 101)


def test_a_websocket_that_stays_open(folder: Path) -> None:
    """It is left when the time is over."""
    done = run(folder, "request", "shop:app", "ws://localhost/shop/stays", "--max-time", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.partition("\n\n")[2] == (
        "websocket accepted\nx: 1\n(no more was read after 0.2 seconds (--max-time))\n"
    )


def test_a_websocket_that_is_refused(folder: Path) -> None:
    """With the status that a server would send."""
    done = run(folder, "request", "shop:app", "ws://localhost/nowhere")
    assert done.stdout.splitlines()[3:6] == [
        "No mount takes it.",
        "   answer       404: no mount takes it, and no app is underneath",
        "",
    ]
    assert done.stdout.splitlines()[6].startswith("websocket refused: HTTP 40")
