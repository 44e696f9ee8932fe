"""Mistakes in a file: each has its line, its value, its reason and its fix, and all come at once.

To add one, add a row: the file, and all of what it says, a line for each problem, which begins with
the line of the file.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountkit.config.building import Site, check_rules
from mountkit.config.parsing import parse
from mountkit.config.problems import ConfigError, Problem
from mountkit.config.sources import Source, read_source
from tests.support.sites import config_of, site_of, write

# fmt: off


class Mistake(NamedTuple):
    """A file, and what is said of it."""

    text: str
    says: str


#: What the file itself tells.
IN_THE_FILE = {
    "the page's path": Mistake(
"""\
[status]
path = "page"
guard = "shop:Guard"
""",
"""\
2: Mount path 'page' must start with '/'; write '/page'.
""",
    ),
    "the page's path is a mount's": Mistake(
"""\
[status]
path = "/shop/"
guard = "shop:Guard"
[[mount]]
path = "/shop"
app = "shop:app"
[[mount]]
path = "/shop"
methods = ["GET"]
name = "get"
app = "shop:app"
""",
"""\
2: path = '/shop/' is that of the mount at mountkit.toml:4; write another, such as '/-/status'.
""",
    ),
    "a page beside a mount that is wrong": Mistake(
"""\
[status]
path = "/x"
guard = "shop:Guard"
[[mount]]
path = "x"
app = "shop:app"
""",
"""\
5: Mount path 'x' must start with '/'; write '/x'.
""",
    ),
    "a guard that guards nothing": Mistake(
"""\
[status]
listen = "127.0.0.1:9000"
guard = "shop:Guard"
""",
"""\
3: guard = 'shop:Guard' guards nothing: it is for the page on a path of the site; write path, or leave it out.
""",
    ),
    "the page's port": Mistake(
"""\
[status]
listen = "127.0.0.1:99999"
""",
"""\
2: listen = '127.0.0.1:99999' is not an address; write '127.0.0.1:9000' or 'unix:/run/status.sock'.
""",
    ),
    "a root path": Mistake(
"""\
[server]
root_path = "sub/"
""",
"""\
2: root_path = 'sub/' is not a prefix: it begins with '/' and does not end in it; write '/sub'.
""",
    ),
    "the root as a root path": Mistake(
"""\
[server]
root_path = "/"
""",
"""\
2: root_path = '/' is not a prefix: it begins with '/' and does not end in it; write ''.
""",
    ),
    "no folder": Mistake(
"""\
[[mount]]
static = ""
""",
"""\
2: static = '' names no folder; write '.' for that of the file and all that is in it.
""",
    ),
    "no TOML": Mistake(
"""\
x =
""",
"""\
1: Invalid value in 'x ='; put texts into quotes.
""",
    ),
    "an unquoted text": Mistake(
"""\
[[mount]]
path = /shop
app = "shop:app"
""",
"""\
2: Invalid value in 'path = /shop'; put texts into quotes.
""",
    ),
    "an open table": Mistake(
"""\
[[mount]
""",
"""\
1: Expected ']]' at the end of an array declaration in '[[mount]'; fix the TOML.
""",
    ),
    "the end": Mistake(
"""\
a = [1,
""",
"""\
2: Invalid value; put texts into quotes.
""",
    ),
    "a key twice": Mistake(
"""\
[server]
port = 1
port = 2
""",
"""\
3: Cannot overwrite a value in 'port = 2'; fix the TOML.
""",
    ),
    "an unknown table": Mistake(
"""\
[servers]
port = 1
[[mount]]
app = "shop:app"
""",
"""\
1: The key 'servers' is not known; write 'server'.
""",
    ),
    "an unknown key": Mistake(
"""\
[server]
ports = 1
xyz = 2
""",
"""\
2: The key 'ports' is not known; write 'port'.
3: The key 'xyz' is not known; leave it out, or write one of those that 'mountkit schema' prints.
""",
    ),
    "an unknown key of a mount": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
header = { a = "b" }
nonsense = 1
""",
"""\
4: The key 'header' is not known; write 'headers'.
5: The key 'nonsense' is not known; leave it out, or write one of those that 'mountkit schema' prints.
""",
    ),
    "types": Mistake(
"""\
[server]
port = "8000"
host = 1
workers = 1.5
watch = 1
trusted = 3
grace = "x"
server = "gunicorn"
log = 3
[server.tls]
cert = "x"
""",
"""\
2: port = "8000" is not a whole number; write e.g. port = 8000.
3: host = 1 is not a text; write e.g. host = "0.0.0.0".
4: workers = 1.5 is not a whole number; write e.g. workers = 2.
5: watch = 1 is not true or false; write e.g. watch = true.
6: trusted = 3 is not a text or a list; write e.g. trusted = ["127.0.0.1"].
7: grace = "x" is not a number; write e.g. grace = 10.
8: server = "gunicorn" is not one of 'uvicorn', 'granian' or 'hypercorn'; write one.
9: log = 3 is not a table; write one.
10: The key 'key' is missing; write e.g. key = "privkey.pem".
""",
    ),
    "bounds": Mistake(
"""\
[server]
port = 70000
workers = 0
grace = -1
startup_timeout = 0
""",
"""\
2: port = 70000 is not a number up to 65535; write e.g. port = 8000.
3: workers = 0 is not a number from 1; write e.g. workers = 2.
4: grace = -1 is not a number from 0; write e.g. grace = 10.
5: startup_timeout = 0 is not a number above 0; write e.g. startup_timeout = 60.
""",
    ),
    "types of a mount": Mistake(
"""\
[[mount]]
path = 1
app = "shop:app"
host = 3
methods = "GET"
headers = { a = 1, b = { regx = "" } }
lifespan = "of"
redirect_slashes = "bar"
limits = { when_full = 500, total = "x" }
when = 3
expose = 3
middleware = [{ clas = "x" }, 3]
methods2 = 1
""",
"""\
2: path = 1 is not a text; write e.g. path = "/shop".
4: host = 3 is not a text or a list; write e.g. host = "shop.example.com".
5: methods = "GET" is not a list; write e.g. methods = ["GET", "HEAD"].
6: a = 1 is not a text, true or false, or a table; write e.g. a = "text".
6: The key 'regex' is missing; write e.g. regex = "v[0-9]+".
6: The key 'regx' is not known; write 'regex'.
7: lifespan = "of" is not a table or one of 'on' or 'off'; write one.
8: redirect_slashes = "bar" is not true or false or one of 'navigate' or 'bare'; write e.g. redirect_slashes = true.
9: when_full = 500 is not one of 503, 429 or 'wait'; write one.
9: total = "x" is not a number; write e.g. total = 60.
10: when = 3 is not a text or a table; write e.g. when = 'Header("x-beta")'.
11: expose = 3 is not a list or a table; write e.g. expose = ["/.well-known/x"].
12: The key 'class' is missing; write e.g. class = "package.module:Class".
12: middleware[1] = 3 is not a table; write e.g. middleware = [{ class = "package.module:Class" }].
13: The key 'methods2' is not known; write 'methods'.
""",
    ),
    "a mount that is one table": Mistake(
"""\
[mount]
app = "shop:app"
""",
"""\
1: [mount] is one table, and a site has several; write [[mount]].
""",
    ),
    "a mount that is no table": Mistake(
"""\
mount = [1]
""",
"""\
1: mount = 1 is not a table; write [[mount]].
""",
    ),
    "server no table": Mistake(
"""\
server = 1
default = 2
""",
"""\
1: server = 1 is not a table; write [server].
2: default = 2 is not a table; write [default].
""",
    ),
    "patterns": Mistake(
"""\
[[mount]]
path = "shop"
host = "http://a.com"
methods = []
app = "shop:app"
[[mount]]
path = "/b"
app = "shop:app"
headers = { "x:" = "a", ok = true, "y:" = {regex = "("} }
when = "nope"
expose = ["x"]
[mount.limits]
max_concurrency = 0
response = -1
""",
"""\
2: Mount path 'shop' must start with '/'; write '/shop'.
3: Host pattern 'http://a.com' contains a scheme; write 'a.com'.
4: Method() names no method; write e.g. Method('GET').
9: Header name 'x:' is not valid; write it without the colon, as in 'x-version', and a value after it: Header('x-version', '2').
9: The regular expression '(' is not valid: missing ), unterminated subpattern at position 0; fix it.
10: when = 'nope' cannot be read: 'nope' is not a matcher; write e.g. Header("x-beta") & ~Client("10.0.0.0/8").
11: expose=['x'] has 'x', which is not a path that begins with '/'; write e.g. ['/.well-known/oauth-protected-resource'].
13: max_concurrency=0 is not a whole number above 0; write e.g. 10.
14: response=-1.0 is not a number above 0; write e.g. 10.
""",
    ),
    "keys that do not go together": Mistake(
"""\
[[mount]]
path = "/{tenant}"
host = "{tenant}.com"
app = "shop:app"
""",
"""\
1: The placeholder 'tenant' stands in the host '{tenant}.com' and in the path '/{tenant}'; rename one.
""",
    ),
    "a date": Mistake(
"""\
[server]
port = 1979-05-27
host = {}
""",
"""\
2: port = 1979-05-27 is not a whole number; write e.g. port = 8000.
3: host = {} is not a text; write e.g. host = "0.0.0.0".
""",
    ),
    "a long value": Mistake(
"""\
[server]
port = "a text that is far longer than a message should be, and has no end"
""",
"""\
2: port = "a text that is far longer than a message should be, and ha… is not a whole number; write e.g. port = 8000.
""",
    ),
    "conflict": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
[[mount]]
path = "/a/"
app = "shop:app"
[[mount]]
path = "/b"
app = "shop:app"
[[mount]]
path = "/b"
app = "shop:app"
name = "c"
""",
"""\
4: Mount('/a') at mountkit.toml:4 takes exactly the requests of Mount('/a') at mountkit.toml:1, such as GET http://other.invalid/a; remove one, or give it a condition or a priority of its own.
10: Mount('/b') at mountkit.toml:10 takes exactly the requests of Mount('/b') at mountkit.toml:7, such as GET http://other.invalid/b; remove one, or give it a condition or a priority of its own.
""",
    ),
    "names": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
[[mount]]
path = "/a"
app = "shop:app"
methods = ["GET"]
[[mount]]
path = "/b"
app = "shop:app"
name = "x"
[[mount]]
path = "/c"
app = "shop:app"
name = "x"
""",
"""\
4: The name '/a' is that of mountkit.toml:1 too; write another, as in name = "beta".
15: The name 'x' is that of mountkit.toml:8 too; write another.
""",
    ),
    "a name in two lines": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
