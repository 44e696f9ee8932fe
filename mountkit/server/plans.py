"""A site that could be served: read and validated, before any worker hears of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mountkit.config.building import check_rules, restart_reasons
from mountkit.config.models import SiteConfig
from mountkit.config.sources import Source
from mountkit.server import sockets
from mountkit.server.jobs import Job
from mountkit.server.sockets import Listener
from mountkit.server.watching import digest

#: Of `[server]`: a change of these needs no new workers.
_LIVE = ("workers", "watch", "grace", "drain_timeout")


@dataclass(frozen=True)
class Options:
    """What the command says.

    Attributes:
        read: gives the texts; called again for each change.
        file: the main one; `None` if an app was named.
        overrides: keys of `[server]`.
        status: `[status] listen`.
        reloads: whether to restart the workers when code has changed.
        only, upstreams: which mounts are served, and where others are: see `parse`.
    """

    read: Callable[[], Source]
    file: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    status: str | None = None
    reloads: bool = False
    only: Sequence[str] | None = None
    upstreams: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """The texts, what they say, and what the certificate is, to see whether it was renewed."""

    job: Job
    config: SiteConfig
    certificate: str

    @classmethod
    def of(cls, options: Options, generation: int = 1) -> Plan:
        """Read and validate.

        Raises:
            ConfigError: with all problems.
            PatternError: there is no such mount or upstream.
        """
        job = Job(
            options.read(),
            generation,
            dict(options.overrides),
            options.status,
            options.reloads,
            options.only,
            options.upstreams,
        )
        config = job.config()
        check_rules(config)
        return cls(job, config, certificate_of(config))

    @property
    def content(self) -> object:
        """Two plans with the same serve the same."""
        return self.job.source, self.certificate

    @property
    def where(self) -> object:
        """Two plans with the same listen on the same sockets."""
        server = self.config.server
        return server.host, server.port, server.unix_socket

    @property
    def page(self) -> str | None:
        """Where the status page listens."""
        return None if self.config.status is None else self.config.status.listen

    def listeners(self, before: Sequence[Listener] = ()) -> list[Listener]:
        """Open the sockets of the site.

        Args:
            before: those that they replace.

        Raises:
            ServeError: they cannot be opened.
        """
        server = self.config.server
        if server.unix_socket:
            return [sockets.listen_at(server.unix_socket)]
        return sockets.listen_on(server.host, server.port, before)

    def page_listeners(self) -> list[Listener]:
        """Open those of the status page, if there is one.

        Raises:
            ServeError: they cannot be opened.
        """
        return sockets.listen_for_page(self.page) if self.page else []

    def reasons_for_new_workers(self, before: Plan) -> Sequence[str]:
        """What of a change workers cannot do while they serve."""
        server = self.config.server
        live = {name: getattr(server, name) for name in _LIVE}
        old = replace(before.config, server=before.config.server.model_copy(update=live))
        reasons = restart_reasons(old, self.config)
        is_renewed = not reasons and self.certificate != before.certificate
        return [*reasons, *["the certificate"] * is_renewed]


def certificate_of(config: SiteConfig) -> str:
    """A digest of the server's certificate and key."""
    tls = config.server.tls
    return digest([tls.cert, tls.key]) if tls else ""
