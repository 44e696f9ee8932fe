"""No parser fails on what it is given; see `tests/support/parsers.py`, and `scripts/fuzz parsers` for more of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.parsers import PARSERS

#: What parsers look for.
PIECES = st.sampled_from(
    [
        *(
            b"/",
            b"//",
            b"?",
            b"#",
            b"%",
            b"%2F",
            b"%2e",
            b"%ff",
            b"\\",
            b".",
            b"..",
            b":",
            b";",
            b",",
        ),
        *(
            b"=",
            b'"',
            b"[",
            b"]",
            b"::1",
            b"{",
            b"}",
            b"{x}",
            b"{n:int}",
            b"{p:path}",
            b"*",
            b"*.",
            b"@",
        ),
        *(
            b"\n",
            b"\n\n",
            b"\r",
            b"\x00",
            b"\t",
            b" ",
            b"\xe9",
            "é".encode(),
            b"a",
            b"b",
            b"c",
            b"1",
        ),
        *(
            b"a.com",
            b"A.COM.",
            b"example",
            b":80",
            b":99999",
            b"/a",
            b"/a/b",
            b"/sub",
            b"xn--",
            b"q=0.5",
        ),
        *(
            b"for=",
            b"host=",
            b"proto=",
            b"https",
            b"192.0.2.1",
            b"Path=",
            b"__Host-",
            b"content-length",
        ),
        *(b"transfer-encoding", b"chunked", b"http://a.com", b"//b.com", b"javascript:", b"x" * 64),
    ]
)
DATA = st.lists(PIECES | st.binary(max_size=3), max_size=12).map(b"".join) | st.binary(max_size=40)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150, deadline=None)
@given(data=DATA)
@example(data=b"")
def test_whatever_it_is_given(name: str, data: bytes) -> None:
    PARSERS[name](data)
