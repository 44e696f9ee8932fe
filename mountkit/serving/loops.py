"""Apps that redirect from their prefix with a slash to the one without, which leads back."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from starlette.types import Message, Scope

from mountkit.locations import encode_path
from mountkit.logs import dispatch as logger

# An app may set a cookie and redirect to the same page, once; then it answers 200.
_PATIENCE = 3


def look(mount: Any, prefix: str, scope: Scope, start: Message) -> None:
    """Look at a redirect that was the answer to a request for the prefix of a mount alone. If it
    leads to the prefix without a slash, again and again, with no success in between, that is told
    once."""
    successes = mount.traffic.answers[2]
    count, before = mount.index_redirects
    if count < _PATIENCE and _target(scope, start) == prefix:
        count = 1 if successes != before else count + 1
        mount.index_redirects = (count, successes)
        if count == _PATIENCE:
            logger.warning(
                "%s redirects %r to %r, which leads to the first again. If the app wants "
                "the prefix without a slash, write redirect_slashes='bare'.",
                mount.where,
                prefix + "/",
                prefix,
            )


def _target(scope: Scope, message: Message) -> str:
    """The path that a redirect leads to, if it has the request's query."""
    location = dict(message.get("headers", ())).get(b"location", b"").decode("latin-1")
    try:
        target = urlsplit(urljoin("//a" + encode_path(scope["path"]), location))
    except ValueError:
        return ""
    is_same = target.query.encode("latin-1") == scope.get("query_string", b"")
    return unquote(target.path) if location and is_same else ""
