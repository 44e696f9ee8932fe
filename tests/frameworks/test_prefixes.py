"""What `check` says of apps that were not told their prefix, refuse a host or share a cookie.

Frameworks that are large stand here as classes of the same name and form; `tests/matrix` has the
real ones.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from fastapi import FastAPI
from flask import Flask
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from werkzeug.middleware.proxy_fix import ProxyFix

from mountkit import CookiePathMiddleware, Dispatcher, DispatchMiddleware, Lifespan, Mount, check
from mountkit.frameworks import advice
from tests.support.apps import django_site
from tests.support.stand_ins import App, Application, Dash, Datasette, Tree, WsgiDAVApp, stand_in

assert django_site  # it has set Django up
CODES = (
    *("unaware-of-prefix", "several-prefixes", "ends-the-process"),
    *("refuses-host", "shared-cookie"),
)


def messages(app: Any) -> list[str]:
    """What is found, of these kinds."""
    return [finding.message for finding in check(app) if finding.code in CODES]


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes stand where those of the frameworks do."""
    stand_in(monkeypatch)


APPS: list[Any] = [
    pytest.param(Dash, "requests_pathname_prefix='/sub/'", id="dash"),
    pytest.param(
        lambda prefix: Dash(prefix).server, "requests_pathname_prefix='/sub/'", id="server"
    ),
    pytest.param(lambda prefix: Datasette(prefix).app(), "'base_url': '/sub/'", id="datasette"),
    pytest.param(WsgiDAVApp, "'mount_path': '/sub'", id="wsgidav"),
]


@pytest.mark.parametrize(("make", "fix"), APPS)
@pytest.mark.parametrize("told", ["/", "/other/", "/sub/x/", "/xsub/"])
def test_an_app_that_was_told_another_prefix(make: Any, fix: str, told: str) -> None:
    """The message has what to write."""
    [message] = messages(Dispatcher({"/sub": make(told)}))
    assert message.startswith("The app of Mount('/sub') at ")
    assert repr(told) in message
    assert fix in message


@pytest.mark.parametrize(("make", "fix"), APPS)
@pytest.mark.parametrize("told", ["/sub/", "/sub", "/outer/sub/"])
def test_an_app_that_was_told_its_prefix(make: Any, fix: str, told: str) -> None:
    """What a proxy puts before it is not known, and may be there."""
    assert messages(Dispatcher({"/sub": make(told)})) == []
    assert messages(Dispatcher([Mount("/sub", make("/"), convention="whole")])) == []


def bound(app: Any) -> Any:
    """As `ProxyFix(app.wsgi_app)` has it."""
    return app.__call__


def decorated(app: Any) -> Any:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return guarded


