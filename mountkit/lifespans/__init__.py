"""Start, watch and stop the lifespans of mounted apps (ASGI spec, "Lifespan Protocol").

It may import `exceptions`, `logs`, `tasks`, `frameworks`, `matching` and `answers`. Its own
modules, lowest first: `options`, `protocol` (one talk with one app), `runs` (the states of a
running app), `registers` (what dispatchers below one server share), `children` (an app as its mount
holds it), `supervisors` (the apps of one dispatcher in one server), `runners` (the answer to a
server), `middleware` and `probes` (for users).

An app of apps makes one `LifespanRunner` and awaits it for each scope of type "lifespan". To add an
option, add a field to `options.Lifespan` and read it in `supervisors`; to add a state, add a row to
`runs.STATES`.
"""
