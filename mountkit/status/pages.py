"""The pages as HTML and as JSON: a frame with `page.css` and `page.js`, and what is in it.

All texts of a site pass `html.escape`. The style and the script are named in the policy (CSP) by
their hashes, so that nothing else can run, whatever an error or a name has in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mountkit.status.explaining import Asked, explain_form, explanation
from mountkit.status.rates import Rates
from mountkit.status.sections import filtered, live
from mountkit.status.snapshots import Snapshot


def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_NO_MOUNTS = '"mounts":[],'
_CSS, _JS = _asset("page.css"), _asset("page.js")
#: The policy of both pages.
CSP: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_hash(_JS)}",
        f"style-src {_hash(_CSS)}",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True)
class Page:
    """One answer. It is made in the form that is asked for, by a thread, as there may be very many
    mounts.

    Attributes:
        status: of the response.
        html, json: make it.
    """

    status: int
    html: Callable[[], str]
    json: Callable[[], str]


def status_page(snapshot: Snapshot, rates: Rates, asked: Asked) -> Page:
    """The site."""

    def html() -> str:
        shown = live(snapshot, rates, asked.filter)
        return _framed("Status", f'<div id="live">{shown}</div>{explain_form(asked)}')

    def text() -> str:
        mounts = []
        for mount in filtered(snapshot.mounts, asked.filter):
            rate = rates.get((mount.name, mount.label))
            mounts.append(_text({**mount.as_dict(), "rate": rate and rate._asdict()}))
        rest = _text(replace(snapshot, mounts=()).as_dict())
        return f'{rest[:-1].replace(_NO_MOUNTS, "", 1)},"mounts":[{",".join(mounts)}]}}'

    return Page(200, html, text)


def explanation_page(asked: Asked, found: dict[str, Any], status: int = 200) -> Page:
    """Who takes a URL, and why; `found` has an `error` if that cannot be told."""

    def html() -> str:
        return _framed("Explanation", f"{explain_form(asked)}{explanation(found)}")

    return Page(status, html, lambda: _text(found))


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _framed(title: str, content: str) -> str:
    is_live = 'id="live"' in content
    back = "" if is_live else '<p><a href="./">← Status of the site</a></p>'
    return _FRAME.format(title=title, css=_CSS, js=_JS, back=back, content=content)


_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{css}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{title}</h1>{back}
<p id="state" role="status"></p>
<button id="pause" type="button" hidden>Pause</button>
</header>
<main id="content" tabindex="-1">{content}</main>
<script>{js}</script>
</body>
</html>
"""
