"""Flask-Admin. Its menu keeps the first URLs that it makes (`menu.py:MenuView.get_url`)."""

from mountkit.frameworks.base import Framework, is_a

FLASK_ADMIN = Framework(
    name="flask-admin",
    find=lambda app: app if is_a(app, "flask", "Flask") and "admin" in app.extensions else None,
    keeps_first_prefix=True,
)
