"""Objects that are neither ASGI nor WSGI apps, of frameworks that have servers of their own, and of
those that make an app of them."""

from inspect import isclass, iscoroutine, ismodule
from typing import Any

from mountkit.frameworks import Framework, loaded

_SERVER = "serve it with a server of its own{}, and send its paths there in the proxy"
_INSTEAD = {
    ("aiohttp.web", "Application"): _SERVER.format(" (aiohttp.web.run_app)"),
    ("datasette.app", "Datasette"): "mount Datasette(…).app()",
    ("engineio.base_server", "BaseServer"): "mount socketio.ASGIApp(…) or WSGIApp(…) of it",
    ("fastmcp", "FastMCP"): "mount what its http_app() returns",
    ("flask.sansio.blueprints", "Blueprint"): "register it in a Flask app, and mount that",
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


def _instead(app: Any) -> str | None:
    if ismodule(app):
        return "(a module); mount the app in it"
    if iscoroutine(app):
        return "(a coroutine); await it, and mount what it returns"
    cls = app if isclass(app) else type(app)
    known = (
        f"({module}.{name}); {fix}"
        for (module, name), fix in _INSTEAD.items()
        if issubclass(cls, loaded(module, name) or ())
    )
    return next(known, None)


NOT_APPS = Framework(name="No app", find=_instead, instead=lambda text: text)
