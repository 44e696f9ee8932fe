"""HTTP/1.1, HTTP/2 and websockets over plain sockets: what no client library would send."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_SECONDS = 10.0

Text = str | bytes
Headers = Sequence[tuple[Text, Text]]


@dataclass
class Response:
    """One response.

    Attributes:
        is_whole: the body is as long as it was said to be.
        more: over HTTP/2, interim responses and trailers.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_whole: bool = True
    more: list[list[tuple[str, str]]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    target: Text = "/",
    *,
    host: Text | Sequence[Text] | None = "localhost",
    headers: Headers = (),
    method: Text = "GET",
    version: str = "1.1",
    body: bytes = b"",
    keep_alive: bool = False,
) -> bytes:
    """The bytes of a request; nothing is checked, and nothing but `Connection` is added."""
    hosts = [host] if isinstance(host, (str, bytes)) else host or []
    pairs: list[tuple[Text, Text]] = [("Host", value) for value in hosts]
    if not keep_alive:
        pairs.append(("Connection", "close"))
    lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/" + version.encode()]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in [*pairs, *headers]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(port: int, data: bytes) -> bytes:
    """What comes back until the server closes the connection.

    Raises:
        TimeoutError: it does not close it.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:  # it has closed it before it had read all
            pass
    return received


def responses(received: bytes) -> list[Response]:
    """The responses of what came back to `GET` and `POST`, as a client reads them.

    Raises:
        AssertionError: something is there that is none.
    """
    found: list[Response] = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        version, status, *_ = first.split(b" ", 2)
        assert end, f"no end of a head: {head!r}"
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), f"no response: {head!r}"
        headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        response = Response(int(status), headers, b"")
        found.append(response)
        lengths, codings = response.values("content-length"), response.values("transfer-encoding")
        assert len(lengths) + len(codings) <= 1, headers
        if response.status in (204, 304):
            continue
        if codings:
            response.body, response.is_whole, received = _chunks(received)
        else:
            length = int(lengths[0]) if lengths else len(received)
            response.body, received = received[:length], received[length:]
            response.is_whole = len(response.body) == length
    return found


def _chunks(received: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while received:
        size, _, received = received.partition(b"\r\n")
        length = int(size, 16)
        body += received[:length]
        received = received[length + 2 :]
        if not length:
            return body, True, received
    return body, False, b""


def ask(port: int, target: Text = "/", **how: Any) -> Response | None:
    """One request, one response; `None` if the connection is closed without one."""
    found = responses(exchange(port, request(target, **how)))
    assert len(found) < 2, found
    return found[0] if found else None


@dataclass
class Socket:
    """What a websocket came to.

    Attributes:
        status: of the handshake; 0 if there was no answer.
        frames: opcode and payload of each that came.
        code: of the close frame; 1005 if it had none, 1006 if there was no such frame.
    """

    status: int
    head: bytes
    frames: list[tuple[int, bytes]]
    code: int | None


def handshake(target: Text, headers: Headers = (), host: Text = "localhost") -> bytes:
    """The bytes that open a websocket."""
    wanted: list[tuple[Text, Text]] = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    return request(target, host=host, headers=[*wanted, *headers], keep_alive=True)


def websocket(port: int, target: Text, headers: Headers = (), host: Text = "localhost") -> Socket:
    """Open a websocket, and read until it is closed or refused."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(handshake(target, headers, host))
        try:
            while chunk := connection.recv(1 << 20):
                received += chunk
                head, end, rest = received.partition(b"\r\n\r\n")
                if not end:
                    continue
                if b" 101 " not in head.split(b"\r\n")[0] + b" ":
                    break
                frames = list(_frames(rest))
                if frames and frames[-1][0] == 8:
                    connection.sendall(b"\x88\x80\0\0\0\0")
                    break
        except ConnectionError:
            pass
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head:
        return Socket(0, b"", [], None)
    status = int(head.split(b" ")[1])
    if status != 101:
        return Socket(status, head, [], None)
    frames = list(_frames(rest))
    code = 1006
    if frames and frames[-1][0] == 8:
        payload = frames[-1][1]
        code = struct.unpack("!H", payload[:2])[0] if payload else 1005
    return Socket(status, head, frames, code)


def _frames(received: bytes) -> Iterator[tuple[int, bytes]]:
    while len(received) >= 2:
        length, start = received[1] & 127, 2
        if length == 126:
            length, start = int.from_bytes(received[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(received[2:10]), 10
        if len(received) < start + length:
            return
        yield received[0] & 15, received[start : start + length]
        received = received[start + length :]


def ask_h2(port: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Response | None:
    """One request over HTTP/2 with prior knowledge; `None` if the server resets it."""
    config = h2.config.H2Configuration(
        header_encoding="latin-1",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    client.send_headers(1, list(headers), end_stream=not body)
    if body:
        client.send_data(1, body, end_stream=True)
    response = Response(0, [], b"")
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(client.data_to_send())
        while chunk := connection.recv(65536):
            for event in client.receive_data(chunk):
                if isinstance(event, h2.events.ResponseReceived):
                    response.headers = [(k, v) for k, v in event.headers if k != ":status"]
                    response.status = int(dict(event.headers)[":status"])
                elif isinstance(
                    event, (h2.events.InformationalResponseReceived, h2.events.TrailersReceived)
                ):
                    response.more.append([(k, v) for k, v in event.headers])
                elif isinstance(event, h2.events.DataReceived):
                    response.body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return response
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    return None
            connection.sendall(client.data_to_send())
    return None


def _bytes(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