name = "a\\nb"
""",
"""\
4: The name 'a\\nb' has characters that do not print; remove them.
""",
    ),
    "nothing to serve": Mistake(
"""\
[[mount]]
path = "/a"
""",
"""\
1: It has nothing to serve; write app = "package.module:app".
""",
    ),
    "several to serve": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
static = "x"
redirect = "/b"
""",
"""\
4: It has app and static; write one of app, static, redirect, split, proxy, command.
4: static = 'x' is not an existing folder; name one, from the folder of mountkit.toml.
5: It has app and redirect; write one of app, static, redirect, split, proxy, command.
""",
    ),
    "keys of others": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
html = true
status = 301
[[mount]]
path = "/b"
redirect = "/c"
factory = true
args = [1]
""",
"""\
4: html has no effect without static; leave it out.
5: status has no effect without redirect; leave it out.
9: factory has no effect without app; leave it out.
10: args has no effect without app; leave it out.
""",
    ),
    "sizes": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
max_body_size = 1
limits = { max_body_size = 2 }
""",
"""\
4: max_body_size is given twice; write it here or in [mount.limits].
""",
    ),
    "env": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
env = { A = "1", "B=" = "2" }
[[mount]]
path = "/b"
app = "shop:app"
[mount.env]
A = "2"
""",
"""\
4: The variable 'B=' cannot be set; write a name such as 'DEBUG'.
9: The variable 'A' has another value at mountkit.toml:1, and a process has one environment; write the same, or serve them apart.
""",
    ),
    "a variable": Mistake(
"""\
[server]
port = "${PORT}"
host = "${HOST:-}"
[[mount]]
app = "${APP"
""",
"""\
2: The variable 'PORT' is not set; set it, or write '${PORT:-default}'.
5: '${APP' has '${' without the name of a variable and '}'; write '${NAME}', or '$${' for the characters themselves.
""",
    ),
    "static": Mistake(
"""\
[[mount]]
path = "/a"
static = "nope"
""",
"""\
3: static = 'nope' is not an existing folder; name one, from the folder of mountkit.toml.
""",
    ),
    "redirect": Mistake(
"""\
[[mount]]
path = "/a"
redirect = "new"
[[mount]]
path = "/b"
redirect = "//evil.com"
[[mount]]
path = "/c"
redirect = "/c?x"
status = 200
""",
"""\
3: redirect = 'new' is neither a path nor a URL; write '/new/' or 'https://example.com/new/'.
6: redirect = '//evil.com' is neither a path nor a URL; write '/new/' or 'https://example.com/new/'.
9: redirect = '/c?x' has a query or a fragment; leave it out: the query of the request is kept.
10: status = 200 is not one of 301, 302, 303, 307 or 308; write one.
""",
    ),
    "split": Mistake(
"""\
[[mount]]
path = "/a"
[mount.split.apps]
a = { app = "shop:app", weight = 0 }
[[mount]]
path = "/b"
[mount.split.apps]
a = { app = "shop:app" }
""",
"""\
3: No app of the split has a weight above 0; give one a weight.
8: The key 'weight' is missing; write e.g. weight = 5.
""",
    ),
    "status": Mistake(
"""\
[status]
listen = "9000"
path = "/x"
[metrics]
""",
"""\
2: listen = '9000' is not an address; write '127.0.0.1:9000' or 'unix:/run/status.sock'.
3: path = '/x' has no guard, so that all could see the page; write guard = 'package.module:Guard'.
""",
    ),
    "status nowhere": Mistake(
"""\
[status]
[metrics]
""",
"""\
1: [status] says no place; write listen = '127.0.0.1:9000'.
2: [metrics] has no listener; write listen = '127.0.0.1:9000' in [status].
""",
    ),
    "trusted": Mistake(
"""\
[server]
trusted = ["10.0.0.0/33"]
""",
"""\
2: Trusted proxy '10.0.0.0/33' is not an address or a network: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network; write '10.0.0.0/8'.
""",
    ),
    "include": Mistake(
"""\
include = ["nope.toml", "sites/*.toml", 3]
""",
"""\
1: include[2] = 3 is not a text; write e.g. include = "sites/*.toml".
1: The file 'nope.toml' to include does not exist; name another.
""",
    ),
    "include one": Mistake(
"""\
include = "nope.toml"
""",
"""\
1: The file 'nope.toml' to include does not exist; name another.
""",
    ),
    "other processes": Mistake(
"""\
[[mount]]
path = "/a"
proxy = "10.0.0.7:9000"
python = "venv"
cwd = "x"
[[mount]]
path = "/b"
[mount.proxy]
url = ["http://a.example", "ftp://b.example"]
host = "a b"
health = "healthz"
ca = "nope.pem"
[[mount]]
path = "/c"
command = ["uvicorn", "shop:app"]
factory = true
lifespan = "off"
env = { "A=B" = "1" }
[mount.process]
ready = "healthz"
host = "a b"
[[mount]]
path = "/d"
app = "shop:app"
python = "nope"
args = [1]
wsgi = { threads = 2 }
interface = "asgi2"
[[mount]]
path = "/e"
app = "shop:app"
cwd = "x"
process = { grace = 1 }
[[mount]]
path = "/f"
app = "shop"
python = "."
""",
"""\
3: Upstream '10.0.0.7:9000' is not the URL of a server; write 'http://10.0.0.7:9000', 'https://…' or 'unix:/run/app.sock'.
4: python has no effect without app or command; leave it out.
4: python='venv' is not a virtual environment; make one with 'python -m venv venv'.
9: Upstream 'ftp://b.example' is not the URL of a server; write 'http://10.0.0.7:9000', 'https://…' or 'unix:/run/app.sock'.
10: host='a b' is not a host; write 'keep', 'replace' or 'a.com'.
11: health='healthz' is not a path; write '/healthz'.
12: ca = 'nope.pem' cannot be read ([Errno 2] No such file or directory); name a PEM file, from the folder of the file.
15: The command 'uvicorn shop:app' is not told where to listen; write '{fd}', the number of an open socket, or '{socket}', the path of a unix socket, into it.
16: factory has no effect without app; leave it out.
17: lifespan = "off" never starts the process; leave it out.
18: The variable 'A=B' cannot be '1'; write e.g. {'DEBUG': '1'}.
20: ready='healthz' is not a path; write '/healthz'.
21: host='a b' is not a host; write 'keep', 'replace' or 'a.com'.
25: python='nope' is not a virtual environment; make one with 'python -m venv nope'.
26: args has no effect on another process; leave it out.
27: wsgi has no effect on another process; leave it out.
28: interface = "asgi2" is not served in another process; write "asgi3" or "wsgi".
32: cwd has no effect without command or python; leave it out.
33: process has no effect without command or python; leave it out.
36: app='shop' is not a name; write 'package.module:app'. To serve an app of this process, mount it.
37: python='.' is not a virtual environment; make one with 'python -m venv .'.
""",
    ),
    "default": Mistake(
"""\
[default]
path = "/x"
app = "shop:app"
static = "x"
""",
"""\
2: The key 'path' is not known; write 'python'.
""",
    ),
    "default and root": Mistake(
"""\
[[mount]]
app = "shop:app"
[default]
app = "shop:app"
""",
"""\
3: Mount('/') at mountkit.toml:3 takes exactly the requests of Mount('/') at mountkit.toml:1, such as GET http://other.invalid/; remove one, or give it a condition or a priority of its own.
""",
    ),
}

#: Modules that the next ones name, beside `shop.py`.
FILES = {
    "raising.py": """\
