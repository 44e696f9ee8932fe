"""A site in a file: `mountkit.toml`, and the apps that it and the command line name.

`finding` finds the app that is meant, `failures` tells what is wrong with it.

May import: everything but `server` and `cli`. To add to it, write a module, and name it here.
"""
