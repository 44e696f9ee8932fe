"""Which mount takes a request: patterns, conditions, and the table that decides.

Everything here is pure and synchronous: a decision reads the scope, changes nothing and never
awaits. It imports the lowest floor and Starlette's convertors, and nothing else of mountkit.

A request is decided by `tables.Table`, an index over `rules.Rule`; `entries` holds its mounts and
changes them. A rule holds a path (`paths`, `segments`), a host (`hosts`) and conditions
(`matchers`, `conditions`, `accept`). The table finds the mounts of a host (`host_trees`), then the
mounts of a path (`trees`, `choices`). `views` knows how others may read the same path, `preflights`
what a preflight announces. `findings` and `witnesses` look for mistakes in a table, with requests
that show them; `foreign` and `conflicts` tell mistakes as a mount or a table is made.

To add a condition, write it in `conditions`, as a subclass of `matchers.Valued`; so that `check`
can reason about it, give its ways in `witnesses`. The file, the status page and the export name
conditions too: `docs/architecture.md` lists all places. To change the order in which mounts are
tried, change `Rule.rank` and its twin in `tests/support/reference.py`.
"""
