"""From a peer killed with -9 to its users served here, beside what the machine does at its best.

A real pair.  In each round node a is killed; node b decides at its deadline, takes over, and logs
where the time went; then a comes back and the users go home.  The deadline is the timeout after the
last heartbeat that b received, so the overshoot is that of b alone, exact, on one clock.

Two bare timers of the same length run in the same round: the daemon's alarm in an empty event loop,
and a thread that does nothing but read a timerfd.  They are set a little before the kill, one after
the other, so that none of the three wakes the machine for another.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from srmd.client import ClientError
from srmd.daemon import alarm
from srmd.lab.pair import LabPair
from tests.bench.figure import Figure, Sample, Within, timed_s

INTERVAL_S = 0.085
"""Of the heartbeats; no deadline is a multiple of it."""
APART_S = 0.03
"""Between the moments at which the timers ring, so that they do not disturb each other."""
USERS_COUNT = 25_000
NODE_STATE_BYTES = 700
"""About what a node's memory takes."""
LIMIT_S = 20.0
"""How long anything but a deadline may take, on a busy machine."""
GOAL_S = 0.0005

EXACT = "deadline_to_decision_s"
SERVED = "decision_to_backup_s"
PARTS = ("decision_to_saved_s", "saved_to_users_moved_s", "users_moved_to_backup_s")


@dataclass(frozen=True, slots=True)
class Case:
    timeout_s: float
    rounds_count: int
    core_busy: bool = False
    """Another process takes all of a core that it can get."""

    def __str__(self) -> str:
        return f"{self.timeout_s:g} s{', a core busy' if self.core_busy else ''}"


CASES = (Case(0.3, 15), Case(1.0, 12), Case(3.0, 8), Case(1.0, 8, core_busy=True))
QUICK_CASES = (Case(0.3, 1),)


