"""Emmett and Emmett55. They route on `path` alone."""

from mountkit.frameworks import Framework

EMMETT = Framework(name="Emmett", app=("emmett_core.app", "App"), convention="strip")