from functools import partial

three = lambda: 3
unclear = partial(print, 1)


class Site:
    async def __call__(self, scope, receive, send): ...


class Layer:
    def __init__(self, app): ...


def fails():
    raise ValueError("no config")


def wsgi(environ, start_response): ...


def failing(app):
    raise ValueError


class Hidden:
    @property
    def __signature__(self):
        raise ValueError

    def __call__(self): ...


hidden = Hidden()
""",
    "boom.py": """\
def load():
    raise RuntimeError("boom")


load()
""",
    "broken.py": """\
app = (
""",
    "needy.py": """\

import not_installed.part
""",
}

#: What only an import tells.
IN_THE_APPS = {
    "no such module": Mistake(
"""\
[[mount]]
path = "/a"
app = "nope:app"
""",
"""\
3: Module 'nope' was not found; name another.
""",
    ),
    "no such attribute": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:nope"
""",
"""\
3: Module 'shop' has no 'nope'; it has app.
""",
    ),
    "no attribute": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop"
""",
"""\
3: 'shop' lacks an attribute; write 'shop:app'.
""",
    ),
    "no such file": Mistake(
"""\
[[mount]]
path = "/a"
app = "blog/nope.py:app"
""",
"""\
3: File 'blog/nope.py' does not exist; name another.
""",
    ),
    "a file without its ending": Mistake(
"""\
[[mount]]
path = "/a"
app = "blog/nope:app"
""",
"""\
3: File 'blog/nope.py' does not exist; name another.
""",
    ),
    "a call": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:make()"
""",
"""\
3: App 'shop:make()' is a call; write 'shop:make' and factory = true.
""",
    ),
    "no app": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:events"
