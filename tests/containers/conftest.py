"""The pair of the compose file is brought up once, and anew after a story that left disorder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.containers.engine import NAMES, NEWER, OTHERS, Pair, missing, podman, script

_skipped: list[str] = []


@pytest.fixture(scope="session")
def can_have_containers() -> None:
    """Skips when containers cannot be run here; in CI that is a failure."""
    why = missing()
    if why is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"containers: {why}", pytrace=False)
    _skipped.append(why)
    pytest.skip(f"containers: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for why in _skipped:
        terminalreporter.write_line(
            f"WARNING: no test of containers (tests/containers) was run: {why}",
            yellow=True,
            bold=True,
        )


@pytest.fixture(scope="session")
def up(can_have_containers: None) -> Iterator[None]:
    """Whatever an earlier run has left is removed first, and nothing is left at the end."""
    script("down", "--volumes", check=False)
    script("up")
    try:
        yield
    finally:
        script("down", "--volumes")
        podman("image", "rm", "--ignore", f"localhost/srmd:{NEWER}")
        left = podman("ps", "--all", "--format", "{{.Names}}").stdout.split()
        assert not {*NAMES.values(), *OTHERS} & set(left)
        assert "srmd_" not in podman("volume", "ls", "--format", "{{.Name}}").stdout


@pytest.fixture
def pair(up: None) -> Pair:
    """In row 1."""
    found = Pair()
    if not found.is_home():
        script("down", "--volumes")
        script("up")
        found = Pair()
        found.reaches(a="Normal / Normal", b="Normal / Normal")
    return found
