"""The box to ask who takes a URL, and the answer."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from mountkit.status.markup import row, table

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_OUTCOMES = {
    "chosen": '<span class="state chosen"><span aria-hidden="true">✓</span> chosen</span>',
    "outranked": "outranked",
    "refused": "refused",
}
_COLUMNS = ("Outcome", "Mount or route", "Reason", "Defined at")


class Asked(NamedTuple):
    """What the reader has filled in.

    Attributes:
        filter: a text that the mounts have which are shown.
        url, method, headers: of the request to explain; headers one a line.
    """

    filter: str = ""
    url: str = ""
    method: str = "GET"
    headers: str = ""


def explain_form(asked: Asked) -> str:
    """The box."""
    methods = dict.fromkeys((*_METHODS, asked.method))
    options = "".join(
        f"<option{' selected' * (one == asked.method)}>{escape(one)}</option>" for one in methods
    )
    is_open = bool(asked.headers) or asked.method != "GET"
    return (
        '<section aria-labelledby="explain">'
        '<h2 id="explain">Who takes this URL, and why?</h2>'
        '<form method="get" action="explain" class="line"><label for="url">URL</label>'
        f'<input id="url" name="url" required value="{escape(asked.url)}" '
        'placeholder="/path or https://host/path" autocomplete="off" spellcheck="false" '
        'autocapitalize="off"><button>Explain</button>'
        f"<details{' open' * is_open}><summary>Method and headers</summary>"
        f'<p><label for="method">Method</label> <select id="method" name="method">{options}'
        '</select></p><p><label for="headers">Headers, one a line</label>'
        '<textarea id="headers" name="headers" rows="3" spellcheck="false">'
        f"\n{escape(asked.headers)}</textarea></p></details></form></section>"
    )


def explanation(found: dict[str, Any]) -> str:
    """Who takes it, and why no other."""
    if "error" in found:
        return f'<p class="verdict bad" role="alert">{escape(found["error"])}</p>'
    verdict = "is taken by no mount"
    if found["takes"] is not None:
        verdict = f"is taken by <code>{escape(found['takes'])}</code>"
    elif found["child"] is not None:
        verdict = "is taken by no mount, and goes to the app underneath"
    facts = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in _facts(found))
    rows = [
        row(
            "",
            _COLUMNS,
            (
                _OUTCOMES[one["outcome"]],
                f"<code>{escape(one['route'])}</code>",
                escape(one["reason"]),
                f"<code>{escape(one['where'])}</code>",
            ),
        )
        for one in found["candidates"]
    ]
    more = f"<p>and {found['more']:,} more</p>" if found["more"] else ""
    considered = table("explained", "All that were considered", _COLUMNS, rows) if rows else ""
    request = f"<code>{escape(found['request'])}</code>" if found["request"] else "There it"
    below = "" if found["below"] is None else f"<h2>Below it</h2>{explanation(found['below'])}"
    return (
        f'<section><p class="verdict">{request} {verdict}.</p>'
        f'<dl class="facts">{facts}</dl>{considered}{more}</section>{below}'
    )


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    child = found["child"]
    if child is not None:
        yield "App", escape(child["app"])
    if found["where"]:
        yield "Defined at", f"<code>{escape(found['where'])}</code>"
    if child is not None:
        yield "The app sees the path", f"<code>{escape(child['path'])}</code>"
        yield "and the root path", f"<code>{escape(child['root_path']) or '(empty)'}</code>"
        for name, value in child["path_params"].items():
            yield f"Placeholder {escape(name)}", f"<code>{escape(value)}</code>"
    if found["location"] is not None:
        yield "Redirected to", f"<code>{escape(found['location'])}</code>"
    if found["answer"]:
        yield "Answer", escape(found["answer"])
