"""The scope of a mounted app: its own, whatever the parent's looks like and whoever mounts it."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import iscoroutinefunction
from hypothesis import event, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import Dispatcher, DispatchMiddleware, Mount
from mountkit.serving.sites import MOUNT, SITE
from tests.support.actors import Child
from tests.support.requests import by_hand
from tests.support.scopes import served_scope

pytestmark = pytest.mark.anyio

START: Message = {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]}
BODY: Message = {"type": "http.response.body", "body": b"x"}

SEGMENTS = st.sampled_from(
    ["a", "b", "ab", "", ".", "..", "a%2Fb", "%2e%2e", "%61", "é", "%00", "x", "a\\b"]
)
#: What servers may leave out.
OPTIONAL = ["asgi", "http_version", "scheme", "query_string", "raw_path", "client", "server"]
#: What middleware puts there, and is for every app below it.
PASSED = {"session": {"user": [1]}, "user": "u", "auth": "a", "myapp.key": ["x"]}
#: What routers leave there, and is for the parent alone.
LEFT = {
    "app": "the parent",
    "router": "its router",
    "route": "its route",
    "endpoint": "its endpoint",
    "app_root_path": "/outer",
    "path_params": {"above": 1},
    "fastapi": {"x": 1},
}


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    """Connections as servers, middleware and routers hand them on, of paths that are read in one
    way or in several."""
    raw = "/" + "/".join(draw(st.lists(SEGMENTS, max_size=4)))
    root_path = draw(st.sampled_from(["", "", "", "/root", "/root/"]))
    full = draw(st.sampled_from([root_path.rstrip("/") + raw, raw]))
    headers: Any = [(b"host", draw(st.sampled_from([b"a.com", b"A.com:80", b"b.com", b"x.a.com"])))]
    headers += draw(st.lists(st.sampled_from([(b"v", b"1"), (b"v", b"2")]), max_size=2))
    if draw(st.booleans()):
        headers = (*headers,)
    scope = served_scope(unquote(full), headers=headers, raw_path=full.encode())
    scope["root_path"] = root_path
    scope |= {key: copy.deepcopy(PASSED[key]) for key in draw(st.sets(st.sampled_from([*PASSED])))}
    scope |= {key: copy.deepcopy(LEFT[key]) for key in draw(st.sets(st.sampled_from([*LEFT])))}
    if draw(st.booleans()):
        scope["extensions"] = {"http.response.trailers": {}, "tls": {"chain": ["a", {"b": 1}]}}
    if draw(st.integers(0, 3)) == 0:
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": ["a", "b"]}
        if draw(st.booleans()):
            del scope["method"]
    for key in draw(st.sets(st.sampled_from([*OPTIONAL, "state"]), max_size=3)):
        del scope[key]
    if draw(st.integers(0, 5)) == 0:
        scope["raw_path"] = draw(st.sampled_from([None, b""]))
    return scope


MOUNTS = st.lists(
    st.tuples(
        st.sampled_from(["", "/a", "/b", "/a/b", "/{name}", "/a/{name}", "/é"]),
        st.sampled_from([None, None, None, "a.com", "{tenant}.a.com"]),
        st.sampled_from([None, None, {"v": "1"}]),
    ),
    min_size=1,
    max_size=4,
    unique_by=repr,
)
CONVENTIONS = st.sampled_from([None, "spec", "strip", "none", "whole"])
ENDS: dict[str, tuple[list[Message], Callable[[], BaseException | None]]] = {
    "answers": ([START, BODY], lambda: None),
    "says nothing": ([], lambda: None),
    "raises": ([], lambda: ValueError("boom")),
    "raises after the start": ([START], lambda: ValueError("boom")),
    "exits": ([], lambda: SystemExit(3)),
    "refuses": ([], lambda: HTTPException(418)),
}


async def no_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes what no mount takes."""


def as_dispatcher(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts, default=no_app)


def as_middleware(mounts: list[Mount]) -> ASGIApp:
    return DispatchMiddleware(no_app, mounts)


def as_routes(mounts: list[Mount]) -> ASGIApp:
    return Router([Mount("", routes=mounts)], default=no_app, redirect_slashes=False)


