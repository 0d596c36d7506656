"""A browser is found here, or it is said loudly why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = f"none of {', '.join(NAMES)} on PATH (Debian: apt-get install chromium)"

_skipped: list[str] = []


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program.  Skips without one; in CI that is a failure."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"a browser: {MISSING}", pytrace=False)
    _skipped.append(MISSING)
    pytest.skip(f"a browser: {MISSING}")


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield
    if _skipped:
        terminalreporter.write_sep("!", "THE PAGE WAS NOT LOOKED AT")
        terminalreporter.write_line(f"skipped: {_skipped[0]}")
