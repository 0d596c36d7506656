"""Faults that only a machine of its own can have.  Each story leaves the pair at home."""

from __future__ import annotations

from tests.vms.conftest import NORMAL, Machines

ALONE = "Running in Backup Mode / Peer Down"
YIELDED = "Failed Over / Peer Down"
RETURNED = "Failed Over / Initialization"
SPLIT = "Running in Failed Mode / Unknown"
DAY_S = 86_400


def test_two_virtual_machines_are_a_pair(pair: Machines) -> None:
    pair.nodes.wait_for_row(1, "a", "b")


def test_the_wall_clock_may_jump_a_day(pair: Machines) -> None:
    """Only monotonic time decides (R13)."""
    for jump_s in (DAY_S, -2 * DAY_S, DAY_S):
        before_s = int(pair.a.run("date +%s"))
        pair.a.run(f"date -s @{before_s + jump_s}")
        pair.stays_normal(beats=15)
    pair.nodes.wait_for(NORMAL, NORMAL)


def test_delay_and_some_loss_change_nothing(pair: Machines) -> None:
    pair.a.run("tc qdisc add dev eth0 root netem delay 100ms 30ms loss 5%")
    pair.stays_normal(beats=20)
    pair.a.run("tc qdisc del dev eth0 root")


def test_whoever_is_not_heard_and_hears_yields(pair: Machines) -> None:
    """All of what a sends is lost; b takes over, and a, which hears it say so, yields (R9)."""
    pair.a.run("tc qdisc add dev eth0 root netem loss 100%")
    pair.nodes.wait_for(None, ALONE)
    pair.nodes.wait_for_row(16, "b")
    pair.a.run("tc qdisc del dev eth0 root")
    pair.nodes.wait_for(YIELDED, ALONE)
    pair.fall_back("a")


def test_row_21_the_link_is_pulled_and_plugged_in_again(pair: Machines) -> None:
    pair.b.qmp("set_link", name="n0", up=False)
    pair.nodes.wait_for(ALONE, None)
    pair.nodes.wait_for_row(16, "a")
    pair.b.run(f"until grep -q '{ALONE_LOGGED}' /opt/srmd/log.jsonl; do sleep 0.2; done")
    pair.b.qmp("set_link", name="n0", up=True)
    pair.nodes.wait_for(SPLIT, SPLIT)
    pair.nodes.does("recover", "a")
    pair.is_home()


ALONE_LOGGED = '"state": "Running in Backup Mode", "reason": "Peer Down"'


def test_a_frozen_machine_wakes_up_and_yields(pair: Machines) -> None:
    pair.b.qmp("stop")
    pair.nodes.wait_for(ALONE, None)
    pair.b.qmp("cont")
    pair.nodes.wait_for(ALONE, YIELDED)
    pair.fall_back("b")


def test_row_16_the_power_is_cut(pair: Machines) -> None:
    pair.a.cut_power()
    pair.nodes.wait_for(None, ALONE)
    pair.nodes.wait_for_row(16, "b")
    pair.a.power_on()
    pair.a.wait_until_up()
    pair.nodes.wait_for(RETURNED, ALONE, within_s=150)
    pair.fall_back("a")
