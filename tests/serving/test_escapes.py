"""Requests of pages of a mounted app for what is outside of its prefix."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from mountkit import Dispatcher, DispatchMiddleware, Mount
from tests.support.clients import ClientFactory
from tests.support.logs import logged
from tests.support.stand_ins import WsgiDAVApp, stand_in

PAGE = "http://testserver/dash/page?x=1"
MESSAGE = (
    "asked for '/_assets/app.js', which is outside of its prefix and does not exist: a URL on it "
    "lacks the prefix. Tell the app its prefix"
)


def page() -> Any:
    return PlainTextResponse("page")


def mounts() -> list[Mount]:
    return [
        Mount("/dash", page()),
        Mount("/käse", page()),
        Mount("", page(), host="root.com"),
        Mount("/outer", Dispatcher({"/in": page()})),
    ]


def dispatcher(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts)


def default(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts, default=Starlette(routes=[Route("/found", page())]))


def middleware(mounts: list[Mount]) -> ASGIApp:
    app = Starlette(routes=[Route("/found", page())])
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """The warnings."""
    caplog.set_level(logging.WARNING, "mountkit")

    def said() -> list[str]:
        return [r.getMessage() for r in logged(caplog) if r.name == "mountkit"]

    return said


@pytest.mark.parametrize("make", [dispatcher, default, middleware])
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_the_app_is_named_once(client: ClientFactory, said: Any, make: Any, root_path: str) -> None:
    """With the path that it has asked for, and where it is mounted."""
    session = client(make(mounts()), root_path=root_path)
    referer = f"http://testserver{root_path}/dash/page"
    for name in ("app", "other"):
        url = f"{root_path}/_assets/{name}.js"
        assert session.get(url, headers={"referer": referer}).status_code == 404
    [message] = said()
    assert message.startswith("A page of the app mounted at '/dash' (")
    assert MESSAGE.replace("/_assets", f"{root_path}/_assets") in message


def test_each_app_is_named(client: ClientFactory, said: Any) -> None:
    """Whatever its prefix is written like; one in another dispatcher is its own to name."""
    session = client(Dispatcher(mounts()))
    for referer in ("/dash", "/k%C3%A4se/", "/outer/in/x"):
        session.get("/x", headers={"referer": f"http://testserver{referer}"})
    session.get("/outer/x", headers={"referer": "http://testserver/outer/in/x"})
    assert [message.split("'")[1] for message in said()] == ["/dash", "/käse", "/outer", "/in"]


@pytest.mark.parametrize(
    ("url", "referer"),
    [
        pytest.param("/_assets/app.js", None, id="none"),
        pytest.param("/_assets/app.js", "http://testserver/elsewhere", id="no-mount"),
        pytest.param("/_assets/app.js", "http://other.com/dash/", id="other-host"),
        pytest.param("/_assets/app.js", "http://testserver", id="no-path"),
        pytest.param("/_assets/app.js", "about:blank", id="no-url"),
        pytest.param("/_assets/app.js", "http://[", id="improper"),
        pytest.param("/dash/missing", PAGE, id="below"),
    ],
)
def test_what_says_nothing(client: ClientFactory, said: Any, url: str, referer: str | None) -> None:
    """A 404 like any other."""
    headers = {} if referer is None else {"referer": referer}
    client(Dispatcher(mounts())).get(url, headers=headers)
    assert said() == []


def test_an_exposed_page(client: ClientFactory, said: Any) -> None:
    """Is one of its app, whose prefix a URL on it lacks."""
    app = Dispatcher([Mount("/dash", page(), expose=["/shown"])])
    client(app).get("/x", headers={"referer": "http://testserver/shown"})
    [message] = said()
    assert message.startswith("A page of the app mounted at '/dash' (")


def test_a_websocket_says_nothing(client: ClientFactory, said: Any) -> None:
    """Browsers send no `Referer` with one."""
    with (
        pytest.raises(WebSocketDisconnect),
        client(Dispatcher(mounts())).websocket_connect("/x", headers={"referer": PAGE}),
    ):
        pass
    assert said() == []


def test_what_is_there(client: ClientFactory, said: Any) -> None:
    """A link from one app to another is none that has escaped."""
    response = client(middleware(mounts())).get("/found", headers={"referer": PAGE})
    assert response.status_code == 200
    assert said() == []


def test_a_long_path(client: ClientFactory, said: Any) -> None:
    """Is cut."""
    url = "/" + "x" * 1000
    client(Dispatcher(mounts())).get(url, headers={"referer": PAGE})
    [message] = said()
    assert len(message) < 700


def test_what_is_known_of_the_app(
    client: ClientFactory, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own option is named."""
    stand_in(monkeypatch)
    session = client(Dispatcher({"/dav": WsgiDAVApp(None)}))
    session.get("/x", headers={"referer": "http://testserver/dav/"})
    [message] = said()
    assert "and does not exist: WsgiDAV writes its answers with mount_path=None" in message
