"""The sockets that the parent opens."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mountkit.server import sockets
from mountkit.server.failures import ServeError
from mountkit.server.sockets import Listener, inherited, listen_at, listen_for_page, listen_on


@contextmanager
def opened(listeners: Sequence[Listener]) -> Iterator[Sequence[Listener]]:
    try:
        yield listeners
    finally:
        sockets.close(listeners)


def test_a_port() -> None:
    """0 is any that is free."""
    with opened(listen_on("127.0.0.1", 0)) as [one]:
        port = one.socket.getsockname()[1]
        assert one.url() == f"http://127.0.0.1:{port}"
        assert one.url("https") == f"https://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_ipv6() -> None:
    """Its address is in brackets."""
    with opened(listen_on("::1", 0)) as [one]:
        assert one.url().startswith("http://[::1]:")


def test_all_of_ipv6_is_all_of_ipv4_too() -> None:
    """As containers want it."""
    with (
        opened(listen_on("::", 0)) as [one],
        socket.create_connection(("127.0.0.1", one.socket.getsockname()[1])),
    ):
        pass


def test_every_address() -> None:
    """Of both families, on the same port."""
    with opened(listen_on("", 0)) as [one]:
        port = one.socket.getsockname()[1]
    with opened(listen_on("", port)) as several:
        assert {two.socket.getsockname()[1] for two in several} == {port}
        assert len(several) == 2


def test_a_port_in_use() -> None:
    """None of the addresses is left open."""
    with opened(listen_on("::1", 0)) as [one]:
        port = one.socket.getsockname()[1]
        with pytest.raises(ServeError, match=f"Port {port} of this machine is in use; end what"):
            listen_on("", port)
    with opened(listen_on("", port)):
        pass


REASONS = {
    errno.EACCES: "Port 80 needs rights that this process lacks; write one from 1024, or give it "
    "CAP_NET_BIND_SERVICE.",
    errno.EADDRNOTAVAIL: "Host 'h' is not an address of this machine; write e.g. '0.0.0.0'.",
    errno.ENOBUFS: "Nothing can listen on h:80: No buffer space available; write another (--host, "
    "--port).",
}


@pytest.mark.parametrize(("number", "text"), REASONS.items(), ids=errno.errorcode.get)
def test_reasons(number: int, text: str) -> None:
    """Each says what to do."""
    assert sockets.reason_of("h", 80, OSError(number, os.strerror(number))) == text


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, "\udcff"])
def test_an_unknown_host(host: str) -> None:
    """Or one that cannot be."""
    with pytest.raises(ServeError, match="has no address"):
        listen_on(host, 0)


def test_a_unix_socket_has_its_mode(tmp_path: Path) -> None:
    """From the start."""
    with opened([listen_at(str(tmp_path / "a.sock"), 0o640)]) as [one]:
        assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o640
        assert one.is_unix
        assert one.url() == f"unix:{tmp_path}/a.sock"
    assert not (tmp_path / "a.sock").exists()


def test_a_socket_that_was_left_is_replaced(tmp_path: Path) -> None:
    """Nobody listens on it."""
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with (
        opened([listen_at(str(path))]),
        pytest.raises(ServeError, match="Another process listens on"),
    ):
        listen_at(str(path))


def test_the_socket_of_another_stays(tmp_path: Path) -> None:
    """At the end, too."""
    path = tmp_path / "a.sock"
    with opened([listen_at(str(path))]):
        path.unlink()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_a_file_that_is_no_socket(tmp_path: Path) -> None:
    """It stays."""
    path = tmp_path / "a.txt"
    path.write_text("mine")
    with pytest.raises(ServeError, match=r"a.txt' exists and is not a socket; write another path"):
        listen_at(str(path))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none/a.sock", "No such file"), ("a" * 200, "AF_UNIX path too long")],
    ids=["folder", "long"],
)
def test_paths_that_cannot_be(tmp_path: Path, path: str, reason: str) -> None:
    """With the reason of the system."""
    with pytest.raises(ServeError, match=f"cannot be made: {reason}.*; write another path"):
        listen_at(str(tmp_path / path))


@pytest.mark.parametrize("where", ["0", ":0", "localhost:0", "[::1]:0"])
def test_where_the_page_is(where: str) -> None:
    """A port alone is one of this machine."""
    with opened(listen_for_page(where)) as [one]:
        assert one.url().startswith(("http://127.0.0.1:", "http://[::1]:"))


def test_a_private_socket_for_the_page(tmp_path: Path) -> None:
    """Only its owner can connect."""
    with opened(listen_for_page(f"unix:{tmp_path}/a.sock")):
        assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600


NOWHERE = {
    "page": "has no port",
    "127.0.0.1:99999": "has no port",
    "0.0.0.0:0": "not on a loopback",
}


@pytest.mark.parametrize(("where", "reason"), NOWHERE.items())
def test_where_the_page_cannot_be(where: str, reason: str) -> None:
    """With what to write."""
    with pytest.raises(ServeError, match=reason):
        listen_for_page(where)


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid())}],
    ids=["none", "of another", "no number"],
)
def test_nothing_is_inherited(environ: dict[str, str]) -> None:
    """Programs that are started do not see the variables either."""
    assert inherited(environ) == []
    assert environ == {}


def test_what_is_inherited_is_no_socket_that_listens() -> None:
    """A unit that is wrong, or variables that were left over."""
    code = (
        "import os, socket\nfrom mountkit.server.failures import ServeError\n"
        "from mountkit.server.sockets import inherited\n"
        "for one in (open(os.devnull), socket.socket()):\n"
        "    os.dup2(one.fileno(), 3)\n"
        "    try:\n"
        "        inherited({'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'})\n"
        "    except ServeError as exc:\n        print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "cannot be used: Socket operation on non-socket; write ListenStream=" in first
    assert "cannot be used: it does not listen; write ListenStream=" in second
