"""HAProxy 2.4 and newer: a whole configuration.

It decodes nothing and normalises nothing, and an ACL looks at each line of a header: each test is
an ACL, each row a `use_backend`.
"""

from __future__ import annotations

from collections.abc import Iterator

from mountkit.export.conditions import PRESENT, Check
from mountkit.export.names import UNTRUSTED, Options, check_linear, commented, digest_of, names_of
from mountkit.export.plans import Plan, Row
from mountkit.export.spellings import LONG_PATH
from mountkit.export.upstreams import Upstream

_SUBJECTS = {"host": "req.fhdr(host)", "method": "method", "path": "url", "query": "url"}


def write(plan: Plan, options: Options) -> str:
    """Raises:
    ExportError: HAProxy cannot say it.
    """
    check_linear(plan)
    return "".join(f"{line}\n" for line in _lines(plan, options))


def _lines(plan: Plan, options: Options) -> Iterator[str]:
    yield f"# {options.title}"
    yield "defaults"
    yield "    mode http"
    yield "    option http-no-delay"
    yield "    timeout connect 10s"
    yield "    timeout client 1h"
    yield "    timeout server 1h"
    yield "    timeout tunnel 1h"
    yield "\nfrontend mountkit"
    yield f"    bind {options.host or '*'}:{options.port}"
    yield "    # Conditions."
    tests = {test._replace(negated=False) for row in plan.rows for test in row.tests}
    names = names_of(sorted(tests, key=lambda test: (test.about, test)))
    for test, name in sorted(names.items(), key=lambda item: item[1]):
        yield f"    acl is_{name} {_acl(test)}"
    yield "    acl several_hosts req.fhdr_cnt(host) gt 1"
    yield f"    acl long_path path -m reg '^(?:{LONG_PATH})$'"
    yield "    # The first that matches: where a request goes, or its status."
    yield "    use_backend mountkit-400 if several_hosts"
    yield "    use_backend mountkit-400 if long_path"
    for line in commented(plan.rows, lambda row: _row(row, names)):
        yield f"    {line}"
    for status in sorted({400, *(row.to for row in plan.rows if isinstance(row.to, int))}):
        yield f"\nbackend mountkit-{status}"
        yield f"    http-request return status {status}"
    for upstream in plan.upstreams:
        yield from _backend(upstream)


def _acl(test: Check) -> str:
    if test.header and test.regex == PRESENT:
        return f"req.fhdr({test.header}) -m found"
    regex = f"^(?:{test.regex})$"
    if test.subject == "path":
        regex = rf"^(?:{test.regex})(?:\?.*)?$"
    if test.subject == "query":
        regex = rf"^[^?]*(?:\?(?:{test.regex}))" + "?" * test.takes_nothing + "$"
    subject = _SUBJECTS.get(test.subject) or f"req.fhdr({test.header})"
    return f"{subject} -m reg '{regex}'"


def _row(row: Row, names: dict[Check, str]) -> Iterator[str]:
    terms = ["!" * test.negated + _name(names, test) for test in row.tests]
    if row.path is not None:
        terms.append(f"path_{digest_of([row.path])}")
        yield f"acl {terms[-1]} {_acl(row.path)}"
    backend = row.to.name if isinstance(row.to, Upstream) else f"mountkit-{row.to}"
    yield f"use_backend {backend}" + (f" if {' '.join(terms)}" if terms else "")


def _name(names: dict[Check, str], test: Check) -> str:
    return f"is_{names[test._replace(negated=False)]}"  # it could be a word such as "or"


def _backend(upstream: Upstream) -> Iterator[str]:
    yield f"\nbackend {upstream.name}"
    yield "    # The target is forwarded as it came."
    for name in ("Forwarded", *UNTRUSTED):
        yield f"    http-request del-header {name}"
    yield "    http-request set-header X-Forwarded-For %[src]"
    yield "    http-request set-header X-Forwarded-Host %[req.fhdr(host)]"
    yield "    http-request set-header X-Forwarded-Proto http"
    yield f"    server upstream {upstream.address}"
