"""The JSON Schema: that of the docs, right in draft 4, and of one mind with the parser."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator  # type: ignore[import-untyped]

from mountkit.config.drafting import draft
from mountkit.config.problems import ConfigError
from mountkit.config.schema import schema
from tests.support.sites import config_of

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```toml([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Those of the examples, and the blocks of the docs.
FILES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in ROOT.glob("examples/**/mountkit.toml")
}
FILES |= {
    f"{page.name}:{number}": text
    for page in sorted(ROOT.glob("docs/*.md"))
    for number, (title, text) in enumerate(_BLOCK.findall(page.read_text("utf-8")), 1)
    if "wrong.toml" not in title and "[tool." not in text
}


def test_the_schema_of_the_docs() -> None:
    """`mountkit schema > docs/mountkit.schema.json` writes it."""
    text = (ROOT / "docs" / "mountkit.schema.json").read_text("utf-8")
    assert text == json.dumps(schema(), indent=2) + "\n"


def test_it_is_a_schema_of_draft_4() -> None:
    """Nothing in it is newer, and nothing refers to what is not there."""
    made = schema()
    Draft4Validator.check_schema(made)
    text = json.dumps(made)
    for key in ("$defs", "const", "examples", "$id", "prefixItems", "if"):
        assert f'"{key}":' not in text
    references = set(re.findall(r'"\$ref": "#/definitions/(\w+)"', text))
    assert references <= set(made["definitions"])


def objects(value: Any) -> list[dict[str, Any]]:
    """All objects that have properties."""
    if isinstance(value, list):
        return [one for inner in value for one in objects(inner)]
    if not isinstance(value, dict):
        return []
    found = [value] if "properties" in value else []
    return found + [one for inner in value.values() for one in objects(inner)]


def test_every_key_is_described() -> None:
    """An editor shows it."""
    for table in objects(schema()):
        for name, key in table["properties"].items():
            if name not in ("scheme", "type"):
                assert "description" in key or "allOf" in key or "$ref" in str(key), name


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_examples(name: str) -> None:
    """It is valid."""
    Draft4Validator(schema()).validate(tomllib.loads(FILES[name]))


def test_a_draft() -> None:
    """What `mountkit init` writes is valid, and names its schema."""
    text = draft([])
    assert text.startswith("#:schema ./mountkit.schema.json\n")
    Draft4Validator(schema()).validate(tomllib.loads(text))


MOUNT = '[[mount]]\napp = "shop:app"\n'
#: Texts, and whether they are right.
TEXTS = {
    "": True,
    MOUNT: True,
    "[server]\nport = 1": True,
    '[server]\nport = "${PORT:-1}"': True,
    '[server]\nport = "1"': False,
    "[server]\nport = 70000": False,
    "[server]\nworkers = 0": False,
    "[server]\ngrace = 0": True,
    "[server]\ndrain_timeout = 0": False,
    "[server]\ndrain_timeout = 0.5": True,
    '[server]\nserver = "gunicorn"': False,
    "[server]\nnope = 1": False,
    "[nope]": False,
    'mount = { path = "/a" }': False,
    f"{MOUNT}path = 1": False,
    f'{MOUNT}host = ["a.com"]': True,
    f"{MOUNT}headers = {{ a = {{ regex = 'x' }} }}": True,
    f"{MOUNT}headers = {{ a = {{ nope = 'x' }} }}": False,
    f"{MOUNT}headers = {{ a = 1 }}": False,
    f'{MOUNT}lifespan = "off"': True,
    f'{MOUNT}lifespan = "of"': False,
    f"{MOUNT}lifespan = {{ shutdown = false }}": True,
    f"{MOUNT}redirect_slashes = true": True,
    f'{MOUNT}redirect_slashes = "bare"': True,
    f'{MOUNT}redirect_slashes = "x"': False,
    f"{MOUNT}limits = {{ when_full = 429 }}": True,
    f"{MOUNT}limits = {{ when_full = 500 }}": False,
    f"{MOUNT}when = {{ not = {{ any = [{{ scheme = 'https' }}] }} }}": True,
    f"{MOUNT}when = {{ not_ = {{}} }}": False,
    f"{MOUNT}middleware = [{{ class = 'shop:Starlette', debug = true }}]": True,
    f"{MOUNT}middleware = [{{ debug = true }}]": False,
    f"{MOUNT}args = [1, 'a']": True,
    f"{MOUNT}args = 1": False,
    '[[mount]]\nproxy = "http://a.example"': True,
    '[[mount]]\nproxy = ["http://a.example", "unix:/a"]': True,
    '[[mount]]\nproxy = { url = "http://a.example", idle_timeout = "off", retry = false }': True,
    '[[mount]]\nproxy = { url = "http://a.example", idle_timeout = "on" }': False,
    "[[mount]]\nproxy = { retry = false }": False,
    "[[mount]]\nproxy = 1": False,
    '[[mount]]\ncommand = ["serve", "{fd}"]': True,
    '[[mount]]\ncommand = "serve {fd}"': False,
    '[[mount]]\ncommand = ["{fd}"]\nprocess = { grace = 0, forwarded = "off" }': True,
    '[[mount]]\ncommand = ["{fd}"]\nprocess = { grace = -1 }': False,
    '[[mount]]\ncommand = ["{fd}"]\nprocess = { url = "http://a.example" }': False,
    '[default]\napp = "shop:app"': True,
    '[default]\npath = "/a"\napp = "shop:app"': False,
}


@pytest.mark.parametrize("text", TEXTS)
def test_schema_and_parser_agree(text: str, folder: Path) -> None:
    """On types, keys and choices."""
    data = tomllib.loads(text)
    assert Draft4Validator(schema()).is_valid(data) is TEXTS[text]
    if TEXTS[text]:
        config_of(folder, text)
    else:
        with pytest.raises(ConfigError):
            config_of(folder, text)
