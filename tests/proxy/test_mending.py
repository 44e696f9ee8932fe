"""Redirects and cookies of an upstream, in front of it."""

from __future__ import annotations

import pytest

from mountkit.proxy.mending import mend
from mountkit.proxy.targets import Target

PLAIN = "http://10.0.0.7:9000"
BASED = "http://10.0.0.7:9000/base"


@pytest.mark.parametrize(
    ("url", "value", "expected"),
    [
        (PLAIN, b"http://10.0.0.7:9000/x?y#z", b"/x?y#z"),
        (PLAIN, b"HTTP://10.0.0.7:9000", b"/"),
        (PLAIN, b"http://10.0.0.7:9000?y", b"/?y"),
        (PLAIN, b"http://10.0.0.7:90001/x", b"http://10.0.0.7:90001/x"),
        (PLAIN, b"http://10.0.0.7:9000.evil.com/x", b"http://10.0.0.7:9000.evil.com/x"),
        (PLAIN, b"https://10.0.0.7:9000/x", b"https://10.0.0.7:9000/x"),
        (PLAIN, b"http://10.0.0.7:9000//evil.com/x", b"/.//evil.com/x"),
        (PLAIN, b"/x", b"/x"),
        (PLAIN, b"x", b"x"),
        (BASED, b"/base/x", b"/x"),
        (BASED, b"/base", b"/"),
        (BASED, b"/base?x", b"/?x"),
        (BASED, b"/based", b"/based"),
        (BASED, b"/base//evil.com", b"/.//evil.com"),
        (BASED, b"http://10.0.0.7:9000/base/x", b"/x"),
        ("https://a.com", b"https://a.com/x", b"/x"),
    ],
)
def test_a_redirect(url: str, value: bytes, expected: bytes) -> None:
    """To the upstream itself becomes one to a path, and never one to another host."""
    headers = [(b"location", value), (b"x-location", value)]
    found = mend(headers, [Target.parse(url)], redirects=True, cookie_paths=False)
    assert found == [(b"location", expected), (b"x-location", value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a=b; Path=/base/x; Secure", b"a=b; Path=/x; Secure"),
        (b"a=b;path=/base", b"a=b;path=/"),
        (b"a=b; Path=/other", b"a=b; Path=/other"),
        (b"a=b", b"a=b"),
    ],
)
def test_the_path_of_a_cookie(value: bytes, expected: bytes) -> None:
    """Loses the path of the upstream's URL, which no client sees."""
    headers = [(b"set-cookie", value), (b"location", b"/base/x")]
    found = mend(headers, [Target.parse(BASED)], redirects=False, cookie_paths=True)
    assert found == [(b"set-cookie", expected), (b"location", b"/base/x")]
