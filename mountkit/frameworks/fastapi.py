"""FastAPI. What is known of Starlette holds for it too, by its base class."""

from collections.abc import Iterator, Mapping
from typing import Any

from mountkit.frameworks import Framework, Place, Problem


def _problems(app: Any, place: Place) -> Iterator[Problem]:
    """It puts its own `root_path` into the scope (`applications.py:FastAPI.__call__`)."""
    own = app.root_path
    if own.rstrip("/") not in ("", place.prefix):
        yield Problem(
            "own-root-path",
            f"FastAPI was built with root_path={own!r}, which replaces the mount's "
            f"{place.prefix!r}, so none of its routes match; leave root_path out",
        )


def _route_of(scope: Mapping[str, Any]) -> Any:
    """A route below `include_router(prefix=…)` does not hold the prefix; its context does."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(context, "starlette_route", None) or context


FASTAPI = Framework(
    name="FastAPI",
    app=("fastapi", "FastAPI"),
    # Not "fastapi.telemetry", which keeps a mounted app from opening a second span.
    left_keys="fastapi fastapi_async_cleanup_scopes fastapi_function_astack fastapi_inner_astack "
    "fastapi_middleware_astack",
    problems=_problems,
    document=lambda app: app.openapi() if app.openapi_url else None,
    route_of=_route_of,
)
