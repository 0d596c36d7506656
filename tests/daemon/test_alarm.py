"""The alarm: once, never early, and without leaving a descriptor behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from srmd.daemon import alarm as module
from srmd.daemon.alarm import Alarm

BOUND_S = 10.0
"""For what must happen; far more than it takes."""


class Bell:
    """Notes each ring, and lets a test wait for one."""

    def __init__(self) -> None:
        self.rang_at_s: list[float] = []
        self._rang = asyncio.Event()

    def __call__(self) -> None:
        self.rang_at_s.append(time.monotonic())
        self._rang.set()

    async def rings(self) -> float:
        async with asyncio.timeout(BOUND_S):
            await self._rang.wait()
        self._rang.clear()
        return self.rang_at_s[-1]


def without_timerfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(38, "timerfd_create")

    monkeypatch.setattr(module, "_timerfd_create", refuse)


Make = Callable[[Callable[[], None]], Alarm]


@pytest.fixture(params=["timerfd", "loop"])
async def make(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Make]:
    """Makes alarms of either kind, and closes them."""
    if request.param == "timerfd" and sys.platform != "linux":
        pytest.skip("timerfd is Linux's")
    if request.param == "loop":
        without_timerfd(monkeypatch)
    loop = asyncio.get_running_loop()
    alarms: list[Alarm] = []

    def make(callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(loop, callback)
        assert alarm.exact == (request.param == "timerfd")
        alarms.append(alarm)
        return alarm

    yield make
    for alarm in alarms:
        alarm.close()


async def test_it_rings_once_and_never_early(make: Make) -> None:
    bell = Bell()
    alarm = make(bell)
    due_s = time.monotonic() + 0.02
    alarm.set(due_s)
    assert await bell.rings() >= due_s
    assert alarm.at_s is None
    marker = Bell()
    later = make(marker)
    later.set(time.monotonic() + 0.02)
    await marker.rings()
    assert len(bell.rang_at_s) == 1


async def test_a_moment_that_has_passed_rings_at_once_but_not_within_set(make: Make) -> None:
    bell = Bell()
    alarm = make(bell)
    for passed_s in (0.0, -5.0, time.monotonic() - 1):
        alarm.set(passed_s)
        rung_count = len(bell.rang_at_s)
        await bell.rings()
        assert len(bell.rang_at_s) == rung_count + 1


async def test_setting_it_again_replaces_the_moment(make: Make) -> None:
    bell = Bell()
    alarm = make(bell)
    alarm.set(time.monotonic() + 3600)
    alarm.set(time.monotonic() + 0.01)
    await bell.rings()
    due_s = time.monotonic() + 0.03
    alarm.set(time.monotonic() + 0.001)
    alarm.set(due_s)
    assert await bell.rings() >= due_s
    assert len(bell.rang_at_s) == 2


async def test_an_alarm_put_off_after_it_expired_but_before_the_loop_saw_it_does_not_ring(
    make: Make,
) -> None:
    bell, other = Bell(), Bell()
    alarm, witness = make(bell), make(other)
    alarm.set(time.monotonic() - 1)
    await asyncio.sleep(0)  # let a loop timer become ready
    alarm.set(time.monotonic() + 3600)
    witness.set(time.monotonic() + 0.01)
    await other.rings()
    assert bell.rang_at_s == []


async def test_a_cancelled_alarm_is_silent_and_can_be_set_again(make: Make) -> None:
    bell, other = Bell(), Bell()
    alarm, witness = make(bell), make(other)
    alarm.set(time.monotonic() + 0.005)
    alarm.cancel()
    alarm.cancel()
    witness.set(time.monotonic() + 0.02)
    await other.rings()
    assert bell.rang_at_s == []
    alarm.set(time.monotonic())
    await bell.rings()


async def test_a_callback_may_set_its_alarm_again(make: Make) -> None:
    bell = Bell()

    def ring_and_set_again() -> None:
        bell()
        if len(bell.rang_at_s) < 3:
            alarm.set(time.monotonic() + 0.001)

    alarm = make(ring_and_set_again)
    alarm.set(time.monotonic())
    while len(bell.rang_at_s) < 3:
        await bell.rings()
    assert alarm.at_s is None


async def test_a_closed_alarm_cannot_be_set(make: Make) -> None:
    alarm = make(Bell())
    alarm.close()
    alarm.close()
    with pytest.raises(AssertionError, match="closed"):
        alarm.set(time.monotonic())


async def test_no_moment_is_infinite(make: Make) -> None:
    alarm = make(Bell())
    with pytest.raises(AssertionError, match="inf is not a moment"):
        alarm.set(float("inf"))


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")
async def test_it_overshoots_by_less_than_the_milliseconds_of_a_selector_loop() -> None:
    """Asked of the best of many, because a loaded machine may be late at any one of them."""
    bell = Bell()
    alarm = Alarm(asyncio.get_running_loop(), bell)
    overshoots_s = []
    for _ in range(20):
        due_s = time.monotonic() + 0.0102
        alarm.set(due_s)
        overshoots_s.append(await bell.rings() - due_s)
    alarm.close()
    assert min(overshoots_s) < 0.0007


@pytest.fixture
def open_fds() -> Callable[[], int]:
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


async def test_a_hundred_alarms_leave_no_descriptor(open_fds: Callable[[], int]) -> None:
    before_count = open_fds()
    for _ in range(100):
        alarm = Alarm(asyncio.get_running_loop(), Bell())
        alarm.set(time.monotonic() + 3600)
        alarm.close()
    assert open_fds() == before_count
