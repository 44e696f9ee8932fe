"""What a dispatcher does by itself for most requests is what it does step by step for all others."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.lowlevel
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Message, Receive, Scope, Send

from mountkit import Dispatcher, Mount, Resolution, TimeoutMiddleware
from mountkit.serving import scopes
from mountkit.serving.sites import SITE
from tests.support.actors import Child
from tests.support.requests import by_hand
from tests.support.scopes import served_scope

pytestmark = pytest.mark.anyio

START: Message = {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]}
BODY: Message = {"type": "http.response.body", "body": b"x"}


class Outcome:
    """All that can be seen of a request."""

    def __init__(self, quick: bool, paths: list[Any], given: Scope, child: Child) -> None:
        mounts = [Mount(path, child, host=host, headers=headers) for path, host, headers in paths]
        for mount in mounts:
            mount.is_quick &= quick
            assert mount.child is not None
            mount.child.run.state["app"] = "own"
        self.app = app = Dispatcher(mounts)
        # The first request teaches the dispatcher how its server's scopes look.
        by_hand(
            app,
            served_scope("/none") | {key: given[key] for key in ("extensions",) if key in given},
        )
        child.scopes.clear()
        for mount in mounts:
            mount.traffic.answers[:] = [0] * 6
        scope = copy.deepcopy(given)
        found = app.table.decide(scope)
        self.chosen = [found.mount.label] if isinstance(found, Resolution) else []
        self.answer = by_hand(app, scope)
        route = scope.pop("route", None)
        self.route = route and (route.path_format, route.name, route.endpoint)
        self.scope = scope
        self.child_scopes = child.scopes[:]
        self.sites = [own.pop(SITE)[1:] for own in child.scopes]
        child.scopes.clear()
        self.health = [(h.mount, h.in_flight, h.answered, h.error) for h in app.health]


SEGMENTS = st.sampled_from(
    ["a", "b", "ab", "", ".", "..", "a%2Fb", "%2e%2e", "%61", "é", "%00", "x", "a\\b"]
)


@st.composite
def requests(draw: st.DrawFn) -> Scope:
    """Requests as servers make them, of paths that are read in one way or in several."""
    raw = "/" + "/".join(draw(st.lists(SEGMENTS, max_size=4)))
    root_path = draw(st.sampled_from(["", "", "", "/root", "/root/"]))
    full = draw(st.sampled_from([root_path.rstrip("/") + raw, raw]))
    headers = [(b"host", draw(st.sampled_from([b"a.com", b"A.com:80", b"b.com", b"x.a.com"])))]
    headers += draw(st.lists(st.sampled_from([(b"v", b"1"), (b"v", b"2")]), max_size=2))
    changes: dict[str, Any] = {"raw_path": full.encode(), "root_path": root_path}
    changes |= draw(
        st.sampled_from(
            [
                {},
                {},
                {"extensions": {"http.response.trailers": {}}},
                {"session": {"user": 1}},
                {"raw_path": None},
                {"raw_path": b""},
                {"headers": (*map(tuple, headers),)},
                {"path_params": {"above": 1}},
                {"app": "the parent", "router": "its router"},
            ]
        )
    )
    return served_scope(unquote(full), **{"headers": headers, **changes})


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
ENDS: dict[str, tuple[list[Message], Callable[[], BaseException | None]]] = {
    "answers": ([START, BODY], lambda: None),
    "says nothing": ([], lambda: None),
    "raises": ([], lambda: ValueError("boom")),
    "raises after the start": ([START], lambda: ValueError("boom")),
    "exits": ([], lambda: SystemExit(3)),
    "refuses": ([], lambda: HTTPException(418)),
}


@settings(max_examples=400, deadline=None)
@given(requests(), MOUNTS, st.sampled_from(sorted(ENDS)))
def test_twin(given_scope: Scope, paths: list[Any], end: str) -> None:
    """The same answer, the same scope for the app, the same left in that of the parent, and the
    same taken down, for any request and any mounts."""
    messages, error = ENDS[end]
    logging.disable()
    try:
        quick, slow = (
            Outcome(is_quick, paths, given_scope, Child(messages, error()))
            for is_quick in (True, False)
        )
    finally:
        logging.disable(logging.NOTSET)
    event("taken" if quick.child_scopes else "not taken")
    for name in ("answer", "route", "child_scopes", "sites", "health"):
        assert getattr(quick, name) == getattr(slow, name), name
    for outcome in (quick, slow):
        assert [mount for mount, _, answered, _ in outcome.health if answered] == outcome.chosen
        assert outcome.scope == given_scope
        for own in outcome.child_scopes:
            assert own["state"] == {"app": "own"}
            assert own["headers"] is not outcome.scope["headers"]


@contextmanager
def counted_serves(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests that have gone the long way."""
    paths: list[str] = []
    serve = Mount.serve

    async def counting(self: Mount, found: Any, scope: Scope, *rest: Any) -> None:
        paths.append(scope["path"])
        await serve(self, found, scope, *rest)

    monkeypatch.setattr(Mount, "serve", counting)
    yield paths


