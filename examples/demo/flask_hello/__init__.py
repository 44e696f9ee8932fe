"""Flask: templates, a form, and a redirect by name. WSGI, without a word about a prefix."""

from flask import Flask, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.post("/")
def greet() -> Response:
    return redirect(url_for("hello", name=request.form["name"]), 303)


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return render_template("hello.html", name=name)
