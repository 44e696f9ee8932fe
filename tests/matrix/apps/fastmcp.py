from __future__ import annotations

from typing import Any

from fastmcp import FastMCP


def make(prefix: str) -> Any:
    server = FastMCP("site")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return server.http_app(path="/", stateless_http=True, json_response=True)
