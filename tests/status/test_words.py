"""Conditions, findings and explanations in words, without secrets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Scope

from mountkit import (
    Accept,
    Client,
    Cookie,
    Dispatcher,
    Header,
    Host,
    Matcher,
    Method,
    Mount,
    Query,
    Scheme,
    ScopeType,
    check,
    explain,
)
from mountkit.matching.rules import Rule
from mountkit.status.words import MOST, conditions_of, explained, finding_in_words, in_words

SECRET = "correct-horse-battery"


class Internal(Matcher):
    """One that may show anything in its `repr`."""

    def __repr__(self) -> str:
        return f"Internal({SECRET!r})"

    def matches(self, scope: Scope) -> bool:
        return False


class OwnHeader(Header):
    """A subclass of mountkit's."""


WORDS: list[tuple[Matcher, str]] = [
    (Header("x-version", "2"), "header x-version is '2'"),
    (Header("x-version"), "header x-version is there"),
    (Header("x-version", None), "header x-version is absent"),
    (Header("x-version", re.compile("v[12]")), "header x-version matches '…'"),
    (Header("x-version", re.compile("2.*")), "header x-version matches '2.*'"),
    (Header("content-type", "application/grpc"), "header content-type is 'application/grpc'"),
    (Header("x-gate", SECRET), "header x-gate is '…'"),
    (Header("x-api-key", "1"), "header x-api-key is '…'"),
    (Header("Authorization", "Basic"), "header authorization is '…'"),
    (OwnHeader("x-version", "2"), "header x-version is '2'"),
    (Cookie("beta", "1"), "cookie beta is '1'"),
    (Cookie("session", "1"), "cookie session is '…'"),
    (Query("v", "2"), "query v is '2'"),
    (Query("token", "2"), "query token is '…'"),
    (Method("POST", "GET"), "GET or POST"),
    (Scheme("https"), "https only"),
    (ScopeType("http"), "HTTP only"),
    (ScopeType("websocket"), "websockets only"),
    (Client("10.0.0.0/8", "::1"), "client in 10.0.0.0/8, ::1/128"),
    (Host("*.a.com"), "host *.a.com"),
    (Accept("text/html", "text/plain"), "accepts text/html or text/plain"),
    (Internal(), "Internal(…)"),
    (~Cookie("beta"), "not cookie beta is there"),
    (Cookie("a") | Cookie("b"), "(cookie a is there or cookie b is there)"),
    (~(Cookie("a") & Internal()), "not (cookie a is there and Internal(…))"),
]


@pytest.mark.parametrize(("matcher", "words"), WORDS, ids=[words for _, words in WORDS])
def test_a_condition_in_words(matcher: Matcher, words: str) -> None:
    """A value is shown if it is short or a media type, and its name is no credential's."""
    assert in_words(matcher) == words


def test_all_conditions_of_a_mount() -> None:
    """But its path and its first host, which its label has."""
    options: dict[str, Any] = {"priority": 2, "exact": True, "methods": ["GET"]}
    rule = Rule("/x", host=["a.com", "b.com"], headers={"v": "2"}, **options)
    expected = "also at b.com, GET, header v is '2', this very path, priority 2"
    assert conditions_of(rule) == expected
    assert conditions_of(Rule("/x", host="a.com")) == ""


def site() -> Dispatcher:
    app = PlainTextResponse("x")
    below = Starlette(routes=[Route("/item/{id}", app)])
    inner = Dispatcher([Mount("/v1", below), Mount("/v2", below, headers={"x-key": SECRET})])
    return Dispatcher(
        [
            Mount("/api", inner),
            Mount("/api", app, headers={"x-key": SECRET}),
            Mount("/api", app, when=Internal()),
            Mount("/{tenant}", app, host="a.com"),
        ]
    )


def test_an_explanation_in_words() -> None:
    """With what is below, and without secrets."""
    found = explained(explain(site(), "/api/v1/item/3"))
    text = found["text"]
    assert text.splitlines()[:2] == [
        "GET /api/v1/item/3",
        "is taken by /api, Dispatcher",
    ]
    assert "refused: /api, header x-key is '…': wants: header x-key is '…'" in text
    assert "refused: /api, Internal(…): wants: Internal(…)" in text
    assert found["below"]["takes"] == "/v1"
    assert found["below"]["child"]["path"] == "/api/v1/item/3"
    assert SECRET not in str(found)
    assert found["where"].partition(":")[0].endswith("test_words.py")


def test_who_comes_first_in_words() -> None:
    """The mount that outranks another is named in words too."""
    headers = {"x-key": SECRET}
    found = explained(explain(site(), "/api/v1", headers=headers))
    [one] = [one for one in found["candidates"] if one["outcome"] == "outranked"]
    assert one["reason"] == "/api, header x-key is '…' comes first, by header conditions"
    assert SECRET not in str(found)


OTHERS = [
    ("/", Dispatcher([Mount("/x", site())]), "is taken by no mount"),
    (
        "/y",
        Dispatcher([Mount("/x", site())], default=Starlette()),
        "is taken by no mount and goes to the app underneath, Starlette",
    ),
    ("/r", Starlette(routes=[Route("/r", PlainTextResponse("x"))]), "is taken by no mount"),
]


@pytest.mark.parametrize(("url", "app", "line"), OTHERS, ids=["none", "underneath", "routes"])
def test_a_request_that_no_mount_takes(url: str, app: Any, line: str) -> None:
    """Says where it goes."""
    assert explained(explain(app, url))["text"].splitlines()[1].startswith(line)


def test_a_redirect_in_words() -> None:
    """Instead of being served."""
    mount = Mount("/x", Starlette(), redirect_slashes=True)
    found = explained(explain(Dispatcher([mount]), "/x"))
    assert "redirected to './x/'" in found["text"]


def test_routes_beside_mounts_are_told() -> None:
    """As `explain` shows them."""
    app = Starlette(routes=[Route("/a", PlainTextResponse("x")), Mount("/b", Starlette())])
    found = explained(explain(app, "/b"))
    assert "refused: Route('/a'): path: does not match" in found["text"]
    assert [one["where"] for one in found["candidates"]][1] == ""


def test_of_very_many_candidates_the_nearest_are_told() -> None:
    """And how many there are more."""
    app = Dispatcher([Mount(f"/m{number}", Starlette()) for number in range(MOST + 5)])
    found = explained(explain(app, "/m7"))
    assert len(found["candidates"]) == MOST
    assert found["more"] == 5
    assert found["text"].endswith("and 5 more")


def test_findings_in_words() -> None:
    """Neither the conditions nor the request that shows it tell a secret."""
    app = PlainTextResponse("x")
    one = Mount("/{a}", app, headers={"x-key": SECRET})
    other = Mount("/{b:int}", app, headers={"x-other": SECRET}, query={"q": SECRET})
    third = Mount("/{b}", app, headers={"x-other": SECRET})
    never = Mount("/never", app, when=Header("x-key", SECRET) & ~Header("x-key", SECRET))
    found = check(Dispatcher([one, other, third, never]))
    told = [finding_in_words(finding) for finding in found]
    assert SECRET in str(found)
    assert SECRET not in str(told)
    assert {one.code for one in told} == {"overlap", "unreachable"}
    assert not any(one.is_note for one in told)
    assert any("/{a}, header x-key is '…' (" in one.message for one in told)
