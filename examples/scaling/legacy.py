"""Flask: a WSGI app."""

from flask import Flask, redirect, request, url_for
from werkzeug.wrappers import Response

app = Flask(__name__)


@app.get("/page")
def page() -> dict[str, str]:
    return {"url": url_for("page", _external=True), "root": request.script_root}


@app.get("/login")
def login() -> Response:
    response = redirect(url_for("page"))
    response.set_cookie("user", "ada", path=request.script_root)
    return response
