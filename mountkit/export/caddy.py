"""Caddy 2.8 and newer: a Caddyfile.

Its own matchers ignore case, or normalise paths, and keep one regular expression of each
placeholder: each row is an expression (CEL) instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from mountkit.export.conditions import Check
from mountkit.export.names import UNTRUSTED, Options, commented, digest_of
from mountkit.export.plans import Plan, Row
from mountkit.export.upstreams import Upstream

_SUBJECTS = {
    "host": "{http.request.hostport}",
    "method": "{http.request.method}",
    "query": "{http.request.uri.query}",
    "path": "{http.request.orig_uri}",
}


def write(plan: Plan, options: Options) -> str:
    return "".join(f"{line}\n" for line in _lines(plan, options))


def _lines(plan: Plan, options: Options) -> Iterator[str]:
    yield f"# {options.title}"
    yield "{"
    yield "\tadmin off"
    yield "\tauto_https off"
    yield "\tservers {"
    yield "\t\tenable_full_duplex"
    yield "\t}"
    yield "}"
    for upstream in plan.upstreams:
        yield f"\n(mountkit_{upstream.name}) {{"
        yield f"\treverse_proxy {{args[0]}} {upstream.url} {{"
        yield "\t\t# The target is forwarded as it came."
        yield "\t\tflush_interval -1"
        for name in ("Forwarded", *UNTRUSTED):
            yield f"\t\theader_up -{name}"
        yield "\t}"
        yield "}"
    yield f"\nhttp://:{options.port} {{"
    if options.host:
        yield f"\tbind {options.host.strip('[]')}"
    yield "\troute {"
    for line in commented(plan.rows, _row):
        yield f"\t\t{line}"
    yield "\t}"
    yield "}"


def _row(row: Row) -> Iterator[str]:
    matcher = "*"
    if row.all:
        matcher = f"@{row.part}_{digest_of(row.all)}"
        yield f"{matcher} `{' && '.join(map(_expression, row.all))}`"
    if isinstance(row.to, Upstream):
        yield f"import mountkit_{row.to.name} {matcher}"
    else:
        yield f"respond {matcher} {row.to}"


def _expression(test: Check) -> str:
    regex = f"^(?:{test.regex})$"
    if test.subject == "path":
        regex = rf"^(?:{test.regex})(?:\?.*)?$"
    if test.header:
        found = f"header_regexp('{test.header}', r'{regex}')"
    else:
        found = f"{_SUBJECTS[test.subject]}.matches(r'{regex}')"
    return f"!{found}" if test.negated else found
