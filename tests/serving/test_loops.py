"""Apps that want their prefix without a slash, and redirect from the one with it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount
from tests.support.clients import ClientFactory
from tests.support.logs import logged


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/":
        start_response("301 Moved", [("Location", environ["SCRIPT_NAME"])])
        return []
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']!r} {environ['PATH_INFO']!r}".encode()]


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == scope["root_path"] + "/":
        await RedirectResponse("../" + scope["root_path"].rpartition("/")[2])(scope, receive, send)
    else:
        text = f"{scope['root_path']!r} {scope['path']!r} {scope['raw_path']!r}"
        await PlainTextResponse(text)(scope, receive, send)


class Answering:
    """An app that gives these answers, one after the other, the last for ever."""

    def __init__(self, *answers: tuple[int, str | None]) -> None:
        self.answers = [*answers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, location = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = [] if location is None else [(b"location", location.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body"})


def told(caplog: pytest.LogCaptureFixture) -> int:
    return sum("redirects '/sub/' to '/sub'" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("prefix", ["/sub", "/é", "/outer/sub"])
@pytest.mark.parametrize("exact", [False, True], ids=["prefix", "exact"])
def test_a_bare_prefix(
    client: ClientFactory, caplog: pytest.LogCaptureFixture, prefix: str, exact: bool
) -> None:
    """Reaches the app as it is, and nothing is told."""
    app = Dispatcher([Mount(prefix, wsgi, exact=exact, redirect_slashes="bare")])
    response = client(app).get(prefix, headers={"sec-fetch-mode": "navigate"})
    script_name = prefix.encode().decode("latin-1")
    assert (response.status_code, response.text) == (200, f"{script_name!r} ''")
    assert logged(caplog) == []


def test_the_bare_prefix_of_asgi(client: ClientFactory) -> None:
    """Is `path`, `raw_path` and `root_path`; the root keeps its slash."""
    app = Dispatcher([Mount("/sub", asgi, redirect_slashes="bare")])
    assert client(app).get("/sub/").text == "'/sub' '/sub' b'/sub'"
    root = Dispatcher([Mount("/", wsgi, redirect_slashes="bare")])
    assert client(root).get("/", follow_redirects=False).status_code == 301


@pytest.mark.parametrize("app", [wsgi, asgi], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("redirect_slashes", [True, False, "navigate"])
def test_a_loop(caplog: pytest.LogCaptureFixture, app: Any, redirect_slashes: Any) -> None:
    """Is told once, with what to write."""
    mount = Mount("/sub", app, redirect_slashes=redirect_slashes)
    client = TestClient(Dispatcher([mount]), headers={"sec-fetch-mode": "navigate"})
    for path in ("/sub/", "/sub", "/sub/?x=1"):
        with pytest.raises(httpx2.TooManyRedirects):
            client.get(path)
    assert told(caplog) == 1
    assert "write redirect_slashes='bare'" in caplog.text


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(302, "/sub"), (200, None)] * 3, id="a-cookie-first"),
        pytest.param([(302, "/sub/login")], id="below"),
        pytest.param([(302, "/sub?next=1")], id="another-query"),
        pytest.param([(302, "http://[")], id="no-url"),
        pytest.param([(404, None)], id="no-redirect"),
    ],
)
def test_no_loop(caplog: pytest.LogCaptureFixture, answers: Any) -> None:
    """Is told."""
    client = TestClient(Dispatcher([Mount("/sub", Answering(*answers))]), follow_redirects=False)
    for _ in range(6):
        client.get("/sub/")
    assert told(caplog) == 0


def test_the_root(caplog: pytest.LogCaptureFixture) -> None:
    """Has no other form."""
    for answer in ((404, None), (302, "http://testserver")):
        client = TestClient(Dispatcher({"/": Answering(answer)}), follow_redirects=False)
        for _ in range(6):
            client.get("/")
    assert logged(caplog) == []
