"""Functions of the user that run before any app is called, or in the place of one, and raise what
would end a server. `FAULTS` names the paths; `/ok` is well."""

from __future__ import annotations

import asyncio

import sniffio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Matcher, Mount, Split, TenantMiddleware, TenantResolver
from tests.support.apps.records import recorded_lifespan

KINDS = ("exit", "interrupt", "cancelled", "group")
PLACES = ("condition", "choice", "unknown", "default")
FAULTS = [f"/{place}/{kind}" for place in PLACES for kind in KINDS]


def fail(path: str) -> None:
    if path.endswith("/exit"):
        raise SystemExit(3)
    if path.endswith("/interrupt"):
        raise KeyboardInterrupt
    if path.endswith("/group"):
        raise BaseExceptionGroup("several", [SystemExit(3), KeyboardInterrupt()])
    if path.endswith("/cancelled"):
        if sniffio.current_async_library() != "asyncio":
            raise RuntimeError("trio lets no app make a cancellation")
        raise asyncio.CancelledError


class Raises(Matcher):
    def matches(self, scope: Scope) -> bool:
        fail(scope["path"])
        return True


class Chooses(Split):
    def choose(self, scope: Scope) -> str:
        fail(scope["path"])
        return super().choose(scope)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("not known")
    fail(scope["path"])
    await PlainTextResponse("default")(scope, receive, send)


async def find(host: str) -> None:
    return None


index = PlainTextResponse("ok")
ok = Starlette(routes=[Route("/", lambda request: index)], lifespan=recorded_lifespan("ok"))
app = Dispatcher(
    [
        Mount("/ok", ok),
        Mount("/condition", index, when=Raises()),
        Mount("/choice", Chooses({"one": (index, 1)})),
        Mount("/unknown", TenantMiddleware(index, TenantResolver(find), unknown=failing)),
    ],
    default=failing,
)
#: Without a mount between the server and the function.
bare_split = Chooses({"one": (failing, 1)})
bare_tenants = TenantMiddleware(failing, TenantResolver(find), unknown=failing)
