"""What type checkers refuse: each marked line is an error for both of them."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    Mount,
    Split,
    TenantMiddleware,
    TimeoutMiddleware,
)

app = FastAPI()


async def view(request: Request) -> str:
    return ""


def page(request: Request) -> str:
    return ""


Mount("/a", 3)  # refused
Mount("/a", "x")  # refused
Mount("/a", object())  # refused
Mount("/a", [Mount("/b", app)])  # refused
Mount("/a", {"/b": app})  # refused
Mount("/a", view)  # refused
Mount("/a", page)  # refused
Mount("/a", FastAPI)  # refused
Dispatcher({"/": 3})  # refused
Dispatcher({"/": app, "/b": "x"})  # refused
Dispatcher([app])  # refused
Dispatcher(default=3)  # refused
Split({"a": ("x", 1)})  # refused
app.add_middleware(DispatchMiddleware, mounts={"/a": 3})  # refused
app.add_middleware(TenantMiddleware, resolver=3)  # refused
Mount("/a", app, lifespan="startup-only")  # refused
Mount("/a", app, lifespan=Lifespan(on_failure="retry"))  # refused
Mount("/a", app, errors="ignore")  # refused
Mount("/a", app, convention="full")  # refused
Mount("/a", app, max_concurrency=10)  # refused
Mount("/a", app, middleware=[Middleware(TimeoutMiddleware, seconds=10)])  # refused
