"""Start, watch and stop the lifespans of mounted apps (ASGI spec, "Lifespan Protocol").

It may import `exceptions`, `tasks`, `frameworks`, `matching` and `answers`; `serving` and what
lies above it import from here. The parts, lowest first:

- `options`: what a user may say about one app's lifespan.
- `protocol`: one conversation with one app, in a task of its own.
- `runs`: the states of an app that is being run, as a table, and the `Health` that follows.
- `registers`: what all dispatchers below one server share; how requests of several servers are
  told apart.
- `children`: an app as its mount holds it; finding the mounts among routes.
- `supervisors`: starts and stops the apps of one dispatcher in one server.
- `runners`: answers the server; a dispatcher, a split or a middleware *has* a `LifespanRunner`.
- `middleware`, `probes`: what users put into their apps.

To add an option, add a field to `options.Lifespan` and read it in `supervisors`. To add a state,
add it to the two tables of `runs`; nothing else decides what may follow what. An app of apps
makes one `LifespanRunner` and awaits it for each scope of type "lifespan".
"""