""",
"""\
3: 'shop:events' is [], not an app; name the app.
""",
    ),
    "a factory without factory": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:make"
""",
"""\
3: 'shop:make' can be called without arguments, so it may return an app; write factory = true.
""",
    ),
    "a factory with wrong args": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:make"
args = { nope = 1 }
""",
"""\
3: Factory 'shop:make' cannot be called: got an unexpected keyword argument 'nope'; fix args.
""",
    ),
    "factory of an app": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:three"
factory = true
""",
"""\
3: 'raising:three' is 3, not an app; name the app.
""",
    ),
    "an app that is none as factory": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:events"
factory = true
""",
"""\
3: 'shop:events' is [], not a factory; leave factory and args out.
""",
    ),
    "a class": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:Site"
""",
"""\
3: 'raising:Site' is a class, not an app; name an instance, or write factory = true to make one.
""",
    ),
    "a module that raises": Mistake(
"""\
[[mount]]
path = "/a"
app = "boom:app"
[[mount]]
path = "/b"
app = "boom:app"
[[mount]]
path = "/c"
app = "nope:app"
""",
"""\
3: Module 'boom' cannot be imported: RuntimeError at boom.py:2; fix it first.
6: Module 'boom' cannot be imported: RuntimeError at boom.py:2; fix it first.
9: Module 'nope' was not found; name another.
""",
    ),
    "syntax error": Mistake(
"""\
[[mount]]
path = "/a"
app = "broken:app"
""",
"""\
3: Module 'broken' cannot be imported: SyntaxError at broken.py:1; fix it first.
""",
    ),
    "missing dependency": Mistake(
"""\
[[mount]]
path = "/a"
app = "needy:app"
""",
"""\
3: Module 'needy' imports 'not_installed' (needy.py:2), which is not installed; install it, or fix the import.
""",
    ),
    "a factory that fails": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:fails"
