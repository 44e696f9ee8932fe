"""What cannot be meant is told, when it is written: the value, the reason, and what to write."""

from __future__ import annotations

import re
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.urls import path as django_path
from fastapi import APIRouter, FastAPI
from flask import Blueprint, Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from starlette.testclient import TestClient

from mountkit import (
    ConflictError,
    Cookie,
    Dispatcher,
    DispatchMiddleware,
    ForwardedMiddleware,
    Header,
    InterfaceError,
    Mount,
    MountkitError,
    PatternError,
    Split,
    WSGIBridge,
    explain,
)


class App(PlainTextResponse):
    def __repr__(self) -> str:
        return "App"


app = App("app")
flask = Flask("flask")
HERE = re.escape(Path(__file__).as_posix())


def create_app(debug: bool = False) -> Any:
    return app


async def create_app_later() -> Any:
    return app


def view(request: Any, tenant: str) -> Any:
    return app


async def async_view(request: Any) -> Any:
    return app


class Class:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


REGEX = (
    "a part of a regular expression, which a path is not; write a placeholder, as in '/v{n:int}'"
)
FLASK = "a placeholder as Flask and Django have it"
WILDCARD = "'*', a wildcard, which a path does not have"
BELOW = "a mount takes all that is below its path"
ONE = "a placeholder takes one segment"
BRACE = (
    "has a brace outside of a placeholder; write placeholders as in '/t/{tenant}' or '/u/{id:int}'."
)

PATHS = {
    "/a/*": f"has {WILDCARD}; write '/a': {BELOW}. For the text itself: '%2A'.",
    "/*": f"has {WILDCARD}; write '/': {BELOW}. For the text itself: '%2A'.",
    "/a*": f"has {WILDCARD}; write '/a': {BELOW}. For the text itself: '%2A'.",
    "*": f"has {WILDCARD}; write '/': {BELOW}. For the text itself: '%2A'.",
    "/a/**": f"has '**', a wildcard, which a path does not have; write '/a': {BELOW}. For the text "
    "itself: '%2A%2A'.",
    "/a/*/b": f"has {WILDCARD}; write '/a/{{name}}/b': {ONE}. For the text itself: '%2A'.",
    "/v[0-9]+": f"has '[', {REGEX}. For the text itself: '%5B'.",
    "^/a": f"has '^', {REGEX}. For the text itself: '%5E'.",
    "/a$": f"has '$', {REGEX}. For the text itself: '%24'.",
    "/a|b": f"has '|', {REGEX}. For the text itself: '%7C'.",
    "/a.*": f"has '.*', {REGEX}. For the text itself: '.%2A'.",
    r"/a/(\d+)": f"has '\\\\d', {REGEX}. For the text itself: '%5Cd'.",
    "/(?P<x>a)": f"has '(?', {REGEX}. For the text itself: '%28%3F'.",
    "/{n:[0-9]+}": f"has '[', {REGEX}. For the text itself: '%5B'.",
    "/t/<tenant>": f"has '<tenant>', {FLASK}; write '/t/{{tenant}}'. For the text itself: "
    "'%3Ctenant%3E'.",
    "/t/<int:id>/<slug:s>": f"has '<int:id>', {FLASK}; write '/t/{{id:int}}/{{s}}'. For the text "
    "itself: '%3Cint%3Aid%3E'.",
    "/t/:tenant": "has ':tenant', a placeholder as Express has it; write '/t/{tenant}'. For the "
    "text itself: '%3Atenant'.",
    "/{*rest}": BRACE,
    "/{rest...}": BRACE,
    "/{id?}": BRACE,
    "/a?b=c": "contains a query; use query=.",
    "http://a.com/x": "is a URL with a host; write Mount('/x', host='a.com').",
    "wss://a.com:81": "is a URL with a host; write Mount('/', host='a.com:81').",
    "a.com/x": "must start with '/'; write '/a.com/x', or Mount('/x', host='a.com') if it is a "
    "host.",
    " /a": "has spaces around it; write '/a'.",
    "/a ": "has spaces around it; write '/a'.",
}


