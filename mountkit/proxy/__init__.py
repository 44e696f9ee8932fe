"""Other processes as targets: `Proxy` passes requests on to a URL. Runs on asyncio.

May import `middleware` and below. `proxies` is the ASGI app; `upstreams` where it passes requests
to, with their connections and health; `exchanges` one request's way there and back, `sockets` that
of a websocket. `targets`, `requests` and `responses` are pure: what a URL means, what is sent, and
what is read of what comes back. `connections` is the way to the network, `errors` what goes wrong.

To add an option, give it to `Proxy` and, if it decides what is sent, to `requests.Rules`. To add
a kind of target, give `targets.Target` what `connections.connect` has to know of it.
"""
