"""Flet. It writes the first prefix into its page (`flet_static_files.py`)."""

from mountkit.frameworks import Framework

FLET = Framework(
    name="Flet", app=("flet_web.fastapi.flet_fastapi", "FastAPI"), keeps_first_prefix=True
)