@pytest.mark.parametrize(("path", "message"), PATHS.items(), ids=PATHS)
def test_a_path_that_cannot_be_meant(path: str, message: str) -> None:
    """Other routers' ways to write a path are refused, with the way it is written here."""
    with pytest.raises(PatternError) as caught:
        Mount(path, app)
    assert str(caught.value) == f"Mount path {path!r} {message}"


@pytest.mark.parametrize(
    ("written", "request_path"),
    [
        ("/a/%2A", "/a/*"),
        ("/v%5B0%5D", "/v[0]"),
        ("/%3Ct%3E", "/<t>"),
        ("/%3At", "/:t"),
        ("/a%24", "/a$"),
        ("/v1/x:y", "/v1/x:y"),
        ("/$metadata", "/$metadata"),
        ("/a(1)+b", "/a(1)+b"),
        ("/v1.0", "/v1.0"),
        ("/a<b", "/a<b"),
    ],
)
def test_what_is_text_after_all(written: str, request_path: str) -> None:
    """Written with percent signs, each of them is text; so is what has one meaning alone."""
    assert explain(Dispatcher([Mount(written, app)]), request_path).target == "App"


HOSTS: dict[str, tuple[Any, str]] = {
    "empty-list": ([], "host=[] names no host; write host=['a.com'], or leave it out."),
    "number": (5, "Host pattern 5 is not a text; write e.g. 'a.example.com'."),
    "bytes": (b"a.com", "Host pattern b'a.com' is not a text; write e.g. 'a.example.com'."),
    "in-a-list": (
        ["a.com", "b.com/x"],
        "Host pattern 'b.com/x' contains a path; write host='b.com' and the path '/x'.",
    ),
    "commas": (
        "a.com, b.com",
        "Host pattern 'a.com, b.com' is not one host; write host=['a.com', 'b.com'].",
    ),
    "scheme": (
        "https://a.com:81/x",
        "Host pattern 'https://a.com:81/x' contains a scheme; write 'a.com:81'.",
    ),
    "slashes": ("//a.com", "Host pattern '//a.com' contains a scheme; write 'a.com'."),
    "port": ("a.com:*", "Host pattern 'a.com:*' takes any port; write 'a.com' for that."),
    "flask": ("<t>.a.com", "Host pattern '<t>.a.com' has no placeholder; write '{t}.a.com'."),
    "express": (":t.a.com", "Host pattern ':t.a.com' has no placeholder; write '{t}.a.com'."),
    "wildcard": (
        "a.*.com",
        "Host pattern 'a.*.com' has a wildcard inside; '*' stands alone, in front: "
        "'*.example.com'. For one label in another place write '{name}'.",
    ),
}


