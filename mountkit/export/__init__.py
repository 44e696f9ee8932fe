"""A table as the configuration of a router that stands in front: `mountkit export`.

A compiler. `plans` makes one ordered list of rows out of a table: of each mount the row that leads
to it, and the row of the requests that mountkit refuses because other readers of the path may see
another mount. The first row whose tests all hold decides. A test is a regular expression of one
subject of the request as it was sent: `spellings` builds those of paths and hosts, `conditions`
those of headers, cookies, queries and methods. `upstreams` reads where each mount is. Then each
router has a module that writes the rows in its language: `nginx`, `caddy`, `haproxy`, `envoy`,
`traefik`, `gateway`; what it cannot say it refuses with an `ExportError`. `names` has what they
share, `routers` lists them.

May import: `serving` and `inspection`, and what is below them.

To add a router, write a module with a `Router`, and add it to `ROUTERS` in `routers`. The parity
tests (`tests/servers/test_export_servers.py`) then ask it the same requests as mountkit.
"""
