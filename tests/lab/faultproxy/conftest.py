"""A skipped outside check is told aloud at the end, not only counted."""

from __future__ import annotations

import pytest

from tests.lab.faultproxy.programs import not_checked


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not_checked:
        terminalreporter.section("NOT CHECKED on this machine", red=True, bold=True)
        for message in sorted(set(not_checked)):
            terminalreporter.line(message)