@pytest.mark.parametrize(("host", "message"), HOSTS.values(), ids=HOSTS)
def test_a_host_that_cannot_be_meant(host: Any, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        Mount("/a", app, host=host)
    assert str(caught.value) == message


PARTS = "is a part of an application;"
UNCLEAR = "is an ASGI or a WSGI application cannot be told from its signature;"
NO_LIST = "is not a list of mounts; write"
NO_MOUNT = "is not a mountkit.Mount;"
UNDERNEATH = "[Mount('/', app)], or default=app for what no mount takes."
NO_APP = "is not an application: it cannot be called;"
BRIDGE = (
    "does not make an application of one; write bridge=WSGIBridge, or partial(WSGIBridge, "
    "threads=4), without the application."
)
LAYERS = (
    "is not a list of Middleware objects with classes; write middleware=[Middleware("
    "CORSMiddleware, …)], from starlette.middleware."
)
ROUTES = "write routes=[Route('/path', view)], or pass an application as app=."
VIEW = "it looks like a view, which an application calls: write Starlette(routes=[Route('/', "

#: What is written, and a part of what is said that no address is in.
OBJECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "dispatcher-mount": (lambda: Dispatcher(Mount("/a", app)), f"{NO_LIST} [Mount(…)]."),  # type: ignore[arg-type]
    "dispatcher-app": (lambda: Dispatcher(app), f"App {NO_LIST} {UNDERNEATH}"),  # type: ignore[arg-type]
    "dispatcher-wsgi": (lambda: Dispatcher(flask), f"<Flask 'flask'> {NO_LIST} {UNDERNEATH}"),  # type: ignore[arg-type]
    "dispatcher-none": (lambda: Dispatcher(None), f"None {NO_LIST} {UNDERNEATH}"),  # type: ignore[arg-type]
    "dispatcher-text": (lambda: Dispatcher("/a"), f"'/a' {NO_LIST} {UNDERNEATH}"),  # type: ignore[arg-type]
    "dispatcher-no-app": (
        lambda: Dispatcher({"/a": 3}),  # type: ignore[dict-item]
        f"3 {NO_APP} pass an ASGI or WSGI application.",
    ),
    "dispatcher-mount-as-app": (
        lambda: Dispatcher({"/a": Mount("/b", app)}),  # type: ignore[dict-item]
        "Mount(path='/b', name='', app=App) is a mount, not an application; write "
        "routes=[Mount(…)].",
    ),
    "dispatcher-tuples": (
        lambda: Dispatcher([("/a", app)]),  # type: ignore[list-item]
        f"('/a', App) {NO_MOUNT} write Mount('/a', app).",
    ),
    "dispatcher-nested": (
        lambda: Dispatcher([[]]),  # type: ignore[list-item]
        f"[] {NO_MOUNT} write one list, with * in front of a list that is in it.",
    ),
    "dispatcher-starlette": (
        lambda: Dispatcher([StarletteMount("/a", app)]),  # type: ignore[list-item]
        f"{NO_MOUNT} import Mount from mountkit, not from Starlette.",
    ),
    "dispatcher-route": (
        lambda: Dispatcher([Route("/a", app)]),  # type: ignore[list-item]
        f"{NO_MOUNT} give it to the app underneath: default=Starlette(routes=[…]).",
    ),
    "middleware-app": (
        lambda: DispatchMiddleware(app, mounts=app),  # type: ignore[arg-type]
        f"App {NO_LIST} {UNDERNEATH}",
    ),
    "default": (
        lambda: Dispatcher(default="main:app"),  # type: ignore[arg-type]
        f"'main:app' {NO_APP} import the application and pass the object.",
    ),
    "module": (
        lambda: Mount("/a", types),  # type: ignore[arg-type]
        "is neither an ASGI nor a WSGI application (a module); mount the app in it.",
    ),
    "routes-as-app": (
        lambda: Mount("/a", [Route("/", app)]),  # type: ignore[arg-type]
        f"{NO_APP} routes go into routes=[…].",
    ),
    "class": (
        lambda: Mount("/a", Class),
        "is a class, not an application; make one: Class(…). If the class itself is the "
        "application, write interface='asgi2' or 'wsgi'.",
    ),
    "factory": (
        lambda: Mount("/a", create_app),  # type: ignore[arg-type]
        f"{UNCLEAR} if it is a factory, call it: create_app(); if it is an application, write "
        "interface='asgi3' or interface='wsgi'.",
    ),
    "async-factory": (
        lambda: Mount("/a", create_app_later),  # type: ignore[arg-type]
        f"{UNCLEAR} if it is a factory, call it: await create_app_later(); if it is an "
        "application, write interface='asgi3' or interface='wsgi'.",
    ),
    "view": (
        lambda: Mount("/a", view),
        f"{UNCLEAR} {VIEW}view)]), or its like, and mount that; if it is an application, write "
        "interface='asgi3' or interface='wsgi'.",
    ),
    "async-view": (
        lambda: Mount("/a", async_view),
        f"{UNCLEAR} {VIEW}async_view)]), or its like, and mount that; if it is an application, "
        "write interface='asgi3' or interface='wsgi'.",
    ),
    "router": (
        lambda: Mount("/a", APIRouter()),
        f"{PARTS} write app = FastAPI(), app.include_router(…), and mount the app.",
    ),
    "blueprint": (
        lambda: Mount("/a", Blueprint("b", "b")),  # type: ignore[arg-type]
        "<Blueprint 'b'> is neither an ASGI nor a WSGI application "
        "(flask.sansio.blueprints.Blueprint); register it in a Flask app (app.register_blueprint), "
        "and mount that.",
    ),
    "urlpatterns": (
        lambda: Mount("/a", [django_path("x", view)]),  # type: ignore[arg-type]
        f"{PARTS} mount get_asgi_application() or get_wsgi_application() of their project.",
    ),
    "bridge-built": (
        lambda: Mount("/a", flask, bridge=WSGIBridge(flask)),  # type: ignore[arg-type]
        f"bridge=WSGIBridge(<Flask 'flask'>) {BRIDGE}",
    ),
    "bridge-text": (lambda: Mount("/a", flask, bridge="a2wsgi"), f"bridge='a2wsgi' {BRIDGE}"),  # type: ignore[arg-type]
    "layers-class": (lambda: Mount("/a", app, middleware=CORSMiddleware), LAYERS),  # type: ignore[arg-type]
    "layers-classes": (lambda: Mount("/a", app, middleware=[CORSMiddleware]), LAYERS),  # type: ignore[list-item]
    "layers-one": (
        lambda: Mount("/a", app, middleware=Middleware(CORSMiddleware)),  # type: ignore[arg-type]
        LAYERS,
    ),
    "layers-built": (
        lambda: Mount("/a", app, middleware=[CORSMiddleware(app)]),  # type: ignore[list-item]
        LAYERS,
    ),
    "layers-built-inside": (
        lambda: Mount("/a", app, middleware=[Middleware(CORSMiddleware(app))]),  # type: ignore[arg-type]
        LAYERS,
    ),
    "routes-no-list": (
        lambda: Mount("/a", routes=3),  # type: ignore[arg-type]
        f"routes=3 is not a list of routes; {ROUTES}",
    ),
    "routes-apps": (
        lambda: Mount("/a", routes=[app]),  # type: ignore[list-item]
        f"routes=[App] is not a list of routes; {ROUTES}",
    ),
    "trusted-text": (
        lambda: ForwardedMiddleware(app, trusted="127.0.0.1"),
        "trusted='127.0.0.1' is not a list; write trusted=['127.0.0.1'].",
    ),
    "trusted-none": (
        lambda: ForwardedMiddleware(app, trusted=None),  # type: ignore[arg-type]
        "trusted=None is not a list; write trusted=['10.0.0.0/8'].",
    ),
    "methods-text": (
        lambda: Mount("/a", app, methods="GET, POST"),
        "methods='GET, POST' is one text; write methods=['GET', 'POST'].",
    ),
    "methods-star": (
        lambda: Mount("/a", app, methods=["*"]),
        "Method '*' is not a method; to take all methods, leave methods out.",
    ),
    "header-line": (
        lambda: Header("X-V: 2"),
        "Header name 'X-V: 2' is not valid; write it without the colon, as in 'x-version', and a "
        "value after it: Header('x-version', '2').",
    ),
    "header-list": (
        lambda: Mount("/a", app, headers={"X-V": ["1", "2"]}),  # type: ignore[dict-item]
        "Header('x-v') wants ['1', '2']; write Header('x-v', '1') | Header('x-v', '2') in when=.",
    ),
    "and": (
        lambda: Header("x") and Cookie("y"),
        "Header('x') has no truth value; write & for and, | for or, ~ for not.",
    ),
    "when-function": (
        lambda: Mount("/a", app, when=lambda scope: True),  # type: ignore[arg-type]
        "is not a matcher; subclass mountkit.Matcher, make this its method matches(self, scope), "
        "and pass an instance.",
    ),
    "when-list": (
        lambda: Mount("/a", app, when=[Header("x"), Cookie("y")]),  # type: ignore[arg-type]
        "when=[Header('x'), Cookie('y')] is not a matcher; write when=Header('x') & Cookie('y'), "
        "or | where one is enough.",
    ),
    "when-class": (
        lambda: Mount("/a", app, when=Header),  # type: ignore[arg-type]
        "is not a matcher; make an instance: when=Header(…).",
    ),
    "split-apps": (
        lambda: Split({"a": app}),  # type: ignore[dict-item]
        "is not a mapping of names to apps with weights; write Split({'stable': (v1, 95), "
        "'canary': (v2, 5)}).",
    ),
    "split-list": (
        lambda: Split([app, app]),  # type: ignore[arg-type]
        "is not a mapping of names to apps with weights; write Split({'stable': (v1, 95), "
        "'canary': (v2, 5)}).",
    ),
    "expose-text": (
        lambda: Mount("/a", app, expose="/.well-known/a"),
        "expose='/.well-known/a' is one text; write expose=['/.well-known/a'].",
    ),
    "when-bool": (
        lambda: Mount("/a", app, when=True),  # type: ignore[arg-type]
        "when=True is not a matcher; compose those of mountkit, or subclass mountkit.Matcher and "
        "pass an instance.",
    ),
}


