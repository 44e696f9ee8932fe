"""Checks of the pages that frameworks bring with them."""

from __future__ import annotations

import html
import json
import re
from typing import Any

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


def _links(page: str) -> set[str]:
    """What a page names in its attributes, other hosts and scripts aside."""
    links = set(re.findall(r"""(?:src|href)=["']([^"'{}]+)["']""", page))
    return {
        html.unescape(link)
        for link in links
        if not re.match(r"https?://(?!127\.0\.0\.1|acme)|//|#|data:|javascript:|mailto:", link)
    }


def _follow(site: Site, page: str, path: str, **options: Any) -> set[str]:
    """Every link of a page stays below the prefix and is answered."""
    links = {site.absolute(link, path) for link in _links(page)}
    assert links
    for link in links:
        response = site.get(link, **options)
        assert response.status_code < 400, f"{link}: {response.status_code}"
    return links


def links(site: Site) -> None:
    """Those of the first page."""
    _follow(site, site.get("").text, "/")


def django_admin(site: Site) -> None:
    """The login page with its styles, the form, the cookie, the page behind it and its links."""
    response = site.get("admin/")
    login = site.location(response, 302)
    assert login.startswith(f"{site.base}/admin/login/?next=")
    page = site.get(login).text
    _follow(site, page, "/admin/login/")
    [action] = re.findall(r'<form action="([^"]+)"', page)
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    [target] = re.findall(r'name="next" value="([^"]+)"', page)
    form = {"username": "ada", "password": "lovelace", "csrfmiddlewaretoken": token, "next": target}
    response = site.post(site.absolute(action, "/admin/login/"), data=form)
    assert site.location(response, 302) == f"{site.base}/admin/"
    assert "sessionid" in site.http.cookies
    page = site.get("admin/").text
    assert f"{site.base}/admin/auth/user/" in _follow(site, page, "/admin/")


def rest_pages(site: Site) -> None:
    """Hyperlinked fields and pagination; the browsable page with its styles and links."""
    root = site.get("api/", headers={"accept": "application/json"}).json()
    users = site.get(root["users"], headers={"accept": "application/json"}).json()
    assert users["count"] == 2
    assert site.absolute(users["next"]) == f"{site.base}/api/users/?page=2"
    [user] = users["results"]
    assert site.absolute(user["url"]) == f"{site.base}/api/users/1/"
    assert site.get(user["url"], headers={"accept": "application/json"}).json() == user
    page = site.get("api/users/", headers={"accept": "text/html"}).text
    _follow(site, page, "/api/users/")


def _rpc(site: Site, method: str, params: dict[str, Any]) -> dict[str, Any]:
    response = site.post(
        site.base,
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        headers={"accept": "application/json, text/event-stream"},
    )
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["result"]
    return result