factory = true
""",
"""\
3: Factory 'raising:fails' failed: ValueError at raising.py:16; fix it first.
""",
    ),
    "middleware": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
middleware = [{ class = "shop:Nope" }, { class = "shop:events" }, {class="boom:X"}]
""",
"""\
4: Module 'shop' has no 'Nope'; it has app.
4: 'shop:events' is [], not a class; name one.
4: Module 'boom' cannot be imported: RuntimeError at boom.py:2; fix it first.
""",
    ),
    "middleware options": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
middleware = [{ class = "raising:Layer", nope = 1 }]
""",
"""\
4: 'raising:Layer' cannot be called: got an unexpected keyword argument 'nope'; fix its options.
""",
    ),
    "middleware that's an app": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
middleware = [{ class = "shop:app" }]
""",
"""\
4: 'shop:app' is <starlette.applications.Starlette object at 0x…>, not a class; name one.
""",
    ),
    "middleware that fails": Mistake(
"""\
[[mount]]
path = "/a"
app = "shop:app"
middleware = [{ class = "raising:failing" }]
""",
"""\
1: Its middleware failed: ValueError at raising.py:23; fix it first.
""",
    ),
    "a factory that hides its parameters": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:hidden"
args = [1, 2]
""",
"""\
3: Factory 'raising:hidden' failed: TypeError; fix it first.
""",
    ),
    "unclear": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:unclear"
""",
"""\
3: 'raising:unclear' can be called without arguments, so it may return an app; write factory = true.
""",
    ),
    "wsgi threads": Mistake(
"""\
[[mount]]
path = "/a"
app = "raising:wsgi"
wsgi = { threads = 0 }
""",
"""\
4: threads = 0 is not a number from 1; write e.g. threads = 10.
""",
    ),
    "patterns and apps": Mistake(
"""\
[[mount]]
path = "a"
app = "nope:app"
[[mount]]
path = "/a"
host="a.com"
app = "shop:app"
[[mount]]
path = "/a"
host="A.com"
app = "shop:other"
name = "x"
""",
"""\
2: Mount path 'a' must start with '/'; write '/a'.
3: Module 'nope' was not found; name another.
8: Mount('/a', host='A.com') at mountkit.toml:8 takes exactly the requests of Mount('/a', host='a.com') at mountkit.toml:4, such as GET http://a.com/a; remove one, or give it a condition or a priority of its own.
""",
    ),
    "split": Mistake(
"""\
[[mount]]
path = "/a"
[mount.split.apps]
a = { app = "nope:app", weight = 1 }
b = { app = "shop:nope", weight = 1 }
""",
"""\
4: Module 'nope' was not found; name another.
5: Module 'shop' has no 'nope'; it has app.
""",
    ),
    "relative": Mistake(
"""\
[[mount]]
path = "/a"
app = "..x:app"
""",
"""\
3: Module '..x' is relative; write its whole name.
""",
    ),
    "empty": Mistake(
"""\
[[mount]]
path = "/a"
app = ""
""",
"""\
3: '' lacks an attribute; write 'package.module:app'.
""",
    ),
}

