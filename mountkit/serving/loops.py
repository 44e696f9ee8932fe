"""Apps that redirect from their prefix with a slash to the one without, which leads back."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from starlette.types import Message, Scope, Send

from mountkit.locations import encode_path
from mountkit.middleware.exchanges import coroutine_function

logger: logging.Logger = logging.getLogger("mountkit")

#: An app may set a cookie and redirect to the same page, once; then it answers 200.
PATIENCE: int = 3


def watched(mount: Any, prefix: str, scope: Scope, send: Send) -> Send:
    """`send`, for a request for the prefix of a mount alone. A loop is named once, in a warning;
    once the app has answered 200, nothing is watched."""

    @coroutine_function
    def watch(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            if message["status"] == 200:
                mount.index_redirects = PATIENCE
            elif mount.index_redirects < PATIENCE and _target(scope, message) == prefix:
                mount.index_redirects += 1
                if mount.index_redirects == PATIENCE:
                    logger.warning(
                        "%s redirects %r to %r, which leads to the first again. If the app wants "
                        "the prefix without a slash, write redirect_slashes='bare'.",
                        mount.where,
                        prefix + "/",
                        prefix,
                    )
        return send(message)

    return watch


def _target(scope: Scope, message: Message) -> str:
    """The path that a redirect leads to, if it has the request's query."""
    location = dict(message.get("headers", ())).get(b"location", b"").decode("latin-1")
    try:
        target = urlsplit(urljoin("//a" + encode_path(scope["path"]), location))
    except ValueError:
        return ""
    is_same = target.query.encode("latin-1") == scope.get("query_string", b"")
    return unquote(target.path) if location and is_same else ""
