"""`Status`: who may ask, and what is answered."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from mountkit import Dispatcher, LimitMiddleware, Mount, PatternError, Status
from mountkit.middleware.meters import Meter, MeterMiddleware
from mountkit.status import rates as rates_module
from mountkit.status.rates import Rate, View, rates_of
from mountkit.status.snapshots import (
    FindingStatus,
    MountStatus,
    Reload,
    Snapshot,
    TenantStatus,
    WorkerStatus,
)
from mountkit.status.sources import LocalSource
from tests.support.actors import raising
from tests.support.clients import ClientFactory
from tests.support.requests import asked
from tests.support.scopes import scope_of

APP = PlainTextResponse("x")
SECRET = "correct-horse-battery"
SCRIPT = "<script>alert(1)</script>"
JSON = {"accept": "application/json"}


class Fixed:
    """A source of one snapshot, which may be changed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot
        self.taken = 0

    async def snapshot(self) -> Snapshot:
        self.taken += 1
        return self.current

    async def explain(self, method: str, url: str, headers: Any = ()) -> dict[str, Any]:
        return await LocalSource(Dispatcher()).explain(method, url, headers)


def mount(name: str = "shop", **values: Any) -> MountStatus:
    given: dict[str, Any] = {"label": f"/{name}", "conditions": "", "app": "App", "where": "a.py:1"}
    return MountStatus(name, **{"status": "serving", "since": 1000.0, **given, **values})


def of(*mounts: MountStatus, **values: Any) -> Snapshot:
    given = {"version": "1.2", "started": 1000.0, "taken": 1000.0 + 7200, **values}
    return Snapshot(mounts=mounts, **given)


def text_of(html: str) -> str:
    """What is read of a page, with single spaces."""
    found: list[str] = []

    class Reader(HTMLParser):
        hidden = 0

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.hidden += tag in ("script", "style")

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag in ("script", "style")

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                found.append(data)

    Reader().feed(html)
    return " ".join(" ".join(found).split())


def page_of(*mounts: MountStatus, query: str = "", **values: Any) -> str:
    """The text of the page of a snapshot."""
    return text_of(TestClient(Status(Fixed(of(*mounts, **values)))).get("/" + query).text)


def site(**options: Any) -> Dispatcher:
    layers = [Middleware(MeterMiddleware), Middleware(LimitMiddleware, max_concurrency=5)]
    return Dispatcher(
        [
            Mount("/shop", Starlette(), name="shop", middleware=layers),
            Mount("/gate", APP, headers={"x-key": SECRET}),
            Mount("/_status", Status(**options)),
        ]
    )


