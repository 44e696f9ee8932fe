"""What was logged."""

from __future__ import annotations

import logging

import pytest


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """All records, less those that say that a test has not started the apps."""
    return [record for record in caplog.records if "was never started" not in record.getMessage()]
