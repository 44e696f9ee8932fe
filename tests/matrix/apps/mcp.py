from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer


def make(prefix: str) -> Any:
    server = MCPServer("site")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    # host= names what the Host header may be; "0.0.0.0" stands for all.
    return server.streamable_http_app(
        streamable_http_path="/", stateless_http=True, json_response=True, host="0.0.0.0"
    )
