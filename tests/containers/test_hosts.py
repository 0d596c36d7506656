"""The guide for two hosts is followed, command by command; then its unit is put to the test.

Each story leaves the pair at home.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest

from srmd import __version__
from tests.containers.engine import (
    IMAGE,
    NEWER,
    USER_ID,
    newer_image,
    podman,
    wait_until,
)
from tests.containers.hosts import FOLDER, UNIT, Machine
from tests.machines import guide
from tests.machines.guide import Block
from tests.machines.looking import HostClient, Nodes
from tests.netns.hosts import Host, two_hosts

GUIDE = guide.read((FOLDER / "README.md").read_text(encoding="utf-8"))
INSTALL, UPGRADE, BACKUP, REMOVAL = (
    "A pair",
    "A new version, one node after the other",
    "A backup",
    "Removal",
)
NORMAL = "Normal / Normal"
ALONE = "Running in Backup Mode / Peer Down"
TOLD = "Running in Backup Mode / Peer Reboot"
RETURNED = "Failed Over / Initialization"
CLEAN = (0, -signal.SIGTERM)
"""Ends of podman that systemd takes for a success: it sends SIGTERM to what a stop has left."""
USERS = 500
TIMERS_S = {
    "keep_alive_timeout_s": 3.9,
    "initialization_keep_alive_timeout_s": 20,
    "critical_service_delay_s": 15,
    "start_limit_s": 60,
}
"""What replaces the guide's timers here: long enough for a start on a busy machine."""

SETTINGS = {
    *("bin", "containers.conf", "etc", "is-system", "journal", "run"),
    *("storage", "storage.conf", "work"),
}
"""What the test itself keeps in root's home."""


