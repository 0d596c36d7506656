"""The parts of a soak that need no minutes, and a few stories on a real pair."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srmd.core.states import State
from srmd.lab.pair import LabNode
from srmd.lab.real.stage import RealStage
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.soak import homeward, running
from srmd.lab.soak.control import Control
from srmd.lab.soak.sampling import CONTROL
from srmd.secret import Secret

BOUND_S = 20.0
BACKUP = State.BACKUP


def status(state: State, *actions: tuple[str, str], key: str = "", **more: Any) -> dict[str, Any]:
    return {
        "srm": "STARTED",
        "local": {"srm_state": int(state)},
        "handbook": {"key": key},
        "actions": [{"action": action, "node": node} for action, node in actions],
        "services": [],
        **more,
    }


def service(name: str, state: str, *, critical: bool = True) -> dict[str, Any]:
    return {"name": name, "state": state, "critical": critical}


def test_a_pair_at_home_is_left_alone() -> None:
    assert homeward.of_node("a", status(State.NORMAL, ("failover", "a"), ("failover", "b"))) == []


def test_what_the_status_offers_is_done() -> None:
    assert homeward.of_node("b", status(BACKUP, ("fallback", "a"))) == ["fallback a"]
    failed = status(State.FAILED_MODE, ("recover", "b"))
    assert homeward.of_node("b", failed) == ["recover via b"]


def test_a_stopped_srm_is_started() -> None:
    assert homeward.of_node("a", status(State.UNKNOWN, srm="STOPPED")) == ["start srm on a"]


def test_services_that_are_missing_are_started_before_the_fallback() -> None:
    services = [
        service("Cisco XCP Router", "STOPPED"),
        service("Cisco SIP Proxy", "STARTED"),
        service("Cisco XCP Message Archiver", "STOPPED", critical=False),
        service("Cisco Server Recovery Manager", "STOPPED"),
    ]
    down = status(State.FAILED_OVER_SERVICES_DOWN, services=services)
    assert homeward.of_node("a", down) == ["start service 'Cisco XCP Router' on a"]


def test_a_failed_database_is_repaired_by_a_reboot() -> None:
    down = status(State.FAILED_OVER_SERVICES_DOWN, key="database_failure")
    assert homeward.of_node("b", down) == ["reboot node b"]


def test_a_defect_in_the_log_is_found_and_an_honest_error_is_not(tmp_path: Path) -> None:
    node = LabNode("a", tmp_path, "mark", Secret("token"))
    lines = [
        json.dumps({"event": "srm.failed", "error": "KeyError"}),
        json.dumps({"event": "alarm.srm_failover", "level": "error"}),
        json.dumps({"event": "node.started"}),
        "Traceback (most recent call last):",
        "[1]",
    ]
    node.log_file.write_text("\n".join(lines) + "\n")
    try:
        found = running.defects_in(node)
    finally:
        node.release()
    assert [text.split(": ", 1)[1] for text in found] == [
        lines[0],
        f"no record: {lines[3]}",
        "no record: [1]",
    ]


def until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def test_the_bare_timer_counts_on_the_schedule_of_the_beats_and_ends_with_us() -> None:
    with Control(0.02) as control:
        until(lambda: sum(control.read()["late"].values()) >= 5)
        assert control.read()["latest_s"] > 0
    with pytest.raises(StageBroken, match="does not answer"):
        control.read()


def test_a_few_stories_on_a_real_pair() -> None:
    """Too short for a verdict on growth; the pair comes home, and all is measured."""
    with RealStage(seed=7) as stage:
        run = running.soak(stage, 0.2, 7, print)
    assert stage.left_behind == []
    assert run.why == ""
    assert len(run.stories) >= 1
    assert run.stories[0].did
    assert {one.node for one in run.samples} == {"a", "b", CONTROL}
    used = [one for one in run.samples if one.node == "a"]
    assert all(one.rss_bytes and one.descriptors and one.threads and one.tasks for one in used)
    assert used[-1].database_bytes
    assert used[-1].journal_bytes
    assert sum(used[-1].late.values()) > 0
    assert any(one.resting for one in used)
    late = [one for one in run.findings if one.what == "lateness of the latest beat"]
    assert all(one.measured is not None for one in late)
    assert not run.passed, "no life rested long enough to be judged"
