"""What each layer costs: a request through a mount with it, less one through a mount without, in U.

See `benchmarks.driving` for U and for how it is measured.

    scripts/bench layers
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.middleware import Middleware

from benchmarks.driving import CALLS, WARM_UP, Works, calling, child, floor, scope_of, timed
from benchmarks.measuring import DOCS, quote, table, write
from mountkit import (
    CheckMiddleware,
    ContainMiddleware,
    ContextMiddleware,
    CookiePathMiddleware,
    Dispatcher,
    LimitMiddleware,
    LocationMiddleware,
    MeterMiddleware,
    Mount,
    RedirectMiddleware,
    TimeoutMiddleware,
)

PAGE_OF_DOCS = DOCS / "limits.md"

#: What a mount is given, and the most that it may cost.
LAYERS: dict[str, tuple[dict[str, Any], float | None]] = {
    "CheckMiddleware": ({"middleware": [Middleware(CheckMiddleware)]}, 2.5),
    "ContextMiddleware": ({"middleware": [Middleware(ContextMiddleware)]}, 1.2),
    "ContainMiddleware": ({"middleware": [Middleware(ContainMiddleware)]}, 0.8),
    'errors="contain"': ({"errors": "contain"}, 0.8),
    "TimeoutMiddleware, total": (
        {"middleware": [Middleware(TimeoutMiddleware, total=30)]},
        6.0,
    ),
    "TimeoutMiddleware, response": (
        {"middleware": [Middleware(TimeoutMiddleware, response=10)]},
        6.0,
    ),
    "TimeoutMiddleware, both": (
        {"middleware": [Middleware(TimeoutMiddleware, response=10, total=30)]},
        6.0,
    ),
    "MeterMiddleware": ({"middleware": [Middleware(MeterMiddleware)]}, 1.5),
    "LimitMiddleware": ({"middleware": [Middleware(LimitMiddleware, max_concurrency=100)]}, None),
    "RedirectMiddleware": ({"middleware": [Middleware(RedirectMiddleware)]}, None),
    "CookiePathMiddleware": ({"middleware": [Middleware(CookiePathMiddleware)]}, None),
    "LocationMiddleware": ({"middleware": [Middleware(LocationMiddleware)]}, None),
}


async def by_layer(rounds: int) -> dict[str, dict[str, float]]:
    """The cost of each layer over a mount without, in U."""
    given = {"": {}, **{name: options for name, (options, _) in LAYERS.items()}}
    works: Works = {
        "U": (calling(floor), lambda: scope_of("/m0/x")),
        **{
            name: (calling(Dispatcher([Mount("/m0", child, **options)])), lambda: scope_of("/m0/x"))
            for name, options in given.items()
        },
    }
    times = await timed(works, rounds)
    unit, plain = times["U"]["median"], times[""]["median"]
    rows = {}
    for name, (_, goal) in LAYERS.items():
        rows[name] = {"reached": (times[name]["median"] - plain) / unit}
        if goal is not None:
            rows[name]["goal"] = goal
    return rows


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as the documentation shows them."""
    return table("over a mount without the layer, in U, at most", figures["layers"])


def main(rounds: int = 500) -> None:
    started = time.monotonic()
    figures = {"layers": asyncio.run(by_layer(rounds))}
    write("layers", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "layers", text)
    print(text)
    print(
        f"{rounds} rounds of {WARM_UP} and {CALLS} calls. {time.monotonic() - started:.0f} s",
    )


if __name__ == "__main__":
    main()