class Broken:
    """A wrapper with a property that fails."""

    def __init__(self, app: Any) -> None:
        self.app = app

    @property
    def inner(self) -> Any:
        raise RuntimeError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing here calls it."""


@pytest.mark.parametrize(("make", "fix"), APPS)
@pytest.mark.parametrize(
    "wrap",
    [
        *(ProxyFix, GZipMiddleware, WSGIMiddleware, WsgiToAsgi, bound, decorated),
        *(Broken, lambda app: GZipMiddleware(WsgiToAsgi(ProxyFix(bound(app))))),
    ],
)
def test_an_app_within_others(make: Any, fix: str, wrap: Any) -> None:
    """Is found."""
    app = wrap(make("/other/"))
    interface: Any = "wsgi" if isinstance(app, ProxyFix) else "asgi3"
    [message] = messages(Dispatcher([Mount("/sub", app, interface=interface)]))
    assert fix in message
    told = Mount("/sub", wrap(make("/sub/")), interface=interface)
    assert messages(Dispatcher([told])) == []


def in_a_site(prefix: str, routes: str, cls: Any = Flask) -> Any:
    """A Dash beside other pages."""
    site = cls("site") if cls is Flask else cls()
    if cls is Flask:
        site.add_url_rule("/about", "about", lambda: "about")
    else:
        site.add_api_route("/about", lambda: "about")
    return Dash(prefix, routes, site).server


@pytest.mark.parametrize("cls", [Flask, FastAPI])
@pytest.mark.parametrize(
    ("prefix", "routes", "fix"),
    [
        pytest.param("/sub/dash/", "/dash/", "", id="right"),
        pytest.param("/outer/sub/dash/", "/dash/", "", id="right-behind-a-proxy"),
        pytest.param("/sub/", "/dash/", "'/sub/dash/', routes_pathname_prefix='/dash/'", id="no"),
        pytest.param(
            "/dash/", "/dash/", "'/sub/dash/', routes_pathname_prefix='/dash/'", id="none"
        ),
        pytest.param(
            "/sub/dash/", "/sub/dash/", "'/sub/dash/', routes_pathname_prefix='/dash/'", id="both"
        ),
        pytest.param("/sub/", "/sub/", "'/sub/', routes_pathname_prefix='/'", id="base"),
    ],
)
def test_dash_in_a_site(prefix: str, routes: str, fix: str, cls: Any) -> None:
    """Its routes have a path of their own below the prefix."""
    mount = Mount("/sub", in_a_site(prefix, routes, cls))
    assert mount.convention == "spec"
    found = messages(Dispatcher([mount]))
    assert [fix in message for message in found] == [True] * bool(fix)


@pytest.mark.parametrize("server", [None, FastAPI], ids=["flask", "fastapi"])
@pytest.mark.parametrize("wrap", [lambda app: app, ProxyFix], ids=["bare", "wrapped"])
def test_dash_whose_routes_hold_the_prefix(server: Any, wrap: Any) -> None:
    """It gets the path as it came, if it is alone."""
    app = wrap(Dash("/sub/", "/sub/", server and server()).server)
    mount = Mount("/sub", app, interface="asgi3" if server else "wsgi")
    assert mount.convention == "whole"
    assert messages(Dispatcher([mount])) == []
    assert Mount("", app, interface="wsgi").convention == "spec"


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        pytest.param(Application(""), "script_name=['']", id="app"),
        pytest.param(ProxyFix(Application("")), "cherrypy.Application(root, None)", id="wrapped"),
        pytest.param(Application("/other"), "script_name=['/other']", id="another"),
        pytest.param(Application(None), "", id="of-the-request"),
        pytest.param(Application("/sub"), "", id="told"),
        pytest.param(Application("/outer/sub"), "", id="told-behind-a-proxy"),
        pytest.param(Tree(""), "cherrypy.tree.mount(root, '/sub')", id="tree"),
        pytest.param(Tree("", "/sub"), "", id="tree-told"),
        pytest.param(Tree("/sub/blog"), "", id="tree-told-below"),
    ],
)
def test_cherrypy(app: Any, expected: str) -> None:
    """It compares the whole path."""
    found = messages(Dispatcher({"/sub": app}))
    assert [expected in message for message in found] == [True] * bool(expected)
    assert messages(Dispatcher([Mount("/sub", app, convention="none")])) == []
    assert messages(Dispatcher({"": app})) == []


def test_the_log_sees_through_wrappers(caplog: pytest.LogCaptureFixture) -> None:
    """As `check` does."""
    app = Dispatcher({"/sub": ProxyFix(Dash("/other/").server)})
    TestClient(app).get("/x.js", headers={"referer": "http://testserver/sub/"})
    assert "write Dash(requests_pathname_prefix='/sub/', routes_pathname" in caplog.text


def test_an_app_that_is_told_wrong_and_answers_404(caplog: pytest.LogCaptureFixture) -> None:
    """The log names its option."""

    class Missing(Application):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            start_response("404 Not Found", [])
            return [b""]

    client = TestClient(Dispatcher({"/sub": Missing("")}))
    for _ in range(5):
        client.get("/sub/")
    assert "answered its first 5 requests with 404: CherryPy answers below script" in caplog.text


@pytest.mark.parametrize(("make", "fix"), APPS)
def test_an_app_at_the_root(make: Any, fix: str) -> None:
    """It has no prefix, and needs none."""
    assert messages(Dispatcher([Mount("", make("/"), host="a.com")])) == []


def test_an_app_that_was_told_nothing() -> None:
    """As WsgiDAV is by default."""
    assert "mount_path=None" in messages(Dispatcher({"/sub": WsgiDAVApp(None)}))[0]


@pytest.fixture
def chainlit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Chainlit has one app."""
    module = ModuleType("chainlit.server")
    app = FastAPI()
    vars(module)["app"] = app
    monkeypatch.setitem(sys.modules, "chainlit.server", module)
    return app