# fmt: on


def said(mistake: Mistake) -> str:
    """With the name of the file."""
    return "\n".join(f"mountkit.toml:{line}" for line in mistake.says.splitlines())


@pytest.mark.parametrize("name", IN_THE_FILE)
def test_a_mistake_in_the_file(name: str, folder: Path) -> None:
    """Nothing is imported for it."""
    (folder / "shop.py").unlink()
    with pytest.raises(ConfigError) as caught:
        config_of(Path(), IN_THE_FILE[name].text)
    assert str(caught.value) == said(IN_THE_FILE[name])


@pytest.mark.parametrize("name", IN_THE_APPS)
def test_a_mistake_in_the_apps(name: str, folder: Path) -> None:
    """Those of the file come with it."""
    write(folder, {**FILES, "mountkit.toml": IN_THE_APPS[name].text})
    with pytest.raises(ConfigError) as caught:
        Site.build(parse(read_source(Path("mountkit.toml"))))
    assert re.sub("0x[0-9a-f]+", "0x…", str(caught.value)) == said(IN_THE_APPS[name])


def test_what_an_app_raises_is_shown(folder: Path) -> None:
    """With the user's frames alone."""
    write(folder, {"boom.py": FILES["boom.py"]})
    with pytest.raises(ConfigError) as caught:
        site_of(Path(), '[[mount]]\napp = "boom:app"')
    lines = (caught.value.traceback or "").splitlines(keepends=True)
    # Python 3.13 marks the call.
    assert (
        "".join(line for line in lines if line.strip("~^ \n"))
        == f"""\
Traceback (most recent call last):
  File "{folder}/boom.py", line 5, in <module>
    load()
  File "{folder}/boom.py", line 2, in load
    raise RuntimeError("boom")
RuntimeError: boom
"""
    )


