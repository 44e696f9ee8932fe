"""Apps that tell load balancers and orchestrators whether the mounts are up."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.lifespans.registers import REGISTER, Register, mark_of
from mountkit.tasks import gently, in_steps


class Liveness:
    """An app that answers 200 as long as the process can answer anything.

    Mount("/livez", Liveness(), exact=True)
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _json({"status": "alive"}, 200)(scope, receive, send)
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
            response = await self._answer(scope)
            await response(scope, receive, send)
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

    async def _answer(self, scope: Scope) -> Response:
        if not self._registers:
            return _json({"status": "not ready", "reason": "No lifespan runs the mounts."}, 503)
        mark = mark_of(scope)
        known = [one for one in self._registers if one.mark == mark] or self._registers
        reports = chain.from_iterable(report() for report in [*known[0].reports])
        told = (one if self.details or one.status != "serving" else None for one in reports)
        mounts = [one for one in await gently(in_steps(told)) if one is not None]
        waiting = {one.mount: one.status for one in mounts if one.status != "serving"}
        is_ready = "failed" not in waiting.values()
        body: dict[str, object] = {"status": "ready" if is_ready else "not ready"}
        if waiting:
            body["not serving"] = waiting
        parts = await gently(in_steps(_text(asdict(one)) for one in mounts if self.details))
        return _json(body, 200 if is_ready else 503, parts if self.details else None)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(body: dict[str, object], status: int, mounts: list[str] | None = None) -> Response:
    text = _text(body)
    if mounts is not None:
        text = f'{text[:-1]},"mounts":[{",".join(mounts)}]}}'
    return Response(text, status, {"cache-control": "no-store"}, "application/json")