@pytest.mark.parametrize(("make", "message"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_that_cannot_be_meant(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(MountkitError) as caught:
        make()
    assert isinstance(caught.value, (PatternError, InterfaceError))
    assert str(caught.value).endswith(message)


def test_a_coroutine_is_no_app() -> None:
    """The factory was called, but is async."""
    made = create_app_later()
    with pytest.raises(InterfaceError, match=r"\(a coroutine\); await it"):
        Mount("/a", made)  # type: ignore[arg-type]
    made.close()


@pytest.mark.parametrize("written", [{"mounts": [("/a", app)]}, {"mounts": Mount("/a", app)}])
def test_mistakes_in_add_middleware(written: Any) -> None:
    """They are told when Starlette builds its middleware, with the first request."""
    parent = Starlette()
    parent.add_middleware(DispatchMiddleware, **written)
    with pytest.raises(PatternError, match=r"write .*Mount"):
        TestClient(parent).get("/")


def test_a_mistake_among_routes() -> None:
    with pytest.raises(PatternError, match="a wildcard"):
        FastAPI(routes=[Mount("/a/*", app)])


@pytest.mark.parametrize("bridge", [WSGIBridge, partial(WSGIBridge, threads=2), lambda app: app])
def test_what_makes_a_bridge(bridge: Any) -> None:
    """A class, a partial or a function of an app."""
    Mount("/a", flask, bridge=bridge)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GTE", "Method 'GTE' is not known; did you mean 'GET'?"),
        ("pots", "Method 'POTS' is not known; did you mean 'POST'?"),
        ("DELTE", "Method 'DELTE' is not known; did you mean 'DELETE'?"),
        (
            "ANY",
            "Method 'ANY' is sent by no client; leave methods out to take all, or write "
            "when=ScopeType('websocket').",
        ),
    ],
)
def test_a_method_that_is_hardly_meant(method: str, message: str) -> None:
    """Methods are an open set, so it is a warning, at the user's own line."""
    with pytest.warns(UserWarning, match=re.escape(message)) as caught:
        mount = Mount("/a", app, methods=[method])
    assert caught[0].filename == __file__
    assert explain(Dispatcher([mount]), "/a", method=method).route is mount


@pytest.mark.parametrize(
    "method",
    ["PROPFIND", "PROPPATCH", "ORDERPATCH", "MKCOL", "REPORT", "PURGE", "SUBSCRIBE", "get"],
)
def test_methods_of_other_specifications(method: str) -> None:
    """They are taken as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mount("/a", app, methods=[method])


# Conflicts name places that can be told from each other.


def test_two_mounts_on_one_line() -> None:
    with pytest.raises(ConflictError) as caught:
        Dispatcher([Mount("/a", app), Mount("/b", app), Mount("/a", app)])
    pattern = (
        rf"Mount\('/a'\) at {HERE}:\d+ \(number 3 there\) .*{HERE}:\d+ \(number 1 there\), such"
    )
    assert re.match(pattern, str(caught.value))


def test_mounts_of_a_comprehension() -> None:
    with pytest.raises(ConflictError, match=r"number 4 there\) .*\(number 2 there\)"):
        Dispatcher([Mount(path, app, host=["a.com", "b.com"]) for path in ("/", "/a", "/b", "/a")])


def test_a_conflict_with_a_mount_that_is_there() -> None:
    table = Dispatcher([Mount(path, app) for path in ("/a", "/b")]).table
    with pytest.raises(ConflictError, match=r"'/b'\) at .*:\d+ takes .*:\d+; remove|such"):
        table.apply(add=[Mount("/b", app)])


def test_one_mount_twice() -> None:
    mount = Mount("/a", app)
    with pytest.raises(ConflictError, match=rf"at {HERE}:\d+ is given twice; name it once\."):
        Dispatcher([mount, mount])


# Several hosts.


def shop(**options: Any) -> Mount:
    return Mount("/s", app, name="shop", host=["a.com", "*.b.com", "A.com."], **options)


@pytest.mark.parametrize(
    ("host", "status"), [("a.com", 200), ("x.b.com", 200), ("b.com", 404), ("c.com", 404)]
)
@pytest.mark.parametrize(
    "site", [lambda m: Dispatcher([m]), lambda m: Starlette(routes=[m])], ids=["table", "routes"]
)
def test_a_mount_of_several_hosts(site: Any, host: str, status: int) -> None:
    client = TestClient(site(shop()), base_url=f"http://{host}")
    assert client.get("/s/x").status_code == status


def test_several_hosts_are_one_mount() -> None:
    """In `routes`, in `health`, in explanations and in its repr; the first host is in its URLs."""
    site = Dispatcher([shop(), Mount("/s", app)])
    assert len(site.routes) == len(site.health) == 2
    mount = site.routes[0]
    assert repr(mount).endswith("host=['a.com', '*.b.com'])")
    assert str(site.url_path_for("shop", path="/x")) == "/s/x"
    assert site.url_path_for("shop", path="/x").host == "a.com"
    for host in ("a.com", "x.b.com"):
        assert explain(site, f"http://{host}/s").route is mount
    assert mount == shop() != Mount("/s", app, name="shop", host="a.com")


def test_a_refusal_among_routes_names_the_condition_at_its_host() -> None:
    found = explain(Starlette(routes=[shop()]), "http://x.b.com/other")
    assert found.candidates[0].reason == (
        "path: wants one that starts with '/s', the request has '/other'"
    )
    found = explain(Starlette(routes=[shop()]), "http://c.com/s")
    assert found.candidates[0].reason == "host: wants 'a.com', the request has 'c.com'"


def test_each_host_has_its_own_rank() -> None:
    """The exact host goes before the wildcard, and that before none."""
    one = Mount("/", app, host=["a.com", "*.com"])
    other = Mount("/", app, host=["*.a.com", "b.com"])
    site = Dispatcher([one, other, Mount("/", app)])
    for host, found in (("a.com", one), ("x.a.com", other), ("b.com", other), ("c.com", one)):
        assert explain(site, f"http://{host}/").route is found


def test_each_host_conflicts_by_itself() -> None:
    with pytest.raises(ConflictError, match=r"such as GET http://b\.com/"):
        Dispatcher([Mount("/", app, host=["a.com", "b.com"]), Mount("/", app, host="b.com")])


def test_placeholders_of_each_host_are_checked() -> None:
    with pytest.raises(PatternError, match="'t' stands in the host"):
        Mount("/{t}", app, host=["a.com", "{t}.b.com"])


def test_paths_are_exposed_at_each_host() -> None:
    client = TestClient(Dispatcher([shop(expose=["/.well-known/x"])]))
    for host in ("a.com", "x.b.com"):
        assert client.get("/.well-known/x", headers={"host": host}).status_code == 200


@pytest.mark.anyio
async def test_several_hosts_come_and_go_together() -> None:
    site, mount = Dispatcher(), shop()
    await site.add(mount)
    assert explain(site, "http://x.b.com/s").route is mount
    await site.remove(mount)
    assert explain(site, "http://x.b.com/s").route is None
