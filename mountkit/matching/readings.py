"""Queries and cookies, read once a request, however many conditions there are.

A decision is synchronous: the text that was read last is the one that is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl


@lru_cache(maxsize=1)
def parse_query(query: bytes) -> dict[str, list[str]]:
    """The decoded values by name; not to be changed."""
    return _grouped(parse_qsl(query.decode("latin-1"), keep_blank_values=True))


@lru_cache(maxsize=1)
def parse_cookies(header: bytes) -> dict[str, list[str]]:
    """The values by name (RFC 6265, section 5.4); not to be changed."""
    pairs = (pair.partition("=") for pair in header.decode("latin-1").split(";"))
    return _grouped(
        (name.strip(), value.strip().removeprefix('"').removesuffix('"'))
        for name, separator, value in pairs
        if separator
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