def test_the_page_of_the_site_that_it_is_mounted_in(client: ClientFactory) -> None:
    """Has every mount, and is whole without JavaScript."""
    with client(site()) as session:
        session.get("/shop/none?token=abc")
        response = session.get("/_status/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = text_of(response.text)
    assert "All 3 mounts are serving." in text
    assert "/shop" in text
    assert "0 of 5" in text
    assert "4xx 1" in text
    assert "median" in text
    assert "/gate header x-key is '…'" in text
    assert "not measured" in text
    assert SECRET not in response.text
    assert "token" not in response.text


@pytest.mark.parametrize(
    ("meter", "says"), [(None, "not measured"), (Meter().snapshot(), "none yet")]
)
def test_a_latency_that_is_not_known(meter: dict[str, Any] | None, says: str) -> None:
    """It is not measured, or there was no request yet."""
    assert says in text_of(page_of(mount(meter=meter, answered={"2xx": 1}, error="x")))


def test_the_same_as_json(client: ClientFactory) -> None:
    """By `Accept`; HTML where both are as good."""
    with client(site()) as session:
        session.get("/shop/none")
        response = session.get("/_status/", headers=JSON)
        assert response.headers["content-type"] == "application/json"
        found = response.json()
        assert [one["name"] for one in found["mounts"]] == ["shop", "/gate", "/_status"]
        assert found["mounts"][0]["answered"] == {"4xx": 1}
        assert found["mounts"][0]["rate"] is None
        assert Snapshot.from_dict(found).mounts[0].limit == 5
        assert SECRET not in response.text
        for accept in ("*/*", "text/html,application/json", "", "text/html;q=0.5,*/*"):
            response = session.get("/_status/", headers={"accept": accept})
            assert response.headers["content-type"].startswith("text/html")
            assert response.headers["vary"] == "accept"


PATHS = [
    ("/", 200),
    ("/?" + "a=1&" * 50, 200),
    ("/?q=%ff%00", 200),
    ("/explain?url=/", 200),
    ("/x", 404),
    ("/explain/x", 404),
    ("/events/x", 404),
]


@pytest.mark.parametrize(("path", "status"), PATHS)
def test_paths_and_methods(path: str, status: int, client: ClientFactory) -> None:
    """HEAD is GET without the body; what could change something is 405."""
    session = client(Status(Fixed(of(mount()))))
    response = session.get(path)
    assert response.status_code == status
    head = session.head(path)
    assert (head.status_code, head.content) == (status, b"")
    assert head.headers["content-length"] == str(len(response.content))
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = session.request(method, path)
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, HEAD"


def test_the_head_of_the_stream(client: ClientFactory) -> None:
    """Is none: there is nothing whose length could be told."""
    assert client(Status(Fixed(of(mount())))).head("/events").status_code == 404


def test_headers_that_protect_the_reader(client: ClientFactory) -> None:
    """Nothing of another origin, in no frame, in no cache; scripts and styles only its own."""
    response = client(Status(Fixed(of(mount())))).get("/")
    headers = response.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "http" not in response.text.replace("https://host/path", "")


FOREIGN: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"sec-fetch-site": "none"}, 200),
    ({"origin": "http://testserver"}, 200),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
    (
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "iframe",
        },
        403,
    ),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "http://testserver:81"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://[::1"}, 403),
    ({"origin": "HTTP://TestServer"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), FOREIGN, ids=[str(one) for one, _ in FOREIGN])
@pytest.mark.parametrize("path", ["/", "/explain?url=/"])
def test_pages_of_other_sites(path: str, headers: Any, status: int, client: ClientFactory) -> None:
    """Get nothing; a link from there may be followed."""
    response = client(Status(Fixed(of(mount())))).get(path, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://evil.example"), ("origin", "http://testserver")],
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none")],
    ],
    ids=["origin", "site"],
)
def test_a_header_that_comes_twice(headers: Any, client: ClientFactory) -> None:
    """The last one alone does not decide."""
    response = client(Status(Fixed(of(mount())))).get("/", headers=headers)
    assert response.status_code == 403


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_an_error_with_what_is_no_character(accept: str, client: ClientFactory) -> None:
    """As names of files have it that are not UTF-8: it is told as Python writes it."""
    page = Status(Fixed(of(mount(error="a\udcff.txt"))))
    assert "a\\udcff.txt" in client(page).get("/", headers={"accept": accept}).text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9000", 200),
        ("127.0.0.1", 421),
        ("localhost:9000", 200),
        ("LOCALHOST", 200),
        ("evil.example:9000", 421),
        ("evil.example", 421),
        ("not valid", 421),
    ],
)
def test_hosts(host: str, status: int, client: ClientFactory) -> None:
    """A name that was made to point here gets nothing (DNS rebinding)."""
    app = Status(Fixed(of(mount())), hosts=["127.0.0.1:9000", "localhost"])
    assert client(app).get("/", headers={"host": host}).status_code == status


def test_a_host_that_can_never_match() -> None:
    """Is refused when the page is made."""
    with pytest.raises(PatternError, match="contains a scheme"):
        Status(hosts=["http://localhost"])


