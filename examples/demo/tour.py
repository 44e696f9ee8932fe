"""The tour: ask every mount of a running demo for something, and check the answers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
from rich.console import Console
from rich.table import Table
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

BROWSER = {"sec-fetch-mode": "navigate", "accept": "text/html"}


class Step(NamedTuple):
    """One request and its answer; `problem` is empty if the answer was right."""

    mount: str
    asked: str
    answer: str
    problem: str


class Tour:
    """A visitor of the demo that is served at `base`, an origin such as `http://localhost:8000`.

    A request that fails, or an answer that is wrong, is a step with a problem; the tour goes on.
    """

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")
        self.steps: list[Step] = []
        self._mount = ""
        self._client = httpx.Client(timeout=20)

    def walk(self) -> list[Step]:
        """Visit every mount."""
        for mount, visit in (
            ("start page", self._start),
            ("Django", self._django),
            ("Flask", self._flask),
            ("FastAPI", self._fastapi),
            ("Litestar", self._litestar),
            ("MCP", self._mcp),
            ("tenants", self._tenants),
            ("versions", self._versions),
            ("no mount", self._nothing),
        ):
            self._mount = mount
            try:
                visit()
            except (httpx.HTTPError, WebSocketException, OSError, LookupError, ValueError) as exc:
                self._note("(the rest of this mount)", "", f"{type(exc).__name__}: {exc}")
        self._client.close()
        return self.steps

    def _note(self, asked: str, answer: str, problem: str) -> None:
        self.steps.append(Step(self._mount, asked, answer, problem))

    def _ask(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "",
        status: int = 200,
        has: str = "",
        location: str = "",
        shows: str = "",
        **options: Any,
    ) -> httpx.Response:
        """Ask for `path`, and note whether the answer is as it should be.

        Args:
            host: ask under this name; the connection goes to the same server.
            status: what the answer has to be.
            has: a text that the answer has to hold.
            location: where it has to redirect to.
            shows: what to print of the answer; by default the redirect, `has`, or the title.
        """
        origin = urlsplit(self.base)
        headers = dict(options.pop("headers", {}))
        if host:
            headers["host"] = f"{host}:{origin.port}"
        response = self._client.request(
            method, urljoin(self.base + "/", path), headers=headers, **options
        )
        found = response.headers.get("location", "")
        problems = []
        if response.status_code != status:
            problems.append(f"wanted the status {status}")
        if has not in response.text:
            problems.append(f"wanted {has!r} in the answer")
        if location and urlsplit(found)._replace(scheme="", netloc="").geturl() != location:
            problems.append(f"wanted a redirect to {location}")
        asked = f"{method} {host}{response.url.raw_path.decode('ascii')}"
        title = re.search(r"<title>\s*(.*?)\s*</title>", response.text)
        shown = shows or (f"to {found}" if found else has or (title[1] if title else ""))
        answer = str(response.status_code) if problems else f"{response.status_code} {shown}"
        self._note(asked, answer.strip(), "; ".join(problems))
        return response

    def _check(self, asked: str, answer: str, wanted: str) -> None:
        self._note(asked, answer, "" if answer == wanted else f"wanted {wanted!r}")

    def _linked(self, page: httpx.Response, pattern: str) -> str:
        """The path of the first link on a page that matches."""
        found = re.search(pattern, page.text)
        if found is None:
            raise LookupError(f"no {pattern} on {page.url}")
        return urlsplit(urljoin(str(page.url), found[1])).path

    def _start(self) -> None:
        page = self._ask("/", has="mountkit demo")
        for link in dict.fromkeys(re.findall(r'<a href="([^"]+)"', page.text)):
            target = urlsplit(urljoin(str(page.url), link))
            host = target.hostname or ""
            if host == page.url.host:
                status = 404 if link == "flasks" else 200
                # The admin sends strangers to its login page.
                self._ask(target.path, status=status, follow_redirects=True)
            else:
                self._ask(target.path or "/", host=host)

    def _django(self) -> None:
        page = self._ask("/django/", has="Served by Django")
        self._ask(self._linked(page, r'href="([^"]+\.css)"'), has="main")
        self._ask("/django", status=307, location="./django/", headers=BROWSER)
        self._ask("/django/admin/", status=302, location="/django/admin/login/?next=/django/admin/")
        login = self._ask("/django/admin/login/?next=/django/admin/", has="Django administration")
        self._ask(self._linked(login, r'href="([^"]+/base\.css)"'), has="body")
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)
        form = {"username": "demo", "password": "demo", "csrfmiddlewaretoken": token}
        answer = self._ask(
            "/django/admin/login/?next=/django/admin/",
            method="POST",
            status=302,
            location="/django/admin/",
            data=form,
        )
        cookies = answer.headers.get_list("set-cookie")
        paths = {match[1] for text in cookies if (match := re.search(r"(?i)path=([^;]+)", text))}
        self._check("  the paths of its cookies", ", ".join(sorted(paths)), "/django")
        self._ask("/django/admin/", has="Site administration")

    def _flask(self) -> None:
        page = self._ask("/flask/", has="Who is there?")
        self._ask(self._linked(page, r'href="([^"]+\.css)"'), has="main")
        action = self._linked(page, r'action="([^"]+)"')
        self._ask(
            action, method="POST", status=303, location="/flask/hello/Ada", data={"name": "Ada"}
        )
        self._ask("/flask/hello/Ada", has="Hello, Ada!")

    def _fastapi(self) -> None:
        docs = self._ask("/fastapi/docs", has="swagger-ui")
        schema = self._ask(self._linked(docs, r"url: '([^']+openapi\.json)'"), has="/items/{name}")
        servers = [server["url"] for server in schema.json()["servers"]]
        self._check("  its servers", ", ".join(servers), "/fastapi")
        item = self._ask("/fastapi/items/anvil", has="anvil")
        self._check("  url_for", item.json()["url"], f"{self.base}/fastapi/items/anvil")
        self._ask("/fastapi/", has="started", shows="its lifespan state")

    def _litestar(self) -> None:
        page = self._ask("/litestar/", has="Echo")
        path = self._linked(page, r'id="url">([^<]+)<')
        url = f"{self.base}{path}".replace("http", "ws", 1)
        with connect(url, open_timeout=20, close_timeout=20) as websocket:
            websocket.send("Hello")
            answer = websocket.recv(timeout=20)
        self._check(f"WEBSOCKET {path} Hello", str(answer), "Litestar heard: Hello")

    def _mcp(self) -> None:
        accept = {"accept": "application/json, text/event-stream"}
        client = {"name": "tour", "version": "1"}
        version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        for method, params, has in (
            ("initialize", version, "mountkit-demo"),
            ("tools/list", {}, '"add"'),
            ("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}}, "5"),
        ):
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            shows = f"{method}: {has}"
            self._ask("/mcp", method="POST", headers=accept, json=call, has=has, shows=shows)

    def _tenants(self) -> None:
        self._ask("/", host="acme.localhost", has="Acme Anvils")
        self._ask("/", host="globex.localhost", has="Globex Gardens")
        self._ask("/", host="initech.localhost", status=404, has="No shop is called")

    def _versions(self) -> None:
        self._ask("/api/orders/7", has='"version":1', shows="version 1")
        headers = {"x-api-version": "2"}
        self._ask(
            "/api/orders/7", headers=headers, has='"version":2', shows="version 2 (by header)"
        )

    def _nothing(self) -> None:
        self._ask("/flasks", status=404, has="No mount takes")


@contextmanager
def served() -> Iterator[str]:
    """The demo in a process of its own, on a free port.

    Raises:
        RuntimeError: it did not start, or did not stop as it should.
    """
    command = [sys.executable, "-m", "examples.demo", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        log: list[str] = []
        try:
            for line in server.stdout:
                log.append(line)
                found = re.search(r"Serving on (http://[^ ]+)", line)
                if found is not None:
                    yield found[1]
                    break
        finally:
            server.send_signal(signal.SIGINT)
            log.append(server.communicate(timeout=60)[0])
    text = "".join(log)
    if server.returncode != 0 or "Traceback" in text:
        raise RuntimeError(f"The demo ended with the status {server.returncode}:\n{text}")
    if text.count("FastAPI's lifespan has st") != 2:
        raise RuntimeError(f"The demo's lifespans did not start and stop:\n{text}")


def show(steps: list[Step]) -> None:
    """Print what was asked and what came back."""
    # Neither cut nor folded where nobody looks at it: in a file, or in a log.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "mount", "asked", "answer"):
        table.add_column(title, overflow="fold")
    previous = None
    for step in steps:
        mark = "[red]wrong[/]" if step.problem else "[green]ok[/]"
        answer = step.answer + (f"\n{step.problem}" if step.problem else "")
        mount = "" if step.mount == previous else step.mount
        table.add_row(mark, mount, *map(_plain, (step.asked, answer)))
        previous = step.mount
    console.print(table)
    wrong = sum(bool(step.problem) for step in steps)
    console.print()
    console.print(f"{len(steps)} answers, {f'{wrong} of them wrong' if wrong else 'all right'}.")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def run(url: str | None = None) -> int:
    """Walk through the demo that is served at `url`, or through one that is started for it.

    Returns:
        0 if every answer was right, else 1.
    """
    if url is not None:
        steps = Tour(url).walk()
    else:
        try:
            with served() as base:
                steps = Tour(base).walk()
        except RuntimeError as exc:
            print(exc, file=sys.stderr)
            return 1
    show(steps)
    return int(any(step.problem for step in steps))
