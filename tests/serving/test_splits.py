"""`Split`: several apps behind one mount."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import Dispatcher, DispatchMiddleware, Lifespan, Mount, PatternError, Split
from mountkit.inspection.explanations import request_scope
from tests.support.clients import ClientFactory


def app(name: str) -> Starlette:
    """An app that says its name, has a state and echoes websockets."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"name": name}

    def item(request: Request) -> JSONResponse:
        url = str(request.url_for("item", id="1").path)
        return JSONResponse({"state": request.state.name, "url": url})

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(name)
        await websocket.close()

    routes = [Route("/item/{id}", item, name="item"), WebSocketRoute("/ws", echo)]
    return Starlette(routes=routes, lifespan=lifespan)


async def idle(scope: Any, receive: Any, send: Any) -> None:
    """An app that is chosen and never called."""


def draw(split: Split, count: int, **headers: str) -> Counter[str]:
    scope = request_scope("/", headers=headers)
    return Counter(split.choose(scope) for _ in range(count))


def test_requests_are_shared_in_the_given_proportion() -> None:
    """20,000 draws lie within four standard deviations of the weights."""
    split = Split({"a": (idle, 70), "b": (idle, 25), "c": (idle, 5)}, seed=1)
    drawn = draw(split, 20_000)
    for name, share in (("a", 0.70), ("b", 0.25), ("c", 0.05)):
        deviation = (share * (1 - share) / 20_000) ** 0.5
        assert drawn[name] / 20_000 == pytest.approx(share, abs=4 * deviation)


def test_weight_0_gets_nothing() -> None:
    """Neither at random, nor by a cookie that names it."""
    split = Split({"a": (idle, 0), "b": (idle, 1), "c": (idle, 0)}, sticky_cookie="lane", seed=1)
    assert draw(split, 1_000) == {"b": 1_000}
    assert draw(split, 10, cookie="lane=a") == {"b": 10}


def test_a_seed_makes_it_repeatable() -> None:
    """The same choices, one by one; another seed, others."""

    def choices(seed: int | None) -> list[str]:
        split = Split({"a": (idle, 1), "b": (idle, 1)}, seed=seed)
        return [split.choose(request_scope("/")) for _ in range(64)]

    assert choices(7) == choices(7)
    assert choices(7) != choices(8)


def test_sticky_by_header() -> None:
    """One value, one app; many values, the given proportion; without it, at random."""
    split = Split({"a": (idle, 80), "b": (idle, 20)}, sticky_header="x-user", seed=1)
    assert all(len(draw(split, 5, **{"x-user": f"u{i}"})) == 1 for i in range(50))
    users = Counter(
        split.choose(request_scope("/", headers={"x-user": f"u{i}"})) for i in range(5_000)
    )
    assert users["b"] / 5_000 == pytest.approx(0.2, abs=0.03)
    assert len(draw(split, 100)) == 2
    several = request_scope("/", headers=[("x-user", "1"), ("x-user", "2")])
    assert len({split.choose(several) for _ in range(100)}) == 2


def test_sticky_by_cookie(client: ClientFactory) -> None:
    """The first answer sets the cookie, below the mount; the next ones keep to it."""
    split = Split({"a": (app("a"), 1), "b": (app("b"), 1)}, sticky_cookie="lane", seed=3)
    with client(Dispatcher({"/api": split}), base_url="https://a.com") as c:
        first = c.get("/api/item/1")
        name = first.json()["state"]
        assert first.headers["set-cookie"] == (
            f"lane={name}; Path=/api; HttpOnly; SameSite=Lax; Secure"
        )
        for _ in range(10):
            again = c.get("/api/item/1")
            assert again.json()["state"] == name
            assert "set-cookie" not in again.headers
        with c.websocket_connect("wss://a.com/api/ws") as websocket:
            assert websocket.receive_text() == name


def test_the_path_of_the_cookie(client: ClientFactory) -> None:
    """Is one attribute, whatever a client writes in place of a placeholder."""
    split = Split({"a": (app("a"), 1)}, sticky_cookie="lane")
    with client(Dispatcher([Mount("/t/{tenant}", split)])) as c:
        answer = c.get("/t/x;Domain=example.com;Max-Age=9/item/1")
        assert answer.headers["set-cookie"] == (
            "lane=a; Path=/t/x%3BDomain=example.com%3BMax-Age=9; HttpOnly; SameSite=Lax"
        )