@pytest.mark.anyio
async def test_other_scopes() -> None:
    """A websocket is refused; a lifespan passes."""
    sent, _ = await asked(Status(), scope_of("/", type="websocket"))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert await asked(Status(), {"type": "lifespan"}) == ([], None)


def test_all_texts_are_escaped(client: ClientFactory) -> None:
    """Names, labels, errors, findings, tenants, what was asked."""
    evil = mount(
        SCRIPT,
        label=SCRIPT,
        conditions=SCRIPT,
        app=SCRIPT,
        where=SCRIPT,
        error=SCRIPT,
        error_at=1000.0,
        status="failed",
        answered={SCRIPT: 1},
    )
    snapshot = of(
        evil,
        version=SCRIPT,
        tenants=(TenantStatus(SCRIPT, SCRIPT, "serving", 1000.0, error=SCRIPT),),
        findings=(FindingStatus(SCRIPT, SCRIPT),),
        reload=Reload(False, 1000.0, SCRIPT),
    )
    session = client(Status(Fixed(snapshot)))
    quoted = "%22%3E" + SCRIPT
    for path in (f"/?q={SCRIPT}", f"/?q={quoted}", "/", f"/explain?url={quoted}&method={SCRIPT}"):
        page = session.get(path).text
        assert SCRIPT not in page
        assert page.count("<script>") == 1
    found = session.get(f"/explain?url=/{SCRIPT}&headers=x:{SCRIPT}").text
    assert SCRIPT not in found


def test_an_explanation(client: ClientFactory) -> None:
    """Who takes a URL, and why; the same as JSON."""
    with client(site()) as session:
        response = session.get("/_status/explain?url=/shop/item%3Fa%3D1")
        assert "is taken by /shop" in text_of(response.text)
        assert "refused" in text_of(response.text)
        assert SECRET not in response.text
        asked = {"url": "/gate", "method": "post", "headers": f"X-Key: {SECRET}\r\n\r\n"}
        found = session.get("/_status/explain", params=asked, headers=JSON).json()
        assert found["request"] == "POST /gate"
        assert found["takes"] == "/gate, header x-key is '…'"
        page = text_of(session.get("/_status/explain", params=asked).text)
        assert "App PlainTextResponse" in page


def test_more_of_an_explanation(client: ClientFactory) -> None:
    """The placeholders, the redirect, the app underneath, what is below, what is not shown."""
    inner = Dispatcher([Mount("/{id:int}", Starlette())])
    many = [Mount(f"/m{number}", APP) for number in range(210)]
    app = Dispatcher(
        [
            Mount("/t/{tenant}", inner),
            Mount("/r", APP, redirect_slashes=True),
            Mount("/_status", Status()),
            *many,
        ],
        default=Starlette(),
    )
    session = client(app)

    def told(url: str) -> str:
        return text_of(session.get("/_status/explain", params={"url": url}).text)

    assert "Placeholder tenant acme" in told("/t/acme/5")
    assert "Below it There it is taken by /{id:int}" in told("/t/acme/5")
    assert "Redirected to ./r/" in told("/r")
    assert "is taken by no mount, and goes to the app underneath" in told("/nowhere")
    assert "and 13 more" in told("/nowhere")
    assert "and the root path (empty)" in told("/nowhere")


BAD = [
    ({"url": "nonsense"}, "is neither absolute nor a path"),
    ({}, "is neither absolute nor a path"),
    ({"url": "/", "headers": "no colon"}, "write 'name: value', in ASCII"),
    ({"url": "/", "headers": "x: ü"}, "write 'name: value', in ASCII"),
    ({"url": "http://[::1"}, "is not valid"),
]


@pytest.mark.parametrize(("given", "reason"), BAD)
def test_a_question_without_an_answer(given: Any, reason: str, client: ClientFactory) -> None:
    """Is 400, with the reason."""
    session = client(Status(LocalSource(Dispatcher())))
    response = session.get("/explain", params=given)
    assert response.status_code == 400
    assert reason in text_of(response.text)
    assert reason in session.get("/explain", params=given, headers=JSON).json()["error"]


