"""Serve one request: decide, make the app's scope, run the mount's pipeline.

A request enters `dispatchers`, goes to the `mounts` entry that the table has chosen, gets a scope
from `scopes` and runs the app with its layers; what does not end well ends in `errors`. `pipelines`
composes a mount once; `flights` knows the requests in flight, `routes` what traces see.

May import: everything but `tenants`, `inspection`, `urls`, `openapi` and `cli`, which build on it.
To add a convention, add a builder to `scopes.BUILDERS`. To add an entry of a table besides `Mount`
and `Exposure`, give it a `rule` and a `serve` (`tables.Entry`). What only some mounts need is a
layer, in `mountkit.middleware`.
"""
