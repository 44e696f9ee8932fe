"""Start, watch and stop the lifespans of mounted apps (ASGI spec, "Lifespan Protocol").

It may import `exceptions`, `tasks`, `frameworks`, `matching` and `answers`; `serving` and what
lies above import from here. Lowest first: `options` (what users say), `protocol` (one talk with
one app, in a task of its own), `runs` (the states of a running app, as a table), `registers` (what
all dispatchers below one server share; how requests of several servers are told apart), `children`
(an app as its mount holds it), `supervisors` (the apps of one dispatcher in one server), `runners`
(the answer to a server), `middleware` and `probes` (for users).

An app of apps makes one `LifespanRunner` and awaits it for each scope of type "lifespan". A new
option is a field of `options.Lifespan`, read in `supervisors`; a new state is a row in both tables
of `runs`.
"""