def test_chainlit(chainlit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told its prefix by the environment, and may not be told to stop."""
    mount = Mount("/sub", chainlit, lifespan=Lifespan(shutdown=False))
    for told in ("", "/other"):
        monkeypatch.setenv("CHAINLIT_ROOT_PATH", told)
        [message] = messages(Dispatcher([mount]))
        assert f"CHAINLIT_ROOT_PATH={told!r}; set it to '/sub' before chainlit is" in message
    monkeypatch.setenv("CHAINLIT_ROOT_PATH", "/sub")
    assert messages(Dispatcher([mount])) == []
    assert messages(Dispatcher([Mount("/sub", chainlit, lifespan="off")])) == []
    [message] = messages(Dispatcher({"/sub": chainlit}))
    assert "Chainlit ends the process as soon as it is told to stop" in message
    assert "write lifespan=Lifespan(shutdown=False)" in message


def test_mesop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its routes carry the prefix."""

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        """Nothing here calls it."""

    wsgi_app.__module__ = "mesop.server.wsgi_app"
    [message] = messages(Dispatcher({"/sub": wsgi_app}))
    assert "MESOP_BASE_URL_PATH=''; set it to '/sub' before mesop is imported" in message
    assert "and write Mount(convention='whole')" in message
    module = ModuleType("mesop.env.env")
    vars(module)["MESOP_BASE_URL_PATH"] = "/sub"
    monkeypatch.setitem(sys.modules, "mesop.env.env", module)
    assert "MESOP_BASE_URL_PATH='/sub'" in messages(Dispatcher({"/sub": wsgi_app}))[0]
    assert messages(Dispatcher([Mount("/sub", wsgi_app, convention="whole")])) == []
    assert messages(Dispatcher({"/": wsgi_app})) == []


def keeper(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """An app that is good for one prefix."""
    if name == "flask-admin":
        app = Flask("shop")
        app.extensions["admin"] = []
        return app
    places = {
        "Flet": ("flet_web.fastapi.flet_fastapi", "FastAPI"),
        "Lilya": ("lilya.apps", "BaseLilya"),
        "Ravyn": ("ravyn.applications", "Application"),
        "Solara": ("solara.server.starlette", "app"),
    }
    module_name, attribute = places[name]
    module = ModuleType(module_name)
    own: Any = Starlette() if name == "Solara" else type(attribute, (Starlette,), {})
    setattr(module, attribute, own)
    monkeypatch.setitem(sys.modules, module_name, module)
    return own if name == "Solara" else own()


@pytest.mark.parametrize("name", ["flask-admin", "Flet", "Lilya", "Ravyn", "Solara"])
def test_an_app_that_keeps_the_first_prefix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be at one prefix, of as many hosts as there are."""
    app = keeper(monkeypatch, name)
    outer = Dispatcher({"/in": Dispatcher({"/two": app})})
    for apps in (Dispatcher({"/one": app, "/two": app}), Dispatcher({"/two": app, "/": outer})):
        [message] = messages(apps)
        assert "mount one app, and " + name + " keeps the first prefix that it sees" in message
        assert message.count("Mount('/") == 2
    [message] = messages(Dispatcher({"/t/{tenant}": app}))
    assert "has as many prefixes as its placeholder has values, and " + name in message
    hosts = ("a.com", "b.com")
    assert messages(Dispatcher([Mount("/one", app, host=host) for host in hosts])) == []


def test_other_apps_may_be_at_several_prefixes() -> None:
    assert messages(Dispatcher({"/one": (app := flask()), "/two": app, "/t/{x}": app})) == []


def test_a_wrapper_that_is_not_filled_yet() -> None:
    """Nothing is found in it."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await late(scope, receive, send)

    assert advice(guarded, "/sub") == ""
    late = Datasette("/").app()
    assert "base_url='/'" in advice(guarded, "/sub")


def test_wrappers_that_go_in_a_circle() -> None:
    """Are followed some way."""
    one, other = App(), App()
    one.app, other.app = other, one  # type: ignore[attr-defined]
    assert advice(one, "/sub") == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"STATIC_URL": "static/"}, "STATIC_URL='static/'", id="relative"),
        pytest.param({"STATIC_URL": "/static/"}, "STATIC_URL='/static/'", id="outside"),
        pytest.param({"STATIC_URL": "/sub/static/"}, "", id="absolute"),
        pytest.param({"STATIC_URL": "https://cdn.example.com/"}, "", id="elsewhere"),
        pytest.param({"STATIC_URL": None}, "", id="none"),
        pytest.param({"STATIC_URL": "s/", "INSTALLED_APPS": []}, "", id="no-static-files"),
        pytest.param({"STATIC_URL": "s/", "FORCE_SCRIPT_NAME": "/sub"}, "", id="forced"),
        pytest.param({"FORCE_SCRIPT_NAME": "/x"}, "FORCE_SCRIPT_NAME='/x'", id="forced-other"),
    ],
)
def test_django(options: dict[str, Any], expected: str) -> None:
    """It keeps the first prefix that it sees for a relative `STATIC_URL`."""
    handler = ASGIStaticFilesHandler(ASGIHandler())
    with override_settings(**options):
        found = messages(Dispatcher({"/sub": handler}))
    assert [expected in message for message in found] == [True] * bool(expected)


