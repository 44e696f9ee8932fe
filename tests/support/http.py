"""httpx for the servers of the tests. It reads no certificates: that takes longer than most of their
requests do."""

from __future__ import annotations

import ssl
from functools import partial

import httpx

#: Trusts nobody, as no server here has a certificate.
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get = partial(httpx.get, verify=CONTEXT)
post = partial(httpx.post, verify=CONTEXT)
request = partial(httpx.request, verify=CONTEXT)
stream = partial(httpx.stream, verify=CONTEXT)
Client = partial(httpx.Client, verify=CONTEXT)
AsyncClient = partial(httpx.AsyncClient, verify=CONTEXT)