def test_no_mount_takes_it(client: ClientFactory) -> None:
    """And there is nothing else."""
    source = LocalSource(Dispatcher([Mount("/a", APP)]))
    response = client(Status(source)).get("/explain?url=/x")
    assert "GET /x is taken by no mount." in text_of(response.text)
    assert "Answer 404" in text_of(response.text)


def test_a_filter(client: ClientFactory) -> None:
    """Of name, path, conditions, app, file and state; all words of it."""
    snapshot = of(mount(), mount("api", app="FastAPI"), mount("old", status="failed"))
    session = client(Status(Fixed(snapshot)))
    for text, names in (
        ("", ["old", "shop", "api"]),
        ("fastapi", ["api"]),
        ("FAILED", ["old"]),
        ("a.py sho", ["shop"]),
        ("nothing", []),
    ):
        found = session.get("/", params={"q": text}, headers=JSON).json()
        assert [one["name"] for one in found["mounts"]] == names
    assert "1 of 3 mounts" in text_of(session.get("/?q=fastapi").text)


def test_very_many_mounts() -> None:
    """The first 200 are shown, and it is said how many there are."""
    mounts = [mount(f"m{number}") for number in range(1234)]
    text = page_of(*mounts, mount("bad", status="failed"))
    assert "1,235 mounts; the first 200 are shown, filter to see others" in text
    assert text.index("/bad") < text.index("/m0 ")
    assert "/m200 " not in text


VERDICTS: list[tuple[list[MountStatus], dict[str, Any], str]] = [
    ([mount()], {}, "✓ The mount is serving."),
    ([mount(), mount("b")], {}, "✓ All 2 mounts are serving."),
    ([], {}, "✓ All 0 mounts are serving."),
    ([mount(status="failed")], {}, "✗ /shop has failed."),
    (
        [mount(f"m{number}", status="failed") for number in range(5)],
        {},
        "✗ /m0, /m1, /m2 and 2 more have failed.",
    ),
    ([mount(status="starting")], {}, "✗ /shop is starting."),
    ([mount(status="starting"), mount("b", status="starting")], {}, "✗ /shop, /b are starting."),
    (
        [mount()],
        {"reload": Reload(False, 8140.0, "m.toml:3: no", succeeded_at=1000.0), "generation": 4},
        "✗ The last change of the configuration was refused. "
        "Refused 1 min ago: m.toml:3: no In flight",
    ),
    (
        [mount()],
        {"reload": Reload(False, 8140.0)},
        "was refused. Refused 1 min ago: no reason was given",
    ),
    (
        [mount()],
        {"workers": (WorkerStatus(7, 3, 1.0), WorkerStatus(8, 4, 1.0)), "generation": 4},
        "✗ Process 7 still serves generation 3.",
    ),
    ([mount()], {"workers": (WorkerStatus(7, 0, 1.0, "gone"),)}, "✗ Process 7 has ended."),
    ([mount()], {"workers": (WorkerStatus(7, 0, 1.0, "stopping"),)}, "✓ The mount is serving."),
]


@pytest.mark.parametrize(("mounts", "values", "verdict"), VERDICTS, ids=[v for *_, v in VERDICTS])
def test_the_verdict(mounts: list[MountStatus], values: Any, verdict: str) -> None:
    """What is not as it should be, in a sentence each."""
    assert verdict in page_of(*mounts, **values)


