"""An MCP server. Its session manager lives in the lifespan: unstarted, it answers 500."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("mountkit-demo")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# The path is the mount's to say. By default the SDK answers requests to localhost alone, so that
# no web page can reach it by DNS rebinding; transport_security= names the hosts of a real server.
app = server.streamable_http_app(streamable_http_path="/", stateless_http=True, json_response=True)
