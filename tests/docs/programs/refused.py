"""What type checkers refuse to mount: each marked line is an error for both of them."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request

from mountkit import Dispatcher, DispatchMiddleware, Mount, Split, TenantMiddleware

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
