"""Apps that do as a test tells them."""

from __future__ import annotations

import signal

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What has happened, in order.
Log = list[str]


def actor(name: str, log: Log, startup: str = "ok", shutdown: str = "ok") -> ASGIApp:
    """An app that writes down what happens to it and behaves as it is told."""

    async def act(kind: str, how: str, send: Send) -> None:
        if how == "hangs":
            log.append(f"{name} hangs")
            await anyio.sleep_forever()
        if how == "raises":
            raise RuntimeError(f"{name} raises")
        if how == "exits":
            raise SystemExit(3)
        if how == "returns":
            return
        outcome = "failed" if how == "fails" else "complete"
        message = {"type": f"lifespan.{kind}.{outcome}"}
        if how == "fails":
            message["message"] = f"{name} cannot"
        await send(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await JSONResponse({"app": name})(scope, receive, send)
            return
        if startup == "unsupported":
            raise ValueError("unknown scope type")
        if startup == "returns":
            return
        try:
            assert (await receive())["type"] == "lifespan.startup"
            if startup == "returns late":
                return
            await act("startup", startup, send)
            if startup != "ok":
                return
            log.append(f"{name} up")
            assert (await receive())["type"] == "lifespan.shutdown"
            await act("shutdown", shutdown, send)
        finally:
            log.append(f"{name} down")

    return app


class Flaky:
    """An app whose first starts fail, and that may be made to die.

    Args:
        failures: how many.
    """

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts = 0
        self.stops = 0
        self.dies = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await JSONResponse(scope["state"])(scope, receive, send)
            return
        await receive()
        self.starts += 1
        if self.starts <= self.failures:
            raise RuntimeError(f"start {self.starts}")
        scope["state"]["start"] = self.starts
        await send({"type": "lifespan.startup.complete"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._die)
            await receive()
            tasks.cancel_scope.cancel()
        self.stops += 1
        await send({"type": "lifespan.shutdown.complete"})

    async def _die(self) -> None:
        await self.dies.wait()
        self.dies = anyio.Event()
        raise RuntimeError("died")


class Slow:
    """An app whose requests go on until they are let go.

    Args:
        log: gets what happens.
        answers_first: start the response before waiting.
    """

    def __init__(self, log: Log, *, answers_first: bool = False, heeds: bool = True) -> None:
        self.log = log
        self.answers_first = answers_first
        self.heeds = heeds
        self.go = anyio.Event()
        self.entered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.log.append("slow up")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.log.append("slow down")
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.entered += 1
        if scope["type"] == "websocket":
            await receive()
            if self.answers_first:
                await send({"type": "websocket.accept"})
            await self._wait()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self.answers_first:
            await send(start)
        await self._wait()
        if not self.answers_first:
            await send(start)
        await send({"type": "http.response.body", "body": b"slow"})

    async def _wait(self) -> None:
        while not self.go.is_set():
            try:
                with anyio.CancelScope(shield=not self.heeds):
                    await self.go.wait()
            except BaseException:
                self.log.append("slow cancelled")
                if self.heeds:
                    raise


class Child:
    """Keeps the scope that it is given, sends what it is told to, and then raises, perhaps."""

    def __init__(self, messages: list[Message], error: BaseException | None) -> None:
        self.messages = messages
        self.error = error
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        for message in self.messages:
            await send(message)
        if self.error is not None:
            raise self.error


def raising(exc: BaseException, *, after: list[Message] | None = None) -> ASGIApp:
    """An app that sends these messages, and raises then."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
        for message in after or []:
            await send(message)
        raise exc

    return app


def pressed() -> KeyboardInterrupt:
    """What Ctrl-C raises where the handler is Python's, asyncio's or trio's."""
    try:
        for _ in range(2):  # asyncio's cancels the main task, and raises the second time
            signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as exc:
        return exc
    raise RuntimeError("The handler of SIGINT raises nothing.")
