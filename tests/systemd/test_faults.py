"""The units on two booted machines: what systemd does to a node, and what its peer sees of it.

Each story leaves the pair at home.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from srmd import __version__
from tests.machines.container import Container
from tests.machines.debian import MachineError
from tests.systemd.installed import NORMAL, UNIT, Installed

ALONE = "Running in Backup Mode / Peer Down"
TOLD = "Running in Backup Mode / Peer Reboot"
BACKUP_BY_HAND = "Running in Backup Mode / On Admin Request"
RETURNED = "Failed Over / Initialization"
SPLIT = "Running in Failed Mode / Unknown"
QUICK_S = 3.0
"""Well below the keep alive timeout of 3.9 s: whoever acts so soon has been told."""
SHUTDOWN_S = 10.0
"""What systemd may need before it comes to our unit, on a busy machine."""
CONFIG = "/etc/srmd/node.toml"
DROP_IN = f"/run/systemd/system/{UNIT}.d"

HANGING = """
import asyncio, pathlib
from srmd.daemon import driver
handle = driver.Driver._handle
async def hangs(self, event):
    while pathlib.Path("/run/srmd/hang").exists():
        await asyncio.sleep(0.05)
    return await handle(self, event)
driver.Driver._handle = hangs
"""
"""Loaded by Python itself (`sitecustomize`): the driver hangs while a file says so, its loop turns.
"""


@contextmanager
def drop_in(machine: Container, text: str) -> Iterator[None]:
    """The unit runs with a few lines more, and then without them."""
    script = f"mkdir -p {DROP_IN} && cat > {DROP_IN}/test.conf <<'EOF'\n{text}\nEOF"
    machine.run("sh", "-c", script)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    try:
        yield
    finally:
        machine.run("rm", "-r", DROP_IN)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", UNIT)


def restarts(machine: Container) -> int:
    return int(machine.unit(UNIT, "NRestarts")["NRestarts"])


def events(machine: Container, name: str) -> int:
    """How often the journal has this event of the node."""
    return len(machine.journal(UNIT, SRMD_EVENT=name))


@pytest.fixture(autouse=True)
def at_home(pair: Installed) -> None:
    """Also after a story that failed."""
    pair.repair()
    pair.comes_home()


def test_systemd_shows_what_the_node_is(pair: Installed) -> None:
    shown = pair.a.unit(UNIT, "Type", "ActiveState", "StatusText", "WatchdogUSec", "NotifyAccess")
    assert shown == {
        "Type": "notify",
        "ActiveState": "active",
        "StatusText": f"{NORMAL} (srmd {__version__})",
        "WatchdogUSec": "20s",
        "NotifyAccess": "main",
    }
    pair.srmd("a", "failover", "a")
    pair.nodes.wait_for("Idle / On Admin Request", BACKUP_BY_HAND)
    assert pair.b.unit(UNIT, "StatusText") == {
        "StatusText": f"{BACKUP_BY_HAND} (srmd {__version__})"
    }


def test_row_5_a_restart_of_the_unit_is_a_restart_of_srm(pair: Installed) -> None:
    pair.srmd("a", "failover", "a")
    pair.nodes.wait_for("Idle / On Admin Request", BACKUP_BY_HAND)
    left = events(pair.b, "peer.left")
    pair.a.run("systemctl", "restart", UNIT)
    pair.nodes.wait_for("Idle / Initialization", BACKUP_BY_HAND)
    pair.nodes.wait_for_row(5, "a", "b")
    assert events(pair.b, "peer.left") == left, "a restart was announced as if it were a shutdown"


def test_row_16_a_stop_of_the_unit_is_silence_and_leaves_no_process(pair: Installed) -> None:
    pair.a.run("systemctl", "stop", UNIT)
    assert pair.a.unit(UNIT, "ActiveState", "Result", "ExecMainStatus", "ControlGroup") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
        "ControlGroup": "",  # systemd removes the group when its last process is gone
    }
    pair.nodes.wait_for(None, ALONE)
    pair.nodes.wait_for_row(16, "b")
    pair.a.run("systemctl", "start", UNIT)
    pair.nodes.wait_for(RETURNED, ALONE)


def test_a_crash_is_a_reason_to_start_again(pair: Installed) -> None:
    before = restarts(pair.a)
    pair.a.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", UNIT)
    pair.a.wait_until("it runs again", lambda: restarts(pair.a) == before + 1)
    pair.a.wait_until("it answers", lambda: pair.nodes.shown("a") is not None)
    pair.comes_home()


def test_a_wrong_configuration_is_no_reason_to_start_again(pair: Installed) -> None:
    change = "s/^critical_service_delay_s = /&-/"
    pair.a.run("sed", "-i", change, CONFIG)
    with pytest.raises(MachineError):
        pair.a.run("systemctl", "restart", UNIT)
    shown = pair.a.unit(UNIT, "ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "10", "NRestarts": "0"}
    said = [record["MESSAGE"] for record in pair.a.journal(UNIT)]
    assert any("services.critical_service_delay_s" in line for line in said)
    pair.a.run("sed", "-i", "s/^critical_service_delay_s = -/critical_service_delay_s = /", CONFIG)
    pair.a.run("systemctl", "start", UNIT)
    pair.comes_home()


def test_the_watchdog_ends_a_process_that_stands_still(pair: Installed) -> None:
    with drop_in(pair.a, "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1"):
        pair.comes_home()
        before = restarts(pair.a)
        pair.a.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", UNIT)
        pair.a.wait_until("it runs again", lambda: restarts(pair.a) == before + 1)
        pair.comes_home()


def test_the_watchdog_ends_a_driver_that_hangs_while_its_loop_turns(pair: Installed) -> None:
    """Its heartbeats go on, so the peer sees nothing: without the watchdog it would stay so."""
    pair.a.run("mkdir", "-p", "/opt/hang")
    (pair.a.disk / "opt/hang/sitecustomize.py").write_text(HANGING)
    with drop_in(pair.a, "[Service]\nWatchdogSec=3\nEnvironment=PYTHONPATH=/opt/hang"):
        pair.comes_home()
        before = restarts(pair.a)
        pair.a.run("touch", "/run/srmd/hang")
        assert pair.nodes.shown("a") is not None, "its loop turns"
        assert pair.nodes.shown("b") == NORMAL
        pair.a.wait_until("it runs again", lambda: restarts(pair.a) == before + 1)
        pair.comes_home()
    said = [str(record["MESSAGE"]) for record in pair.a.journal(UNIT)]
    assert "Fatal Python error: Aborted" in said, "it does not tell where it hung"


def test_row_17_a_reboot_is_announced(pair: Installed) -> None:
    boot = pair.b.boot_id()
    left = events(pair.a, "peer.left")
    pair.b.run("systemctl", "reboot")
    pair.nodes.wait_for(TOLD, None, within_s=QUICK_S + SHUTDOWN_S)
    pair.nodes.wait_for_row(17, "a")
    assert events(pair.a, "peer.left") == left + 1
    pair.b.wait_until("it has gone down", lambda: not pair.b.is_on())
    pair.b.boot()
    assert pair.b.boot_id() != boot
    pair.nodes.wait_for(TOLD, RETURNED)


def test_row_17_a_power_off_is_announced(pair: Installed) -> None:
    pair.a.run("systemctl", "poweroff")
    pair.nodes.wait_for(None, TOLD, within_s=QUICK_S + SHUTDOWN_S)
    pair.a.wait_until("it is off", pair.a.has_halted)
    pair.a.boot()
    pair.nodes.wait_for(RETURNED, TOLD)


@pytest.mark.parametrize("word", ["restart", "stop"])
def test_nothing_is_announced_while_the_machine_stays_up(word: str, pair: Installed) -> None:
    """It took a healthy node down: SIGPWR, exit code 0, and systemd did not start it again."""
    before = pair.a.unit(UNIT, "ActiveState", "MainPID")
    left = events(pair.b, "peer.left")
    pair.a.run("systemctl", word, "srmd-shutdown.service")
    assert pair.a.unit(UNIT, "ActiveState", "MainPID") == before
    pair.a.run("systemctl", "start", "srmd-shutdown.service")
    assert events(pair.b, "peer.left") == left
    assert (pair.nodes.shown("a"), pair.nodes.shown("b")) == (NORMAL, NORMAL)


def test_a_restart_of_all_units_of_srmd_is_a_restart_of_the_node(pair: Installed) -> None:
    before = pair.a.unit(UNIT, "MainPID")
    left = events(pair.b, "peer.left")
    pair.a.run("systemctl", "restart", "srmd*")
    assert pair.a.unit(UNIT, "MainPID") != before
    assert pair.a.unit("srmd-shutdown.service", "ActiveState") == {"ActiveState": "active"}
    pair.comes_home()
    assert events(pair.b, "peer.left") == left, "a restart was announced as if it were a shutdown"


def test_the_rescue_mode_is_a_stop(pair: Installed) -> None:
    left = events(pair.b, "peer.left")
    pair.a.run("systemctl", "isolate", "rescue.target")
    pair.nodes.wait_for(None, ALONE)
    assert events(pair.b, "peer.left") == left
    pair.a.run("systemctl", "isolate", "multi-user.target")
    pair.a.wait_until("it answers", lambda: pair.nodes.shown("a") is not None)
    pair.comes_home()


def test_a_reload_that_cannot_be_used_changes_nothing(pair: Installed) -> None:
    before = pair.a.unit(UNIT, "MainPID", "NRestarts")
    pair.a.run("mv", "/etc/srmd/token", "/etc/srmd/mislaid")
    try:
        with pytest.raises(MachineError):
            pair.a.run("systemctl", "reload", UNIT)
    finally:
        pair.a.run("mv", "/etc/srmd/mislaid", "/etc/srmd/token")
    said = [str(record["MESSAGE"]) for record in pair.a.journal(UNIT)]
    assert any("control.token: file token: No such file or directory" in line for line in said)
    assert pair.a.unit(UNIT, "MainPID", "NRestarts") == before
    assert pair.nodes.shown("a") == NORMAL
    pair.a.run("systemctl", "reload", UNIT)


def test_row_16_a_loss_of_power_and_the_journal_of_it(pair: Installed) -> None:
    left = events(pair.a, "peer.left")
    pair.b.lose_power()
    pair.nodes.wait_for(ALONE, None)
    assert events(pair.a, "peer.left") == left
    (*_, last) = pair.b.journal(UNIT, SRMD_EVENT="node.state_changed")
    assert last["SRMD_STATE"] == "Normal", "the journal of the machine that is off is readable"
    pair.b.boot()
    pair.nodes.wait_for(ALONE, RETURNED)
    (*_, told) = pair.a.journal(UNIT, SRMD_EVENT="alarm.srm_failover")
    fields = ("PRIORITY", "SYSLOG_IDENTIFIER", "SRMD_NODE", "SRMD_FROM_NODE", "SRMD_REASON")
    assert {name: told[name] for name in fields} == {
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "srmd",
        "SRMD_NODE": "a",
        "SRMD_FROM_NODE": "b",
        "SRMD_REASON": "Peer Down",
    }


def test_row_21_a_partition_fails_both_and_recover_heals_it(pair: Installed) -> None:
    with ExitStack() as cut:
        for machine in pair.machines.values():
            cut.enter_context(machine.host.rule("ingress", "udp dport 22001 drop"))
            cut.enter_context(machine.host.rule("ingress", "tcp dport 20075 drop"))
        pair.nodes.wait_for(ALONE, ALONE)
    pair.nodes.wait_for(SPLIT, SPLIT)
    assert pair.a.unit(UNIT, "StatusText") == {"StatusText": f"{SPLIT} (srmd {__version__})"}
    pair.srmd("a", "recover")
    pair.is_home()
