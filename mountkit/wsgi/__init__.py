"""WSGI apps as ASGI apps, on threads of their own (PEP 3333).

May import `answers`, `matching`, `frameworks` and below. `bridge` is the ASGI app, `exchanges` one
request's way to a thread and back, `bodies` its body, `environs` the environ, `threads` how the two
sides meet. To add a bridge, write a callable that makes an ASGI app of a WSGI app, and pass it as
`Mount(…, bridge=…)`.
"""