def test_the_summary() -> None:
    """What is first looked for."""
    reload = Reload(True, 1000.0, succeeded=4, succeeded_at=1000.0)
    workers = (WorkerStatus(7, 4, 1000.0), WorkerStatus(8, 4, 1000.0, "starting"))
    text = page_of(mount(in_flight=1234), reload=reload, generation=4, workers=workers)
    assert "In flight 1,234" in text
    assert "Generation 4 in force for 2 h" in text
    assert "Processes 1 of 2 7 ✓ serving , 8 … starting" in text
    assert "Up 2 h mountkit 1.2" in text
    many = tuple(WorkerStatus(number, 0, 1000.0) for number in range(9))
    assert "Processes 9 of 9 Up" in page_of(mount(), workers=many)
    assert "mountkit Mounts" in page_of(version="")
    never = Reload(False, 1000.0, "no")
    assert "Generation 0 Processes" in page_of(reload=never)


SHOWN: list[tuple[dict[str, Any], str]] = [
    ({"since": 8195.0}, "serving for 5 s"),
    ({"since": 9000.0}, "serving for 0 s"),
    ({"since": 8200.0 - 3 * 86400}, "serving for 3 d"),
    ({"in_flight": 2, "limit": 1000}, "2 of 1,000"),
    ({"waiting": 3, "threads": 4}, "3 wait for a thread"),
    (
        {"answered": {"2xx": 1234, "client_gone": 1, "none": 2, "1xx": 3}},
        "2xx 1,234 client gone 1 no answer 2 101 3",
    ),
    ({"latency": {"p50": 0.0124, "p99": 1.26}}, "12 ms median 1.3 s p99"),
    ({"latency": {"p50": 1.0, "p99": 10.0}}, "1.0 s median over 10 s p99"),
    ({"error": "x" * 400}, "x" * 300 + "…"),
    ({"error": "oh", "error_at": 8190.0}, "oh 10 s ago"),
    ({"error": None, "restarts": 1}, "none started again 1 time"),
    ({"error": "oh", "error_at": 8190.0, "restarts": 3}, "oh 10 s ago, started again 3 times"),
    ({"conditions": "GET"}, "/shop GET"),
    ({"status": "draining"}, "↓ draining"),
]


@pytest.mark.parametrize(("values", "text"), SHOWN, ids=[text[:30] for _, text in SHOWN])
def test_what_is_shown_of_a_mount(values: Any, text: str) -> None:
    """In words and numbers."""
    assert text in page_of(mount(**values)).replace("\xa0", " ")


def test_names_that_say_more_than_the_path() -> None:
    """Are shown, others not."""
    assert "/shop Shop of the town" in page_of(mount("Shop of the town", label="/shop"))
    assert page_of(mount("a:b", label="/a/b")).count("a:b") == 0


def test_tenants_and_findings() -> None:
    """Have sections of their own; a long list is cut."""
    tenants = tuple(TenantStatus("m", f"t{number:03}", "serving", 1000.0) for number in range(250))
    findings = tuple(FindingStatus("overlap", f"number {number}") for number in range(205))
    text = page_of(mount(), tenants=tenants, findings=findings)
    assert "250 with an app that runs; the first 200 are shown" in text
    assert "t199" in text
    assert "t200" not in text
    assert "overlap : number 3" in text
    assert "and 5 more" in text
    few = page_of(tenants=(replace(tenants[0], error="oh"),), findings=findings[:1])
    assert "1 with an app that runs Tenant" in few
    assert "oh" in few
    assert "more" not in few
    assert "The check finds nothing." in page_of(findings=())
    assert "Not checked yet" in page_of(findings=None)
    assert "Tenants" not in page_of()


def rate_of(before: dict[str, int], after: dict[str, int], seconds: float) -> Any:
    old = of(mount(answered=before), taken=1000.0)
    return rates_of(old, of(mount(answered=after), mount("new"), taken=1000.0 + seconds))


