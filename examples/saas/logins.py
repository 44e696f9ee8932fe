"""Who is logged in: a signed cookie of one host, by Starlette's `SessionMiddleware`."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from starlette.middleware.sessions import SessionMiddleware


def add_sessions(app: FastAPI, key: str) -> None:
    """Have an app keep logins, signed by a key of its own.

    The cookie has no `Domain`: browsers send it to the very host that has set it, to no other
    tenant and not to the marketing site. What is sent elsewhere all the same is signed by the wrong
    key, and is nobody's login. Over https, write `https_only=True` and call it `__Host-session`:
    then no other host of the domain can plant one, either.
    """
    app.add_middleware(
        SessionMiddleware,
        secret_key=key,
        session_cookie="session",
        same_site="lax",  # and HttpOnly, which Starlette always sets
        max_age=14 * 24 * 3600,
    )


def log_in(request: Request, user: str) -> None:
    request.session.clear()
    request.session["user"] = user


def say(request: Request, text: str) -> None:
    """Have the next page that is shown to this visitor say something."""
    request.session["said"] = text


def said(request: Request) -> str:
    """What was to be said, once."""
    return str(request.session.pop("said", ""))


def log_out(request: Request) -> None:
    request.session.clear()


def user_of(request: Request) -> str | None:
    user = request.session.get("user")
    return user if isinstance(user, str) else None


async def same_origin(request: Request) -> None:
    """Refuses forms that a page of another host has sent.

    `SameSite=Lax` does not do that here: to browsers, all tenants below one domain are one site.
    """
    origin = request.headers.get("origin")
    is_safe = request.method in ("GET", "HEAD", "OPTIONS")
    if not is_safe and origin is not None and urlsplit(origin).netloc != request.headers["host"]:
        raise HTTPException(403, f"This form was sent from {origin}, which is another host.")