NOISE = {"MIDDLEWARE": ["whitenoise.middleware.OwnWhiteNoise", "not.loaded.Middleware"]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"STATIC_URL": "static/"}, "'/sub/static/' and FORCE_SCRIPT_NAME='/sub'", id="relative"
        ),
        pytest.param(
            {"STATIC_URL": "/static/"}, "'/sub/static/' and FORCE_SCRIPT_NAME='/sub'", id="outside"
        ),
        pytest.param(
            {"STATIC_URL": "/sub/static/"}, "and FORCE_SCRIPT_NAME='/sub'", id="without-a-name"
        ),
        pytest.param({"STATIC_URL": "/sub/static/", "FORCE_SCRIPT_NAME": "/sub"}, "", id="both"),
        pytest.param(
            {"STATIC_URL": "/sub/static/", "WHITENOISE_STATIC_PREFIX": "/static/"}, "", id="own"
        ),
        pytest.param({"STATIC_URL": "https://cdn.example.com/"}, "", id="elsewhere"),
    ],
)
def test_django_with_whitenoise(options: dict[str, Any], expected: str) -> None:
    """Its middleware compares the path below the script name with `STATIC_URL`."""
    with override_settings(**NOISE, **options):
        found = messages(Dispatcher({"/sub": ASGIHandler.__new__(ASGIHandler)}))
    assert [expected in message for message in found] == [True] * bool(expected)


def test_django_that_has_read_its_setting_too_early() -> None:
    """`get_wsgi_application` sets Django up without a script name, so that a relative URL that is
    read then, as WhiteNoise does it, never gets the one that is forced."""
    with override_settings(STATIC_URL="static/", FORCE_SCRIPT_NAME="/sub"):
        assert messages(Dispatcher({"/sub": ASGIHandler()})) == []
        assert settings.STATIC_URL == "/static/"
        [message] = messages(Dispatcher({"/sub": ASGIHandler()}))
        assert message.endswith("; write STATIC_URL='/sub/static/'.")


def test_django_with_static_files_of_somebody_else() -> None:
    """An absolute `STATIC_URL` may be anywhere."""
    with override_settings(STATIC_URL="/static/"):
        assert messages(Dispatcher({"/sub": ASGIHandler()})) == []
    assert settings.STATIC_URL


def test_django_is_not_asked_for_its_setting() -> None:
    """To read it would fix it."""
    with override_settings(STATIC_URL="static/"):
        settings.__dict__.pop("STATIC_URL", None)
        assert messages(Dispatcher({"/sub": ASGIHandler()}))
        assert "STATIC_URL" not in settings.__dict__