def test_requests_per_second() -> None:
    """Those that ended between two looks; of both looks, and of neither just now nor long ago."""
    key = ("shop", "/shop")
    assert rate_of({"2xx": 1}, {"2xx": 21, "5xx": 4}, 4.0) == {key: Rate(6.0, 1.0)}
    assert rate_of({"2xx": 9, "5xx": 2}, {"2xx": 1}, 4.0) == {key: Rate(0.0, 0.0)}
    assert rate_of({}, {"2xx": 1}, 0.1) == {}
    assert rate_of({}, {"2xx": 1}, 1000.0) == {}


def test_requests_per_second_of_two_mounts_of_one_name() -> None:
    """As while one takes the other's place: what both have answered counts."""
    old, new = mount(answered={"2xx": 10}), mount(answered={"2xx": 4})
    before = of(old, taken=1000.0)
    leaving = replace(old, status="draining", answered={"2xx": 12})
    after = of(new, leaving, taken=1002.0)
    assert rates_of(before, after) == {("shop", "/shop"): Rate(3.0, 0.0)}


@pytest.mark.anyio
async def test_all_who_look_see_one_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that many readers cost no more than one."""
    now = [100.0]
    monkeypatch.setattr(rates_module, "monotonic", lambda: now[0])
    source = Fixed(of(mount()))
    view = View(source)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(view.look)
    assert source.taken == 1
    now[0] += 1.0
    source.current = of(mount(answered={"2xx": 20}), taken=1000.0 + 7202)
    _, rates = await view.look()
    assert rates == {("shop", "/shop"): Rate(10.0, 0.0)}
    assert source.taken == 2


@pytest.mark.anyio
async def test_large_sites_are_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it costs is a small part of the time."""
    now = [100.0]
    monkeypatch.setattr(rates_module, "monotonic", lambda: now[0])

    class Slow(Fixed):
        seconds = 0.25

        async def snapshot(self) -> Snapshot:
            now[0] += self.seconds
            return await super().snapshot()

    source = Slow(of(mount()))
    view = View(source)
    await view.look()
    assert view.pause == 5.0
    source.seconds = 3.0
    now[0] += 6.0
    await view.look()
    assert view.pause == 10.0


def test_rates_are_shown(client: ClientFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each mount, and of all; the second look knows them."""
    now = [100.0]
    monkeypatch.setattr(rates_module, "monotonic", lambda: now[0])
    source = Fixed(of(mount()))
    with client(Dispatcher(default=Status(source))) as session:
        assert "Per second – not known yet" in text_of(session.get("/").text)
        now[0] += 2
        answered = {"2xx": 30, "5xx": 3}
        source.current = of(mount(answered=answered), mount("b"), taken=1000.0 + 7202)
        text = text_of(session.get("/").text)
        assert "Per second 16 1.5 fail" in text
        rate = session.get("/", headers=JSON).json()["mounts"][0]["rate"]
        assert rate == {"requests": 16.5, "failures": 1.5}
        now[0] += 2
        source.current = of(mount(answered={**answered, "2xx": 33}), taken=1000.0 + 7204)
        assert "Per second 1.5 requests" in text_of(session.get("/").text)


def test_errors_are_shown_as_the_exception_says_them(client: ClientFactory) -> None:
    """And the page of a site with a failure says where."""
    app = Dispatcher([Mount("/a", raising(ValueError("<b>"))), Mount("/_status", Status())])
    session = client(app, raise_server_exceptions=False)
    session.get("/a")
    page = session.get("/_status/").text
    assert "ValueError: &lt;b&gt;" in page
    assert json.loads(session.get("/_status/", headers=JSON).text)["mounts"][0]["error"] == (
        "ValueError: <b>"
    )


def test_another_site_in_the_same_loop(client: ClientFactory) -> None:
    """One page may be mounted in two sites: each sees its own."""
    page = Status()
    one = Dispatcher([Mount("/_status", page), Mount("/one", APP)])
    other = Dispatcher([Mount("/_status", page), Mount("/other", APP)])
    with client(one) as session:
        assert "/one" in session.get("/_status/").text
    with client(other) as session:
        assert "/other" in session.get("/_status/").text
