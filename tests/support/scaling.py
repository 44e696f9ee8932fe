"""The site of `examples/scaling`: what it is asked, and what it answers, however many processes it
is made of."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "examples" / "scaling"
#: Those that say something of the answer; servers write the others.
HEADERS = ("allow", "cache-control", "content-length", "content-type", "location", "retry-after", "vary")  # fmt: skip
#: Method, path and host.
REQUESTS = (
    ("GET", "/", "example.com"),
    ("GET", "/nothing", "example.com"),
    ("GET", "/", "example.com:8000"),
    ("GET", "/shop", "example.com"),
    ("GET", "/shop/items/a", "example.com"),
    ("GET", "/shop/items/a?q=1&q=%20", "example.com:8000"),
    ("GET", "/shop/items/a%2Fb", "example.com"),
    ("GET", "/shop/items/%C3%A9%20b", "example.com"),
    ("HEAD", "/shop/items/a", "example.com"),
    ("PUT", "/shop/items/a", "example.com"),
    ("GET", "/shop/basket", "example.com"),
    ("GET", "/shop/docs", "example.com"),
    ("GET", "/shop/openapi.json", "example.com"),
    ("GET", "/shop/nothing", "example.com"),
    ("POST", "/shop/upload", "example.com"),
    ("POST", "/shop/checkout/pay", "example.com"),
    ("GET", "/shop/checkout/pay", "example.com"),
    ("GET", "/shop/checkout/nothing", "example.com"),
    ("GET", "/shop/checkouts", "example.com"),
    ("GET", "/shopping", "example.com"),
    ("GET", "/legacy/page", "example.com"),
    ("GET", "/legacy/login", "example.com"),
    ("GET", "/legacy/nothing", "example.com"),
    ("GET", "/readyz", "example.com"),
    ("GET", "/", "acme.example.com"),
    ("GET", "/shop/items/a", "acme.example.com"),
    ("GET", "/nothing", "acme.example.com:8000"),
)
#: A browser that navigates to a prefix is redirected.
NAVIGATING = ("/shop", "/shop/checkout", "/legacy")
#: Refused: the answer says so in the words of whoever refuses first.
REFUSED = ("/shop/../legacy/page", "/shop%2F..%2Flegacy/page")


def answers(port: int) -> dict[str, Any]:
    """Everything that a client can see of the site."""
    found: dict[str, Any] = {}
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(timeout=30, trust_env=False) as client:
        # Those behind may still start.
        for path in ("/shop/items/a", "/shop/checkout/pay", "/legacy/page", "/"):
            wait_until(lambda path=path: client.get(url + path).status_code < 500)  # type: ignore[misc]
        for method, path, host in REQUESTS:
            body = b"x" * 100_000 if method == "POST" else None
            answer = client.request(method, url + path, headers={"host": host}, content=body)
            found[f"{method} {host}{path}"] = _shown(answer)
        for path in NAVIGATING:
            headers = {"host": "example.com", "sec-fetch-mode": "navigate"}
            found[f"navigate {path}"] = _shown(client.get(url + path, headers=headers))
        for path in REFUSED:
            raw = httpx.URL(url, raw_path=path.encode())
            found[path] = client.get(raw, headers={"host": "example.com"}).status_code
        found["stream"] = _streamed(client, url)
    found["websocket"] = _talk(f"ws://example.com:{port}/shop/chat", port)
    found["no websocket"] = _talk(f"ws://example.com:{port}/shop/nothing", port)
    return found


def _shown(answer: httpx.Response) -> tuple[Any, ...]:
    headers = {name: answer.headers.get(name) for name in HEADERS}
    return answer.status_code, headers, answer.headers.get_list("set-cookie"), answer.text


def _streamed(client: httpx.Client, url: str) -> list[str]:
    """The second event is not sent before the first one is here."""
    with client.stream("GET", f"{url}/shop/sales") as answer:
        lines = answer.iter_lines()
        first = next(lines)
        assert client.post(f"{url}/shop/sell").status_code == 200
        return [answer.headers["content-type"], first, *lines]


def _talk(url: str, port: int) -> Any:
    """What a websocket is told, without the port, which is another one each time."""
    names = [Subprotocol("other"), Subprotocol("chat")]
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        with connect(url, sock=sock, subprotocols=names) as websocket:
            told = str(websocket.recv()).replace(f":{port}", "")
            websocket.send(b"\x00\xff")
            echoed = websocket.recv()
            with suppress(ConnectionClosed):
                websocket.recv()
            return (
                websocket.subprotocol,
                told,
                echoed,
                websocket.close_code,
                websocket.close_reason,
            )
    except InvalidStatus as exc:
        return exc.response.status_code
