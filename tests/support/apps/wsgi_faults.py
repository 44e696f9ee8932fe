"""WSGI apps that behave as badly as some do, behind one dispatcher."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mountkit import Dispatcher, Mount, WSGIBridge

MIB = 1024 * 1024
TEXT = [("Content-Type", "text/plain")]

# What happened, for the tests to ask.
counts: dict[str, int] = {"given": 0, "closed": 0, "finished": 0}


class Stream:
    """Chunks that are counted, and a `close()` that is."""

    def __init__(self, size: int, count: int, pause: float) -> None:
        self.chunk = b"x" * size
        self.count = count
        self.pause = pause

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.count):
            counts["given"] += 1
            yield self.chunk
            time.sleep(self.pause)
        counts["finished"] += 1

    def close(self) -> None:
        counts["closed"] += 1


def endless(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return Stream(1000, 100_000, 0.002)


def exits(environ: dict[str, Any], start_response: Any) -> Any:
    sys.exit(3)


def hangs(environ: dict[str, Any], start_response: Any) -> Any:
    time.sleep(600)


def injects(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("X-A", "b\r\nSet-Cookie: evil=1")])
    return [b"x"]


def silent(environ: dict[str, Any], start_response: Any) -> Any:
    return [b"x"]


def late(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    yield b""
    raise RuntimeError("late")


def cut(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    yield b"12345"
    time.sleep(0.2)  # let it out
    raise RuntimeError("cut")


def valid(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read(100)
    start_response("200 OK", TEXT)
    return [body or b"nothing"]


files = flask.Flask("files")


@files.post("/up")
def up() -> str:
    total = 0
    while chunk := flask.request.stream.read(65_536):
        total += len(chunk)
    return str(total)


@files.get("/down/<int:mib>")
def down(mib: int) -> flask.Response:
    chunk = b"x" * 65_536
    return flask.Response((chunk for _ in range(mib * 16)), mimetype="text/plain")


@files.post("/form")
def form() -> dict[str, Any]:
    return {"form": flask.request.form, "length": flask.request.content_length}


def status(request: Request) -> JSONResponse:
    """What happened, and what this process has used."""
    memory = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    threads = sum(t.name.startswith("mountkit") for t in threading.enumerate())
    peak = int(memory["VmHWM"].split()[0]) * 1024
    flights = {
        one.mount[1:]: one.in_flight for one in app.health if one.mount in ("/files", "/hangs")
    }
    seen = {"threads": threads, "peak": peak, "pid": os.getpid(), **flights}
    return JSONResponse({**counts, **seen})


def reset_peak(request: Request) -> JSONResponse:
    """From here on, `VmHWM` counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return JSONResponse(None)


few = partial(WSGIBridge, threads=2, queue=1)

app = Dispatcher(
    [
        Mount("/endless", endless, bridge=few),
        Mount("/exits", exits),
        Mount("/hangs", hangs, bridge=few),
        Mount("/injects", injects),
        Mount("/silent", silent),
        Mount("/late", late),
        Mount("/cut", cut),
        Mount("/valid", validator(valid)),
        Mount("/files", files),
    ],
    default=Starlette(
        routes=[Route("/status", status), Route("/reset", reset_peak, methods=["POST"])]
    ),
)