@dataclass(slots=True)
class Rounds:
    """What the rounds of a case brought, in seconds."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """`failover.completed` of node b."""
    alarm_s: list[float] = field(default_factory=list)
    timerfd_s: list[float] = field(default_factory=list)
    bare_writes_s: list[float] = field(default_factory=list)


def run(*, quick: bool = False) -> list[Figure]:
    """The overshoot in each case, and the time from decision to users served while no core is
    taken."""
    figures: list[Figure] = []
    calm = Rounds()
    for case in QUICK_CASES if quick else CASES:
        rounds = _measure(case)
        figures += _overshoot(case, rounds)
        if not case.core_busy:
            calm.records += rounds.records
            calm.bare_writes_s += rounds.bare_writes_s
    return [*figures, _served(calm)]


def _overshoot(case: Case, rounds: Rounds) -> list[Figure]:
    overshoot = Sample(tuple(record[EXACT] for record in rounds.records))
    name = f"crash to decision, past {case}"
    goal = Within(1, more_s=GOAL_S)
    return [
        Figure(
            name=name,
            ours=overshoot,
            beside_name=beside_name,
            beside=Sample(tuple(beside_s)),
            goal=goal,
        )
        for beside_name, beside_s in (
            ("timerfd, blocking read", rounds.timerfd_s),
            ("timerfd, bare asyncio loop", rounds.alarm_s),
        )
    ]


def _served(rounds: Rounds) -> Figure:
    parts = ", ".join(
        f"{part.removesuffix('_s').replace('_', ' ')} "
        f"{median(record[part] for record in rounds.records) * 1000:.2f} ms"
        for part in PARTS
    )
    return Figure(
        name=f"decision to {USERS_COUNT:,} users served",
        ours=Sample(tuple(record[SERVED] for record in rounds.records)),
        beside_name="2 synced files + 1 SQLite commit",
        beside=Sample(tuple(rounds.bare_writes_s)),
        note=f"medians: {parts}",
    )


def _measure(case: Case) -> Rounds:
    rounds, timeout_s = Rounds(), case.timeout_s
    with (
        LabPair({"heartbeat": _heartbeat(timeout_s)}) as pair,
        _bare_writes(pair.folder) as bare_writes,
        ThreadPoolExecutor(2) as timers,
        _busy_core(case.core_busy),
    ):
        _add_users(pair)
        for _ in range(case.rounds_count):
            begun_s = time.monotonic()
            by_alarm = timers.submit(_alarm_overshoot_s, begun_s + timeout_s)
            by_timerfd = timers.submit(_timerfd_overshoot_s, begun_s + timeout_s + APART_S)
            # Node b counts from its last heartbeat, which is up to an interval old at the kill.
            time.sleep(INTERVAL_S + 2 * APART_S)
            pair.a.kill()
            rounds.alarm_s.append(by_alarm.result())
            rounds.timerfd_s.append(by_timerfd.result())
            rounds.records.append(_completed(pair, len(rounds.records)))
            rounds.bare_writes_s.append(timed_s(bare_writes))
            _bring_back(pair)
    return rounds


def _heartbeat(timeout_s: float) -> dict[str, str | float | bool]:
    return {
        "keep_alive_interval_s": INTERVAL_S,
        "keep_alive_timeout_s": timeout_s,
        "initialization_keep_alive_timeout_s": max(timeout_s, 2.0),
    }


def _add_users(pair: LabPair) -> None:
    pair.a.client.generate_users(USERS_COUNT, "balanced", "user")
    pair.wait_until(
        f"{USERS_COUNT} users at node b",
        lambda: bool(pair.b.client.topology()["total"] == USERS_COUNT),
        within_s=LIMIT_S,
    )


def _completed(pair: LabPair, before_count: int) -> dict[str, Any]:
    """The record of the take-over that follows so many others."""

    def records() -> list[dict[str, Any]]:
        lines = pair.b.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if '"failover.completed"' in line]

    pair.wait_until(
        "node b has taken over", lambda: len(records()) > before_count, within_s=LIMIT_S
    )
    record = records()[before_count]
    assert record["users_count"] == USERS_COUNT, record
    return record


def _bring_back(pair: LabPair) -> None:
    """Node a is started again, and both serve their own users as before."""

    def falls_back() -> bool:
        try:
            pair.a.fallback()
        except ClientError:
            return False  # Node b has not heard yet that a is Failed Over.
        return True

    pair.a.start()
    pair.wait_for(a="Failed Over/Initialization", b="Running in Backup Mode/Peer Down")
    pair.wait_until("the fallback is accepted", falls_back, within_s=LIMIT_S)
    pair.wait_for(a="Normal/Normal", b="Normal/Normal")


@contextmanager
def _busy_core(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinner.kill()
        spinner.wait()


def _alarm_overshoot_s(at_s: float) -> float:
    async def ring() -> float:
        loop = asyncio.get_running_loop()
        rung: asyncio.Future[float] = loop.create_future()
        bell = alarm.Alarm(loop, lambda: rung.set_result(time.monotonic()))
        bell.set(at_s)
        try:
            return await rung
        finally:
            bell.close()

    return asyncio.run(ring()) - at_s


def _timerfd_overshoot_s(at_s: float) -> float:
    fd = alarm._timerfd_create()
    try:
        os.set_blocking(fd, True)
        alarm._timerfd_settime(fd, round(at_s * 1e9))
        os.read(fd, 8)
        return time.monotonic() - at_s
    finally:
        os.close(fd)


@contextmanager
def _bare_writes(folder: Path) -> Iterator[Callable[[], None]]:
    """The least that a take-over has to make durable: the state Taking Over, the placement of the
    users, the state Running in Backup Mode."""
    with closing(sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE one (value INTEGER)")
        bare.execute("INSERT INTO one VALUES (0)")

        def write() -> None:
            _write_synced(folder / "taking_over")
            bare.execute("UPDATE one SET value = value + 1")
            _write_synced(folder / "backup")

        yield write


def _write_synced(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"x" * NODE_STATE_BYTES)
        file.flush()
        os.fsync(file.fileno())
