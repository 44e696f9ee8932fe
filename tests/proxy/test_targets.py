"""What a URL means, and what a proxy refuses to be made of."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mountkit import PatternError, Proxy
from mountkit.proxy.targets import Target


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "base"),
    [
        ("http://a.com", "a.com", 80, "a.com", ""),
        ("http://a.com:80/", "a.com", 80, "a.com", ""),
        ("http://10.0.0.7:9000/base/", "10.0.0.7", 9000, "10.0.0.7:9000", "/base"),
        ("https://a.com", "a.com", 443, "a.com", ""),
        ("https://a.com:80/a/b", "a.com", 80, "a.com:80", "/a/b"),
        ("http://[::1]:9000", "::1", 9000, "[::1]:9000", ""),
    ],
)
def test_a_url(url: str, host: str, port: int, authority: str, base: str) -> None:
    found = Target.parse(url)
    assert (found.host, found.port, found.authority, found.base) == (host, port, authority, base)
    assert found.is_secure is url.startswith("https")


def test_a_unix_socket() -> None:
    found = Target.parse("unix:/run/app.sock")
    assert (found.path, found.host, found.authority) == ("/run/app.sock", "", "localhost")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (7, "Upstream 7 is not text; write 'http://10.0.0.7:9000'."),
        (
            "a.com:80",
            "Upstream 'a.com:80' is not the URL of a server; write 'http://10.0.0.7:9000',",
        ),
        ("http://", "Upstream 'http://' is not the URL of a server; write"),
        ("http://a:b", "Upstream 'http://a:b' is not a URL: Port could not be cast to integer"),
        ("http://u:p@a.com", "Upstream 'http://…@a.com' has a user or a password, which would"),
        ("http://a.com/x?y", "has more than a plain path; write 'http://host/base'."),
        ("http://a.com/#", "has more than a plain path"),
        ("http://a.com/../x", "has more than a plain path"),
        ("http://a.com//x", "has more than a plain path"),
        ("http://a b", "has no valid host"),
        ("unix:app.sock", "Upstream 'unix:app.sock' has no path; write 'unix:/run/app.sock'."),
        ("unix://app.sock", "Upstream 'unix://app.sock' has no path"),
    ],
)
def test_what_is_no_upstream(url: Any, message: str) -> None:
    """Is refused when the proxy is made; passwords are not repeated."""
    with pytest.raises(PatternError, match=re.escape(message)):
        Proxy([url])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"urls": []}, "A Proxy without a URL has no upstream; write 'http://10.0.0.7:9000'."),
        (
            {"host": "http://a"},
            "host='http://a' is not a host; write 'keep', 'replace' or 'a.com'.",
        ),
        ({"host": 1}, "host=1 is not a host"),
        (
            {"forwarded": "x"},
            "forwarded='x' is not known; write 'x-forwarded', 'forwarded' or None.",
        ),
        ({"health": "x"}, "health='x' is not a path; write '/healthz'."),
        ({"health": "/a b"}, "health='/a b' is not a path"),
    ],
)
def test_options_that_cannot_work(how: Any, message: str) -> None:
    with pytest.raises(PatternError, match=re.escape(message)):
        Proxy(**{"urls": "http://a.com", **how})
