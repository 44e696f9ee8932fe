"""A whole site from a file, edited again and again under load: nothing that was asked is lost."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.serving import Site, serve
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

#: As often as an operator does in a bad week.
EDITS = 40

API = """
import asyncio

from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/items/{name}")
async def item(name: str):
    return {"name": name}


@app.get("/ticks")
async def ticks():
    async def numbers():
        for number in range(100_000):
            yield f"{number}\\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(numbers())


@app.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
"""
SHOP = """
from flask import Flask

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}!"
"""
NOTES = """
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path, reverse

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test")
urlpatterns = [path("notes/", lambda request: HttpResponse(reverse("notes")), name="notes")]
app = get_asgi_application()
"""
TOOLS = """
from mcp.server import MCPServer

server = MCPServer("tools")


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


app = server.streamable_http_app(streamable_http_path="/", json_response=True, stateless_http=True)
"""
VERSIONS = """
def make(version):
    async def app(scope, receive, send):
        assert scope["type"] == "http", "it has no lifespan"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"version {version}".encode()})

    return app
"""
APPS = {"api": API, "shop": SHOP, "notes": NOTES, "tools": TOOLS, "versions": VERSIONS}

SITE = """
[server]
port = 0
workers = {workers}

[[mount]]
path = "/api"
app = "api:app"

[[mount]]
path = "/shop"
app = "shop:app"

[[mount]]
path = "/notes"
app = "notes:app"

[[mount]]
path = "/mcp"
app = "tools:app"

[[mount]]
path = "/files"
static = "public"
"""
VERSION = """
[[mount]]
path = "/version"
app = "versions:make"
factory = true
args = {{ version = {number} }}
"""

#: Each is refused, and changes nothing.
BAD = {
    "syntax": "[[mount",
    "unknown key": "[[mount]]\npath = '/x'\napp = 'api:app'\npaths = '/y'",
    "wrong type": "[[mount]]\npath = 5\napp = 'api:app'",
    "no app": "[[mount]]\npath = '/x'",
    "no module": "[[mount]]\npath = '/x'\napp = 'nowhere:app'",
    "no attribute": "[[mount]]\npath = '/x'\napp = 'api:nothing'",
    "raises on import": "[[mount]]\npath = '/x'\napp = 'broken:app'",
    "does not start": "[[mount]]\npath = '/x'\napp = 'failing:app'",
    "conflict": "[[mount]]\npath = '/api'\nname = 'again'\napp = 'shop:app'",
    "pattern": "[[mount]]\npath = '/a'\nhost = 'http://a.com'\napp = 'api:app'",
    "variable": "[[mount]]\npath = '/${NOT_SET}'\napp = 'api:app'",
    "include": "[[mount]]\npath = '/x'\nstatic = 'no-such-folder'",
}
BROKEN = "raise RuntimeError('of the import')\n"
FAILING = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette


@asynccontextmanager
async def lifespan(app):
    raise RuntimeError("of the startup")
    yield


app = Starlette(lifespan=lifespan)
"""


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    for name, text in {**APPS, "broken": BROKEN, "failing": FAILING}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "public").mkdir()
    (folder / "public/site.css").write_text("h1 {}", encoding="utf-8")
    text = SITE.format(workers=request.param)
    with serve(folder, text + VERSION.format(number=0)) as served:
        yield served


def text_of(site: Site) -> str:
    return SITE.format(workers=len(site.workers))