def mcp_tools(site: Site) -> None:
    """A client's calls to the bare prefix, which it is not redirected from."""
    client = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    assert _rpc(site, "initialize", client)["serverInfo"]["name"] == "site"
    [tool] = _rpc(site, "tools/list", {})["tools"]
    assert tool["name"] == "add"
    result = _rpc(site, "tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})
    assert result["content"][0]["text"] == "5"


def socketio_event(site: Site) -> None:
    """An event there and back: the handshake by polling, the rest by a websocket."""
    response = site.get("socket.io/?EIO=4&transport=polling")
    assert response.text.startswith('0{"sid"')
    with site.websocket("socket.io/?EIO=4&transport=websocket") as websocket:
        assert str(websocket.recv(20)).startswith("0{")
        websocket.send("40")
        assert str(websocket.recv(20)).startswith("40{")
        websocket.send('42["shout","hello"]')
        assert websocket.recv(20) == '42["echo","HELLO"]'


def dash_layout(site: Site) -> None:
    """Layout, dependencies and a callback."""
    assert "pressed" not in site.get("_dash-layout").text
    [dependency] = site.get("_dash-dependencies").json()
    assert dependency["output"] == "answer.children"
    body = {
        "output": "answer.children",
        "outputs": {"id": "answer", "property": "children"},
        "inputs": [{"id": "button", "property": "n_clicks", "value": 3}],
        "changedPropIds": ["button.n_clicks"],
    }
    answer = site.post("_dash-update-component", json=body).json()
    assert answer["response"]["answer"]["children"] == "pressed 3"


def datasette_table(site: Site) -> None:
    """From the first page to the row, by links alone; the same as JSON."""
    _follow(site, site.get("").text, "/")
    page = site.get("books/books").text
    assert f"{site.base}/books/books/7" in _follow(site, page, "/books/books")
    assert site.get("books/books/7.json?_shape=array").json() == [{"id": 7, "title": "Notes"}]


def graphql(site: Site) -> None:
    """A query, and a subscription through a websocket."""
    body = {"query": '{ hello(name: "Ada") }'}
    assert site.post(site.base, json=body).json()["data"] == {"hello": "hello Ada"}
    with site.websocket("", subprotocols=["graphql-transport-ws"]) as websocket:
        websocket.send('{"type":"connection_init"}')
        assert json.loads(websocket.recv(20))["type"] == "connection_ack"
        payload = {"query": "subscription { count(to: 2) }"}
        websocket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        for number in range(2):
            message = json.loads(websocket.recv(20))
            assert message["payload"]["data"] == {"count": number}


def metrics(site: Site) -> None:
    """The counter."""
    for url in (site.base, "metrics"):
        assert "seen_total 7.0" in site.get(url).text


def _log_in(site: Site, cookie: str) -> None:
    """Through the form of an admin that is sent to its login page."""
    response = site.get("")
    login = site.location(response, response.status_code)
    assert login.startswith(f"{site.base}/login")
    page = site.get(login).text
    _follow(site, page, "/login")
    form = {"username": "ada", "password": "lovelace"}
    form |= dict(re.findall(r'type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
    form |= dict(re.findall(r'name="([^"]+)"[^>]*type="hidden"[^>]*value="([^"]*)"', page))
    response = site.post(login, data=form)
    assert site.location(response, response.status_code).rstrip("/") == site.base
    assert cookie in site.http.cookies


def sqladmin_pages(site: Site) -> None:
    """Login by its form; the list of a model, with all its links."""
    _log_in(site, "session")
    page = site.get("book/list").text
    assert "Notes" in page
    assert f"{site.base}/book/details/7" in _follow(site, page, "/book/list")


def starlette_admin_pages(site: Site) -> None:
    """Login by its form; the pages of a model, with all their links; its API."""
    _log_in(site, "session")
    for path in ("", "book/list", "book/detail?pk=7"):
        _follow(site, site.get(path).text, f"/{path}")
    assert "Notes" in site.get("book/detail?pk=7").text


def webdav(site: Site) -> None:
    """PROPFIND names what is below the prefix; a file is put, moved, got and deleted."""
    response = site.request("PROPFIND", "", headers={"depth": "1"})
    assert response.status_code == 207
    hrefs = re.findall(r"<(?:\w+:)?href>([^<]+)</", response.text)
    assert {site.absolute(href) for href in hrefs} == {f"{site.base}/", f"{site.base}/style.css"}
    assert site.request("PUT", "new.txt", content=b"hello").status_code == 201
    target = {"destination": f"{site.base}/moved.txt"}
    assert site.request("MOVE", "new.txt", headers=target).status_code == 201
    assert site.get("moved.txt").text == "hello"
    assert site.request("DELETE", "moved.txt").status_code == 204
    _follow(site, site.get("").text, "/")


def gradio_call(site: Site) -> None:
    """The configuration names the prefix; a call by its API is answered as a stream."""
    config = site.get("config").json()
    assert site.absolute(config["root"]).rstrip("/") == site.base
    event = site.post("gradio_api/call/lambda", json={"data": ["Ada"]}).json()["event_id"]
    answer = site.get(f"gradio_api/call/lambda/{event}").text
    assert 'event: complete\ndata: ["hello Ada"]' in answer