def test_an_error_survives_a_pickle() -> None:
    """As it may go from process to process."""
    error = ConfigError([Problem("a.toml", 1, "mount[0].path", "It is wrong.")], "Traceback")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problems, copy.traceback, str(copy)) == (
        error.problems,
        "Traceback",
        "a.toml:1: It is wrong.",
    )


def test_a_file_that_is_nested_too_deeply(folder: Path) -> None:
    """`tomllib` gives up."""
    with pytest.raises(
        ConfigError, match=r"^mountkit\.toml:1: The file is nested too deeply; write"
    ):
        config_of(Path(), "a = " + "[" * 3000)


def test_values_of_variables_are_not_shown(folder: Path) -> None:
    """Messages have what is written in the file."""
    text = """
    [server]
    port = "${SECRET}"
    host = "${SHORT}"
    workers = "${SHORT}"
    grace = "${LOW}"
    [[mount]]
    path = "${SECRET}"
    host = "http://${SECRET}.com"
    app = "shop:app"
    """
    with pytest.raises(ConfigError) as caught:
        config_of(Path(), text, {"SECRET": "tr0ub4dor", "SHORT": "x", "LOW": "-1"})
    assert str(caught.value) == (
        'mountkit.toml:3: port = "${SECRET}" is not a whole number; write e.g. port = 8000.\n'
        'mountkit.toml:5: workers = "${SHORT}" is not a whole number; write e.g. workers = 2.\n'
        'mountkit.toml:6: grace = "${LOW}" is not a number from 0; write e.g. grace = 10.\n'
        "mountkit.toml:8: Mount path '${SECRET}' must start with '/'; write '/${SECRET}'.\n"
        "mountkit.toml:9: Host pattern 'http://${SECRET}.com' contains a scheme; write "
        "'${SECRET}.com'."
    )


