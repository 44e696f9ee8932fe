"""What an access log says of mounts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import AccessFilter, Dispatcher, Lifespan, Mount, Split
from tests.support.actors import Flaky

logger = logging.Logger("access", logging.INFO)  # which no configuration knows


class Records(logging.Handler):
    """What its formatter would get."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def emit(self, record: Any) -> None:
        self.found.append((record.mount, record.host, record.tenant))


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Server:
    """Writes its access log as uvicorn does: when the response starts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                logger.info("access")
            await send(message)

        await self.app(scope, receive, send_logged)


def answer(scope_state: Any = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope_state is not None:
            scope["state"]["tenant"] = scope_state
        await PlainTextResponse("x")(scope, receive, send)

    return app


def off(path: str, app: Any, **options: Any) -> Mount:
    return Mount(path, app, lifespan="off", **options)


PLAIN = answer()
INNER = Dispatcher([off("/", PLAIN), off("/b", PLAIN), off("/v/{version}", PLAIN)])


@pytest.mark.parametrize(
    ("app", "url", "expected"),
    [
        pytest.param(Dispatcher([off("/a", PLAIN)]), "/a/x", "/a", id="prefix"),
        pytest.param(Dispatcher([off("/", PLAIN)]), "/x", "/", id="root"),
        pytest.param(Dispatcher([off("/", PLAIN, host="*.com")]), "/", "*.com/", id="host"),
        pytest.param(Dispatcher([off("/a", INNER)]), "/a/b/", "/a/b", id="nested"),
        pytest.param(Dispatcher([off("/", INNER)]), "/b/", "/b", id="nested at the root"),
        pytest.param(Dispatcher([off("/a", INNER)]), "/a/x", "/a", id="root in a mount"),
        pytest.param(
            Dispatcher([off("/a", INNER)]), "/a/v/2/", "/a/v/{version}", id="placeholder below"
        ),
        pytest.param(Dispatcher([], default=PLAIN), "/x", "default", id="default"),
        pytest.param(Dispatcher([off("/a", Split({"one": (PLAIN, 1)}))]), "/a/", "/a", id="split"),
        pytest.param(Split({"one": (INNER, 1)}), "/b/", "/b", id="below a split"),
        pytest.param(Dispatcher([off("/a", PLAIN)]), "/b", "-", id="nothing"),
        pytest.param(Starlette(routes=[off("/a", PLAIN)]), "/a/", "/a", id="among routes"),
        pytest.param(Starlette(), "/", "-", id="no mounts"),
    ],
)
def test_mount(app: ASGIApp, url: str, expected: str, records: Records) -> None:
    """As it is written."""
    records.addFilter(AccessFilter())
    TestClient(Server(app), "http://acme.com:81").get(url)
    assert records.found == [(expected, "acme.com", "-")]


def test_answers_of_the_mount_itself(records: Records) -> None:
    """A redirect and a 503 belong to it too."""
    records.addFilter(AccessFilter())
    failing = Mount("/bad", Flaky(10**6), lifespan=Lifespan(on_failure="isolate"))
    with TestClient(Server(Dispatcher([off("/a", PLAIN), failing]))) as client:
        headers = {"sec-fetch-mode": "navigate"}
        assert client.get("/a", headers=headers, follow_redirects=False).status_code == 307
        assert client.get("/bad/").status_code == 503
    assert [mount for mount, _, _ in records.found] == ["/a", "/bad"]


@dataclass
class Tenant:
    slug: str
    secret: str = "s3cret"

    @property
    def lazy(self) -> str:
        raise RuntimeError("no session")


@pytest.mark.parametrize(
    ("mount", "options", "expected"),
    [
        pytest.param(off("/", answer("blue")), {}, "blue", id="text"),
        pytest.param(off("/", answer(7)), {}, "7", id="number"),
        pytest.param(off("/", answer(Tenant("blue"))), {"tenant": "slug"}, "blue", id="attribute"),
        pytest.param(off("/", answer("a\nb")), {}, r"'a\nb'", id="two lines"),
        pytest.param(off("/{tenant}", PLAIN), {}, "x", id="placeholder"),
        pytest.param(off("/{tenant}", answer("blue")), {}, "blue", id="state and placeholder"),
        pytest.param(off("/{shop}", PLAIN), {"state_key": "shop"}, "x", id="key"),
        pytest.param(off("/", PLAIN), {}, "-", id="none"),
        pytest.param(
            off("/", answer(Tenant("a"))), {"tenant": "lazy"}, repr(Tenant("a")), id="raises"
        ),
    ],
)
def test_tenant(mount: Mount, options: dict[str, str], expected: str, records: Records) -> None:
    """In one line; what its code raises does not end the request."""
    records.addFilter(AccessFilter(**options))
    assert TestClient(Server(Dispatcher([mount]))).get("/x").status_code == 200
    assert [tenant for _, _, tenant in records.found] == [expected]


def test_a_host_that_is_none(records: Records) -> None:
    """It is not written: it may be anything."""
    records.addFilter(AccessFilter())
    TestClient(Server(PLAIN)).get("/", headers={"host": "a b"})
    assert records.found == [("-", "-", "-")]


def test_a_record_of_no_request(records: Records) -> None:
    """It has the attributes too, as the format names them."""
    records.addFilter(AccessFilter())
    logger.info("started")
    assert records.found == [("-", "-", "-")]
