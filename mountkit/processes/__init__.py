"""Child processes as targets: `Process` runs a command, and passes requests on to it.

May import `proxy` and below. `processes` is the ASGI app, which keeps a child up; `children` one
start of it; `commands` what is started, and with which environment. Two files are run by path, with
the standard library alone: `shim`, between mountkit and the command, which ends it with all that it
has started when mountkit's process has gone; and `runner`, which serves an app in another
environment, where mountkit need not be installed.

To add an option, give it to `Process`, and to `commands.Command` if it is about the start. To add a
server that can run an app, add a function and its name to `runner.SERVERS`.
"""
