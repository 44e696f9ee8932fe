"""Checks of the pages that frameworks bring with them."""

from __future__ import annotations

import re

from tests.matrix.client import Site


def fastapi_docs(site: Site) -> None:
    """The page asks for the schema below the prefix, whose `servers` names it."""
    page = site.get("docs").text
    [schema_url] = re.findall(r"url: '([^']+)'", page)
    schema = site.get(schema_url).json()
    if site.place.prefix:
        assert [site.absolute(server["url"]) for server in schema["servers"]] == [site.base]
    assert "/item/{id}" in schema["paths"]
    [oauth] = re.findall(r"window\.location\.origin \+ '([^']+)'", page)
    assert site.get(oauth).status_code == 200


def litestar_docs(site: Site) -> None:
    """Swagger's page has the schema in it; the schema names the prefix, as it was told."""
    assert "swagger" in site.get("schema/swagger").text.lower()
    schema = site.get("schema/openapi.json").json()
    assert [site.absolute(server["url"]).rstrip("/") for server in schema["servers"]] == [site.base]


def blacksheep_docs(site: Site) -> None:
    """The page, and the schema that it asks for."""
    page = site.get("docs/", headers={"accept": "text/html"})
    [schema_url] = re.findall(r'url: "([^"]+)"', page.text)
    schema = site.get(site.absolute(schema_url, "/docs/")).json()
    assert any("item" in path for path in schema["paths"])
