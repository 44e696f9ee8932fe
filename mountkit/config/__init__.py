"""A site in a file: `mountkit.toml`, and the apps that it and the command line name.

From texts to a site that runs: `sources` reads the files, `variables` puts the environment in,
`lines` knows where each key stands, `models` and `tables` say what a file can say (pydantic, in the
extra `serve`, is imported in `tables` alone), `parsing` makes a `SiteConfig` or a `ConfigError`
(`problems`, `messages`), `elsewhere` leaves mounts out, `conditions` reads `when`, `options` makes
mounts and asks them what is wrong, `loading` imports apps, `redirects` has the app behind
`redirect`, `targets` makes those of other processes, `building` has `Site` and its changes, of
which `orders` keeps the order of declaration.

Beside that: `schema` is the JSON Schema, `drafting` what `mountkit init` writes, `finding` the app
that a command means, `failures` what is wrong with it.

May import: everything but `server` and `cli`. To add a key, add it to its model, with its docstring
and an example, use it in `options` (or where the table is used), and name it in `docs/config.md`;
`mountkit schema > docs/mountkit.schema.json`. Each mistake that one can make with it is a row of
`tests/config/test_mistakes.py`.
"""
