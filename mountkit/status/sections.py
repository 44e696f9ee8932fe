"""The sections of the pages: summary, mounts, tenants, findings, explanations.

A table has the roles of a table written out, because on a phone its rows are laid out as cards,
which takes the roles away that its elements have by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, NamedTuple

from mountkit.middleware.meters import BOUNDS
from mountkit.status.rates import Rate, Rates
from mountkit.status.snapshots import MountStatus, Reload, Snapshot, TenantStatus, WorkerStatus

#: So many rows are shown of each table, and so many characters of an error.
MOST = 200
_MOST_TEXT = 300
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# A state is told by a word, a sign and a colour.
_SIGNS = {"serving": "✓", "failed": "✗", "starting": "…", "draining": "↓", "stopping": "↓"}
_SIGNS |= {"gone": "✗"}
_NOT_KNOWN = '<span class="muted"><span aria-hidden="true">–</span>'
_NOT_KNOWN += '<span class="hidden">not known yet</span></span>'


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


def live(snapshot: Snapshot, rates: Rates, asked: Asked) -> str:
    """All that changes."""
    parts = (
        _summary(snapshot, rates),
        _mounts(snapshot, rates, asked.filter),
        _tenants(snapshot.tenants, snapshot.taken),
        _findings(snapshot),
    )
    return "\n".join(filter(None, parts))


def filtered(mounts: Sequence[MountStatus], text: str) -> list[MountStatus]:
    """Those with this text in what is shown of them; what does not serve comes first."""
    wanted = text.casefold().split()
    found = [one for one in mounts if not wanted or _has(one, wanted)]
    return sorted(found, key=lambda one: one.status == "serving")


def _has(mount: MountStatus, wanted: list[str]) -> bool:
    texts = (mount.name, mount.label, mount.conditions, mount.app, mount.where, mount.status)
    text = "\n".join(texts).casefold()
    return all(one in text for one in wanted)


def _summary(snapshot: Snapshot, rates: Rates) -> str:
    problems = [*_problems(snapshot)]
    count = len(snapshot.mounts)
    verdict = " ".join(problems) or f"All {count:,} mounts are serving."
    if count == 1 and not problems:
        verdict = "The mount is serving."
    kind, sign = ("bad", "✗") if problems else ("good", "✓")
    in_flight = sum(mount.in_flight for mount in snapshot.mounts)
    known = [*rates.values()]
    rate = Rate(sum(one.requests for one in known), sum(one.failures for one in known))
    cards = [
        ("In flight", f"{in_flight:,}", "requests and websockets"),
        ("Per second", _rate(rate if known else None), _failing(rate)),
        *_configuration(snapshot),
        _workers(snapshot),
        ("Up", _ago(snapshot.started, snapshot.taken), _version(snapshot)),
    ]
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value} <small>{note}</small></dd></div>"
        for name, value, note in cards
    )
    return (
        '<section aria-labelledby="summary"><h2 id="summary" class="hidden">Summary</h2>'
        f'<p id="verdict" class="verdict {kind}" role="status">'
        f'<span aria-hidden="true">{sign}</span> {escape(verdict)}</p>'
        f'<dl class="cards">{shown}</dl></section>'
    )


def _problems(snapshot: Snapshot) -> Iterator[str]:
    """What is not as it should be, a sentence for each."""
    for status, verb in (("failed", "failed"), ("starting", "starting")):
        labels = [mount.label for mount in snapshot.mounts if mount.status == status]
        if labels:
            more = f" and {len(labels) - 3:,} more" if labels[3:] else ""
            what = f"has {verb}" if verb == "failed" else f"is {verb}"
            if labels[1:]:
                what = f"have {verb}" if verb == "failed" else f"are {verb}"
            yield f"{', '.join(labels[:3])}{more} {what}."
    if snapshot.reload is not None and not snapshot.reload.ok:
        yield "The last change of the configuration was refused."
    for worker in snapshot.workers:
        if worker.state == "gone":
            yield f"Process {worker.pid} has ended."
        elif worker.state == "serving" and _lags(worker, snapshot):
            yield f"Process {worker.pid} still serves generation {worker.generation}."


def _lags(worker: WorkerStatus, snapshot: Snapshot) -> bool:
    return worker.generation != snapshot.generation


def _configuration(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    reload = snapshot.reload
    if reload is None:
        return
    since = reload.at if reload.ok else reload.succeeded_at
    note = "" if since is None else f"in force for {_ago(since, snapshot.taken)}"
    yield "Generation", f"{snapshot.generation:,}", note + _refusal(reload, snapshot.taken)


def _refusal(reload: Reload, now: float) -> str:
    if reload.ok:
        return ""
    reason = escape(reload.error or "no reason was given")
    ago = f"Refused {_ago(reload.at, now)} ago:"
    return (
        f'<strong class="bad"><span aria-hidden="true">✗</span> {ago}</strong><code>{reason}</code>'
    )


def _workers(snapshot: Snapshot) -> tuple[str, str, str]:
    workers = snapshot.workers
    up = sum(one.state == "serving" for one in workers)
    states = (
        f"{one.pid} {_state(one.state)}"
        + (f" (generation {one.generation})" if _lags(one, snapshot) else "")
        for one in workers
    )
    note = ", ".join(states) if up < len(workers) or len(workers) <= 8 else ""
    return "Processes", f"{up} of {len(workers)}", note


def _version(snapshot: Snapshot) -> str:
    return f"mountkit {escape(snapshot.version)}" if snapshot.version else "mountkit"


def _mounts(snapshot: Snapshot, rates: Rates, text: str) -> str:
    found = filtered(snapshot.mounts, text)
    count = f"{len(snapshot.mounts):,} mount{'s' * (len(snapshot.mounts) != 1)}"
    told = f"{len(found):,} of {count}" if text else count
    if len(found) > MOST:
        told += f"; the first {MOST} are shown, filter to see others"
    columns = (
        *("Mount", "State", "In flight", "Per second", "Answers"),
        *("Latency", "Last error", "App"),
    )
    rows = [
        _row(
            f"{one.name}\n{one.label}\n{one.status == 'draining'}",
            columns,
            _cells(one, rates, snapshot.taken),
        )
        for one in found[:MOST]
    ]
    return (
        '<section aria-labelledby="mounts"><h2 id="mounts">Mounts</h2>'
        '<form method="get" role="search" class="line"><label for="q">Filter</label>'
        f'<input id="q" name="q" type="search" value="{escape(text)}" '
        'placeholder="path, host, app, state" autocomplete="off" spellcheck="false">'
        f'<button>Filter</button><span class="muted">{told}</span></form>'
        f"{_table('Mounts', columns, rows)}</section>"
    )


def _cells(mount: MountStatus, rates: Rates, now: float) -> Iterator[str]:
    rate = rates.get((mount.name, mount.label))
    yield (
        f"<code>{escape(mount.label)}</code>"
        + (f" <small>{escape(mount.conditions)}</small>" if mount.conditions else "")
        + (f" <small>{escape(mount.name)}</small>" if mount.name != mount.label else "")
    )
    yield f"{_state(mount.status)} <small>for {_ago(mount.since, now)}</small>"
    limit = "" if mount.limit is None else f" of {mount.limit:,}"
    waiting = f" <small>{mount.waiting:,} wait for a thread</small>" if mount.waiting else ""
    yield f"{mount.in_flight:,}{limit}{waiting}"
    yield _rate(rate) + (f" <small>{_failing(rate)}</small>" if rate and rate.failures else "")
    yield _answers(mount.answered)
    yield _latency(mount.latency)
    yield _error(mount, now)
    yield f"{escape(mount.app)} <small><code>{escape(mount.where)}</code></small>"


def _state(state: str) -> str:
    sign = _SIGNS.get(state, "?")
    return f'<span class="state {state}"><span aria-hidden="true">{sign}</span> {state}</span>'


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return _NOT_KNOWN
    return f"{rate.requests:,.0f}" if rate.requests >= 10 else f"{rate.requests:.1f}"


def _failing(rate: Rate) -> str:
    if not rate.failures:
        return "requests"
    return f'<span class="bad">{rate.failures:.1f} fail</span>'


def _answers(answered: dict[str, int]) -> str:
    names = {"1xx": "101", "client_gone": "client gone", "none": "no answer"}
    parts = (
        f'<span class="{"bad " * (name == "5xx")}part">{names.get(name, name)} {number:,}</span>'
        for name, number in answered.items()
    )
    return " ".join(parts) or '<span class="muted">none yet</span>'


def _latency(latency: dict[str, float] | None) -> str:
    if latency is None:
        return '<span class="muted">not measured</span>'
    return (
        f"{_seconds(latency['p50'])} <small>median</small> "
        f"{_seconds(latency['p99'])} <small>99 %</small>"
    )


def _seconds(seconds: float) -> str:
    if seconds >= BOUNDS[-1]:
        return f"over {BOUNDS[-1]} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _error(mount: MountStatus, now: float) -> str:
    restarts = f" <small>{mount.restarts:,} restarts</small>" if mount.restarts else ""
    if mount.error is None:
        return f'<span class="muted">none</span>{restarts}'
    ago = "" if mount.error_at is None else f" <small>{_ago(mount.error_at, now)} ago</small>"
    return f"{_short(mount.error)}{ago}{restarts}"


def _short(text: str) -> str:
    return escape(text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…")


def _tenants(tenants: Sequence[TenantStatus], now: float) -> str:
    if not tenants:
        return ""
    columns = ("Tenant", "State", "In flight", "Answers", "Last error", "Mount")
    rows = [
        _row(
            f"{one.mount}\n{one.tenant}",
            columns,
            (
                f"<code>{escape(one.tenant)}</code>",
                f"{_state(one.status)} <small>for {_ago(one.since, now)}</small>",
                f"{one.in_flight:,}",
                _answers(one.answered),
                '<span class="muted">none</span>' if one.error is None else _short(one.error),
                f"<code>{escape(one.mount)}</code>",
            ),
        )
        for one in tenants[:MOST]
    ]
    more = f"; the first {MOST} are shown" if tenants[MOST:] else ""
    return (
        '<section aria-labelledby="tenants"><h2 id="tenants">Tenants</h2>'
        f'<p class="muted">{len(tenants):,} with an app that runs{more}</p>'
        f"{_table('Tenants', columns, rows)}</section>"
    )


def _findings(snapshot: Snapshot) -> str:
    findings = snapshot.findings
    if findings is None:
        text = '<p class="muted">Not checked yet; write mountkit check for very many mounts.</p>'
    elif findings:
        items = (
            f"<li><strong>{escape(one.code)}</strong>: {escape(one.message)}</li>"
            for one in findings[:MOST]
        )
        more = f"<p>and {len(findings) - MOST:,} more</p>" if findings[MOST:] else ""
        text = f"<ul>{''.join(items)}</ul>{more}"
    else:
        text = '<p><span aria-hidden="true">✓</span> The check finds nothing.</p>'
    return (
        '<section aria-labelledby="findings"><h2 id="findings">What the check finds</h2>'
        f"{text}</section>"
    )


def explain_form(asked: Asked, is_open: str) -> str:
    """The box to ask who takes a URL."""
    methods = dict.fromkeys((*_METHODS, asked.method))
    options = "".join(
        f"<option{' selected' * (one == asked.method)}>{escape(one)}</option>" for one in methods
    )
    has_more = asked.headers or asked.method != "GET"
    return (
        '<section aria-labelledby="explain">'
        '<h2 id="explain">Who takes this URL, and why?</h2>'
        '<form method="get" action="explain" class="line"><label for="url">URL</label>'
        f'<input id="url" name="url" required value="{escape(asked.url)}" '
        'placeholder="/path or https://host/path" autocomplete="off" spellcheck="false" '
        'autocapitalize="off"><button>Explain</button>'
        f"<details{' open' * bool(has_more)}><summary>Method and headers</summary>"
        f'<p><label for="method">Method</label> <select id="method" name="method">{options}'
        '</select></p><p><label for="headers">Headers, one a line</label>'
        '<textarea id="headers" name="headers" rows="3" spellcheck="false">'
        f"{escape(asked.headers)}</textarea></p></details></form></section>"
    )


def explanation(found: dict[str, Any]) -> str:
    """Who takes it, and why no other."""
    if "error" in found:
        return f'<p class="verdict bad" role="alert">{escape(found["error"])}</p>'
    child = found["child"] or {}
    if found["takes"] is not None:
        verdict = f"is taken by <code>{escape(found['takes'])}</code>"
    elif child:
        verdict = "is taken by no mount, and goes to the app underneath"
    else:
        verdict = "is taken by no mount"
    facts = {
        "App": escape(child.get("app", "")),
        "Defined at": f"<code>{escape(found['where'])}</code>" * bool(found["where"]),
        "It sees the path": f"<code>{escape(child.get('path', ''))}</code>" * bool(child),
        "Below": f"<code>{escape(child.get('root_path', ''))}</code>"
        * bool(child.get("root_path")),
        "Placeholders": escape(
            ", ".join(f"{name}={value!r}" for name, value in child.get("path_params", {}).items())
        ),
        "Redirected to": escape(found["location"] or ""),
        "Answer": escape(found["answer"]),
    }
    listed = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items() if v)
    columns = ("Outcome", "Mount or route", "Reason", "Defined at")
    rows = [
        _row(
            "",
            columns,
            (
                escape(one["outcome"]),
                f"<code>{escape(one['route'])}</code>",
                escape(one["reason"]),
                f"<code>{escape(one['where'])}</code>",
            ),
        )
        for one in found["candidates"]
    ]
    more = f"<p>and {found['more']:,} more</p>" if found["more"] else ""
    table = _table("All that were considered", columns, rows) if rows else ""
    below = found["below"]
    request = f"<code>{escape(found['request'])}</code>" if found["request"] else "There it"
    return (
        f'<section><p class="verdict">{request} {verdict}.</p>'
        f'<dl class="facts">{listed}</dl>{table}{more}</section>'
        + ("" if below is None else f"<h2>Below it</h2>{explanation(below)}")
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    heads = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in columns)
    return (
        f'<table role="table"><caption class="hidden">{caption}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def _row(key: str, columns: Sequence[str], cells: Iterable[str]) -> str:
    """A row; its first cell is its head."""
    first, *others = (
        f'data-label="{name}">{cell}' for name, cell in zip(columns, cells, strict=True)
    )
    rest = "".join(f'<td role="cell" {one}</td>' for one in others)
    attribute = f' data-key="{escape(key)}"' if key else ""
    return f'<tr role="row"{attribute}><th scope="row" role="rowheader" {first}</th>{rest}</tr>'


def _ago(at: float, now: float) -> str:
    """How long ago that was, with the time itself for those who want it."""
    seconds = max(now - at, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            text = f"{seconds / size:.0f} {unit}"
            break
    else:
        text = f"{seconds:.0f} s"
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{moment}" title="{moment}">{text}</time>'
