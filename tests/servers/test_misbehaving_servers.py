"""Apps that misbehave, on real servers and over raw sockets.

Whatever an app does that is contained and checked: its neighbours answer afterwards, the server
lives, no client sees two responses to one request, and nothing of an app's gets into the head of a
response but its headers. Whatever any app raises: its neighbours answer, and the server lives.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support import raw
from tests.support.apps.misbehaving import HTTP, WEBSOCKET
from tests.support.raw import Response
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

BAD = [("X-Table", "bad")]

# The app has answered, as it should or nearly so.
ANSWERED = {
    "raise-after-end",
    "exit-after-end",
    "answers-twice",
    "body-after-end",
    "ends-at-once",
    "runs-on",
    "swallowing",
    "trailers-unasked",
    "headers-huge",
    "changes-afterwards",
    "length-twice-alike",
    "chunked",
    "receives-on",
    "returns-something",
    "leaks-a-task",
    "blocks",
}
# It had started to, and cannot be answered for: the connection is broken. granian, which waits with
# the start for the body, answers 500.
BROKEN = {
    *("raise-after-start", "raise-after-part", "exit-after-start", "ctrl-c-after-start"),
    *("generator-exit-after-start", "cancelled-after-start", "unspeakable-after-start"),
    *("no-end", "start-only", "start-twice", "start-between", "unknown-type-after-start"),
    *("length-too-long", "length-too-short", "body-text", "body-none", "body-number"),
}
# `HTTPException` is an answer of the app above, where the server alone checks it.
REFUSED_BY_SERVERS = {"http-exception-injects"}
OTHERS = {"http-exception": 418, "status-204-body": 204, "status-304-body": 304}


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server in turn, each in one process for all of this."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    with serve(name, "tests.support.apps.faults:app") as running:
        yield running
        assert running.process.poll() is None, running.output


def ran(server: Server) -> list[str]:
    """Which apps have run since it was asked last."""
    response = raw.ask(server.port)
    assert response is not None
    found: list[str] = response.json()
    return found


def check_neighbour(server: Server) -> None:
    response = raw.ask(server.port, "/well/x", headers=BAD)
    assert response is not None
    assert (response.status, response.json()["app"]) == (200, "well")


def check_start(response: Response) -> None:
    """Nothing was put into the head."""
    assert not response.values("set-cookie"), response
    assert not response.values("x-injected"), response


@pytest.mark.parametrize("fault", HTTP)
def test_requests(server: Server, fault: str) -> None:
    """A second request waits on the connection: it is its neighbour's, if the connection is still
    there, and finds no bytes of the first answer."""
    bad = raw.request(f"/bad/{fault}", headers=BAD, keep_alive=True)
    well = raw.request("/well", headers=BAD)
    if fault in REFUSED_BY_SERVERS:
        # hypercorn on trio ends if a client sends on after its "Connection: close".
        alone = raw.request(f"/bad/{fault}", headers=BAD)
        for response in raw.responses(raw.exchange(server.port, alone)):
            check_start(response)
        check_neighbour(server)
        return
    found = raw.responses(raw.exchange(server.port, bad + well))
    first, *others = found
    check_start(first)
    if fault in ANSWERED:
        assert (first.status, first.body, first.is_whole) == (200, b"ok", True)
    elif fault == "body-missing":
        assert (first.status, first.body, first.is_whole) == (200, b"", True)
    elif fault in BROKEN:
        assert first.status == 500 or (not first.is_whole and others == [])
    elif fault == "concurrent":  # who is first is chance
        assert first.status == 200
    else:
        assert first.status == OTHERS.get(fault, 500)
        assert first.is_whole
    for response in others:
        assert (response.status, response.json()["app"]) == (200, "well")
    check_neighbour(server)


# A handshake that was not accepted: 500, or 403 where the server cannot say it.
FAILED = (500, 403)
HANDSHAKES = {"close": (403,), "http-answer": (200, 403), "denial-then-accept": (403,)}
HANDSHAKES |= {"denial-start-only": (403,)}
REFUSED = {
    *("raise", "exit", "ctrl-c", "generator-exit", "cancelled", "unspeakable", "silent", "http-body"),
    *("text-first", "unknown-type", "accept-header-crlf", "accept-header-text"),
    *("accept-subprotocol-crlf", "denial-body-first", "denial-crlf", "denial-status-text"),
}  # fmt: skip
CLOSED_BY_THE_APP = {"close-twice", "send-after-close", "raise-after-close", "huge"}


@pytest.mark.parametrize("fault", WEBSOCKET)
def test_websockets(server: Server, fault: str) -> None:
    """Turned away before they are accepted, closed with 1011 afterwards."""
    found = raw.websocket(server.port, f"/bad/{fault}", BAD)
    assert b"injected" not in found.head
    if fault in HANDSHAKES or fault in REFUSED:
        assert found.status in HANDSHAKES.get(fault, FAILED)
    else:
        code = 1000 if fault in CLOSED_BY_THE_APP else 1011
        assert (found.status, found.code) == (101, code)
    if fault in ("silent-after-text", "huge"):
        assert [opcode for opcode, _ in found.frames] == [1, 8]
    check_neighbour(server)


BARE = [("X-Table", "bare")]
RAISES = ("raise", "exit", "ctrl-c", "generator-exit", "cancelled", "group", "base", "recursion")
RAISES += ("memory", "stop-async", "unspeakable", "not-awaitable")


@pytest.mark.parametrize("fault", [name for name in HTTP if name.startswith(RAISES)])
def test_what_an_app_raises_by_default(server: Server, fault: str) -> None:
    """Is the server's to answer, and ends neither it nor the requests of others."""
    response = raw.ask(server.port, f"/bad/{fault}", headers=BARE)
    if fault.endswith("-after-end"):
        assert response is not None
        assert (response.status, response.body) == (200, b"ok")
    else:
        assert response is None or response.status == 500 or not response.is_whole
    check_neighbour(server)


