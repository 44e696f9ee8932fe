"""The whole demo: one app, made of apps. Serve it as any other:

uvicorn examples.demo.main:app
"""

from examples.demo.apis import v1, v2
from examples.demo.django_notes.asgi import application as django_notes
from examples.demo.fastapi_items import app as fastapi_items
from examples.demo.flask_hello import app as flask_hello
from examples.demo.litestar_echo import app as litestar_echo
from examples.demo.mcp_tools import app as mcp_tools
from examples.demo.shops import app as shops
from examples.demo.start import app as start
from mountkit import Dispatcher, Mount

app = Dispatcher(
    [
        Mount("/django", django_notes),
        Mount("/flask", flask_hello),  # WSGI: recognised, and bridged
        Mount("/fastapi", fastapi_items),
        Mount("/litestar", litestar_echo),
        Mount("/mcp", mcp_tools),
        Mount("/api", v2, headers={"x-api-version": "2"}),
        Mount("/api", v1),
        Mount("/", shops, host="{tenant}.localhost"),
    ],
    default=start,
)
