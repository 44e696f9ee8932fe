"""Traefik 3.4 and newer: a file for its file provider; the options of its start are in the comment.

Traefik shows a rule the path with everything decoded but reserved characters, never the target as
it was sent, so that it is exported only for requests that are assumed to be well-formed. Of the
Host header it shows the name alone; the whole of it is in the X-Forwarded-Host that it sets before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mountkit.export.conditions import Check
from mountkit.export.names import UNTRUSTED, Options, cannot, commented, digest_of
from mountkit.export.plans import ExportError, Plan, Row
from mountkit.export.spellings import NOT_A_PATH, encoded, literal
from mountkit.export.upstreams import Upstream

_ENCODED = ("Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash")
# Reserved characters stay as they are (RFC 3986, section 2.2); "%" is one, to Traefik.
_KEPT = frozenset(":/?#[]@!$&'()*+,;=%")
_ESCAPES = re.compile("(?:%(?:[0-9]|\\[[A-F][a-f]\\]){2})+")
_CONTROLS = r"[\x00-\x1F\x7F]"


def arguments(options: Options, file: str) -> list[str]:
    """The options that Traefik is to be started with.

    Args:
        file: what `write` has returned.
    """
    web = "--entryPoints.web"
    allowed = [f"{web}.http.encodedCharacters.allowEncoded{name}=true" for name in _ENCODED]
    return [
        f"{web}.address={options.host}:{options.port}",
        f"{web}.http.sanitizePath=false",
        f"{web}.http.encodeQuerySemicolons=true",
        f"{web}.transport.respondingTimeouts.readTimeout=0s",
        *allowed,
        f"--providers.file.filename={file}",
    ]


def write(plan: Plan, options: Options) -> str:
    """Raises:
    ExportError: Traefik cannot say it.
    """
    if not options.is_well_formed:
        raise ExportError(
            "Traefik does not show how a target was spelled, so that a table is exported to it "
            "only with --assume well-formed."
        )
    return "".join(f"{line}\n" for line in _lines(plan, options))


def _lines(plan: Plan, options: Options) -> Iterator[str]:
    yield f"# {options.title}"
    yield "# Start Traefik with these options:"
    for argument in arguments(options, "mountkit.yaml"):
        yield f"#   {argument}"
    yield "http:"
    yield "  # Where a request goes: the highest priority that matches."
    yield "  routers:"
    rows = [row for row in plan.without_plain().rows if not _is_left_out(row)]
    priorities = {row.all: len(rows) - position for position, row in enumerate(rows)}
    for line in commented(rows, lambda row: _router(row, priorities[row.all])):
        yield f"    {line}"
    yield "  middlewares:"
    yield "    mountkit-prefix:"
    yield "      headers:"
    yield "        customRequestHeaders:"
    for name in ("Forwarded", *UNTRUSTED):
        yield f"          {name}: ''"
    for status in sorted({row.to for row in rows if isinstance(row.to, int)}):
        yield f"    mountkit-{status}:"
        yield "      ipAllowList:"
        yield "        sourceRange: [255.255.255.255/32]  # which no client has"
        yield f"        rejectStatusCode: {status}"
    yield "  services:"
    for upstream in plan.upstreams:
        yield f"    {upstream.name}:"
        yield "      loadBalancer:"
        yield f"        servers: [{{url: '{upstream.url}'}}]"
        yield "        responseForwarding: {flushInterval: -1ms}"


def _is_left_out(row: Row) -> bool:
    """What no request is assumed to have; and what is not found, which is what Traefik says."""
    is_rest = not row.all and row.to == 404
    return is_rest or any(test.subject == "query" and not test.name for test in row.tests)


def _router(row: Row, priority: int) -> Iterator[str]:
    rule = " && ".join(_rule(row, test) for test in row.all) or "PathPrefix(`/`)"
    yield f"to-{digest_of(row.all)}:"
    yield f"  rule: '{rule}'"
    yield f"  priority: {priority}"
    if isinstance(row.to, Upstream):
        yield "  middlewares: [mountkit-prefix]"
        yield f"  service: {row.to.name}"
    else:
        yield f"  middlewares: [mountkit-{row.to}]"
        yield "  service: noop@internal"


def _rule(row: Row, test: Check) -> str:
    if test.regex == NOT_A_PATH:
        return f"PathRegexp(`{_CONTROLS}`)"
    return "!" * test.negated + _positive(row, test)


def _positive(row: Row, test: Check) -> str:
    if test.subject == "method":
        methods: Sequence[str] = test.regex.split("|")
        if not re.fullmatch("[A-Z|-]+", test.regex):
            raise cannot("Traefik", row, test, "its methods are letters")
        rule = " || ".join(f"Method(`{method}`)" for method in methods)
        return rule if len(methods) == 1 else f"({rule})"
    if test.subject == "path":
        return f"PathRegexp(`^(?:{_decoded(test.regex)})$`)"
    if test.subject == "query":
        if {*test.name} & {*"'`"}:
            raise cannot("Traefik", row, test, "a rule cannot quote its name")
        return f"QueryRegexp(`{test.name}`, `^(?:{test.decoded})$`)"
    name = "X-Forwarded-Host" if test.subject == "host" else test.header
    return f"HeaderRegexp(`{name}`, `^(?:{test.regex})$`)"


def _decoded(regex: str) -> str:
    """A regular expression of a path for one that is decoded: what was encoded of necessity is
    there as it is."""
    return _ESCAPES.sub(_unescaped, regex)


def _unescaped(match: re.Match[str]) -> str:
    digits = re.sub(r"%|\[([A-F])[a-f]\]", r"\1", match[0])
    text = bytes.fromhex(digits).decode()
    return "".join(encoded(char) if char in _KEPT else _shown(char) for char in text)


def _shown(char: str) -> str:
    return literal(char) if char.isascii() else char
