"""One websocket's way to an upstream and back (RFC 6455)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import cast

from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from mountkit.proxy.connections import READ, WRITE, Connection, read_final_head
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.exchanges import relay
from mountkit.proxy.requests import Request
from mountkit.proxy.responses import Body, Head, Headers
from mountkit.proxy.upstreams import Limits, Pool
from mountkit.tasks import current_task

#: Seconds that an upstream may take to answer that a websocket is closed.
CLOSE_TIMEOUT: float = 5.0

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# What a close frame may not have, but stands for something (RFC 6455, section 7.4.1).
_MEANT: dict[int | None, int] = {None: 1000, 1005: 1000, 1006: 1011, 1015: 1011}
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_CODES = {*range(1000, 1004), *range(1007, 1015)}
_MAX_REASON = 123


class Socket:
    """One websocket. It is opened at the upstream before the client's is accepted; a refusal is
    the client's answer, as it came.

    A task of its own passes on what the client sends; the one that calls `run` what the upstream
    does. When one of the two has ended, so has the other.

    Args:
        change: makes the headers that the client gets of those that came.
    """

    def __init__(
        self,
        limits: Limits,
        change: Callable[[Headers], Headers],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._limits = limits
        self._change = change
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_accepted = asyncio.Event()
        self._has_left = self._is_given_up = False
        self._raised: Exception | None = None
        self._parts: list[bytes] = []  # of a message that is not whole
        self._is_text = False

    async def run(self, pool: Pool, request: Request, host: str, max_size: int) -> None:
        """Open it, and pass messages on until it is closed.

        Raises:
            ProxyError: it could not be opened.
        """
        # Its frames, and not its handshake, which is that of any request.
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=max_size)
        main = cast("asyncio.Task[object]", current_task())
        self._inbound = main.get_loop().create_task(self._upwards(main))
        try:
            await self._open(pool, request, host)
        except asyncio.CancelledError:
            if not self._is_given_up or main.uncancel():
                raise
            if self._raised is not None:
                raise self._raised from None
            # uvicorn logs an error if an app returns without a word.
            await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        finally:
            self._inbound.cancel()

    async def _open(self, pool: Pool, request: Request, host: str) -> None:
        upstream, connection = await pool.open()
        has_failed: bool | None = True
        try:
            connection.allow(READ, self._limits.head)
            await connection.write(request.head(upstream.target, host))
            head, rest = await read_final_head(connection, "GET", may_switch=True)
            connection.allow(READ, None)
            if head.status == 101:
                subprotocol, headers = self._agreed(head, request.key)
                has_failed = False
                start = {"subprotocol": subprotocol, "headers": headers}
                await self._send({"type": "websocket.accept", **start})
                await self._pass_on(connection, rest)
            else:
                has_failed = False
                await self._refuse(connection, head, rest)
        except asyncio.CancelledError:
            has_failed = None
            raise
        finally:
            pool.release(upstream, connection, is_kept=False, has_failed=has_failed)

    def _agreed(self, head: Head, key: bytes) -> tuple[str | None, Headers]:
        """What the upstream has agreed to."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in head.headers:
            values.setdefault(name, []).append(value)
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        options = b",".join(values.get(b"connection", ())).lower().split(b",")
        chosen = [value.decode("latin-1") for value in values.get(b"sec-websocket-protocol", ())]
        if (
            values.get(b"sec-websocket-accept") != [accept]
            or [value.lower() for value in values.get(b"upgrade", ())] != [b"websocket"]
            or b"upgrade" not in (option.strip() for option in options)
        ):
            raise ProxyError(502, "The upstream's answer to the handshake of a websocket is none.")
        if b"sec-websocket-extensions" in values:
            raise ProxyError(502, "The upstream uses an extension that was not offered.")
        if len(chosen) > 1 or not set(chosen) <= set(self._scope.get("subprotocols", ())):
            raise ProxyError(502, f"The upstream has chosen {chosen}, which was not offered.")
        kept = [pair for pair in head.kept if not pair[0].startswith(b"sec-websocket-")]
        return (chosen[0] if chosen else None), self._change(kept)

    async def _refuse(self, connection: Connection, head: Head, rest: bytes) -> None:
        if "websocket.http.response" not in (self._scope.get("extensions") or {}):
            await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        kind, idle = "websocket.http.response", self._limits.idle
        head.kept, head.has_trailers = self._change(head.kept), False
        body = Body(head.framing)
        part = body.feed(rest) if rest else b""
        await relay(connection, head, body, part, self._send, idle, kind)

    async def _pass_on(self, connection: Connection, rest: bytes) -> None:
        self._connection = connection
        self._is_accepted.set()
        try:
            code, reason = await self._downwards(rest)
        finally:
            self._inbound.cancel()
            await asyncio.wait([self._inbound])
            if self._protocol.state is OPEN:
                self._protocol.send_close(1001)
            connection.finish(b"".join(self._protocol.data_to_send()), CLOSE_TIMEOUT)
        if self._raised is not None:
            raise self._raised
        if not self._has_left:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _downwards(self, data: bytes) -> tuple[int, str]:
        """Pass on what the upstream sends; how it was closed."""
        protocol, connection = self._protocol, self._connection
        connection.allow(READ, self._limits.idle)
        try:
            while True:
                if data:
                    protocol.receive_data(data)
                    await self._flush()
                for frame in protocol.events_received():
                    if isinstance(frame, Frame) and frame.opcode in _DATA:
                        await self._deliver(frame)
                if protocol.close_rcvd is not None:
                    return _allowed(protocol.close_rcvd.code, protocol.close_rcvd.reason)
                if protocol.state is not OPEN and not self._has_left:  # it sends what it must not
                    sent = protocol.close_sent
                    return (1009 if sent is not None and sent.code == 1009 else 1011), ""
                data = await connection.read()
                if not data:
                    return 1011, ""
        except UnicodeDecodeError:
            protocol.fail(1007)
            return 1011, ""
        except ProxyError as exc:
            return (1001 if exc.status == 504 else 1011), ""

    async def _deliver(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        if frame.data:  # of frames without any, there may be very many
            self._parts.append(bytes(frame.data))
        if not frame.fin or self._has_left:
            return
        data = b"".join(self._parts)
        self._parts.clear()
        content = {"text": data.decode()} if self._is_text else {"bytes": data}
        self._connection.allow(READ, None)
        await self._send({"type": "websocket.send", **content})
        self._connection.allow(READ, self._limits.idle)

    async def _upwards(self, main: asyncio.Task[object]) -> None:
        """Pass on what the client sends, until it has gone."""
        protocol = self._protocol
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                await self._is_accepted.wait()
                self._connection.allow(READ, self._limits.idle)
                if (text := message.get("text")) is not None:
                    protocol.send_text(text.encode())
                else:
                    protocol.send_binary(message["bytes"])
                await self._flush()
            self._has_left = True
            if self._is_accepted.is_set():
                protocol.send_close(*_allowed(message.get("code"), message.get("reason")))
                await self._flush()
                self._connection.allow(READ, CLOSE_TIMEOUT)
        except (InvalidState, ProxyError):
            """The upstream has gone, which the other task tells."""
        except Exception as exc:
            self._raised = exc
        if not self._is_accepted.is_set():
            self._is_given_up = True
            main.cancel()
        elif self._raised is not None:
            self._connection.close()

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._connection.allow(WRITE, self._limits.idle)
            await self._connection.write(data)
            self._connection.allow(WRITE, None)


def _allowed(code: int | None, reason: str | None) -> tuple[int, str]:
    """A code and a reason that a close frame may have."""
    code = _MEANT.get(code, code)
    is_allowed = code in _CODES or (code is not None and 3000 <= code < 5000)
    text = (reason or "").encode()[:_MAX_REASON].decode(errors="ignore")
    return (code if is_allowed and code is not None else 1011), text
