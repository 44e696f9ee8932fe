"""What is logged of apps that do not know their prefix, through real servers."""

from __future__ import annotations

import re

import anyio
import pytest

from tests.support import http
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import until

EXPECTED = [
    "A page of the app mounted at '/board' ",
    "A redirect of the app mounted at '/board' ",
    "The app mounted at '/board' ",
]


def said(server: Server) -> list[str]:
    """The warnings, from the name of the app up to where the mount was made."""
    lines = [line for line in server.output.splitlines() if "This is said once" in line]
    return sorted(
        re.sub(r"^.*?(?=A page|A redirect|The app)", "", line).partition("(")[0] for line in lines
    )


@pytest.mark.parametrize("name", SERVERS)
def test_an_app_that_does_not_know_its_prefix(name: str) -> None:
    """Each kind is said once, and nothing of what a browser asks for by itself."""
    with serve(name, "tests.support.apps.escaping:app") as server:
        page = {"referer": f"{server.url}/board/"}
        with http.Client(base_url=server.url) as client:
            client.get("/favicon.ico", headers=page)
            client.get("/.well-known/appspecific/com.chrome.devtools.json", headers=page)
            for _ in range(6):
                assert client.get("/board/").status_code == 307
                assert client.get("/board/missing").status_code == 404
                assert client.get("/app.js", headers=page).status_code == 404
        anyio.run(until, lambda: len(said(server)) >= len(EXPECTED))
        assert said(server) == EXPECTED, server.output
