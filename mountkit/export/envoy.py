"""Envoy 1.30 and newer: a whole configuration (bootstrap).

Virtual hosts are exclusive there, so that there is one, `*`, and the Host header is a condition
like any other. Envoy decodes nothing. Regular expressions are larger than its limit for those of
unknown origin, which is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from mountkit.export.conditions import PRESENT, Check
from mountkit.export.names import UNTRUSTED, Options, check_headers, commented
from mountkit.export.plans import ExportError, Plan, Row
from mountkit.export.upstreams import Upstream

_JOINED = "Envoy joins a header that is sent twice, and drops those that Connection names"
_SUBJECTS = {"host": ":authority", "method": ":method", "path": ":path", "query": ":path"}
_HEAD = """\
layered_runtime:
  layers:
  - name: mountkit
    static_layer:
      re2.max_program_size.error_level: 100000
      re2.max_program_size.warn_level: 100000
static_resources:
  listeners:
  - name: mountkit
    address: {socket_address: {address: '%s', port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/%s.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: mountkit
          use_remote_address: true
          http_protocol_options: {allow_absolute_url: false}
          normalize_path: false
          merge_slashes: false
          path_with_escaped_slashes_action: KEEP_UNCHANGED
          stream_idle_timeout: 3600s
          upgrade_configs: [{upgrade_type: websocket}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            request_headers_to_remove: %s
            virtual_hosts:
            - name: mountkit
              domains: ['*']
              # The first that matches: where a request goes, or its status.
              routes:
"""


def write(plan: Plan, options: Options) -> str:
    """Raises:
    ExportError: Envoy cannot say it.
    """
    host = options.host.strip("[]")
    if host.strip("0123456789.") and ":" not in host:
        raise ExportError(f"Envoy listens on addresses; write --listen 127.0.0.1:{options.port}.")
    check_headers(plan, options, "Envoy", _JOINED)
    return "".join(f"{line}\n" for line in _lines(plan, options))


def _lines(plan: Plan, options: Options) -> Iterator[str]:
    yield f"# {options.title}"
    removed = json.dumps([name.lower() for name in ("Forwarded", *UNTRUSTED)])
    host = options.host.strip("[]") or "0.0.0.0"
    package = "envoy.extensions.filters.network"
    yield (_HEAD % (host, options.port, package, removed)).rstrip("\n")
    for line in commented(plan.rows, _route):
        yield f"              {line}"
    yield "  clusters:" + " []" * (not plan.upstreams)
    for upstream in plan.upstreams:
        host = upstream.host.strip("[]")
        address = f"{{address: '{host}', port_value: {upstream.port}}}"
        yield f"  - name: {upstream.name}"
        yield "    type: STRICT_DNS"
        yield "    connect_timeout: 10s"
        yield "    load_assignment:"
        yield f"      cluster_name: {upstream.name}"
        yield "      endpoints:"
        yield f"      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {address}}}}}}}]"


def _route(row: Row) -> Iterator[str]:
    path = "prefix: ''"
    if row.path is not None:
        path = f"safe_regex: {{regex: '{row.path.regex}'}}"
    yield f"- match: {{{path}}}" if not row.tests else "- match:"
    if row.tests:
        yield f"    {path}"
        yield "    headers:"
        yield from (f"    - {_header(test)}" for test in row.tests)
    if isinstance(row.to, Upstream):
        yield f"  route: {{cluster: {row.to.name}, timeout: 0s}}"
    else:
        yield f"  direct_response: {{status: {row.to}}}"


def _header(test: Check) -> str:
    name = test.header or _SUBJECTS[test.subject]
    # Without a value nothing is compared, unless it is taken for an empty one.
    inverted = ", invert_match: true, treat_missing_header_as_empty: true" * test.negated
    if test.regex == PRESENT:
        return f"{{name: '{name}', present_match: {str(not test.negated).lower()}}}"
    regex = test.regex
    if test.subject == "path":
        regex = rf"(?:{regex})(?:\?.*)?"
    if test.subject == "query":
        regex = rf"[^?]*(?:\?(?:{regex}))" + "?" * test.takes_nothing
    return f"{{name: '{name}', string_match: {{safe_regex: {{regex: '{regex}'}}}}{inverted}}}"
