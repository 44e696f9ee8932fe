"""A worker, but for what it serves."""

from __future__ import annotations

from mountkit.server import worker


def test_modules_that_are_not_installed() -> None:
    """Those that `--reload` follows, with the time of their last change."""
    found = worker.own_modules()
    assert found[worker.__file__] > 0
    assert not any("site-packages" in file for file in found)
