"""Flask and Quart, which share the base class of their apps, and Werkzeug's routing."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from mountkit.frameworks import Framework, Reversal, SessionCookie, WSGIRoute


def _reversal(app: Any) -> Reversal:
    """By the endpoint: `index`, `blueprint.index`, `static`."""
    rules = app.url_map
    adapter = rules.bind("localhost")

    def path_for(name: str, params: Mapping[str, Any]) -> str:
        # Werkzeug would write parameters that no rule takes into a query.
        if not any(rule.arguments.issuperset(params) for rule in rules.iter_rules(name)):
            raise LookupError(name)
        return unquote(adapter.build(name, dict(params)))

    return Reversal(path_for, lambda: sorted({rule.endpoint for rule in rules.iter_rules()}))


def _session_cookie(app: Any) -> SessionCookie | None:
    """Sessions are in use if there is a key."""
    config = app.config
    path = config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"]
    if not config["SECRET_KEY"] or path != "/":
        return None
    return SessionCookie(config["SESSION_COOKIE_NAME"], "itsdangerous", config["SECRET_KEY"])


def _wsgi_route_of(environ: Mapping[str, Any]) -> WSGIRoute | None:
    """Werkzeug's requests leave themselves in the environ; a rule is `/item/<int:id>`."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    if rule is None:
        return None
    path = re.sub(r"<(?:[^<>:]*:)?([^<>:]+)>", r"{\1}", rule.rule)
    return WSGIRoute(path, path, rule.endpoint)


FLASK = Framework(
    name="Flask",
    app=("flask.sansio.app", "App"),
    reversal=_reversal,
    session_cookie=_session_cookie,
    wsgi_route_of=_wsgi_route_of,
    cut_off=("werkzeug.exceptions", "ClientDisconnected"),
)