@pytest.mark.parametrize("fault", [name for name in WEBSOCKET if name.startswith(RAISES)])
def test_what_an_app_raises_in_a_websocket_by_default(server: Server, fault: str) -> None:
    """The same."""
    found = raw.websocket(server.port, f"/bad/{fault}", BARE)
    assert found.status in ((101,) if "-after-" in fault else (0, *FAILED))
    check_neighbour(server)


LIMITED = [("X-Table", "limited")]


@pytest.mark.parametrize(("target", "statuses"), [("/never", [504]), ("/stubborn", [200, 504])])
def test_no_answer(server: Server, target: str, statuses: list[int]) -> None:
    """One answer, after the mount's time, even if the app does not heed its end."""
    response = raw.ask(server.port, target, headers=LIMITED)
    assert response is not None
    assert response.status in statuses
    check_neighbour(server)


def test_no_end(server: Server) -> None:
    """A stream beyond its time is broken off, without what would look like its end."""
    [response] = raw.responses(
        raw.exchange(server.port, raw.request("/never-ends", headers=LIMITED, keep_alive=True))
    )
    if response.status != 504:  # a slow machine has not even begun by then
        assert (response.status, response.body, response.is_whole) == (200, b"o", False)
    check_neighbour(server)


def test_a_full_mount(server: Server) -> None:
    """503 for one more, and its neighbours serve."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(raw.request("/full", headers=LIMITED))
        wait_until(lambda: "waits" in ran(server))
        response = raw.ask(server.port, "/full", headers=LIMITED)
        assert response is not None
        assert (response.status, response.values("retry-after")) == (503, ["1"])
        check_neighbour(server)
        raw.ask(server.port, headers=[("X-Table", "release")])


def test_all_of_these_are_kinds_of_fault() -> None:
    """Each is a fault of the list, or of its kind; 28 and more."""
    assert {*ANSWERED, *BROKEN, *OTHERS} < {*HTTP}
    assert {*HANDSHAKES, *REFUSED, *CLOSED_BY_THE_APP} < {*WEBSOCKET}
    assert len(HTTP) + len(WEBSOCKET) > 28
