"""Microdot. ASGI apps route on `path` alone; they are a subclass of its plain apps."""

from mountkit.frameworks import Framework

MICRODOT = Framework(name="Microdot", app=("microdot.asgi", "Microdot"), convention="strip")