def test_a_cookie_that_names_no_app_is_replaced(client: ClientFactory) -> None:
    """So does one that is sent twice."""
    split = Split({"a": (app("a"), 1)}, sticky_cookie="lane")
    with client(Dispatcher({"/": split})) as c:
        for value in ("lane=gone", "lane=b; lane=c"):
            answer = c.get("/item/1", headers={"cookie": value})
            assert answer.headers["set-cookie"] == "lane=a; Path=/; HttpOnly; SameSite=Lax"


def test_each_app_has_its_own_lifespan_state_and_urls(client: ClientFactory) -> None:
    """WSGI apps included, which have neither."""
    flask = Flask("flask")
    flask.add_url_rule("/item/<id>", "item", lambda id: {"state": "flask", "url": "-"})
    split = Split({"a": (app("a"), 1), "b": (app("b"), 1)}, seed=1)
    with client(Dispatcher({"/api": split})) as c:
        seen = {tuple(c.get("/api/item/1").json().values()) for _ in range(30)}
    assert seen == {("a", "/api/item/1"), ("b", "/api/item/1")}
    Split({"flask": (flask, 1)})


def test_what_the_mount_shares(client: ClientFactory) -> None:
    """Each app sees it, when it starts and in each request."""

    @asynccontextmanager
    async def of_a_parent(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"pool": "the pool", "secret": "the parent's"}

    seen: list[Any] = []

    async def remember(scope: Any, receive: Any, send: Any) -> None:
        seen.append({key: scope["state"].get(key) for key in ("pool", "user", "secret")})
        if scope["type"] == "http":
            await PlainTextResponse()(scope, receive, send)

    class SignsIn:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope["state"]["user"] = "ada"
            await self.app(scope, receive, send)

    split = Split({"one": (remember, 1)})
    mount = Mount("/x", split, lifespan=Lifespan(share=["pool", "user"]))
    parent = Starlette(lifespan=of_a_parent)
    parent.add_middleware(DispatchMiddleware, mounts=[mount])
    parent.add_middleware(SignsIn)
    with client(parent) as c:
        assert c.get("/x/").status_code == 200
    started, served = seen
    assert started == {"pool": "the pool", "user": None, "secret": None}
    assert served == {"pool": "the pool", "user": "ada", "secret": None}


def test_the_composed_route_is_published(client: ClientFactory) -> None:
    """As for any other mount."""
    routes: list[str] = []
    inner = Dispatcher([Mount("/api", Split({"a": (app("a"), 1)}))])

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        if scope["type"] == "http":
            routes.append(scope["route"].path_format)

    with client(watch) as c:
        c.get("/api/item/1")
    assert routes == ["/api/item/{id}"]


@pytest.mark.parametrize(
    ("apps", "options", "message"),
    [
        pytest.param({"a": (idle, -1)}, {}, "Weight -1 of 'a' is not a number from 0; write e.g. 5.", id="negative"),
        pytest.param({"a": (idle, "5")}, {}, "Weight '5' of 'a' is not a number from 0; write e.g. 5.", id="text"),
        pytest.param({"a": (idle, float("inf"))}, {}, "Weight inf of 'a' is not a number from 0; write e.g. 5.", id="infinite"),
        pytest.param({"a": (idle, 0)}, {}, "No app of the split has a weight above 0; give one a weight.", id="all 0"),
        pytest.param({}, {}, "No app of the split has a weight above 0; give one a weight.", id="none"),
        pytest.param(
            {"a;b": (idle, 1)},
            {},
            "Name 'a;b' of an app cannot stand in a cookie; use letters, digits, '.', '_' and '-'.",
            id="name",
        ),
        pytest.param(
            {"a": (idle, 1)},
            {"sticky_cookie": "c", "sticky_header": "h"},
            "A split is sticky by a cookie or by a header; choose one.",
            id="both",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(apps: Any, options: Any, message: str) -> None:
    """With what to write instead."""
    with pytest.raises(PatternError) as caught:
        Split(apps, **options)
    assert str(caught.value) == message
