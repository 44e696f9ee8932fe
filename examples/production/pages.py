"""Flask: the pages that are left of the monolith. It gets what no mount takes."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return '<link rel="stylesheet" href="/assets/site.css"><h1>The shop</h1>'
