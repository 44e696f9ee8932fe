"""Layers: plain ASGI middleware, each of use with any ASGI app and without a mount.

A layer takes the app first and its options by keyword, so that `starlette.middleware.Middleware`
makes it:

    Mount("/shop", shop, middleware=[Middleware(LimitMiddleware, max_concurrency=100)])

May import `exceptions`, `tasks`, `matching` and `answers`; nothing here imports `serving` or a
neighbour in another package.

To add a layer, write a module with one class: pass scope types other than "http" and "websocket"
through, hand `receive` on untouched, wrap `send` only if the layer needs to, and with an
`async def`, because asgiref asks for one. Take the app's name for messages from
`exchanges.where`, tell its mount with `exchanges.note_error`, and add a row to
`benchmarks/layers.py`.
"""
