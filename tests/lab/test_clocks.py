"""Clocks that jump: time of day does, monotonic time and what waits by it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from srmd.lab.api import Lab
from srmd.lab.real import clocks
from srmd.lab.scenario.running import StoryFailed
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.scenario.story import Settings

HOUR_S = 3600.0

WAITS = """
import asyncio, json, sys, threading, time
from pathlib import Path
from srmd.daemon.alarm import Alarm
from srmd.lab.real import clocks

clock = Path(sys.argv[1])

def late(wait):
    # How late a wait of 0.2 s ends when the clock jumps in the middle of it, and what jumped.
    began_s, began = time.monotonic(), time.time()
    wait()
    took_s = time.monotonic() - began_s
    return round(took_s - 0.2, 3), round(time.time() - began - took_s)

async def alarm():
    loop = asyncio.get_running_loop()
    rang = loop.create_future()
    one = Alarm(loop, lambda: rang.set_result(None))
    clocks.put(clock, float(sys.argv[2]))
    one.set(time.monotonic() + 0.2)  # behind the jump: each heartbeat sets it anew
    await rang
    one.close()

async def slept():
    asyncio.get_running_loop().call_later(0.1, clocks.put, clock, float(sys.argv[2]))
    await asyncio.sleep(0.2)

def event():
    threading.Timer(0.1, clocks.put, (clock, float(sys.argv[2]))).start()
    threading.Event().wait(0.2)

def stood_still():
    threading.Timer(0.1, clocks.put, (clock, float(sys.argv[2]))).start()
    time.sleep(0.2)

def fresh(wait):
    clocks.put(clock, 0)
    return late(wait)

print(json.dumps({
    "event": fresh(event),
    "sleep": fresh(stood_still),
    "loop": fresh(lambda: asyncio.run(slept())),
    "alarm": fresh(lambda: asyncio.run(alarm())),
}))
"""


@pytest.fixture
def clocks_can_be_made() -> None:
    """Skips when they cannot; in CI that is a failure."""
    why = clocks.missing()
    if why is not None and os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    if why is not None:
        pytest.skip(why)


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_only_the_time_of_day_jumps(
    clocks_can_be_made: None, tmp_path: Path, ahead_s: float
) -> None:
    """libfaketime once made an alarm, set behind a jump back, ring an hour late."""
    clock = tmp_path / "clock"
    clocks.put(clock, 0)
    env = os.environ | clocks.environment(clocks.build(tmp_path), clock)
    done = subprocess.run(
        [sys.executable, "-c", WAITS, str(clock), str(ahead_s)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env | {"PYTHONPATH": str(Path(clocks.__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"event", "sleep", "loop", "alarm"}
    for waited, (late_s, jumped_s) in found.items():
        assert -0.001 <= late_s < 5, waited
        assert jumped_s == ahead_s, waited


def test_a_node_writes_the_new_time_and_stays_in_row_1(clocks_can_be_made: None) -> None:
    def seconds_ahead(lab: Lab) -> float:
        """Of the last line of a's log: its time of day against its monotonic time."""
        line = json.loads(lab.stage.wired.pair.a.log_file.read_text().splitlines()[-1])
        told_s, monotonic_s = datetime.fromisoformat(line["ts"]).timestamp(), float(line["mono_s"])
        return told_s - monotonic_s - (time.time() - time.monotonic())

    with Lab.running(Settings(clocks=True)) as lab:
        lab.do("put clock forward by 1h on a", "restart service Cisco SIP Proxy on a")
        assert seconds_ahead(lab) == pytest.approx(HOUR_S, abs=1)
        lab.do("put clock back by 1h on a", "restart service Cisco SIP Proxy on a")
        assert seconds_ahead(lab) == pytest.approx(-HOUR_S, abs=1)
        lab.heal()
        lab.do("restart service Cisco SIP Proxy on a")
        assert seconds_ahead(lab) == pytest.approx(0, abs=1)


def test_a_pair_that_was_started_without_clocks_says_so() -> None:
    with Lab.running() as lab, pytest.raises(StoryFailed, match="srmd lab up --clocks"):
        lab.do("put clock forward by 1h on a")


def test_a_compiler_that_fails_is_quoted(
    tmp_path: Path, clocks_can_be_made: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "SOURCE", tmp_path / "none.c")
    with pytest.raises(StageBroken, match=r"did not make the clocks: .*none\.c"):
        clocks.build(tmp_path)


def test_without_a_compiler_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "gcc" in (clocks.missing() or "")
