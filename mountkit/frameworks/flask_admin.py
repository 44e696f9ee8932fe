"""Flask-Admin. Its menu keeps the first URLs that it makes (`menu.py:MenuView.get_url`)."""

from typing import Any

from mountkit.frameworks.base import Framework, is_a


def _find(app: Any) -> Any:
    return app if is_a(app, "flask", "Flask") and "admin" in app.extensions else None


FLASK_ADMIN = Framework(name="flask-admin", find=_find, keeps_first_prefix=True)
