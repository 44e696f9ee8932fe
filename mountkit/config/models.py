"""What a site's file can say: each key with its type, its default and what it is for.

The JSON Schema is made from these models too, and `docs/config.md` lists their keys. What
mountkit's own classes check (patterns, conflicts, limits) is not said here a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Literal

from mountkit.config.lines import Path, line_of
from mountkit.config.problems import Problem, key_of, toml, without
from mountkit.config.tables import (
    BaseModel,
    ConfigDict,
    Field,
    LifespanConfig,
    LimitsConfig,
    PrivateAttr,
    ProcessConfig,
    ProxyConfig,
    Seconds,
    Several,
    Table,
    ValidationError,
    WSGIConfig,
)

__all__ = ["BaseModel", "ValidationError"]

#: What a mount serves: one of these.
TARGETS = ("app", "static", "redirect", "split", "proxy", "command")
#: Keys that have an effect beside one of these alone.
BELONGS: dict[str, tuple[str, ...]] = {
    "factory": ("app",),
    "args": ("app",),
    "html": ("static",),
    "status": ("redirect",),
    "python": ("app", "command"),
    "cwd": ("command", "python"),
    "process": ("command", "python"),
}

_SECRET = 6  # characters from which a value of a variable is not shown inside of another text
_Port = Annotated[int, Field(ge=0, le=65535)]
_Status = Literal[301, 302, 303, 307, 308]


class TLSConfig(Table):
    """The certificate of the server."""

    cert: str = Field(examples=["fullchain.pem"])
    """The certificate with its chain: a PEM file."""
    key: str = Field(examples=["privkey.pem"])
    """Its private key: a PEM file."""


class LogConfig(Table):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level."""
    access: bool = True
    """Whether each request is logged."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or an object of JSON in each line."""


class ServerConfig(Table):
    """The server, and how it is run. A change of it restarts the workers, one after the other."""

    server: Literal["uvicorn", "granian", "hypercorn"] = "uvicorn"
    """Which server runs the site."""
    host: str = Field(default="127.0.0.1", examples=["0.0.0.0"])
    """The address it listens on."""
    port: _Port = Field(default=8000, examples=[8000])
    """The port it listens on; 0 is any that is free."""
    unix_socket: str | None = Field(default=None, examples=["/run/site.sock"])
    """The path of a unix socket, instead of host and port."""
    workers: int = Field(default=1, ge=1, examples=[2])
    """How many processes serve."""
    root_path: str = Field(default="", examples=["/sub"])
    """The prefix that a proxy in front has stripped."""
    trusted: str | list[str] = Field(default=[], examples=[["127.0.0.1"]])
    """Addresses and networks of proxies whose headers are believed, and "unix"."""
    tls: TLSConfig | None = None
    grace: float = Field(default=10, ge=0, examples=[10])
    """Seconds that requests in flight have when the server stops."""
    drain_timeout: Seconds = Field(default=30, examples=[30])
    """Seconds that requests in flight have when their mount leaves."""
    startup_timeout: Seconds = Field(default=60, examples=[60])
    """Seconds that the startup of an app may take."""
    shutdown_timeout: Seconds = Field(default=60, examples=[60])
    """Seconds that the shutdown of an app may take."""
    unknown_host: Literal["default", 404, 421] = "default"
    """What a request gets that no mount takes and whose host no mount names."""
    debug: bool = False
    """Whether a 404 of the site's own says why; not for production."""
    log: LogConfig = LogConfig()
    watch: bool = False
    """Whether a change of the file is applied at once."""

    @property
    def proxies(self) -> list[str]:
        """`trusted` as a list."""
        return [self.trusted] if isinstance(self.trusted, str) else self.trusted


class StatusConfig(Table):
    """The page that shows what goes on; off without this table."""

    listen: str | None = Field(default=None, examples=["127.0.0.1:9000"])
    """An address with a port of its own, or "unix:/run/x.sock"."""
    path: str | None = Field(default=None, examples=["/-/status"])
    """A path of the site, behind the guard."""
    guard: str | None = Field(default=None, examples=["package.module:Guard"])
    """An ASGI middleware class, "module:attribute", that lets in who may see the page."""


class MetricsConfig(Table):
    """Prometheus metrics at `/metrics` of the status listener; off without this table."""

    routes: bool = False
    """Whether the routes of the apps are labels: more series."""


class RegexConfig(Table):
    """A text that a regular expression matches as a whole."""

    regex: str = Field(examples=["v[0-9]+"])
    """Of Python's `re`."""


#: The exact text, present (`true`), absent (`false`), or a regular expression.
_Wanted = str | bool | RegexConfig


