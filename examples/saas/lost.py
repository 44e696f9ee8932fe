"""The page for what an app does not have: the app's own, in its colour, with a way back."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from fastapi.templating import Jinja2Templates

templates = Jinja2Templates(Path(__file__).with_name("templates"))


def add_not_found(app: FastAPI, title: str, colour: str) -> None:
    """Have an app answer a browser with a page, and other clients with JSON as before."""

    async def not_found(request: Request, exc: Exception) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            context = {"title": title, "colour": colour, "path": request.url.path}
            return templates.TemplateResponse(request, "not_found.html", context, status_code=404)
        if not isinstance(exc, HTTPException):
            exc = HTTPException(404)
        return await http_exception_handler(request, exc)

    app.add_exception_handler(404, not_found)
