"""Objects that are neither ASGI nor WSGI apps, of frameworks that have servers of their own, and of
those that make an app of them."""

from functools import lru_cache
from inspect import isclass, iscoroutine, ismodule
from typing import Any

from mountkit.frameworks import Framework, loaded

_NEITHER = "neither an ASGI nor a WSGI application"
_SERVER = "serve it with a server of its own{}, and send its paths there in the proxy"
_INSTEAD = {
    ("aiohttp.web", "Application"): _SERVER.format(" (aiohttp.web.run_app)"),
    ("datasette.app", "Datasette"): "mount Datasette(…).app()",
    ("engineio.base_server", "BaseServer"): "mount socketio.ASGIApp(…) or WSGIApp(…) of it",
    ("fastmcp", "FastMCP"): "mount what its http_app() returns",
    (
        "flask.sansio.blueprints",
        "Blueprint",
    ): "register it in a Flask app (app.register_blueprint), and mount that",
    ("gradio", "Blocks"): "mount gradio.mount_gradio_app(FastAPI(), blocks, path='/')",
    ("grpc", "Server"): _SERVER.format(", or mount a sonora.asgi.grpcASGI"),
    ("grpc.aio", "Server"): _SERVER.format(", or mount a sonora.asgi.grpcASGI"),
    ("http.server", "BaseHTTPRequestHandler"): _SERVER.format(""),
    ("klein", "Klein"): _SERVER.format(" (Twisted)"),
    ("litestar", "Router"): "register it in a Litestar app, and mount that",
    ("marimo", "App"): "mount marimo.create_asgi_app().with_app(…).build()",
    ("mcp.server.mcpserver", "MCPServer"): "mount what its streamable_http_app() returns",
    ("ninja", "NinjaAPI"): "put its urls into a Django project, and mount that",
    ("pyramid.config", "Configurator"): "mount what its make_wsgi_app() returns",
    ("robyn", "Robyn"): _SERVER.format(" (app.start)"),
    ("sanic", "Blueprint"): "register it in a Sanic app, and mount that",
    ("socketserver", "BaseServer"): _SERVER.format(""),
    ("socketio.base_server", "BaseServer"): "mount socketio.ASGIApp(…) or WSGIApp(…) of it",
    ("tornado.web", "Application"): _SERVER.format(" (app.listen)"),
    ("twisted.web.resource", "Resource"): _SERVER.format(" (Twisted)"),
    ("twisted.web.server", "Site"): _SERVER.format(" (Twisted)"),
}

_FOR_DJANGO = "mount get_asgi_application() or get_wsgi_application() of their project"
_PARTS = {
    ("fastapi", "APIRouter"): "write app = FastAPI(), app.include_router(…), and mount the app",
    ("django.urls.resolvers", "URLPattern"): _FOR_DJANGO,
    ("django.urls.resolvers", "URLResolver"): _FOR_DJANGO,
}


def _instead(app: Any) -> str | None:
    if isinstance(app, (list, tuple)) and app:  # urlpatterns
        app = app[0]
    if ismodule(app):
        return f"{_NEITHER} (a module); mount the app in it"
    if iscoroutine(app):
        return f"{_NEITHER} (a coroutine); await it, and mount what it returns"
    cls: Any = app if isclass(app) else type(app)
    return _of_class(cls)


@lru_cache(maxsize=1024)
def _of_class(cls: type) -> str | None:
    if issubclass(cls, loaded("litestar", "Litestar") or ()):
        return None  # a Router too
    for at, fix in _PARTS.items():
        if issubclass(cls, loaded(*at) or ()):
            return f"a part of an application; {fix}"
    for at, fix in _INSTEAD.items():
        if issubclass(cls, loaded(*at) or ()):
            return f"{_NEITHER} ({'.'.join(at)}); {fix}"
    return None


NOT_APPS = Framework(name="No app", find=_instead, instead=lambda text: text)