def test_without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported to look."""
    monkeypatch.delitem(sys.modules, "django.core.handlers.base")
    assert messages(Dispatcher({"/sub": ASGIHandler()})) == []


def mcp_app(**options: Any) -> Any:
    return MCPServer("tools").streamable_http_app(**options)


def test_an_mcp_server_that_refuses_its_host() -> None:
    """By default it has a list of local hosts."""
    [message] = messages(Dispatcher([Mount("/mcp", mcp_app(), host="a.com")]))
    assert "answers 421 to the host 'a.com'" in message
    assert "allowed_hosts=['a.com', 'a.com:*']" in message


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param(lambda: Mount("/mcp", mcp_app()), id="any-host"),
        pytest.param(lambda: Mount("/mcp", mcp_app(), host="*.a.com"), id="many-hosts"),
        pytest.param(lambda: Mount("/mcp", mcp_app(), host="localhost"), id="local"),
        pytest.param(lambda: Mount("/mcp", mcp_app(host="0.0.0.0"), host="a.com"), id="no-list"),
        pytest.param(
            lambda: Mount(
                "/mcp",
                mcp_app(transport_security=TransportSecuritySettings(allowed_hosts=["a.com:*"])),
                host="a.com",
            ),
            id="allowed",
        ),
    ],
)
def test_an_mcp_server_that_takes_its_host(mount: Any) -> None:
    """Or of which it is not known."""
    assert messages(Dispatcher([mount()])) == []


def flask(secret: str | None = "a", cls: Any = Flask, **config: Any) -> Any:
    app = cls("site")
    app.config.update(SECRET_KEY=secret, **config)
    return app


def starlette(secret: str = "a", cls: Any = Starlette, **options: Any) -> Any:
    app = cls()
    app.add_middleware(SessionMiddleware, secret_key=secret, **options)
    return app


@pytest.mark.parametrize(
    "mounts",
    [
        pytest.param(lambda: {"/a": flask("a"), "/b": flask("b")}, id="two-flasks"),
        pytest.param(lambda: {"/a": flask("a"), "/b": flask("b", Quart)}, id="flask-quart"),
        pytest.param(lambda: {"/a": flask(), "/b": starlette()}, id="flask-starlette"),
        pytest.param(
            lambda: {"/a": starlette("a"), "/b": starlette("b", FastAPI)}, id="starlettes"
        ),
        pytest.param(
            lambda: [Mount("/a", flask(), host="a.com"), Mount("/b", starlette())], id="any-host"
        ),
        pytest.param(
            lambda: [Mount("/a", flask(), host="a.com"), Mount("/b", starlette(), host="A.com")],
            id="one-host",
        ),
    ],
)
def test_a_cookie_of_two_apps(mounts: Any) -> None:
    """On one host each overwrites the other's."""
    [message] = messages(Dispatcher(mounts()))
    assert "Mount('/b'" in message
    assert "both keep their sessions in the cookie 'session' with Path=/" in message


@pytest.mark.parametrize(
    "mounts",
    [
        pytest.param(lambda: {"/a": flask(None), "/b": flask("b")}, id="no-sessions"),
        pytest.param(lambda: {"/a": flask("a"), "/b": flask("a")}, id="one-secret"),
        pytest.param(
            lambda: {"/a": starlette("a"), "/b": starlette("a")}, id="one-secret-starlette"
        ),
        pytest.param(lambda: dict.fromkeys(("/a", "/b"), flask()), id="one-app"),
        pytest.param(
            lambda: {"/a": flask(), "/b": flask("b", SESSION_COOKIE_NAME="b")}, id="names"
        ),
        pytest.param(
            lambda: {"/a": flask(), "/b": flask("b", SESSION_COOKIE_PATH="/b")}, id="path"
        ),
        pytest.param(lambda: {"/a": flask(), "/b": flask("b", APPLICATION_ROOT="/b")}, id="root"),
        pytest.param(lambda: {"/a": flask(), "/b": starlette(path="/b")}, id="starlette-path"),
        pytest.param(
            lambda: {"/a": flask(), "/b": starlette(session_cookie="b")}, id="starlette-name"
        ),
        pytest.param(
            lambda: [
                Mount("/a", flask()),
                Mount("/b", starlette(), middleware=[Middleware(CookiePathMiddleware)]),
            ],
            id="kept",
        ),
        pytest.param(
            lambda: [
                Mount("/a", flask(), host="a.com"),
                Mount("/b", starlette(), host="b.com"),
            ],
            id="hosts",
        ),
    ],
)
def test_cookies_that_are_apart(mounts: Any) -> None:
    """Or that both can read."""
    assert messages(Dispatcher(mounts())) == []


@pytest.mark.parametrize("cls", [Flask, Quart])
def test_a_folder_is_no_prefix(cls: Any) -> None:
    """Flask's and Quart's `root_path` is where their files are."""
    assert check(Dispatcher({"/sub": cls("site")})) == []


@pytest.mark.parametrize("make", ["default", "middleware"])
def test_a_cookie_of_the_app_underneath(make: str) -> None:
    """It counts too."""
    mount = Mount("/a", flask())
    if make == "default":
        app: Any = Dispatcher([mount], default=starlette())
    else:
        app = starlette()
        app.add_middleware(DispatchMiddleware, mounts=[mount])
    [message] = messages(app)
    assert "the app underneath" in message
