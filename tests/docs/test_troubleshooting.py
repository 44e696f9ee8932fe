"""Everything that mountkit logs or raises has its entry on the page on troubleshooting."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.pages import DOCS, ROOT

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
#: What is raised for Python's or Starlette's own sake, and for the package alone.
NOT_FOR_USERS = {"AttributeError", "KeyError", "LookupError", "NoMatchFound", "RuntimeError"}
NOT_FOR_USERS |= {"SystemExit", "TimeoutError", "ValueError", "ClientGone", "Undecided"}

#: Packages whose errors are printed where they come from, and explained on pages of their own.
PRINTED = {"cli", "config", "export", "processes", "proxy", "server", "status"}

#: A text with … for each value in it, and where it stands.
Text = tuple[str, str]


def texts_of(node: ast.expr, function: ast.AST, depth: int = 0) -> list[str]:
    """The texts that an expression may be; values in it are …"""
    depth += 1
    if depth > 9:  # a name that is made of itself
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [re.sub(r"%(?:[-\d.]*[srdg])", "…", node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
        return [re.sub(r"%(?:[-\d.]*[srdg])", "…", "".join(map(str, parts)))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        left = texts_of(node.left, function, depth) or ["…"]
        if isinstance(node.op, ast.Mod):
            return left
        right = texts_of(node.right, function, depth) or ["…"]
        return [first + second for first in left for second in right]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts_of(value, function, depth)]
    if isinstance(node, ast.Name):  # what this function, or the module, gives it
        return [
            text
            for found in ast.walk(function)
            if isinstance(found, ast.Assign)
            and any(isinstance(one, ast.Name) and one.id == node.id for one in found.targets)
            for text in texts_of(found.value, function, depth)
        ]
    return []


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, ast.AST, bool]]:
    """Each call with the function that it stands in, and whether it is raised."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            raised = {id(n.exc) for n in ast.walk(function) if isinstance(n, ast.Raise)}
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    yield node, function, id(node) in raised


def found_in(package: Path) -> tuple[list[Text], list[Text]]:
    """All that is logged, and all that is raised."""
    logged: list[Text] = []
    raised: list[Text] = []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for call, function, is_raised in calls(tree):
            where = f"{path.relative_to(package)}:{call.lineno}"
            name = ast.unparse(call.func)
            owner, _, method = name.rpartition(".")
            if method in LEVELS and "log" in owner:
                texts = texts_of(call.args[0], function)
                if texts == ["…"]:  # `"%s", error`
                    texts = texts_of(call.args[1], function)
                logged += [(text, where) for text in texts if text != "ForwardedMiddleware …"]
            elif name == "self._warn" and "forwarded" in where:
                texts = texts_of(call.args[0], function) or texts_of(call.args[0], tree)
                logged += [(f"ForwardedMiddleware {text}", where) for text in texts]
            elif is_raised and call.args and name not in NOT_FOR_USERS:
                raised += [(text, where) for text in texts_of(call.args[0], function)]
    return logged, raised


PAGE = (DOCS / "troubleshooting.md").read_text("utf-8")
LOG_LINES, _, ERRORS = PAGE.partition("\n## Log lines")[2].partition("\n## Errors")
LOGGED, RAISED = found_in(ROOT / "mountkit")


def missing(found: list[Text], part: str) -> list[Text]:
    """The texts that no entry has. One with few letters of its own has to be the whole text."""
    known = {text.replace("\\|", "|") for text in re.findall(r"`([^`\n]+)`", part)}
    begins = [
        re.compile(re.escape(text).replace("…", ".*"), re.DOTALL)
        for text in known
        if len(re.findall("[A-Za-z]", text)) > 3
    ]
    return [
        (text, where)
        for text, where in found
        if re.search("[a-z]", text)
        and text not in known
        and not any(one.match(text) for one in begins)
    ]


def test_every_log_line_is_on_the_page() -> None:
    """With the text that it has in the log."""
    assert len(LOGGED) > 30
    assert missing(LOGGED, LOG_LINES) == []


def test_every_error_is_covered() -> None:
    """By the text of an entry, or by what it begins with."""
    raised = [found for found in RAISED if found[1].partition("/")[0] not in PRINTED]
    assert len(raised) > 100
    assert missing(raised, ERRORS) == []


def test_no_entry_is_of_the_past() -> None:
    """Each is the text of something that is logged."""
    part = LOG_LINES
    if not any(where.startswith("server/") for _, where in LOGGED):
        part = LOG_LINES.partition("\n### mountkit serve\n")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", part, re.MULTILINE)
    rows = [text for cell in cells for text in re.findall("`([^`]+)`", cell)]
    known = [re.compile(re.escape(row).replace("…", ".*"), re.DOTALL) for row in rows]
    texts = [text for text, _ in LOGGED]
    assert [row.pattern for row in known if not any(map(row.match, texts))] == []
