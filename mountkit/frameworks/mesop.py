"""Mesop. Its routes carry the prefix, which it reads from the environment when it is imported."""

from typing import Any

from mountkit.frameworks import Framework, loaded


def _advice(app: Any, prefix: str) -> str:
    told = loaded("mesop.env.env", "MESOP_BASE_URL_PATH") or ""
    return prefix and (
        f"Mesop has its pages below the environment's MESOP_BASE_URL_PATH={told!r}; set it to "
        f"{prefix!r} before mesop is imported, and write Mount(convention='whole')"
    )


MESOP = Framework(
    name="Mesop",
    find=lambda app: app if getattr(app, "__module__", "") == "mesop.server.wsgi_app" else None,
    advice=_advice,
)
