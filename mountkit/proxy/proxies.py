"""`Proxy`: the ASGI app that passes requests on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from ssl import SSLContext
from time import monotonic
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer, answer_unavailable
from mountkit.exceptions import MountkitError, PatternError
from mountkit.logs import proxy as logger
from mountkit.matching.hosts import parse_host
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.middleware.redirects import RedirectMiddleware
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.exchanges import Exchange
from mountkit.proxy.mending import mend
from mountkit.proxy.requests import Rules, request_of
from mountkit.proxy.responses import Headers
from mountkit.proxy.targets import Target
from mountkit.proxy.upstreams import Limits, Pool, Upstream
from mountkit.tasks import current_task

_HEALTH = re.compile(r"/[!-~]*")


class Proxy:
    """An ASGI app that passes requests and websockets on to another server, over HTTP/1.1.

        Mount("/old", Proxy("http://10.0.0.7:9000"))

    Streams bodies both ways, in bounded memory. The target goes to the upstream as the client sent
    it. Headers of the connection are not passed on (RFC 9110, section 7.6.1), nor those that only a
    proxy may set, nor names with "_". Redirects are passed on and never followed, cookies are not
    stored, and proxies in the environment are ignored.

    An ambiguous request gets 400, an ambiguous response 502, and an upstream that takes too long
    504. 503 with `Retry-After` means that no upstream can be reached, or that all connections are
    in use. If a response breaks off, the client's connection is broken too.

    Runs on asyncio. Websockets need the extra `proxy`.

    Args:
        urls: of the upstream: `http://host:port`, `https://…` or `unix:/path/of/a/socket`; or
            several equal ones. A path in it is put before that of each request. A request goes to
            the one with the fewest in flight. One that cannot be reached gets none for a second,
            nor does one of several where three requests in a row have failed.
        host: the `Host` that the upstream gets: `"keep"`, the client's; `"replace"`, that of the
            URL; or any other text as it is.
        strip_prefix: cut the mount's prefix off the path. By default the upstream gets all of it.
        forwarded: how the upstream is told of client, scheme, host, and a prefix that was cut off:
            `"x-forwarded"`, by `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`; `"forwarded"`,
            by `Forwarded` (RFC 7239), which has no word for a prefix; `None`, not at all. What the
            client has sent of these is dropped.
        connect_timeout: seconds to open a connection.
        head_timeout: seconds from the end of the request to the end of the response's head; `None`
            for no limit.
        idle_timeout: seconds without a byte of a body, sent or received, or without a message of a
            websocket; `None` for no limit.
        keep_alive: seconds for which an unused connection is kept. 0: no connection is used twice;
            choose that for an upstream that you do not trust.
        max_connections: how many each upstream may have at once; `None` for any number.
        max_message_size: bytes of a websocket's message from the upstream, at most.
        health: a path to request from every upstream, while the app's lifespan runs. One that does
            not answer with a status below 400 gets no requests.
        health_interval: seconds between these.
        retry: send a request again, once, if the upstream closes a kept connection without a byte
            of a response, and the request is safe and has no body.
        mend_redirects: make redirects to the upstream's own URL, and to a path if the prefix was
            cut off, lead below the mount.
        own_cookie_paths: keep the upstream's cookies below the mount's prefix.
        ssl_context: for `https`; by default that of `ssl.create_default_context`.

    Raises:
        PatternError: one of these cannot work.

    Attributes:
        upstreams: with `target`, `in_flight`, `is_up`.
    """

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        host: str = "keep",
        strip_prefix: bool = False,
        forwarded: Literal["x-forwarded", "forwarded"] | None = "x-forwarded",
        connect_timeout: float = 5.0,
        head_timeout: float | None = 60.0,
        idle_timeout: float | None = 300.0,
        keep_alive: float = 4.0,
        max_connections: int | None = None,
        max_message_size: int = 16 * 1024 * 1024,
        health: str | None = None,
        health_interval: float = 5.0,
        retry: bool = True,
        mend_redirects: bool = False,
        own_cookie_paths: bool = False,
        ssl_context: SSLContext | None = None,
    ) -> None:
        _check(host, forwarded, health)
        self._rules = Rules(host, strip_prefix, forwarded)
        limits = Limits(connect_timeout, head_timeout, idle_timeout, keep_alive, max_connections)
        self._pool = Pool(_targets(urls), limits, ssl_context, retry=retry)
        self._max_message_size = max_message_size
        self._health = (health, health_interval)
        self._mends = (mend_redirects, own_cookie_paths)
        self._app: ASGIApp = self._pass_on
        if mend_redirects and strip_prefix:
            self._app = RedirectMiddleware(self._app)
        if own_cookie_paths:
            self._app = CookiePathMiddleware(self._app)

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        return self._pool.upstreams

    def switch(self, urls: str | Iterable[str]) -> None:
        """Pass requests on to other upstreams from now on. Requests in flight finish where they
        are.

        Raises:
            PatternError: one of the URLs cannot work; nothing has changed.
        """
        self._pool.switch(_targets(urls))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if current_task() is None:
            raise MountkitError("Proxy needs asyncio; run the server on asyncio, not on trio.")
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = None
        try:
            if scope["type"] == "websocket":
                await receive()
                await self._open(scope, receive, send)
                return
            request = request_of(scope, self._rules)
            exchange = Exchange(self._pool, request, self._rules.host, self._changed, receive, send)
            await exchange.run()
        except ProxyError as exc:
            if exchange is not None and exchange.has_started:
                raise
            await _fail(exc, scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            from mountkit.proxy.sockets import Socket
        except ImportError as exc:
            reason = "Websockets are passed on by websockets: pip install 'mountkit[proxy]'."
            raise ProxyError(500, reason) from exc
        request = request_of(scope, self._rules)
        socket = Socket(self._pool.limits, self._changed, scope, receive, send)
        await socket.run(self._pool, request, self._rules.host, self._max_message_size)

    def _changed(self, headers: Headers) -> Headers:
        redirects, cookie_paths = self._mends
        if not redirects and not cookie_paths:
            return headers
        targets = [upstream.target for upstream in self.upstreams]
        return mend(headers, targets, redirects=redirects, cookie_paths=cookie_paths)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        path, interval = self._health
        probing = None if path is None else asyncio.create_task(self._probe(path, interval))
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            if probing is not None:
                probing.cancel()
                await asyncio.wait([probing])
        # The connections that are kept are closed; the app may be started again.
        self._pool.switch([upstream.target for upstream in self.upstreams])
        await send({"type": "lifespan.shutdown.complete"})

    async def _probe(self, path: str, interval: float) -> None:
        host = self._rules.host
        while True:
            async with asyncio.TaskGroup() as tasks:
                for upstream in self.upstreams:
                    name = upstream.target.authority if host in ("keep", "replace") else host
                    tasks.create_task(upstream.check(path, name))
            await asyncio.sleep(interval)


async def _fail(exc: ProxyError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in the upstream's place."""
    log = logger.info if exc.status in (400, 501) else logger.warning
    log("%s %s: %d: %s", scope.get("method", "websocket"), scope["path"], exc.status, exc)
    if exc.status == 503 and scope["type"] == "http":
        await answer_unavailable(monotonic() + exc.retry_after, scope, receive, send)
    else:
        await answer(exc.status, scope, receive, send, was_called=True)


def _targets(urls: str | Iterable[str]) -> list[Target]:
    targets = [Target.parse(url) for url in ([urls] if isinstance(urls, str) else urls)]
    if not targets:
        raise PatternError("A Proxy without a URL has no upstream; write 'http://10.0.0.7:9000'.")
    return targets


def _check(host: object, forwarded: object, health: object) -> None:
    if host not in ("keep", "replace") and (not isinstance(host, str) or parse_host(host) is None):
        raise PatternError(f"host={host!r} is not a host; write 'keep', 'replace' or 'a.com'.")
    if forwarded not in ("x-forwarded", "forwarded", None):
        raise PatternError(
            f"forwarded={forwarded!r} is not known; write 'x-forwarded', 'forwarded' or None."
        )
    if health is not None and not (isinstance(health, str) and _HEALTH.fullmatch(health)):
        raise PatternError(f"health={health!r} is not a path; write '/healthz'.")
