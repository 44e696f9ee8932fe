"""Layers: plain ASGI middleware, each of use with any ASGI app and without a mount.

A layer takes the app first and its options by keyword, so that `starlette.middleware.Middleware`
makes it:

    Mount("/shop", shop, middleware=[Middleware(LimitMiddleware, max_concurrency=100)])

May import `exceptions`, `logs`, `tasks`, `matching` and `answers`; nothing here imports `serving`
or a neighbour in another package.

To add a layer, write a module with one class: pass scope types other than "http" and "websocket"
through, hand `receive` on untouched, and wrap `send` only if the layer needs to, with a function
that passes for an `async def`, because asgiref asks for one. `exchanges.note_error` tells the mount
that the layer answers in its app's place, and names the app for messages. A layer that changes
values of a header that the app sends is a `redirects.HeaderMiddleware`. Add a row to
`benchmarks/layers.py`.
"""
