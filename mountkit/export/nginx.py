"""nginx 1.21.1 and newer: a file for its `conf.d`, in the context `http`.

Locations and server names are exclusive there, so that neither is used: each test is a `map` that
yields a tag, and one `map` of regular expressions over all tags and the target is the list.
"""

from __future__ import annotations

from collections.abc import Iterator

from mountkit.export.conditions import PRESENT, Check
from mountkit.export.names import (
    UNTRUSTED,
    Options,
    cannot,
    check_headers,
    check_linear,
    commented,
    names_of,
)
from mountkit.export.plans import Plan, Row
from mountkit.export.spellings import NOT_A_PATH, alternatives
from mountkit.export.upstreams import Upstream

# Characters of one parameter, which nginx reads into a buffer of 4096; and names in one.
_LONGEST = 4000
_TOO_LONG = "nginx reads regular expressions of up to 4,000 characters"
_MOST = 50
_VARIABLES = {"host": "$http_host", "method": "$request_method"}
_REPEATED = "nginx cannot tell an empty header from none, nor see whether it was sent twice"


def write(plan: Plan, options: Options) -> str:
    """Raises:
    ExportError: nginx cannot say it.
    """
    check_linear(plan)
    check_headers(plan, options, "nginx", _REPEATED)
    for row in plan.rows:
        for test in row.tests:
            if len(_subject(test)[1]) > _LONGEST:
                raise cannot("nginx", row, test, f"{_TOO_LONG}; make it shorter")
    tests = {test for row in plan.rows for test in row.tests}
    tags = names_of(sorted(tests, key=lambda test: (test.about, test)))
    return "".join(f"{line}\n" for line in _lines(plan, options, tags))


def _lines(plan: Plan, options: Options, tags: dict[Check, str]) -> Iterator[str]:
    yield f"# {options.title}"
    yield "# A file for the context http of nginx, such as conf.d/mountkit.conf."
    for upstream in plan.upstreams:
        yield f"\nupstream {upstream.name} {{"
        yield f"    server {upstream.address};"
        yield "}"
    yield "\n# Conditions."
    names = sorted(tags.items(), key=lambda item: item[1])
    for test, tag in names:
        yield from _map(test, tag)
    keys = [names[at : at + _MOST] for at in range(0, len(names), _MOST)]
    for number, some in enumerate(keys):
        yield f'map "" $mountkit_all_{number} {{'
        yield f'    default "{"".join(f"$mountkit_is_{tag}" for _, tag in some)}";'
        yield "}"
    key = "".join(f"$mountkit_all_{number}" for number in range(len(keys)))
    yield "\n# The first that matches: where a request goes, or its status."
    yield f'map "{key} $request_uri" $mountkit_to {{'
    for line in commented(plan.rows, lambda row: _row(row, tags)):
        yield f"    {line}"
    yield "}"
    yield from _server(options, plan)


def _map(test: Check, tag: str) -> Iterator[str]:
    variable, regex = _subject(test)
    found, default = f'";{tag};"', '""'
    if test.negated:
        found, default = default, found
    yield f"map {variable} $mountkit_is_{tag} {{"
    yield f"    default {default};"
    yield f'    "~^{regex}$" {found};'
    yield "}"


def _subject(test: Check) -> tuple[str, str]:
    """A variable, and the regular expression for the whole of it."""
    regex = f"(?:{test.regex})"
    if test.regex == NOT_A_PATH:  # of a whole URL, `$request_uri` has the path alone
        return "$request", rf"[^\x20]+\x20{regex}(?:\?.*)?\x20HTTP/[0-9.]+"
    if test.subject == "path":
        return "$request_uri", rf"{regex}(?:\?.*)?"
    if test.subject == "query":  # `$args` ends before a fragment
        return "$request_uri", rf"[^?]*(?:\?{regex})" + "?" * test.takes_nothing
    if test.subject in _VARIABLES:
        return _VARIABLES[test.subject], regex
    # It is never absent, but empty.
    return f"$http_{test.header.replace('-', '_')}", ".+" if test.regex == PRESENT else regex


def _row(row: Row, tags: dict[Check, str]) -> Iterator[str]:
    wanted = sorted(tags[test] for test in row.tests)
    start = "^" + "".join(f"[^ ]*;{tag};" for tag in wanted) + "[^ ]* "
    to = row.to.name if isinstance(row.to, Upstream) else row.to
    if row.path is None:
        yield f'"~{start}" {to};'
        return
    is_long = len(start) + len(row.path.regex) > _LONGEST
    for regex in alternatives(row.path.regex) if is_long else [row.path.regex]:
        if len(start) + len(regex) > _LONGEST:
            raise cannot("nginx", row, row.path, f"{_TOO_LONG}; make it shorter")
        yield rf'"~{start}(?:{regex})(?:\?.*)?$" {to};'


def _server(options: Options, plan: Plan) -> Iterator[str]:
    yield "\nmap $http_upgrade $mountkit_connection {"
    yield '    default "";'
    yield "    ~. upgrade;"
    yield "}"
    yield "\nserver {"
    yield f"    listen {options.host or '*'}:{options.port} default_server;"
    yield "    merge_slashes off;"
    yield "    client_max_body_size 0;"
    statuses = {row.to for row in plan.rows if isinstance(row.to, int)}
    for status in sorted(statuses):
        yield f"    if ($mountkit_to = {status}) {{"
        yield f"        return {status};"
        yield "    }"
    yield "    location / {"
    yield "        # The target is forwarded as it came."
    yield "        proxy_pass http://$mountkit_to;"
    yield "        proxy_http_version 1.1;"
    yield "        proxy_request_buffering off;"
    yield "        proxy_buffering off;"
    yield "        proxy_next_upstream off;"
    yield "        proxy_redirect off;"
    yield "        proxy_read_timeout 1h;"
    yield "        proxy_send_timeout 1h;"
    set_headers = {
        "Host": "$http_host",
        "Upgrade": "$http_upgrade",
        "Connection": "$mountkit_connection",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Host": "$http_host",
        "X-Forwarded-Proto": "$scheme",
        "Forwarded": '""',
        **dict.fromkeys(UNTRUSTED, '""'),
    }
    for name, value in set_headers.items():
        yield f"        proxy_set_header {name} {value};"
    yield "    }"
    yield "}"
