"""Frameworks of which one thing is known."""

from mountkit.frameworks import Framework

# They route on `path` alone.
BAIZE = Framework(name="BáiZé", app=("baize.routing", "BaseRouter"), convention="strip")
FILES = Framework(name="BáiZé's files", app=("baize.staticfiles", "BaseFiles"), convention="strip")
KUI = Framework(name="Kuí", app=("kui.asgi", "Kui"), convention="strip")
LIHIL = Framework(name="Lihil", app=("lihil", "Lihil"), convention="strip")
PANTHER = Framework(name="Panther", app=("panther", "Panther"), convention="strip")
TWIRP = Framework(name="Twirp", app=("twirp.asgi", "TwirpASGIApp"), convention="strip")
SONORA = Framework(
    name="Sonora",
    app=("sonora.asgi", "grpcASGI"),
    convention="strip",
    hands_on=lambda app: app._application and (app._get_rpc_handler, app._application),
)
# They match `root_path + path`.
FLAMA = Framework(name="Flama", app=("flama", "Flama"), convention="none")
ASGINEER = Framework(
    name="Asgineer",
    find=lambda app: app if hasattr(app, "asgineer_handler") else None,
    convention="none",
)
# Its handlers get all `path_params` as arguments (`frameworks/starlette.py`).
CONNEXION = Framework(
    name="Connexion", app=("connexion.middleware", "ConnexionMiddleware"), refuses_params=True
)
CONNEXION_APP = Framework(
    name="Connexion's apps", app=("connexion.apps.abstract", "AbstractApp"), refuses_params=True
)
# What is probed for paths that it does not have, and has no index that would show that it is right.
STATIC = Framework(
    name="Starlette's files",
    app=("starlette.staticfiles", "StaticFiles"),
    needs_nothing=True,
    starts_nothing=True,
)
BOTTLE = Framework(name="Bottle", app=("bottle", "Bottle"), needs_nothing=True)
PYRAMID = Framework(name="Pyramid", app=("pyramid.router", "Router"), needs_nothing=True)
ROUTER = Framework(
    name="Starlette's router", app=("starlette.routing", "Router"), needs_nothing=True
)
MOUNTKIT = Framework(
    name="mountkit",
    find=lambda app: app if f"{type(app).__module__}".startswith("mountkit.") else None,
    needs_nothing=True,
)
