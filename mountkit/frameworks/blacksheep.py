"""BlackSheep. It compares the decoded `root_path` with the encoded `raw_path`."""

from mountkit.frameworks import Framework

BLACKSHEEP = Framework(
    name="BlackSheep",
    app=("blacksheep.server.application", "Application"),
    convention=lambda app, prefix: None if prefix.isascii() else "strip",
)