def as_routes_of_a_mount(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher([Mount("", routes=mounts)])


PLACES = [as_dispatcher, as_middleware, as_routes, as_routes_of_a_mount]


def made(paths: list[Any], app: ASGIApp, convention: Any = None) -> list[Mount]:
    mounts = []
    for path, host, headers in paths:
        mount = Mount(path, app, host=host, headers=headers, convention=convention)
        assert mount.child is not None
        mount.child.run.state["app"] = "own"
        mounts.append(mount)
    return mounts


def seen_in(place: Any, paths: list[Any], given: Scope, how: Any) -> list[Scope]:
    """The scopes of the app, less what names the place."""
    child = Child([], None)
    by_hand(place(made(paths, child, how)), copy.deepcopy(given))
    return [
        {key: value for key, value in scope.items() if key not in (SITE, MOUNT)}
        for scope in child.scopes
    ]


@settings(max_examples=120, deadline=None)
@given(scopes(), MOUNTS, CONVENTIONS)
def test_the_scope_is_the_same_in_every_place(
    given_scope: Scope, paths: list[Any], convention: Any
) -> None:
    """In a dispatcher, in front of an app, among routes, and among the routes of a mount."""
    expected, *others = [seen_in(place, paths, given_scope, convention) for place in PLACES]
    event("taken" if expected else "not taken")
    for place, found in zip(PLACES[1:], others, strict=True):
        assert found == expected, place


@settings(max_examples=100, deadline=None)
@given(scopes(), MOUNTS, st.sampled_from(sorted(ENDS)))
def test_the_end_is_the_same_in_a_dispatcher_and_in_front(
    given_scope: Scope, paths: list[Any], end: str
) -> None:
    """The same answer or exception, the same route left, the same health."""
    for key in ("app", "router"):  # without handlers of a parent
        given_scope.pop(key, None)
    outcomes = []
    for place in (as_dispatcher, as_middleware):
        messages, error = ENDS[end]
        mounts = made(paths, Child(messages, error()))
        scope = copy.deepcopy(given_scope)
        answer = by_hand(place(mounts), scope)
        route = scope.get("route")
        left = getattr(route, "path_format", None), getattr(route, "name", None)
        answered = [mount.health.answered for mount in mounts]
        outcomes.append((answer, left if any(answered) else None, answered))
    assert outcomes[0] == outcomes[1]


def spoil(value: Any) -> None:
    """Change everything that can be changed, as deep as it goes."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            spoil(inner)
        value.clear()
        value["spoiled"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value[:] = ["spoiled"]


async def vandal(scope: Scope, receive: Receive, send: Send) -> None:
    """Changes all that is its own: what middleware above has put there is shared by design."""
    for key in (
        "asgi", "headers", "extensions", "state", "subprotocols", "path_params", "mountkit.params"
    ):  # fmt: skip
        spoil(scope.get(key))
    scope.clear()


@settings(max_examples=120, deadline=None)
@given(scopes(), MOUNTS, CONVENTIONS)
def test_what_an_app_does_to_its_scope_reaches_nobody(
    given_scope: Scope, paths: list[Any], convention: Any
) -> None:
    """Neither the parent nor the app that is asked next."""
    for place in PLACES:
        scope = copy.deepcopy(given_scope)
        for _ in range(2):
            by_hand(place(made(paths, vandal, convention)), scope)
        for key in ("route", "router", SITE):  # for logs and traces, of Starlette, of the app below
            if key not in given_scope:
                scope.pop(key, None)
        assert {**scope, "route": 0} == {**given_scope, "route": 0}, place
        expected = seen_in(place, paths, given_scope, convention)
        assert seen_in(place, paths, scope, convention) == expected, place


def seen(scope: Scope, **options: Any) -> Scope:
    """What an app at `/a` sees."""
    child = Child([START, BODY], None)
    assert by_hand(Dispatcher([Mount("/a", child, **options)]), scope) == ([START, BODY], None)
    return child.scopes[0]


@pytest.mark.parametrize("key", PASSED)
def test_what_middleware_has_put_there_is_passed_on(key: str) -> None:
    """The very same: a change of the session is seen above."""
    value = copy.deepcopy(PASSED[key])
    assert seen(served_scope("/a/x", **{key: value}))[key] is value


@pytest.mark.parametrize("key", LEFT)
def test_what_routers_have_left_there_is_not(key: str) -> None:
    """It would make the app generate its parent's URLs, or take its parent's parameters."""
    assert key not in seen(served_scope("/a/x", **{key: copy.deepcopy(LEFT[key])}))


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_a_server_has_left_out_is_there(kind: str) -> None:
    """With the defaults of the ASGI spec, as some frameworks fail without."""
    scope: Scope = {"type": kind, "path": "/a/é", "headers": []}
    if kind == "http":
        scope["method"] = "GET"
    found = seen(scope)
    expected = {
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": {"http": "http", "websocket": "ws"}[kind],
        "query_string": b"",
        "client": None,
        "server": None,
        "root_path": "/a",
        "path": "/a/é",
        "raw_path": b"/a/%C3%A9",
        "state": {},
    }
    if kind == "websocket":
        expected["subprotocols"] = []
    assert found.items() >= expected.items()


def test_the_bare_prefix_has_a_slash() -> None:
    """Some frameworks fail on an empty path."""
    found = seen(served_scope("/a"))
    assert (found["path"], found["raw_path"]) == ("/a/", b"/a/")


async def test_receive_and_send() -> None:
    """`receive` is the server's own, and `send` passes as a coroutine function: asgiref warns of
    another, and Channels with it."""
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend((receive, iscoroutinefunction(send)))
        await send(START)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        found.append(message)

    for place in PLACES:
        found.clear()
        await place([Mount("/a", app)])(served_scope("/a/x"), receive, send)
        assert found[0] is receive
        assert found[1:] == [True, START]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_nothing_of_a_request_is_left_to_the_garbage_collector(place: Any) -> None:
    """A server's own object, which holds the scope and is behind its `send`, goes at once."""

    class Cycle:
        def __init__(self) -> None:
            self.scope = served_scope("/a/x")

        async def receive(self) -> Message:
            return {"type": "http.request"}

        async def send(self, message: Message) -> None:
            """To the client."""

    app = place([Mount("/a", Starlette())])
    gc.disable()
    try:
        cycle = Cycle()
        left = weakref.ref(cycle)
        await app(cycle.scope, cycle.receive, cycle.send)
        del cycle
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("raw_path", "left"),
    [
        pytest.param("/bücher/a%2Fb".encode(), b"/a%2Fb", id="raw"),
        pytest.param(b"/b%C3%BCcher/a%2Fb", b"/a%2Fb", id="encoded"),
        pytest.param(b"/x/a/b", b"/a/b", id="of-another-path"),
    ],
)
def test_a_prefix_is_cut_from_a_raw_path_however_it_is_spelled(
    raw_path: bytes, left: bytes
) -> None:
    """granian leaves UTF-8 in it as it came."""
    mount = Mount("/bücher", Child([], None), convention="strip")
    scope = served_scope("/bücher/a/b", raw_path=raw_path)
    found = Dispatcher([mount]).table.resolve(scope)
    assert found is not None
    assert mount.preview(found, scope)[0]["raw_path"] == left
