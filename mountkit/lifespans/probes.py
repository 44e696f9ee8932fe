"""Apps that tell load balancers and orchestrators whether the mounts are up."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from itertools import chain, islice

from anyio.lowlevel import checkpoint
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.lifespans.registers import REGISTER, Register, mark_of
from mountkit.tasks import STRIDE, gently

# As many parts as this are sent one by one.
_MANY = 10


class Liveness:
    """An app that answers 200 as long as the process can answer anything.

    Mount("/livez", Liveness(), exact=True)
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _answer(send, 200, "alive", {})
        elif scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)


class Readiness:
    """An app that names the mounts that are not serving; 503 if one of them has failed, else 200.

        Mount("/readyz", Readiness(), exact=True)

    Mounts that are starting or draining are named too, but are not a failure.

    It asks every dispatcher below the same server, wherever it is mounted itself. It learns of
    them in the server's lifespan; without one it answers 503.

    Args:
        details: answer with the whole `Health` of each mount, errors included; only for readers
            who may see them.
    """

    has_lifespans = True  # for `children.starts_apps`

    def __init__(self, *, details: bool = False) -> None:
        self.details = details
        self._registers: list[Register] = []  # one for each server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, send)
        else:
            await refuse_websocket(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        own: list[Register] = [*scope.get(REGISTER, ())[:1]]
        for register in own if self._registers else ():
            register.marked()
        self._registers += own
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._registers = [one for one in self._registers if one not in own]
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, send: Send) -> None:
        if not self._registers:
            reason = _text("No lifespan runs the mounts.").encode()
            await _answer(send, 503, "not ready", {"reason": [reason]})
            return
        mark = mark_of(scope)
        known = [one for one in self._registers if one.mark == mark] or self._registers
        reports = chain.from_iterable(report() for report in [*known[0].reports])
        waiting: dict[str, str] = {}

        def told() -> Iterator[str]:
            for one in reports:
                if one.status != "serving":
                    waiting[one.mount] = one.status
                yield _text(asdict(one)) if self.details else ""

        mounts = await gently(_joined(told()))
        named = _joined(f"{_text(mount)}:{_text(status)}" for mount, status in waiting.items())
        rest = {"not serving": [b"{", *await gently(named), b"}"]} if waiting else {}
        if self.details:
            rest["mounts"] = [b"[", *mounts, b"]"]
        code, status = (503, "not ready") if "failed" in waiting.values() else (200, "ready")
        await _answer(send, code, status, rest)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _joined(texts: Iterable[str]) -> Generator[None, None, list[bytes]]:
    """Those that are not empty, with commas between them, in parts."""
    parts: list[bytes] = []
    left = iter(texts)
    while some := [*islice(left, STRIDE)]:
        part = ",".join(filter(None, some))
        if part:
            parts.append((f",{part}" if parts else part).encode())
        yield
    return parts


async def _answer(send: Send, code: int, status: str, rest: dict[str, list[bytes]]) -> None:
    """Send an object, of which further values are given in parts, already as JSON."""
    parts = [_text({"status": status}).encode()[:-1]]
    for key, value in rest.items():
        parts += f",{_text(key)}:".encode(), *value
    parts.append(b"}")
    headers = {"cache-control": "no-store", "content-length": str(sum(map(len, parts)))}
    parts = parts if len(parts) > _MANY else [b"".join(parts)]
    raw = Response(None, code, headers, "application/json").raw_headers
    await send({"type": "http.response.start", "status": code, "headers": raw})
    for number, part in enumerate(parts, 1):
        is_more = number < len(parts)
        await send({"type": "http.response.body", "body": part, "more_body": is_more})
        if is_more:
            await checkpoint()