class WhenConfig(Table):
    """Conditions as a table: all of them must hold."""

    header: dict[str, _Wanted] = Field(default={}, examples=[{"x-beta": True}])
    """By name."""
    cookie: dict[str, _Wanted] = Field(default={}, examples=[{"beta": True}])
    """By name."""
    query: dict[str, _Wanted] = Field(default={}, examples=[{"version": "2"}])
    """By name."""
    client: Several | None = Field(default=None, examples=["10.0.0.0/8"])
    """Networks that hold the peer's address."""
    accept: Several | None = Field(default=None, examples=["application/json"])
    """Media types that the client asks for."""
    host: Several | None = Field(default=None, examples=["a.example.com"])
    """Hosts, one of which it must be."""
    method: Several | None = Field(default=None, examples=["GET"])
    """HTTP methods, one of which it must be."""
    scheme: Literal["http", "https"] | None = None
    type: Literal["http", "websocket"] | None = None
    any: list[WhenConfig] = Field(default=[], examples=[[{"scheme": "https"}]])
    """Tables, one of which must hold."""
    not_: WhenConfig | None = Field(default=None, alias="not")
    """A table that must not hold."""


class AppConfig(Table):
    """An app of a split."""

    app: str = Field(examples=["package.module:app"])
    """`package.module:attribute`, or a file: `blog/main.py:app`."""
    factory: bool = False
    """Whether the attribute is called to make the app."""
    args: dict[str, Any] | list[Any] = Field(default={}, examples=[{"debug": True}])
    """What the factory is called with: by name, or in order."""


class ShareConfig(AppConfig):
    """An app of a split, and its share."""

    weight: float = Field(examples=[5])
    """Its share of the requests is this by the sum of all."""


class SplitConfig(Table):
    """Several apps, each with a share of the requests."""

    apps: dict[str, ShareConfig] = Field(examples=[{"canary": {"app": "v2:app", "weight": 5}}])
    """By name."""
    sticky_cookie: str | None = Field(default=None, examples=["lane"])
    """The cookie that keeps a client with its app."""
    sticky_header: str | None = Field(default=None, examples=["x-user"])
    """The header whose value decides."""
    seed: int | None = Field(default=None, examples=[1])
    """Makes the choices repeatable."""


