"""Two virtual machines with a pair, or it is said loudly why not."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machines.debian import KEPT, PYTHON, missing, run, wheelhouse
from tests.machines.looking import HostClient, Nodes
from tests.machines.vm import ADDRESSES, VirtualMachine, add_bridge, image, node_disk
from tests.netns.hosts import Host

LIMIT_S = 600
"""Of a test; the first one may have to make the disk, and waits until both machines are up."""
UP_S = 150.0
NORMAL = "Normal / Normal"
USERS = 100
SETTINGS = {
    "keep_alive_interval_s": 0.5,
    "keep_alive_timeout_s": 5.75,
    "initialization_keep_alive_timeout_s": 90,
    "start_limit_s": 90,
    "health_interval_s": 2,
    "health_limit_s": 20,
    "critical_service_delay_s": 60,
    "transition_s": 240,
}
"""An emulated processor is slow, most of all when it starts Python."""

_skipped: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for why in _skipped:
        terminalreporter.write_line(
            f"WARNING: no virtual machine was started (tests/vms): {why}", yellow=True, bold=True
        )


@dataclass
class Machines:
    """Both machines, and what their nodes say."""

    a: VirtualMachine
    b: VirtualMachine
    nodes: Nodes

    def is_home(self) -> None:
        self.nodes.wait_for(NORMAL, NORMAL, within_s=UP_S)
        half = {"a": USERS // 2, "b": USERS // 2}

        def holds() -> bool:
            status = self.nodes.status("a")
            return status is not None and status["users"]["served"] == half

        self.nodes.wait_until(f"users served {half}", holds, within_s=UP_S)

    def fall_back(self, node: str) -> None:
        self.nodes.does("fallback", node)
        self.is_home()

    def stays_normal(self, beats: int) -> None:
        """Neither node decides anything while `b` hears so many heartbeats of `a`."""
        begun = {node: self._counted(node) for node in ADDRESSES}

        def holds() -> bool:
            now = {node: self._counted(node) for node in ADDRESSES}
            for node, (op, _) in now.items():
                assert op == begun[node][0], f"node {node} has decided something"
            return now["b"][1] >= begun["b"][1] + beats

        self.nodes.wait_until(f"{beats} heartbeats", holds)

    def _counted(self, node: str) -> tuple[int, int]:
        status = self.nodes.clients[node].status()
        return int(status["local"]["op"]), int(status["counters"]["heartbeats_received"])


@pytest.fixture(scope="session")
def can_emulate() -> None:
    """Skips when there can be no virtual machines; in CI that is a failure."""
    why = missing("mmdebstrap", "qemu-system-x86_64", "mke2fs", "ip")
    if why is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"virtual machines: {why}", pytrace=False)
    _skipped.append(why)
    pytest.skip(f"virtual machines: {why}")


@pytest.fixture(scope="session")
def pair(can_emulate: None) -> Iterator[Machines]:
    """Both up, in row 1, users at home."""
    with ExitStack() as stack:
        KEPT.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=KEPT))
        stack.callback(shutil.rmtree, folder)
        disks, token = _disks(folder)
        lab = Host("a")
        stack.callback(lab.close)
        add_bridge(lab)
        a, b = (
            stack.enter_context(VirtualMachine(node, lab, image(), folder, disks[node]))
            for node in ADDRESSES
        )
        for machine in (a, b):
            machine.power_on()
        for machine in (a, b):
            machine.wait_until_up()
        clients = {node: HostClient(address, lab, token) for node, address in ADDRESSES.items()}
        made = Machines(a, b, Nodes(clients))
        made.nodes.wait_for(NORMAL, NORMAL, within_s=UP_S)
        clients["a"].generate_users(USERS, "balanced", "user")
        made.is_home()
        yield made


def _disks(folder: Path) -> tuple[dict[str, Path], str]:
    """The disk of each node, and the token of both: srmd as a wheel, configured by `srmd init`."""
    wheels = wheelhouse(folder)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels)
    run(
        *(*pip, "--only-binary=:all:", "--python-version", PYTHON),
        *("--target", folder / "lib", "srmd"),
        limit_s=LIMIT_S,
    )
    init = (sys.executable, "-m", "srmd", "init", "--timers", "fast", "--addresses")
    run(*init, *ADDRESSES.values(), folder / "pair", limit_s=60)
    disks = {}
    for node in ADDRESSES:
        tree = folder / f"tree-{node}"
        shutil.copytree(folder / "lib", tree / "lib")
        shutil.copytree(folder / "pair" / f"node-{node}", tree / "node")
        config = tree / "node" / "node.toml"
        text = config.read_text()
        for name, value in SETTINGS.items():
            text, found = re.subn(
                rf"^{name} = [0-9.]+", f"{name} = {value}", text, flags=re.MULTILINE
            )
            assert found == 1, name
        config.write_text(text)
        disks[node] = node_disk(tree, folder / f"disk-{node}.img")
    return disks, (folder / "pair/node-a/token").read_text().strip()
