"""One site in one process, in several, and on several machines: `python -m examples.scaling one`.

`mountkit.toml` is the same for all three, and so are the apps. `__main__` has the commands.
"""
