"""`mountkit serve`: the parent process, its workers, and the server that each of them runs.

In the parent, `plans` reads and validates, `sockets` opens, `parent` decides what to do about a
signal or a changed file (`watching`), `fleets` has all workers do the same, `processes` is one of
them, and `pages` shows `sources`. `jobs` is what a worker is given, over `channels`. In a worker,
`worker` builds the site and answers the parent, `servers` runs uvicorn, hypercorn or granian, and
`deadlines` ends what does not end. `logs`, `banners`, `notices` and `failures` are for both.

May import: everything but `cli`. To add a server, write a function of a `Duty` and name it in
`servers.SERVERS`, in the models of `config` and in the command; `tests/servers/test_serve.py` runs
all of them.
"""