class Hosts:
    """Both machines, and the pair on them."""

    def __init__(self, hosts: tuple[Host, Host], folder: Path) -> None:
        a, b = hosts
        self.addresses = {"a": a.address, "b": b.address}
        self.machines = {
            "a": Machine("a", a, folder),
            "b": Machine("b", b, folder),
        }
        shutil.copy(FOLDER / UNIT, self.machines["a"].home)
        archive = folder / "built.tar"
        podman("save", "--quiet", "--output", str(archive), IMAGE)
        self.machines["a"].finishes("podman", "load", "--quiet", "--input", str(archive))
        archive.unlink()

    @property
    def a(self) -> Machine:
        return self.machines["a"]

    @property
    def b(self) -> Machine:
        return self.machines["b"]

    def follow(self, blocks: tuple[Block, ...], version: str = __version__) -> None:
        """Run the commands of a section, each where it says.  Raises AssertionError."""
        for block in blocks:
            for node in block.nodes:
                for command in block.commands:
                    self._type(node, command, version)

    def _type(self, node: str, command: str, version: str) -> None:
        machine = self.machines[node]
        if command.startswith("systemctl "):
            machine.systemctl(*command.split()[1:])
            return
        mine = f"A={self.addresses['a']} B={self.addresses['b']} VERSION={version} TIMERS=fast"
        copies = f'scp() {{ cp -a "${{@:2:$#-2}}" "{self.b.home}/"; }}'
        machine.types(f"{GUIDE.variables}\n{mine}\n{copies}\n{command}")
        if " init " in command:
            for name, value_s in TIMERS_S.items():
                machine.types(f"sed -i 's/^{name} = [0-9.]*/{name} = {value_s}/' pair/*/node.toml")

    @cached_property
    def nodes(self) -> Nodes:
        token = self.a.types("cat /etc/srmd/token").strip()
        return Nodes(
            {
                node: HostClient(self.addresses[node], machine.host, token)
                for node, machine in self.machines.items()
            }
        )

    def is_home(self) -> None:
        """Both Normal, and each user with the home node."""
        self.nodes.wait_for(NORMAL, NORMAL)
        half = {"a": USERS // 2, "b": USERS // 2}

        def holds() -> bool:
            status = self.nodes.status("a")
            return status is not None and status["users"]["served"] == half

        self.nodes.wait_until(f"users served {half}", holds)

    def comes_home(self) -> None:
        """Everything runs again, and the users are brought back."""
        for machine in self.machines.values():
            machine.is_system("running")
            if machine.unit is not None and not machine.unit.is_active:
                machine.unit.start()
        self.nodes.wait_until("the pair has settled", self._has_settled)
        for node in self.machines:
            if self.nodes.shown(node) != NORMAL and self._is_failed_over(node):
                self.nodes.does("fallback", node)
        self.is_home()

    def _has_settled(self) -> bool:
        at_home = all(self.nodes.shown(node) == NORMAL for node in self.machines)
        return at_home or any(self._is_failed_over(node) for node in self.machines)

    def _is_failed_over(self, node: str) -> bool:
        status = self.nodes.status(node)
        return status is not None and {"action": "fallback", "node": node} in status["actions"]


@pytest.fixture(scope="module")
def hosts(can_have_containers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with two_hosts() as both, ExitStack() as stack:
        made = Hosts(both, tmp_path_factory.mktemp("hosts"))
        for machine in made.machines.values():
            stack.callback(machine.close)
        made.follow(GUIDE.sections[INSTALL])
        made.is_home()
        yield made


@pytest.fixture
def pair(hosts: Hosts) -> Hosts:
    """At home, also after a story that failed."""
    hosts.comes_home()
    return hosts


def pid(machine: Machine) -> int:
    """Of the node, as this machine counts."""
    return int(machine.finishes("podman", "inspect", "--format", "{{.State.Pid}}", "srmd"))


def test_configuration_and_secrets_are_for_the_node_alone(pair: Hosts) -> None:
    seen = pair.a.types("stat --format '%u %g %a %n' /etc/srmd /etc/srmd/*").splitlines()
    owned = f"{USER_ID} {USER_ID}"
    assert seen == [
        f"{owned} 700 /etc/srmd",
        *(f"{owned} 600 /etc/srmd/{name}" for name in ("k1.key", "node.toml", "token")),
    ]
    status = Path(f"/proc/{pid(pair.a)}/status").read_text()
    assert f"\nUid:\t{USER_ID}\t{USER_ID}\t{USER_ID}\t{USER_ID}\n" in status
    assert "\nCapBnd:\t0000000000000000\n" in status
    log = pair.a.unit.journal.read_text() if pair.a.unit else ""
    assert '"event": "node.started"' in log, "the log of the node is the unit's journal"
    assert "may read" not in log, "a secret is open to others"


def test_heartbeats_come_from_the_address_of_the_peer(pair: Hosts) -> None:
    """A translation on the way would show here, as a firewall sees it."""

    def received(node: str) -> int:
        status = pair.nodes.status(node)
        return int(status["counters"]["heartbeats_received"]) if status else 0

    others = {"a": pair.addresses["b"], "b": pair.addresses["a"]}
    with ExitStack() as rules:
        for node, machine in pair.machines.items():
            rule = f"udp dport 22001 ip saddr != {others[node]} drop"
            rules.enter_context(machine.host.rule("ingress", rule))
        for node in others:
            target = received(node) + 20
            wait_until(f"{node} receives", lambda: received(node) >= target)  # noqa: B023 - at once
    pair.is_home()


def test_row_16_a_stop_of_the_unit_is_silence_and_leaves_nothing(pair: Hosts) -> None:
    assert pair.a.unit is not None
    before = pair.a.unit.journal.read_text().count('"event": "node.stopped"')
    pair.a.systemctl("stop", UNIT)
    assert pair.a.unit.exits[-1] in CLEAN
    assert pair.a.unit.journal.read_text().count('"event": "node.stopped"') == before + 1
    assert pair.a.finishes("podman", "ps", "--all", "--quiet") == ""
    pair.nodes.wait_for(None, ALONE)
    pair.a.systemctl("start", UNIT)
    pair.nodes.wait_for(RETURNED, ALONE)


def test_row_17_a_machine_that_goes_down_is_announced(pair: Hosts) -> None:
    pair.b.is_system("stopping")
    pair.b.systemctl("stop", UNIT)
    pair.nodes.wait_for(TOLD, None)
    pair.nodes.wait_for_row(17, "a")


def test_a_crash_is_a_reason_to_start_again(pair: Hosts) -> None:
    assert pair.a.unit is not None
    before = pid(pair.a)
    os.kill(before, signal.SIGKILL)
    wait_until("it runs again", lambda: runs_as_another(pair.a, before))
    assert pair.a.unit.exits[-1] == 137


def test_a_hang_is_found_by_three_health_checks(pair: Hosts) -> None:
    """systemd's timers ask for them on a booted machine; here the test does.  Those of the first
    15 s are not counted."""
    hanging = pid(pair.a)
    os.kill(hanging, signal.SIGSTOP)

    def is_replaced() -> bool:
        pair.a.types("podman healthcheck run srmd || true")
        return runs_as_another(pair.a, hanging)

    wait_until("it runs again", is_replaced, within_s=150.0)


def runs_as_another(machine: Machine, before: int) -> bool:
    try:
        return pid(machine) not in (0, before)
    except AssertionError:
        return False  # podman makes it anew


def test_a_wrong_configuration_is_no_reason_to_start_again(pair: Hosts) -> None:
    assert pair.a.unit is not None
    unit = pair.a.unit
    pair.a.systemctl("stop", UNIT)
    pair.a.types("sed -i 's/^keep_alive_timeout_s = /&-/' /etc/srmd/node.toml")
    try:
        before = len(unit.exits)
        pair.a.systemctl("start", UNIT)
        wait_until("it has ended", lambda: not unit.is_active)
        assert unit.exits[before:] == [10]
        assert "heartbeat.keep_alive_timeout_s" in unit.journal.read_text()
    finally:
        pair.a.types(
            "sed -i 's/^keep_alive_timeout_s = -/keep_alive_timeout_s = /' /etc/srmd/node.toml"
        )


def test_a_reload_reaches_the_node(pair: Hosts) -> None:
    assert pair.a.unit is not None
    unit = pair.a.unit
    pair.a.systemctl("reload", UNIT)
    wait_until("it is told", lambda: '"signal": "SIGHUP"' in unit.journal.read_text())
    assert pair.nodes.shown("a") == NORMAL


def test_an_upgrade_and_the_way_back_keep_users_and_state(pair: Hosts) -> None:
    def incarnation() -> int:
        status = pair.nodes.status("a")
        return int(status["local"]["incarnation"]) if status else 0

    before = incarnation()
    for machine in pair.machines.values():
        newer_image(machine.finishes)
    for version in (NEWER, __version__):
        pair.follow(GUIDE.sections[UPGRADE], version)
        for machine in pair.machines.values():
            said = machine.finishes("podman", "exec", "srmd", "srmd", "--version")
            assert said == f"srmd {version}\n"
        pair.is_home()
    assert incarnation() == before + 2


def test_a_backup_is_taken_and_put_back(pair: Hosts) -> None:
    pair.follow(GUIDE.sections[BACKUP])
    pair.comes_home()


def test_after_the_removal_nothing_is_left(pair: Hosts) -> None:
    pair.follow(GUIDE.sections[REMOVAL])
    for machine in pair.machines.values():
        for what in (("ps", "--all"), ("volume", "ls")):
            assert machine.finishes("podman", *what, "--quiet") == "", what
        assert machine.finishes("podman", "images", "--all", "--quiet") == ""
        left = machine.types("ls -d /etc/srmd* /etc/systemd/system/srmd* || true; ls")
        assert set(left.split()) == SETTINGS


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on the PATH; apt-get install systemd")
    unit = tmp_path / UNIT
    unit.write_text((FOLDER / UNIT).read_text().replace("/usr/bin/podman", "/bin/true"))
    command = (analyze, "verify", "--man=no", "--recursive-errors=one", unit)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_guide_names_this_version() -> None:
    assert f"VERSION={__version__}\n" in GUIDE.variables