class Load:
    """Clients that ask without a pause, and note what is lost."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lost: list[str] = []
        self.asked: dict[str, int] = {}
        self._is_over = False

    def note(self, what: str, is_right: bool, found: object) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1
        if not is_right:
            self.lost.append(f"{what}: {found!r}")

    async def ask(self, client: httpx.AsyncClient, path: str, has: str, **options: Any) -> None:
        """One request after the other."""
        method = options.pop("method", "GET")
        while not self._is_over:
            try:
                response = await client.request(method, self.site.url + path, **options)
                self.note(path, response.status_code == 200 and has in response.text, response.text)
            except httpx.HTTPError as exc:
                self.note(path, False, exc)

    async def stream(self) -> None:
        """One answer that never ends by itself."""
        wanted = 0
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", f"{self.site.url}/api/ticks") as response,
        ):
            async for line in response.aiter_lines():
                self.note("stream", line == str(wanted), line)
                wanted += 1
                if self._is_over:
                    return
        self.note("stream", self._is_over, "it has ended")

    async def chat(self) -> None:
        """One websocket."""
        async with connect(f"ws://127.0.0.1:{self.site.port}/api/echo") as websocket:
            number = 0
            while not self._is_over:
                await websocket.send(str(number))
                answer = await websocket.recv()
                self.note("websocket", answer == str(number), answer)
                number += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "add", "arguments": {"a": 2, "b": 3}},
        }
        accept = {"accept": "application/json, text/event-stream"}
        mcp: dict[str, Any] = {"method": "POST", "json": call, "headers": accept}
        close = {"headers": {"connection": "close"}}
        async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as tasks:
            for work in (
                self.ask(client, "/api/items/anvil", "anvil"),
                self.ask(client, "/shop/hello/Ada", "Hello, Ada!", **close),
                self.ask(client, "/notes/notes/", "/notes/notes/"),
                self.ask(client, "/files/site.css", "h1"),
                self.ask(client, "/mcp/", "5", **mcp),
                self.ask(client, "/version", "version "),
                self.stream(),
                self.chat(),
            ):
                tasks.create_task(work)
            try:
                yield
            finally:
                self._is_over = True


async def edited(site: Site, text: str, says: str) -> None:
    """Change the file, and wait until all workers have it, or it was refused."""
    before = site.output.count(says)
    site.reload(text)
    await asyncio.to_thread(site.says, says, before + 1)


def memory(site: Site) -> int:
    """Of all workers, in KiB."""
    found = 0
    for pid in site.workers:
        status = Path(f"/proc/{pid}/status").read_text()
        rss = re.search(r"VmRSS:\s+(\d+)", status)
        assert rss is not None
        found += int(rss[1])
    return found


def test_nothing_is_lost_while_the_file_is_edited(site: Site) -> None:
    """HTTP with and without keep-alive, a stream and a websocket, over forty changes of mounts; a
    factory with other arguments is another app; memory stays flat."""
    text, load, sizes = text_of(site), Load(site), []

    async def edit() -> None:
        async with load.running():
            for number in range(1, EDITS + 1):
                more = VERSION.format(number=number)
                if number % 2:
                    more += f"[[mount]]\npath = '/extra{number}'\napp = 'shop:app'\n"
                await edited(site, text + more, "is served")
                sizes.append(memory(site))

    asyncio.run(edit())
    assert load.lost == []
    assert len(load.asked) == 8
    assert min(load.asked.values()) > 1, load.asked
    assert site.get("/version").text == f"version {EDITS}"
    assert site.get(f"/extra{EDITS - 1}/hello/Ada").status_code == 404
    assert sizes[-1] - sizes[EDITS // 2] < 4096 * len(site.workers), sizes


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_changes_nothing(site: Site, bad: str) -> None:
    """It is told with the place in the file; what was served is served on, and no request lost."""
    before = site.get("/version").text
    workers = site.workers
    lines = site.output.count("Not changed")
    site.reload(f"{text_of(site)}{VERSION.format(number=1000)}{bad}\n")
    site.says("Not changed", lines + 1)
    told = site.output.rpartition("Not changed")[2]
    assert re.search(r"mountkit\.toml:\d+", told), told
    assert site.get("/version").text == before
    assert site.get("/api/items/anvil").json() == {"name": "anvil"}
    assert site.workers == workers


def test_new_code_is_served_by_new_workers(site: Site) -> None:
    """Requests that come meanwhile are answered by the old ones or by the new ones."""
    load, old = Load(site), site.workers
    site.write(text_of(site) + VERSION.format(number=1))
    path = site.folder / "versions.py"
    path.write_text(VERSIONS.replace("version {", "new version {"), encoding="utf-8")

    async def restart() -> None:
        async with httpx.AsyncClient(timeout=30, headers={"connection": "close"}) as client:
            asking = asyncio.create_task(load.ask(client, "/version", "version "))
            site.send(signal.SIGUSR2)
            await asyncio.to_thread(site.says, "is served by new workers")
            load._is_over = True
            await asking

    asyncio.run(restart())
    assert load.lost == []
    wait_until(lambda: not {*site.workers} & {*old})
    assert site.get("/version").text.startswith("new version")