class MiddlewareConfig(BaseModel):
    """ASGI middleware of yours; all other keys are its options."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", frozen=True, strict=True, use_attribute_docstrings=True
    )

    class_: str = Field(alias="class", examples=["package.module:Class"])
    """`package.module:Class`."""


class _Served(Table):
    """What a mount serves, and in which layers."""

    app: str | None = Field(default=None, examples=["package.module:app"])
    """`package.module:attribute`, or a file: `blog/main.py:app`."""
    factory: bool = False
    """Whether the attribute is called to make the app."""
    args: dict[str, Any] | list[Any] = Field(default={}, examples=[{"debug": True}])
    """What the factory is called with: by name, or in order."""
    env: dict[str, str] = Field(default={}, examples=[{"DEBUG": "1"}])
    """Environment variables, set before the import. All apps of a process share them; a command,
    and an app with `python`, have their own."""
    static: str | None = Field(default=None, examples=["public"])
    """A folder of files, instead of an app."""
    html: bool = False
    """Of a static folder: serves `index.html` and `404.html`."""
    redirect: str | None = Field(default=None, examples=["/new/"])
    """A path or a URL, instead of an app; the rest of the path and the query are kept."""
    status: _Status = 307
    """Of a redirect."""
    split: SplitConfig | None = None
    proxy: str | list[str] | ProxyConfig | None = Field(
        default=None, examples=["http://10.0.0.7:9000"]
    )
    """A URL, or several, to which requests are passed on, instead of an app."""
    command: list[str] | None = Field(
        default=None, examples=[["venv/bin/uvicorn", "app:app", "--fd", "{fd}"]]
    )
    """A program to run, and to pass requests on to, instead of an app."""
    python: str | None = Field(default=None, examples=["venv"])
    """A virtual environment or an interpreter: the app or the command is run there."""
    cwd: str | None = Field(default=None, examples=["old"])
    """The folder to run it in; by default that of the main file."""
    process: ProcessConfig = ProcessConfig()
    """How it is run, and how requests are passed on to it."""
    convention: Literal["spec", "strip", "none", "whole"] | None = None
    """Which scope the app gets; by default the one that it is known to need."""
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"] = "auto"
    """Where it cannot be recognised."""
    lifespan: LifespanConfig | Literal["on", "off"] = "on"
    errors: Literal["raise", "contain"] = "raise"
    """Whether an exception of the app goes up, or is a 500 of this mount."""
    max_body_size: int | None = Field(default=None, examples=[1000000])
    """Bytes; 413 beyond."""
    limits: LimitsConfig = LimitsConfig()
    wsgi: WSGIConfig | None = None
    check: bool = False
    """Lets no invalid response out."""
    context: bool = False
    """Keeps context variables of the app from the next request."""
    contain: bool = False
    """Answers 500 for an app that raises, inside of the middleware."""
    cookie_path: bool = False
    """Puts the cookies of the app below its prefix."""
    fix_redirects: bool = False
    """Gives redirects the prefix that they lack."""
    middleware: list[MiddlewareConfig] = Field(
        default=[], examples=[[{"class": "package.module:Class"}]]
    )
    """Layers of yours, the first outermost, inside of those above."""

    @property
    def is_child(self) -> bool:
        """Whether it runs in a process of its own."""
        return self.command is not None or self.python is not None

    @property
    def own_env(self) -> dict[str, str]:
        """Variables of this process that it sets."""
        return {} if self.is_child else self.env


class DefaultConfig(_Served):
    """What gets the requests that no mount takes."""


class MountConfig(_Served):
    """An app below a path, a host and any other condition; the words are those of `Mount`."""

    path: str = Field(default="", examples=["/shop"])
    """The prefix; "" is the root."""
    name: str | None = Field(default=None, examples=["shop"])
    """Unique; by default host and path. It is the label of the metrics."""
    host: Several | None = Field(default=None, examples=["shop.example.com"])
    """A pattern, or several."""
    headers: dict[str, _Wanted] | None = Field(default=None, examples=[{"x-version": "2"}])
    """By name: the exact value, true (present), false (absent), or a regular expression."""
    methods: list[str] | None = Field(default=None, examples=[["GET", "HEAD"]])
    """HTTP methods, exactly."""
    query: dict[str, _Wanted] | None = Field(default=None, examples=[{"version": "2"}])
    """The same for query parameters."""
    when: str | WhenConfig | None = Field(default=None, examples=['Header("x-beta")'])
    """Matchers, composed with `&`, `|` and `~`; or a table."""
    priority: int = Field(default=0, examples=[10])
    """Goes before specificity; the higher wins."""
    exact: bool = False
    """This very path, nothing below it."""
    redirect_slashes: bool | Literal["navigate", "bare"] | None = None
    """What a request for the bare prefix gets; by default "navigate"."""
    expose: list[str] | dict[str, str] = Field(default=[], examples=[["/.well-known/x"]])
    """Paths of the app that are served at the root too."""

    _place: Place = PrivateAttr(default_factory=lambda: Place("", ()))

    @property
    def place(self) -> Place:
        """Where it is written."""
        return self._place

    @property
    def options(self) -> dict[str, Any]:
        """All that it says of the mount, comparable. Where it says so does not count, nor what is
        in `env`, which apps read. Options of layers are texts, as `1 == True`."""
        layers = [(one.class_, toml(one.model_extra)) for one in self.middleware]
        more = {"middleware": layers, "folder": self.place.folder, "named": self.place.is_named}
        return {**self.__dict__, **more, "env": None}


class FileConfig(Table):
    """A site in a file."""

    server: ServerConfig = ServerConfig()
    status: StatusConfig | None = None
    metrics: MetricsConfig | None = None
    include: Several = Field(default=[], examples=["sites/*.toml"])
    """Files with more mounts, beside this one."""
    mount: list[MountConfig] = Field(default=[])
    """The mounts."""
    default: DefaultConfig | None = None


@dataclass(frozen=True)
class Place:
    """Where a table is written.

    Attributes:
        file: as it was named.
        path: of the table.
        lines: of its keys.
        raw: values that hold variables, and how they are written.
        is_named: the mount has a name in the file.
    """

    file: str
    path: Path
    lines: dict[Path, int] = field(default_factory=dict, repr=False)
    raw: dict[Path, list[tuple[str, str]]] = field(default_factory=dict, repr=False)
    is_named: bool = False

    @property
    def where(self) -> str:
        """`mountkit.toml:12`."""
        return f"{self.file}:{line_of(self.lines, self.path)}"

    @property
    def folder(self) -> FilePath:
        """Where relative paths start."""
        return FilePath(self.file).parent

    def problem(self, message: str, *keys: str | int) -> Problem:
        """What is wrong with a key; values of variables are shown as they are written."""
        path = (*self.path, *keys)
        found = (pairs for at, pairs in self.raw.items() if at[: len(path)] == path)
        for value, raw in chain.from_iterable(found):
            for write in (toml, repr):
                message = message.replace(write(value), write(raw))
            if len(value) >= _SECRET:
                for text in dict.fromkeys((value, repr(value)[1:-1], toml(value)[1:-1])):
                    message = without(message, text, raw)
        return Problem(self.file, line_of(self.lines, path), key_of(path), message)


@dataclass(frozen=True)
class SiteConfig:
    """A site as its file says it, validated.

    Attributes:
        mounts: `[default]` is the last one.
        files: the main one, then those that it includes.
        folders: those to watch.
    """

    server: ServerConfig
    status: StatusConfig | None
    metrics: MetricsConfig | None
    mounts: tuple[MountConfig, ...]
    files: tuple[FilePath, ...]
    folders: tuple[FilePath, ...]
