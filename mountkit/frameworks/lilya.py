"""Lilya, and Ravyn, which is built on it and asked first. Their OpenAPI documents keep the first
prefix in the list of servers."""

from mountkit.frameworks import Framework

RAVYN = Framework(
    name="Ravyn",
    app=("ravyn.applications", "Application"),
    left_keys="_ravyn_route_boundary",
    keeps_first_prefix=True,
)
LILYA = Framework(
    name="Lilya",
    app=("lilya.apps", "BaseLilya"),
    left_keys="app app_root_path dependencies dependency_overrides handler lilya.error_handler "
    "lilya.exception_handlers lilya_asyncexitstack path_params route route_path_template router",
    keeps_first_prefix=True,
)
