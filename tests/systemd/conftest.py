"""Two booted Debian systems with a pair that the guide installed, or it is said loudly why not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from tests.machines import guide
from tests.machines.debian import KEPT, missing, root_file_system, wheelhouse
from tests.netns.hosts import two_hosts
from tests.systemd.installed import BACK, Installed

_skipped: list[str] = []
LIMIT_S = 400
"""Of a test; the first one boots and installs, on a machine that may be busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def can_boot() -> None:
    """Skips when Debian cannot be booted here; in CI that is a failure."""
    why = missing("mmdebstrap", "systemd-nspawn", "nsenter", "ip", "nft", "journalctl")
    if why is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"systemd containers: {why}", pytrace=False)
    _skipped.append(why)
    pytest.skip(f"systemd containers: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for why in _skipped:
        terminalreporter.write_line(
            f"WARNING: nothing was booted under systemd (tests/systemd): {why}",
            yellow=True,
            bold=True,
        )


@pytest.fixture(scope="session")
def pair(can_boot: None) -> Iterator[Installed]:
    """What the first sections of the guide lead to: a pair whose users are at home again."""
    with installed(tls=False, timers="fast") as made:
        yield made


@pytest.fixture(scope="module")
def pair_with_tls(can_boot: None) -> Iterator[Installed]:
    """The same with TLS, with Cisco's timers."""
    with installed(tls=True, timers="cisco") as made:
        yield made


@contextmanager
def installed(*, tls: bool, timers: Literal["cisco", "fast"]) -> Iterator[Installed]:
    root = root_file_system()
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=KEPT))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        hosts = stack.enter_context(two_hosts())
        wheels = wheelhouse(folder)
        made = stack.enter_context(Installed(hosts, root, wheels, folder, tls=tls, timers=timers))
        made.boot()
        made.install()
        made.nodes.wait_for("Idle / On Admin Request", BACKUP_BY_HAND)
        made.follow(guide.read().sections[BACK])
        made.is_home()
        yield made


BACKUP_BY_HAND = "Running in Backup Mode / On Admin Request"
