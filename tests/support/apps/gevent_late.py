"""A WSGI app, and gevent, which patches the standard library after the mount was made."""

from __future__ import annotations

import time
from typing import Any

from mountkit import Dispatcher, Mount


def slow(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    time.sleep(0.2)
    start_response("200 OK", [])
    return [str(len(body)).encode()]


app = Dispatcher([Mount("/slow", slow)])

from gevent import monkey  # noqa: E402

monkey.patch_all()
