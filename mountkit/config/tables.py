"""Tables of a mount: its limits, its lifespan, other processes; and what all tables have in common.

Imports pydantic.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from mountkit.exceptions import MountkitError

try:
    from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
except ImportError:
    raise MountkitError(
        "A site in a file needs pydantic, which is not installed; run pip install "
        "'mountkit[serve]'."
    ) from None

__all__ = ["BaseModel", "ConfigDict", "Field", "PrivateAttr", "ValidationError"]

Seconds = Annotated[float, Field(gt=0)]
Several = str | list[str]


class Table(BaseModel):
    """A table of the file."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class LimitsConfig(Table):
    """What one mount may take of the process."""

    max_concurrency: int | None = Field(default=None, examples=[100])
    """Requests that it serves at a time."""
    when_full: Literal[503, 429, "wait"] = 503
    """What one more gets."""
    max_body_size: int | None = Field(default=None, examples=[1000000])
    """Bytes; 413 beyond."""
    response: float | None = Field(default=None, examples=[10])
    """Seconds until the response starts; then 504."""
    total: float | None = Field(default=None, examples=[60])
    """Seconds until the app returns."""


class LifespanConfig(Table):
    """How the app is started and stopped."""

    startup_timeout: float | None = Field(default=None, examples=[60])
    """Seconds; by default those of the server."""
    shutdown_timeout: float | None = Field(default=None, examples=[60])
    """Seconds; by default those of the server."""
    on_failure: Literal["fail", "isolate"] = "fail"
    """Whether the server fails with it, or the others are served."""
    independent: bool = False
    """Whether it starts at the same time as its neighbours that say so too."""
    share: list[str] = Field(default=[], examples=[["db"]])
    """Keys of the parent's state that it sees."""
    shutdown: bool = True
    """Whether it gets a shutdown event."""


class WSGIConfig(Table):
    """The bridge to a WSGI app."""

    threads: int = Field(default=10, ge=1, examples=[10])
    """Requests that it works on at a time."""
    queue: int = Field(default=100, ge=0, examples=[100])
    """How many more wait."""
    spool: int = Field(default=16 * 1024 * 1024, ge=0, examples=[16777216])
    """Bytes of a body that are received before the app is called."""


class PassingConfig(Table):
    """How requests are passed on."""

    host: str = Field(default="keep", examples=["replace"])
    """The `Host` that is sent: "keep", "replace", or any other text as it is."""
    strip_prefix: bool = False
    """Whether the prefix is cut off the path."""
    forwarded: Literal["x-forwarded", "forwarded", "off"] | None = None
    """How the other side is told of the client; "off" tells nothing."""
    head_timeout: Seconds | Literal["off"] = Field(default=60.0, examples=[60])
    """Seconds until the head of the response."""
    idle_timeout: Seconds | Literal["off"] = Field(default=300.0, examples=[300])
    """Seconds in which something has to come, or to be taken."""
    max_connections: int | None = Field(default=None, ge=1, examples=[100])
    """How many connections there may be at once."""
    max_message_size: int = Field(default=16 * 1024 * 1024, ge=1, examples=[16777216])
    """Bytes of a websocket's message."""
    mend_redirects: bool = False
    """Brings redirects to where the mount is."""
    own_cookie_paths: bool = False
    """Keeps cookies below the prefix."""


class ProxyConfig(PassingConfig):
    """Other servers."""

    url: Several = Field(examples=["http://10.0.0.7:9000"])
    """`http://…`, `https://…` or `unix:/path`, or several."""
    connect_timeout: Seconds = Field(default=5.0, examples=[5])
    """Seconds to open a connection."""
    keep_alive: float = Field(default=4.0, ge=0, examples=[4])
    """Seconds for which a connection is kept; 0 uses none twice."""
    health: str | None = Field(default=None, examples=["/healthz"])
    """A path that is asked for at every one of several servers."""
    health_interval: Seconds = Field(default=5.0, examples=[5])
    """Seconds between these."""
    retry: bool = True
    """Whether a safe request is sent again if a kept connection was closed."""
    ca: str | None = Field(default=None, examples=["ca.pem"])
    """Certificates that are trusted, instead of the system's: a PEM file."""


class ProcessConfig(PassingConfig):
    """A child process."""

    ready: str | None = Field(default=None, examples=["/healthz"])
    """A path that has to be answered; by default any answer does."""
    startup_timeout: Seconds = Field(default=60.0, examples=[60])
    """Seconds until it has to answer."""
    grace: float = Field(default=10.0, ge=0, examples=[10])
    """Seconds from SIGTERM to SIGKILL."""
    restart_pause: Seconds = Field(default=1.0, examples=[1])
    """Seconds before it is started again, doubled each time."""
    max_restart_pause: Seconds = Field(default=60.0, examples=[60])
    """The most that becomes of them."""
    inherit_env: list[str] | None = Field(default=None, examples=[["PATH", "HOME"]])
    """The variables that are inherited; by default nearly all."""
    without_headers: list[str] = Field(default=[], examples=[["cookie"]])
    """Headers that are not passed on."""
