from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import quote

from datasette.app import Datasette

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    path = common.FOLDER / "books.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table books (id integer primary key, title text)")
        connection.execute("insert into books values (7, 'Notes')")
    connection.close()
    return Datasette([str(path)], settings={"base_url": f"{quote(prefix)}/"}).app()


def options(prefix: str) -> dict[str, Any]:
    """Where the path still holds `base_url`, Datasette's links to JSON have it twice."""
    return {"convention": "strip"}
