"""Writes docs/api.md from the public docstrings: `python scripts/api_page.py`."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import mountkit

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
SOURCE = "https://github.com/mountkit/mountkit/blob/main/"
GROUPS = {
    "Mounts and what decides between them": (
        "Mount Lifespan Dispatcher PreparedChange DispatchMiddleware LifespanMiddleware Table "
        "Resolution Refusal Split WSGIBridge"
    ),
    "Other processes": "Proxy Process",
    "Layers": (
        "LimitMiddleware TimeoutMiddleware CheckMiddleware ContextMiddleware ContainMiddleware "
        "RedirectMiddleware CookiePathMiddleware LocationMiddleware ForwardedMiddleware Watchdog "
        "MeterMiddleware"
    ),
    "Tenants": "TenantResolver TenantMiddleware TenantApps",
    "Matchers": "Matcher Header Cookie Query Method Scheme ScopeType Client Host Accept",
    "Explanations and findings": "explain Explanation Candidate check Finding",
    "Tests": "only running",
    "Logs": "AccessFilter",
    "Status and metrics": "Status Metrics",
    "URLs": "url_for path_for url_context OpenAPI",
    "Health": "Health Liveness Readiness",
    "Errors": (
        "MountkitError PatternError ConflictError InterfaceError LifespanError ResolutionError "
        "URLNotFound"
    ),
}
METHODS = {
    "Dispatcher": ("change", "prepare", "add", "remove", "replace", "only", "url_path_for"),
    "PreparedChange": ("commit", "abort"),
    "Table": ("decide", "resolve", "apply", "check"),
    "TenantResolver": ("resolve", "invalidate", "invalidate_tenant", "normal"),
    "TenantApps": ("start", "evict", "pin", "unpin"),
    "Proxy": ("switch",),
    "WSGIBridge": ("close",),
    "Matcher": ("matches",),
    "Explanation": ("as_dict",),
}


#: The names of types in signatures, by the module that they are in.
TYPES = {
    "mountkit.types": "Application ASGI3Application ASGI2Application WSGIApplication",
    "mountkit.wsgi.detection": "Interface",
    "mountkit.serving.scopes": "Convention",
    "mountkit.matching.conditions": "Wanted",
}
#: What a section of a docstring is called on the page.
SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Raises": "Raises",
    "Returns": "Returns",
}
_SECTION = re.compile(rf"({'|'.join(SECTIONS)}):")
_ITEM = re.compile(r"([\w*…]+(?:, [\w*…]+)*): (.*)")


def page() -> str:
    """The page, made anew."""
    lines = ["# API", "", "The public classes and functions. Import them from `mountkit`.", ""]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        for name in names.split():
            found = getattr(mountkit, name)
            lines += [f"### {name}", "", *_described(name, found)]
            for method in METHODS.get(name, ()):
                full = f"{name}.{method}"
                lines += [f"#### {full}", "", *_described(full, getattr(found, method))]
    lines += ["## Types", "", "Names of types in the signatures above.", "", "```py"]
    for module, names in TYPES.items():
        source = inspect.getsource(import_module(module))
        for name in names.split():
            [value] = re.findall(rf"^{name}: TypeAlias = (.*)$", source, re.MULTILINE)
            lines += [f"{name} = {value.strip(chr(34))}"]
    lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _described(name: str, found: object) -> list[str]:
    is_error = inspect.isclass(found) and issubclass(found, Exception)
    bases = f"({', '.join(base.__name__ for base in found.__bases__)})" if is_error else ""  # type: ignore[attr-defined]
    signature = f"class {name}{bases}" if is_error else _signature(name, found)
    doc = inspect.getdoc(found) or ""
    return ["```py", signature, "```", "", *_markdown(doc.splitlines()), *_source(found)]


def _source(found: object) -> list[str]:
    """A link to the file: its lines move too often to be named."""
    path = Path(inspect.getsourcefile(inspect.unwrap(found)) or "").relative_to(ROOT)  # type: ignore[arg-type]
    return [f"[Source]({SOURCE}{path.as_posix()})", ""]


def _signature(name: str, found: object) -> str:
    """As it would be written, a parameter on each line."""
    signature = inspect.signature(found)  # type: ignore[arg-type]
    shown, is_keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        is_keyword_only |= parameter.kind is parameter.VAR_POSITIONAL
        text = stars.get(parameter.kind, "") + parameter.name
        has_type = parameter.annotation is not parameter.empty
        if has_type:
            text += f": {_type(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = parameter.default
            value = default.__name__ if inspect.isclass(default) else repr(default)
            text += f" = {value}" if has_type else f"={value}"
        shown.append(text)
    result = "" if inspect.isclass(found) else _result(found, signature)
    if inspect.iscoroutinefunction(found):
        name = f"async {name}"
    if not shown:
        return f"{name}(){result}"
    return f"{name}(\n" + "".join(f"    {text},\n" for text in shown) + f"){result}"


def _result(found: object, signature: inspect.Signature) -> str:
    if signature.return_annotation is signature.empty:
        return ""
    return f" -> {_type(signature.return_annotation)}"


def _type(annotation: object) -> str:
    found = getattr(annotation, "__forward_arg__", annotation)
    return found if isinstance(found, str) else inspect.formatannotation(found)


def _markdown(lines: list[str]) -> Iterator[str]:
    """A docstring as Markdown: examples as code, its sections as lists."""
    section = ""
    for block in _blocks(lines):
        heading = _SECTION.fullmatch(block[0])
        if heading and len(block) > 1:
            section = heading[1]
            yield from (f"**{SECTIONS[section]}**", "", *_items(block[1:]), "")
        elif block[0].startswith("    "):
            yield from ("```py", *textwrap.dedent("\n".join(block)).splitlines(), "```", "")
        else:
            yield from (*block, "")


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs; an example with empty lines in it is one."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line.rstrip())
        elif block:
            yield block
            block = []


def _items(lines: list[str]) -> Iterator[str]:
    """Each item of a section as one of a list."""
    is_item = False
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        found = _ITEM.fullmatch(line)
        if found:
            names = ", ".join(f"`{name}`" for name in found[1].split(", ")).replace("`…`", "…")
            yield f"- {names}: {found[2]}"
            is_item = True
        elif is_item and line[:1] != " ":  # of all of them
            yield from ("", line)
            is_item = False
        else:  # goes on
            yield f"  {line.strip()}" if is_item else line.strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
