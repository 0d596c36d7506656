"""Two hosts are made here, or it is said loudly why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.netns.hosts import missing
from tests.netns.pair import HostPair, HostStory, started

QUICK = {
    "heartbeat": {
        "keep_alive_interval_s": 0.05,
        "keep_alive_timeout_s": 0.97,
        "initialization_keep_alive_timeout_s": 3.0,
    },
    "services": {"critical_service_delay_s": 5.0},
}
"""Many beats in a timeout: eighteen in a row have to be lost before a peer is called down.

No story here is about services, so a machine that starts them slowly is no failure.
"""

_skipped: list[str] = []


@pytest.fixture(scope="session")
def can_have_hosts() -> None:
    """Skips when hosts cannot be made here; in CI that is a failure."""
    why = missing()
    if why is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"two hosts: {why}", pytrace=False)
    _skipped.append(why)
    pytest.skip(f"two hosts: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for why in _skipped:
        terminalreporter.write_line(
            f"WARNING: no test of two hosts (tests/netns) was run: {why}", yellow=True, bold=True
        )


@pytest.fixture(scope="session")
def shared(can_have_hosts: None) -> Iterator[list[tuple[HostPair, ExitStack]]]:
    """The pair of all stories that need no settings of their own; see `pair`."""
    pairs = [_made()]
    try:
        yield pairs
    finally:
        for _, stack in pairs:
            stack.close()


def _made() -> tuple[HostPair, ExitStack]:
    stack = ExitStack()
    return stack.enter_context(started(QUICK)), stack


@pytest.fixture
def pair(shared: list[tuple[HostPair, ExitStack]]) -> HostPair:
    """In row 1; one that a story left in disorder is replaced."""
    now = shared[-1][0].look()
    if any(half is None or half[0].name != "NORMAL" for half in now.values()):
        shared.append(_made())
    return shared[-1][0]


@pytest.fixture
def story(pair: HostPair) -> HostStory:
    return HostStory(pair, pair.a, pair.b)


@pytest.fixture
def mirrored(pair: HostPair) -> HostStory:
    """The same with b as the home side."""
    return HostStory(pair, pair.b, pair.a)
