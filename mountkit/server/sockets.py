"""The sockets that the parent opens, and all workers accept from."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from mountkit.server.failures import ServeError

_BACKLOG = 2048
_FIRST_FD = 3  # sd_listen_fds(3)
#: As uvicorn's and hypercorn's: a proxy runs as another user. The folder says who may connect.
SITE_MODE = 0o666
PRIVATE_MODE = 0o600


class Listener:
    """A socket that listens.

    Args:
        path: of a unix socket that was made here; it is removed by `remove`.
    """

    def __init__(self, listening: socket.socket, path: str | None = None) -> None:
        self.socket = listening
        self._path = path
        self._inode = os.stat(path).st_ino if path else 0

    @property
    def is_unix(self) -> bool:
        """Whether it has a path, not a port."""
        return self.socket.family == socket.AF_UNIX

    def url(self, scheme: str = "http") -> str:
        """Where a client finds it."""
        name: Any = self.socket.getsockname()
        if self.is_unix:
            return f"unix:{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{scheme}://{host}:{name[1]}"

    def close(self) -> None:
        """Close it here; workers that have it still accept from it."""
        self.socket.close()

    def remove(self) -> None:
        """Remove the file, if it is still the one that was made here."""
        with suppress(OSError):
            if self._path and os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def inherited(environ: dict[str, str] | os._Environ[str] = os.environ) -> list[Listener]:
    """The sockets that systemd has opened (sd_listen_fds(3)); none if it has not.

    Raises:
        ServeError: one of them is not a listening socket.
    """
    is_ours = environ.pop("LISTEN_PID", "") == str(os.getpid())
    number = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not is_ours or not number.isdecimal():
        return []
    return [_inherited(fd) for fd in range(_FIRST_FD, _FIRST_FD + int(number))]


def _inherited(fd: int) -> Listener:
    try:
        found = socket.socket(fileno=fd)
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return Listener(found)
        reason = "it does not listen"
    except OSError as exc:
        reason = str(exc.strerror)
    raise ServeError(
        f"LISTEN_FDS says that file descriptor {fd} is a socket that listens, and it cannot be "
        f"used: {reason}; write ListenStream= in the unit, or unset LISTEN_FDS."
    )


def listen_on(host: str, port: int, beside: Sequence[Listener] = ()) -> list[Listener]:
    """Listen on all addresses that a host name has; `""` is every address of this machine.

    Args:
        beside: own sockets, which may have the same port, and another host that includes this one
            or is included.

    Raises:
        ServeError: it is in use, needs rights, or is not an address of this machine.
    """
    flags = socket.AI_PASSIVE
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as exc:
        raise ServeError(f"Host {host!r} has no address ({exc}); write e.g. '0.0.0.0'.") from exc
    infos = [*dict.fromkeys((family, address) for family, _, _, _, address in found)]
    if not port:
        infos = infos[:1]  # two would get two ports
    opened: list[Listener] = []
    shares = _share(beside, port)
    try:
        for family, address in infos:
            opened.append(_listen_on(family, address, is_alone=len(infos) == 1, shares=shares))
    except OSError as exc:
        for one in opened:
            one.close()
        raise ServeError(reason_of(host, port, exc)) from exc
    return opened


def _share(listeners: Sequence[Listener], port: int) -> bool:
    """Have those of a port allow other sockets there, of programs of this user that want to share
    it; whether there are some. Linux does not forget it, so it is not done without need."""
    some = [one for one in listeners if not one.is_unix and one.socket.getsockname()[1] == port]
    for one in some:
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return bool(some)


def _listen_on(family: int, address: Any, *, is_alone: bool, shares: bool) -> Listener:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # "::" alone takes IPv4 too
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_alone)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return Listener(listening)


def reason_of(host: str, port: int, exc: OSError) -> str:
    """Why nothing can listen there, and what to do."""
    if exc.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host or 'this machine'} is in use; end what listens there, or write "
            "another port (--port)."
        )
    if exc.errno == errno.EACCES:
        return (
            f"Port {port} needs rights that this process lacks; write one from 1024, or give it "
            "CAP_NET_BIND_SERVICE."
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"Host {host!r} is not an address of this machine; write e.g. '0.0.0.0'."
    return f"Nothing can listen on {host}:{port}: {exc.strerror}; write another (--host, --port)."


def listen_at(path: str, mode: int = SITE_MODE) -> Listener:
    """Listen on a unix socket. A socket that nobody listens on any more is replaced.

    Raises:
        ServeError: somebody listens there, it is another kind of file, or it cannot be made.
    """
    path = os.path.abspath(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_room(path)
        mask = os.umask(0o777 & ~mode)  # never a moment with other rights
        try:
            listening.bind(path)
        finally:
            os.umask(mask)
        listening.listen(_BACKLOG)
        return Listener(listening, path)
    except OSError as exc:
        listening.close()
        reason = exc.strerror or exc  # a path that is too long has no errno
        raise ServeError(f"Socket {path!r} cannot be made: {reason}; write another path.") from exc
    except ServeError:
        listening.close()
        raise


def _make_room(path: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ServeError(f"{path!r} exists and is not a socket; write another path.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            if client.connect_ex(path) == 0:
                raise ServeError(
                    f"Another process listens on {path!r}; stop it, or write another path."
                )
        os.unlink(path)


def listen_for_page(where: str) -> list[Listener]:
    """The sockets of the status page: `"127.0.0.1:9000"`, `"9000"`, or `"unix:/run/x.sock"`.

    Raises:
        ServeError: it is none of these, or not on a loopback address, or cannot be opened.
    """
    if where.startswith("unix:"):
        return [listen_at(where.removeprefix("unix:"), PRIVATE_MODE)]
    host, _, port = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise ServeError(
            f"Status listener {where!r} has no port; write '127.0.0.1:9000', or "
            "'unix:/run/mountkit.sock'."
        )
    opened = listen_on(host, int(port))
    if not all(_is_loopback(one) for one in opened):
        close(opened)
        raise ServeError(
            f"Status listener {where!r} is not on a loopback address, and the page has no guard; "
            "write '127.0.0.1:9000', or mount it with [status] path and guard."
        )
    return opened


def _is_loopback(listener: Listener) -> bool:
    return ip_address(listener.socket.getsockname()[0]).is_loopback


def close(listeners: Sequence[Listener]) -> None:
    """Close and remove them."""
    for one in listeners:
        one.close()
        one.remove()