@pytest.mark.parametrize(
    ("mounts", "path", "changes"),
    [
        (["/a"], "/a/x", {}),
        (["/a"], "/a/x", {"extensions": {"http.response.pathsend": {}}}),
        (["/a/b"], "/a/b/x", {}),
        (["/a"], "/root/a/x", {"root_path": "/root"}),
        (["/t/{tenant}", "/a"], "/t/acme/x", {}),
    ],
    ids=["a segment", "extensions", "segments", "a root path", "a placeholder"],
)
async def test_most_requests_take_the_short_way(
    mounts: list[str], path: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the first: it shows how the scopes of this server look."""
    child = Child([START, BODY], None)
    app = Dispatcher([Mount(mount, child) for mount in mounts])
    with counted_serves(monkeypatch) as paths:
        for _ in range(5):
            by_hand(app, served_scope(path, **changes))
    assert len(paths) == 1
    assert len(child.scopes) == 5


@pytest.mark.parametrize(
    "key", ["app", "session", "path_params", SITE, "starlette.opentelemetry", "fastapi.telemetry"]
)
async def test_keys_of_a_parent_take_the_long_way(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often they come."""
    app = Dispatcher([Mount("/a", Child([START, BODY], None))])
    value: Any = {"x": 1} if key == "path_params" else (app, None, "") if key == SITE else None
    with counted_serves(monkeypatch) as paths:
        for _ in range(3):
            by_hand(app, served_scope("/a/x", **{key: value}))
    assert len(paths) == 3


async def test_nothing_leads_from_a_request_to_itself() -> None:
    """What is left in a scope does not hold the server's `send`, which may hold the scope; and what
    an app sends after its end goes nowhere."""
    late: list[Send] = []

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(BODY)
        late.append(send)

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = Dispatcher([Mount("/a", child)])
    for _ in range(2):  # the long way and the short one
        scope = served_scope("/a/x")
        await app(scope, receive, send)
        assert scope["route"].server_send is not send
        await late[-1](BODY)
    assert sent == [START, BODY] * 2


async def test_a_cut_on_the_short_way(anyio_backend_name: str) -> None:
    """A request that is cut while it waits is answered, and one that ends well all the same is
    not cancelled afterwards."""
    entered = 0

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal entered
        entered += 1
        try:
            await anyio.sleep_forever()
        except BaseException:
            if not scope["path"].endswith("stubborn") or anyio_backend_name == "trio":
                raise
        await asyncio.sleep(0)
        await send(START)
        await send(BODY)

    mount = Mount("/a", stubborn)
    app = Dispatcher([mount])
    by_hand(Dispatcher([Mount("/a", Child([], None))]), served_scope("/a/x"))
    answers: list[Any] = []
    after: list[str] = []

    async def ask(path: str) -> None:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        await app(served_scope(path), receive, send)
        answers.append((path, sent[0]["status"]))
        await anyio.lowlevel.checkpoint()
        after.append(path)

    app._usual_keys = [*served_scope("/a")]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "/a/x")
        tasks.start_soon(ask, "/a/stubborn")
        while entered < 2:
            await asyncio.sleep(
                0
            ) if anyio_backend_name == "asyncio" else await anyio.lowlevel.checkpoint()
        await app.remove(mount, drain_timeout=0)
    stubborn_status = 201 if anyio_backend_name == "asyncio" else 503
    assert sorted(answers) == [("/a/stubborn", stubborn_status), ("/a/x", 503)]
    assert sorted(after) == ["/a/stubborn", "/a/x"]


async def test_shapes_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A middleware above may make up keys."""
    monkeypatch.setattr("mountkit.serving.scopes._MOST_SHAPES", 5)
    monkeypatch.setattr("mountkit.serving.scopes._shapes", {})
    child = Child([START, BODY], None)
    app = Dispatcher([Mount("/a", child)])
    for number in range(20):
        by_hand(app, served_scope("/a/x", **{f"key{number}": number}))
        assert len(scopes._shapes) <= 5
    assert all(len(scope) == len(child.scopes[0]) for scope in child.scopes)


def test_limits_need_an_event_loop() -> None:
    """Outside of one there is no time."""
    app = Dispatcher(
        [
            Mount(
                "/a",
                Child([START, BODY], None),
                middleware=[Middleware(TimeoutMiddleware, total=1)],
            )
        ]
    )
    sent, error = by_hand(app, served_scope("/a/x"))
    assert sent[0]["status"] == 500
    assert error is None
