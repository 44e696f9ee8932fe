"""Flask-Admin. Its menu keeps the first URLs that it makes (`menu.py:MenuView.get_url`)."""

from mountkit.frameworks import Framework

FLASK_ADMIN = Framework(
    name="flask-admin",
    app=("flask", "Flask"),
    find=lambda app: app if "admin" in app.extensions else None,
    keeps_first_prefix=True,
)
