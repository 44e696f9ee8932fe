"""What parent and workers say to each other: objects of JSON, one in a line, over a socket pair."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeAlias

from mountkit.exceptions import MountkitError, shown
from mountkit.logs import serve as logger
from mountkit.tasks import is_outside

#: Answers what the other side asks, or hears what it tells: the kind, and what goes with it.
Handler: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[Any]]

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LONGEST = 2**30  # bytes of a line; 64 KiB by default
_GONE = "The other process has ended."


class ChannelClosed(MountkitError):
    """The other process has ended."""


class ChannelRefused(MountkitError):
    """The other process could not do what it was asked; the message is its own."""


class Channel:
    """One end.

    Args:
        handle: the message of what it raises is that of `ChannelRefused` on the other side.
    """

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, end: socket.socket, first: bytes = b"") -> Streams:
        """Connect it; `run` reads what this returns.

        Args:
            first: what is sent before any message.
        """
        reader, self._writer = await asyncio.open_unix_connection(sock=end, limit=_LONGEST)
        self._writer.write(first)
        return reader, self._writer

    async def run(self, streams: Streams) -> None:
        """Read until the other side has gone. Each request is worked on in a task of its own."""
        reader, writer = streams
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writer = None
            for future in filter(_is_open, self._asked.values()):
                future.set_exception(ChannelClosed(_GONE))

    async def ask(self, kind: str, **values: Any) -> Any:
        """What the other side answers.

        Raises:
            ChannelClosed: it has gone, or goes before it answers.
            ChannelRefused: it could not do it.
        """
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            if not self._send({"ask": kind, "number": number, "values": values}):
                raise ChannelClosed(_GONE)
            return await future
        finally:
            del self._asked[number]

    def tell(self, kind: str, **values: Any) -> None:
        """Say something that needs no answer; nobody hears it if the other side has gone."""
        self._send({"ask": kind, "values": values})

    async def flush(self) -> None:
        """Wait until the other side can have read all that was said."""
        if self._writer is not None:
            await self._writer.drain()

    def _send(self, message: dict[str, Any]) -> bool:
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(json.dumps(message).encode() + b"\n")
        return True

    def _take(self, message: dict[str, Any]) -> None:
        if "reply" in message:
            future = self._asked.get(message["reply"])
            if future is None or future.done():
                return  # nobody waits any more
            if "error" in message:
                future.set_exception(ChannelRefused(message["error"]))
            else:
                future.set_result(message["value"])
            return
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"reply": message.get("number")}
        try:
            reply["value"] = await self._handle(message["ask"], message["values"])
        except MountkitError as exc:
            reply["error"] = str(exc)
        except BaseException as exc:  # else the other side would wait for ever
            if is_outside(exc):
                raise
            logger.exception("What the other process has asked (%s) failed.", message["ask"])
            reply["error"] = shown(exc)
        if "number" in message:
            self._send(reply)


def _is_open(future: asyncio.Future[Any]) -> bool:
    return not future.done()
