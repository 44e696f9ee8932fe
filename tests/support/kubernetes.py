"""As much of a Kubernetes API as Traefik needs to read HTTPRoutes: objects that never change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_GATEWAY = "gateway.networking.k8s.io/v1"
_LABEL = "kubernetes.io/service-name"
#: What is asked for: the path, the kind of its objects and their version.
_KINDS = {
    **{
        f"/apis/{_GATEWAY}/{kind.lower()}{'es' if kind.endswith('s') else 's'}": (kind, _GATEWAY)
        for kind in ("GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute")
    },
    f"/apis/{_GATEWAY}/backendtlspolicies": ("BackendTLSPolicy", _GATEWAY),
    f"/apis/{_GATEWAY}beta1/referencegrants": ("ReferenceGrant", f"{_GATEWAY}beta1"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("EndpointSlice", "discovery.k8s.io/v1"),
    **{
        f"/api/v1/{kind.lower()}s": (kind, "v1")
        for kind in ("Namespace", "Service", "Secret", "ConfigMap")
    },
}


def _meta(name: str, **more: Any) -> dict[str, Any]:
    since = "2026-01-01T00:00:00Z"
    found = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
    return {**found, "generation": 1, "creationTimestamp": since, **more}


def objects(
    routes: Sequence[dict[str, Any]], services: dict[str, int], port: int
) -> dict[str, list[Any]]:
    """A Gateway on this port, routes, and a service for each name, at a port of the loopback
    interface; by kind."""
    controller = {"controllerName": "traefik.io/gateway-controller"}
    listener: dict[str, Any] = {"name": "web", "protocol": "HTTP", "port": port}
    return {
        "GatewayClass": [{"metadata": _meta("traefik"), "spec": controller}],
        "Gateway": [
            {
                "metadata": _meta("mountkit"),
                "spec": {"gatewayClassName": "traefik", "listeners": [listener]},
            }
        ],
        "HTTPRoute": [{**route, "metadata": _meta(route["metadata"]["name"])} for route in routes],
        "Namespace": [{"metadata": _meta("default")}],
        "Service": [
            {
                "metadata": _meta(name),
                "spec": {
                    "ports": [{"name": "web", "port": 8000, "protocol": "TCP"}],
                    "clusterIP": "10.0.0.1",
                },
            }
            for name in services
        ],
        "EndpointSlice": [
            {
                "metadata": _meta(f"{name}-1", labels={_LABEL: name}),
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
                "ports": [{"name": "web", "port": where, "protocol": "TCP"}],
            }
            for name, where in services.items()
        ],
    }


@contextmanager
def api(found: dict[str, list[Any]]) -> Iterator[str]:
    """The URL of an API with these objects."""
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            kind, version = _KINDS.get(url.path, ("Unknown", "v1"))
            items = [{"kind": kind, "apiVersion": version, **one} for one in found.get(kind, ())]
            query = parse_qs(url.query)
            if "watch" not in query:
                meta = {"resourceVersion": "1"}
                self.answer(
                    {"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": items}
                )
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if query.get("sendInitialEvents") == ["true"]:
                end = {"k8s.io/initial-events-end": "true"}
                last = {"kind": kind, "apiVersion": version}
                last["metadata"] = {"resourceVersion": "1", "annotations": end}  # type: ignore[assignment]
                events = [{"type": "ADDED", "object": one} for one in items]
                for event in [*events, {"type": "BOOKMARK", "object": last}]:
                    data = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            is_over.wait()
            self.close_connection = True

        def do_PUT(self) -> None:
            """A status: it is taken, and forgotten."""
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            is_over.set()
            server.shutdown()
            thread.join()
