"""Prints the server spans of every combination, with one tracer provider for the process."""

from __future__ import annotations

from typing import Any

import flask
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ASGIInstrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mountkit import DispatchMiddleware, Mount

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


async def item(request: Request) -> Response:
    return PlainTextResponse("item")


def view(id: int) -> str:
    return "item"


def child(kind: str) -> Any:
    if kind == "Starlette":
        return Starlette(routes=[Route("/item/{id}", item)])
    app: Any = FastAPI() if kind == "FastAPI" else flask.Flask("child")
    if kind == "FastAPI":
        app.add_api_route("/item/{id}", view)
    else:
        app.add_url_rule("/item/<int:id>", view_func=view)
    return app


def parent(recorder: str, place: str, mount: Mount) -> Any:
    kind = FastAPI if recorder == "fastapi" else Starlette
    app: Any = kind(routes=[mount] if place == "route" else [])
    if place == "middleware":
        app.add_middleware(DispatchMiddleware, mounts=[mount])
    if recorder == "starlette":
        app.add_middleware(OpenTelemetryMiddleware)
    return ASGIInstrumentation(app) if recorder == "asgi" else app


for recorder in ("fastapi", "starlette", "asgi"):
    for place in ("middleware", "route"):
        for kind in ("FastAPI", "Starlette", "Flask"):
            app = parent(recorder, place, Mount("/admin", child(kind)))
            TestClient(app, root_path="/outer").get("/outer/admin/item/3")
            found = [
                f"{span.name} {(span.attributes or {}).get('http.route')}"
                for span in exporter.get_finished_spans()
                if span.kind is trace.SpanKind.SERVER
            ]
            exporter.clear()
            print(f"{recorder} {place} {kind}: {', '.join(found)}")
