"""What `when` and the like say, as matchers.

An expression is read as Python's syntax has it, and never run: names of matchers, texts, `True`,
`False`, `None`, `Regex("…")`, `&`, `|` and `~`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from functools import reduce
from operator import and_, or_
from typing import Any

from mountkit.config.models import RegexConfig, WhenConfig
from mountkit.exceptions import PatternError
from mountkit.matching.accept import Accept
from mountkit.matching.conditions import (
    Client,
    Cookie,
    Header,
    Host,
    Method,
    Query,
    Scheme,
    ScopeType,
)
from mountkit.matching.matchers import Matcher

_MATCHERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (Accept, Client, Cookie, Header, Host, Method, Query, Scheme, ScopeType)
}
_EXAMPLE = 'Header("x-beta") & ~Client("10.0.0.0/8")'
_LONGEST = 2000  # characters
_DEEPEST = 50


def matcher_of(when: str | WhenConfig) -> Matcher:
    """The matcher that an expression or a table means.

    Raises:
        PatternError: it cannot be read, or a matcher refuses its arguments.
    """
    return _of_table(when) if isinstance(when, WhenConfig) else _of_text(when)


def wanted(values: Mapping[str, str | bool | RegexConfig]) -> dict[str, Any]:
    """Conditions by name, as `Mount` takes them.

    Raises:
        PatternError: a regular expression is not valid.
    """
    return {name: _wanted(value) for name, value in values.items()}


def _wanted(value: str | bool | RegexConfig) -> Any:
    return _regex(value.regex) if isinstance(value, RegexConfig) else value


def _regex(text: Any) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, TypeError, RecursionError, OverflowError) as exc:
        raise PatternError(f"The regular expression {text!r} is not valid: {exc}; fix it.") from exc


def _several(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _of_table(when: WhenConfig) -> Matcher:
    parts: list[Matcher] = []
    for cls, values in ((Header, when.header), (Cookie, when.cookie), (Query, when.query)):
        parts += [cls(name, value) for name, value in wanted(values).items()]
    for several, texts in ((Client, when.client), (Accept, when.accept), (Method, when.method)):
        if texts is not None:
            parts.append(several(*_several(texts)))
    hosts = [Host(text) for text in _several(when.host)]
    if hosts:
        parts.append(reduce(or_, hosts))
    elif when.host is not None:
        raise PatternError("when has host = [], so nothing matches; write a host, or leave it out.")
    if when.scheme is not None:
        parts.append(Scheme(when.scheme))
    if when.type is not None:
        parts.append(ScopeType(when.type))
    if when.any:
        parts.append(reduce(or_, map(_of_table, when.any)))
    if when.not_ is not None:
        parts.append(~_of_table(when.not_))
    if not parts:
        raise PatternError("when has an empty table; write a condition, or leave it out.")
    return reduce(and_, parts)


def _of_text(text: str) -> Matcher:
    if len(text) > _LONGEST:
        raise _error(text, f"it has more than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts
            tree = ast.parse(text.replace("\n", " ").strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        reason = exc.msg if isinstance(exc, SyntaxError) else str(exc) or "it is too deep"
        raise _error(text, reason) from None
    return _matcher(tree.body, text, 0)


def _error(text: str, reason: str) -> PatternError:
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return PatternError(f"when = {shown!r} cannot be read: {reason}; write e.g. {_EXAMPLE}.")


def _matcher(node: ast.expr, text: str, depth: int) -> Matcher:
    if depth > _DEEPEST:
        raise _error(text, "it is nested too deeply")
    match node:
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            join = and_ if isinstance(node.op, ast.BitAnd) else or_
            left = _matcher(node.left, text, depth + 1)
            joined: Matcher = join(left, _matcher(node.right, text, depth + 1))
            return joined
        case ast.UnaryOp(op=ast.Invert()):
            return ~_matcher(node.operand, text, depth + 1)
        case ast.Call(func=ast.Name(id=name)) if name in _MATCHERS:
            return _made(node, name, text)
        case ast.Call(func=ast.Name(id=name)):
            raise _error(text, f"{name!r} is not a matcher; there are {', '.join(_MATCHERS)}")
        case ast.Name(id=name) if name in _MATCHERS:
            raise _error(text, f"{name!r} is not called")
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            raise _error(text, "'and', 'or' and 'not' are '&', '|' and '~' here")
    raise _error(text, f"{_shown(node)} is not a matcher")


def _made(node: ast.Call, name: str, text: str) -> Matcher:
    arguments = [_argument(one, text) for one in node.args]
    options = {one.arg: _argument(one.value, text) for one in node.keywords if one.arg}
    if len(options) < len(node.keywords):
        raise _error(text, "'**' is not possible")
    try:
        made: Matcher = _MATCHERS[name](*arguments, **options)
    except TypeError as exc:
        raise _error(text, str(exc).replace(".__init__", "")) from None
    return made


def _argument(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=str() | bool() | None):
            return node.value
        case ast.Call(func=ast.Name(id="Regex"), args=[ast.Constant(value=str(pattern))]):
            return _regex(pattern)
    raise _error(text, f"{_shown(node)} is not a text, True, False or Regex('…')")


def _shown(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
        return repr(text if len(text) <= 60 else f"{text[:59]}…")
    except RecursionError:
        return "a part of it"
