"""The promises are watched on the live machine: what breaks one is logged, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.core import transitions
from srmd.core.events import FailoverRequested, PeerDown, PeerHeard
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.core.transitions import step
from srmd.daemon import monitor as monitor_module
from srmd.daemon import status
from srmd.daemon.monitor import LOGGED_COUNTS, UNASKED, Monitor
from srmd.daemon.node import End, ServerNode
from srmd.daemon.notify import Notify
from srmd.log import start as start_log
from tests.daemon.nodes import Records, config_of, unread
from tests.play import a_node, a_report

BOUND_S = 10.0
NORMAL = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110  # conditions of the product have no event
            await asyncio.sleep(0.002)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ServerNode]:
    config = config_of("a", tmp_path)
    log = start_log(config.log, "a")
    made = ServerNode(unread, config, None, log, Notify(None), rebooted=False)
    await made.power_on()
    yield made
    with suppress(RuntimeError):  # the story has powered it off
        await made.power_off(End.STOPPED)
    log.close()


async def test_a_live_node_whose_guard_is_gone_tells_of_the_broken_promise(
    node: ServerNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails over although nobody hears it; the monitor says so, and the node goes on."""
    assert node.srm is not None
    driver = node.srm.driver
    driver.put(PeerHeard(a_report(State.INITIALIZING, Reason.INITIALIZATION, op=0)))
    await until(lambda: driver.node.state is State.NORMAL)
    assert status.status(node)["counters"]["promises_broken"] == {}

    monkeypatch.setattr(transitions, "may_fail_over", lambda *_: True)
    driver.node = replace(driver.node, peer=a_report(State.INITIALIZING))
    result = await driver.ask(FailoverRequested())
    assert result is not None
    assert result.node.state is State.FAILING_OVER
    assert status.status(node)["counters"]["promises_broken"] == {"obeyed_as_offered": 1}

    await node.power_off(End.STOPPED)
    node._log.close()
    lines = (tmp_path / "a" / "log.jsonl").read_text().splitlines()
    told = [one for one in map(json.loads, lines) if one["event"] == "promise.broken"]
    assert [(one["promise"], one["level"], one["count"]) for one in told] == [
        ("obeyed_as_offered", "error", 1)
    ]
    assert told[0]["row_key"] == "starting"
    assert "NORMAL/normal" in told[0]["what"]


def test_a_promise_that_is_broken_for_ever_does_not_fill_the_log() -> None:
    log = Records()
    monitor = Monitor(log)
    wrong = step(NORMAL, PeerDown())
    wrong = replace(wrong, node=replace(wrong.node, reason=Reason.NORMAL))
    for _ in range(2000):
        monitor.look(NORMAL, PeerDown(), wrong)
    assert monitor.broken["reason_of_the_state"] == 2000
    counts = [
        record["count"] for _, record in log.records if record["promise"] == "reason_of_the_state"
    ]
    assert counts == [1, 10, 100, 1000]
    assert set(counts) < set(LOGGED_COUNTS)


def test_a_monitor_that_fails_says_so_and_the_node_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Node:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(monitor_module, "broken_by", fail)
    log = Records()
    monitor = Monitor(log)
    monitor.look(NORMAL, PeerDown(), step(NORMAL, PeerDown()))
    assert monitor.broken == {UNASKED: 1}
    assert log.records[0][1]["what"] == "the monitor failed: ZeroDivisionError: a defect"
