"""Paths in URLs: percent-encoding, and references to send to a client."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

# RFC 3986, section 3.3: `pchar` without the percent-encoded characters. What `quote` leaves alone.
_PCHAR = "!$&'()*+,;=:@~"


def encode_path(path: str) -> str:
    """`path`, percent-encoded for a URL (RFC 3986, section 3.3)."""
    return quote(path, safe="/" + _PCHAR)


def cut_raw_path(raw_path: bytes, root_path: str, rest: str) -> bytes:
    """`raw_path` without the segments of `root_path`, for apps that want the prefix stripped."""
    position = 0
    for _ in range(root_path.count("/") + 1):
        position = raw_path.find(b"/", position) + 1
        if not position:
            return encode_path(rest).encode("ascii")
    prefix = raw_path[: position - 1]
    spelled = unquote_to_bytes(prefix).decode("utf-8", "replace")
    if spelled != root_path:  # "%2F" was decoded to a boundary
        return encode_path(rest).encode("ascii")
    return raw_path[position - 1 :]


def slash_location(path: str, query_string: bytes) -> str:
    """A relative reference from `path` to the same with a slash (RFC 3986, section 4.2).

    It is relative, so that it is right whatever prefix a proxy has stripped, and so that no Host
    header can send the browser elsewhere. "./" keeps a colon from being read as a scheme and an
    empty segment from being read as a host.
    """
    location = "./" + encode_path(path.rpartition("/")[2]) + "/"
    return f"{location}?{query_string.decode('latin-1')}" if query_string else location


def ascii_location(value: bytes) -> bytes:
    """A `Location` with its non-ASCII letters percent-encoded (RFC 3987, section 3.1).

    Bytes that are not UTF-8 are read as Latin-1, which is what a framework sends that does not
    encode.
    """
    if value.isascii():
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return "".join(char if char.isascii() else quote(char) for char in text).encode()
