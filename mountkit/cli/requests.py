"""One request to an app in this process, its lifespan included."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Scope

from mountkit.exceptions import LifespanError
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT
from mountkit.lifespans.protocol import LifespanTask
from mountkit.wsgi.detection import adapt

_GRACE = 1.0  # seconds that an app has to end after its client has gone


@dataclass
class Answer:
    """What an app sends.

    Attributes:
        kind: `"http"` or `"websocket"`.
        messages: of a websocket.
        code: with which a websocket is closed.
        cut: why nothing more was read, or `""`.
        error: what the app raised, or that it did not start or stop.
    """

    kind: str
    max_bytes: int
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    messages: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    cut: str = ""
    error: BaseException | None = None
    is_accepted: bool = False
    size: int = 0

    def take(self, message: Message) -> bool:
        """Note a message; whether it is the last that is read."""
        kind = message["type"].rpartition(".")[2]
        if kind in ("start", "accept"):
            self.status = message.get("status", 101)
            self.is_accepted = kind == "accept"
            pairs = message.get("headers", ())
            self.headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs]
            return False
        if kind == "close":
            self.code = message.get("code", 1000)
            self.status = self.status or 403
            return True
        data = message.get("body") or message.get("bytes") or message.get("text") or b""
        if kind == "send":
            self.messages.append(data)
        else:
            self.body += data
        self.size += len(data)
        if self.size > self.max_bytes:
            del self.body[self.max_bytes :]
            self.cut = f"{self.max_bytes} bytes (--max-bytes)"
        return bool(self.cut) or (kind == "body" and not message.get("more_body"))

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.is_accepted:
            yield "websocket accepted"
        elif self.status:
            what = "websocket refused: HTTP" if self.kind == "websocket" else "HTTP"
            known = {one.value: one.phrase for one in HTTPStatus}
            yield f"{what} {self.status} {known.get(self.status, '')}".rstrip()
        yield from (f"{name}: {value}" for name, value in self.headers)
        yield from (f"<- {message!r}" for message in self.messages)
        if self.is_accepted and self.code is not None:
            yield f"closed with {self.code}"
        if self.body:
            text, encoding = self._text()
            yield from ("", text if encoding == "utf-8" else f"({len(self.body)} bytes, not text)")
        if self.cut:
            yield f"(no more was read after {self.cut})"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; a body that is not text is in base64."""
        body, encoding = self._text()
        found = {"status": self.status, "headers": self.headers, "body": body}
        found |= {"encoding": encoding, "cut": self.cut}
        if self.kind == "websocket":
            messages = [one if isinstance(one, str) else one.hex(" ") for one in self.messages]
            found |= {"accepted": self.is_accepted, "messages": messages, "code": self.code}
        return found

    def _text(self) -> tuple[str, str]:
        try:
            return self.body.decode("utf-8"), "utf-8"
        except UnicodeDecodeError as exc:
            if self.cut and exc.end == len(self.body):  # within a character
                return self.body[: exc.start].decode("utf-8"), "utf-8"
            return base64.b64encode(self.body).decode("ascii"), "base64"


async def ask(
    app: Any, scope: Scope, data: bytes | None, *, max_time: float, max_bytes: int
) -> Answer:
    """Start an app, send it one request, and stop it.

    Args:
        data: the body, or the one message that a websocket gets.
        max_time: seconds until the client goes away.
        max_bytes: how much is read.
    """
    asgi, _ = adapt(app)
    answer = Answer(scope["type"], max_bytes)
    state: dict[str, Any] = {}
    lifespan_scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    task = LifespanTask(asgi, "The app", lifespan_scope)
    async with anyio.create_task_group() as tasks:
        start_soon: Any = tasks.start_soon
        try:
            await task.start(start_soon, STARTUP_TIMEOUT)
            await _exchange(asgi, {**scope, "state": state.copy()}, data, answer, max_time)
            await task.stop(SHUTDOWN_TIMEOUT)
        except LifespanError as exc:
            answer.error = exc
    return answer


async def _exchange(
    app: ASGIApp, scope: Scope, data: bytes | None, answer: Answer, max_time: float
) -> None:
    over = anyio.Event()  # the client has gone
    is_websocket = scope["type"] == "websocket"
    coming: list[Message] = [{"type": "http.request", "body": data or b"", "more_body": False}]
    if is_websocket:
        coming = [{"type": "websocket.connect"}]
        if data is not None:
            coming.append({"type": "websocket.receive", "text": data.decode("utf-8", "replace")})

    async def receive() -> Message:
        if coming:
            return coming.pop(0)
        await over.wait()
        return {"type": f"{scope['type']}.disconnect"} | ({"code": 1001} if is_websocket else {})

    async def send(message: Message) -> None:
        if not over.is_set() and answer.take(message):
            over.set()
            if answer.cut:
                waiting.cancel()

    async def serve() -> None:
        try:
            await app(scope, receive, send)
        except (Exception, SystemExit) as exc:
            if not answer.cut:  # else it is told that its client has gone
                answer.error = exc
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        with anyio.move_on_after(max_time) as waiting:
            await anyio.sleep_forever()
        if not over.is_set():
            answer.cut = f"{max_time:g} seconds (--max-time)"
            over.set()
        await anyio.sleep(_GRACE)
        tasks.cancel_scope.cancel()