LONG = "tr0ub4dor" * 20


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nport = "${SECRET}"',
        '[server]\nlog = { level = "a ${SECRET}" }',
        '[server]\ntrusted = ["${SECRET}"]',
        '[server]\nroot_path = "${SECRET}"',
        '[status]\nlisten = "${SECRET}"',
        '[status]\npath = "${SECRET}"',
        'include = "${SECRET}"',
        "[[mount]]\napp = 'shop:app'\nwhen = 'Header(\"a\", \"${SECRET}\") x'",
        "[[mount]]\napp = 'shop:app'\nwhen = 'Nope(\"${SECRET}\")'",
        "[[mount]]\napp = 'shop:app'\nwhen = 'Header(\"${SECRET}\" + 1)'",
    ],
)
def test_no_part_of_a_secret_is_shown(text: str, folder: Path) -> None:
    """Nor the beginning of a long one."""
    with pytest.raises(ConfigError) as caught:
        config_of(Path(), text, {"SECRET": LONG})
    assert "tr0" not in str(caught.value)
    assert "${SECRET}" in str(caught.value)


def test_mistakes_in_files_that_are_included(folder: Path) -> None:
    """In the order of the files, the main one first."""
    write(
        folder,
        {
            "sites/a.toml": "[server]\nport = 1\n[[mount]]\npath = 3\n",
            "sites/b.toml": "x = \n",
            "sites/d.toml": "servers = 1",
            "sites/c.toml": 'include = "d.toml"\n[default]\nnothing = 1\n[[mount]]\napp="shop:app"\n',
        },
    )
    text = 'include = "sites/*.toml"\n[[mount]]\napp = "shop:app"\nnope = 1\n'
    with pytest.raises(ConfigError) as caught:
        config_of(Path(), text)
    assert str(caught.value).splitlines() == [
        "mountkit.toml:4: The key 'nope' is not known; leave it out, or write one of those that "
        "'mountkit schema' prints.",
        "sites/a.toml:1: 'server' is in a file that is included; write it in mountkit.toml.",
        'sites/a.toml:4: path = 3 is not a text; write e.g. path = "/shop".',
        "sites/b.toml:1: Invalid value in 'x ='; put texts into quotes.",
        "sites/c.toml:1: 'include' is in a file that is included; write it in mountkit.toml.",
        "sites/c.toml:2: 'default' is in a file that is included; write it in mountkit.toml.",
        "sites/d.toml:1: The key 'servers' is not known; write [[mount]] here.",
    ]


PIECES = st.sampled_from(
    [
        *("[[mount]]\n", "[server]\n", "[default]\n", "[mount.limits]\n", "\n", '"', "'", "${X}"),
        *("path = ", "app = ", "host = ", "when = ", "headers = ", "port = ", "split = ", "env = "),
        *('"/a"', '"x:y"', "1", "true", "{ a = 1 }", "[1]", '"Header(1)"', "total = ", "static = "),
        *('"${A:-1}"', "redirect = ", "expose = ", "include = ", "middleware = ", "a = ", "="),
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join) | st.text())
@settings(deadline=None)
def test_no_text_raises_anything_else(text: str) -> None:
    """It is a site, or all that is wrong with it."""
    problems: tuple[Problem, ...] = ()
    try:
        check_rules(parse(Source("x.toml", {"x.toml": text}), {"X": "1"}))
    except ConfigError as exc:
        problems = exc.problems
        lines = [one.line for one in problems]
    assert not problems or (
        lines == sorted(lines) and 1 <= lines[0] <= lines[-1] <= text.count("\n") + 1
    )
