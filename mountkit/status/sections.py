"""What changes on the page: the summary, the mounts, the tenants, the findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mountkit.middleware.meters import BOUNDS
from mountkit.status.markup import ago, answers, muted, row, short, state, table
from mountkit.status.rates import Rate, Rates
from mountkit.status.snapshots import MountStatus, Reload, Snapshot, TenantStatus, WorkerStatus

#: So many rows are shown of each table.
MOST = 200
_NOT_KNOWN = '<span class="muted"><span aria-hidden="true">–</span>'
_NOT_KNOWN += '<span class="hidden">not known yet</span></span>'
_COLUMNS = ("Mount", "State", "In flight", "Per second", "Answers", "Latency", "Last error", "App")
_OF_TENANTS = ("Tenant", "State", "In flight", "Answers", "Last error", "Mount")


def live(snapshot: Snapshot, rates: Rates, text: str = "") -> str:
    """All of it.

    Args:
        text: what the mounts have that are shown.
    """
    parts = (
        _summary(snapshot, rates),
        _mounts(snapshot, rates, text),
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
        ("Up", ago(snapshot.started, snapshot.taken), _version(snapshot)),
    ]
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value} <small>{note}</small></dd></div>"
        for name, value, note in cards
    )
    return (
        '<section aria-labelledby="summary"><h2 id="summary" class="hidden">Summary</h2>'
        f'<p id="verdict" class="verdict {kind}" role="status">'
        f'<span aria-hidden="true">{sign}</span> {escape(verdict)}</p>'
        f"{_refusal(snapshot.reload, snapshot.taken)}"
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
        elif worker.state == "silent":
            yield f"Process {worker.pid} does not answer."
        elif worker.state == "serving" and _lags(worker, snapshot):
            yield f"Process {worker.pid} still serves generation {worker.generation}."


def _lags(worker: WorkerStatus, snapshot: Snapshot) -> bool:
    return worker.generation != snapshot.generation


def _configuration(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    reload = snapshot.reload
    if reload is not None:
        since = reload.at if reload.ok else reload.succeeded_at
        note = "" if since is None else f"in force for {ago(since, snapshot.taken)}"
        yield "Generation", f"{snapshot.generation:,}", note


def _refusal(reload: Reload | None, now: float) -> str:
    """Why the last change of the configuration is not in force."""
    if reload is None or reload.ok:
        return ""
    reason = escape(reload.error or "no reason was given")
    return (
        f'<p class="refusal"><strong class="bad">Refused {ago(reload.at, now)} ago:</strong> '
        f"<code>{reason}</code></p>"
    )


def _workers(snapshot: Snapshot) -> tuple[str, str, str]:
    workers = snapshot.workers
    up = sum(one.state == "serving" for one in workers)
    states = (
        f"{one.pid} {state(one.state)}"
        + (f" <em>at generation {one.generation}</em>" if _lags(one, snapshot) else "")
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
    rows = [
        row(
            f"{one.name}\n{one.label}\n{one.status == 'draining'}",
            _COLUMNS,
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
        f"{table('mounts', 'Mounts', _COLUMNS, rows)}</section>"
    )


def _cells(mount: MountStatus, rates: Rates, now: float) -> Iterator[str]:
    rate = rates.get((mount.name, mount.label))
    yield (
        f"<code>{escape(mount.label)}</code>"
        + (f" <small>{escape(mount.conditions)}</small>" if mount.conditions else "")
        + ("" if _is_told(mount) else f" <small>{escape(mount.name)}</small>")
    )
    yield f"{state(mount.status)} <small>for {ago(mount.since, now)}</small>"
    limit = "" if mount.limit is None else f" of {mount.limit:,}"
    waiting = f" <small>{mount.waiting:,} wait for a thread</small>" if mount.waiting else ""
    yield f"{mount.in_flight:,}{limit}{waiting}"
    yield _rate(rate) + (f" <small>{_failing(rate)}</small>" if rate and rate.failures else "")
    yield answers(mount.answered)
    yield _latency(mount)
    yield _error(mount, now)
    yield f"{escape(mount.app)} <small><code>{escape(mount.where)}</code></small>"


def _is_told(mount: MountStatus) -> bool:
    """Whether the name of a mount says no more than its label."""
    return mount.name in (mount.label, mount.label.strip("/").replace("/", ":"))


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return _NOT_KNOWN
    is_round = rate.requests >= 10 or not rate.requests
    return f"{rate.requests:,.0f}" if is_round else f"{rate.requests:.1f}"


def _failing(rate: Rate) -> str:
    if not rate.failures:
        return "requests"
    return f'<span class="bad">{rate.failures:.1f} fail</span>'


def _latency(mount: MountStatus) -> str:
    latency = mount.latency
    if latency is None:
        return muted("not measured" if mount.meter is None else "none yet")
    return (
        f'<span class="part">{_seconds(latency["p50"])} <small>median</small></span> '
        f'<span class="part">{_seconds(latency["p99"])} <small>p99</small></span>'
    )


def _seconds(seconds: float) -> str:
    if seconds >= BOUNDS[-1]:
        return f"over {BOUNDS[-1]} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _error(mount: MountStatus, now: float) -> str:
    notes = [] if mount.error_at is None else [f"{ago(mount.error_at, now)} ago"]
    if mount.restarts:
        notes.append(f"started again {mount.restarts:,} time{'s' * (mount.restarts > 1)}")
    told = muted("none") if mount.error is None else short(mount.error)
    return told + (f" <small>{', '.join(notes)}</small>" if notes else "")


def _tenants(tenants: Sequence[TenantStatus], now: float) -> str:
    if not tenants:
        return ""
    rows = [
        row(
            f"{one.mount}\n{one.tenant}",
            _OF_TENANTS,
            (
                f"<code>{escape(one.tenant)}</code>",
                f"{state(one.status)} <small>for {ago(one.since, now)}</small>",
                f"{one.in_flight:,}",
                answers(one.answered),
                muted("none") if one.error is None else short(one.error),
                f"<code>{escape(one.mount)}</code>",
            ),
        )
        for one in sorted(tenants, key=lambda one: (one.mount, one.tenant))[:MOST]
    ]
    more = f"; the first {MOST} are shown" if tenants[MOST:] else ""
    return (
        '<section aria-labelledby="tenants"><h2 id="tenants">Tenants</h2>'
        f'<p class="muted">{len(tenants):,} with an app that runs{more}</p>'
        f"{table('tenants', 'Tenants', _OF_TENANTS, rows)}</section>"
    )


def _findings(snapshot: Snapshot) -> str:
    findings = snapshot.findings
    if findings is None:
        text = (
            '<p class="muted">Not checked yet. For more than 1,000 mounts, run mountkit check.</p>'
        )
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
