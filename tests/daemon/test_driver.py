"""The driver: save before speak, answers by `op`, and no end that leaves somebody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from srmd.core.effects import MoveUsers
from srmd.core.events import (
    Event,
    FailoverRequested,
    HealthChanged,
    Order,
    PeerDown,
    PeerHeard,
    Report,
    ServicesStopped,
)
from srmd.core.machine import Step
from srmd.core.node import Node, Timer
from srmd.core.states import Contact, Health, Reason, State
from srmd.daemon.driver import INBOX_EVENTS, Driver
from srmd.node.timing import TIMER_LATE_S

BOUND_S = 10.0
"""For what must happen; far more than it takes."""
PEER_NORMAL = Report(State.NORMAL, Reason.NORMAL, op=3)
NORMAL = Node(State.NORMAL, Reason.NORMAL, Reason.NORMAL, op=3, contact=Contact.HEARD)


class Shell:
    """Writes down what it is told to do, in order; disk and orders can be held up or fail."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.driver: Driver | None = None
        self.disk_free = asyncio.Event()
        self.disk_free.set()
        self.work_free = asyncio.Event()
        self.work_free.set()
        self.fails: Exception | None = None
        self.timers_s = {Timer.STAY: 60.0, Timer.FALLBACK: 60.0}
        self.waiting_s = 0.0

    async def save(self, node: Node) -> None:
        self.told.append(f"saving {node.state.name}")
        await self.disk_free.wait()
        self.told.append(f"saved {node.state.name}")

    def tell(self) -> None:
        assert self.driver is not None
        self.told.append(f"told {self.driver.spoken.state.name}")

    async def start_services(self) -> None:
        await self._work("start services")

    async def stop_services(self) -> None:
        await self._work("stop services")

    async def move_users(self, order: MoveUsers) -> None:
        await self._work(f"move {order.op}")

    async def _work(self, what: str) -> None:
        self.told.append(what)
        try:
            await self.work_free.wait()
        except asyncio.CancelledError:
            self.told.append(f"{what} withdrawn")
            raise
        if self.fails is not None:
            raise self.fails

    def stepped(self, before: Node, event: Event, result: Step, at_s: float) -> None:
        self.told.append(type(event).__name__)

    def spoke(self, before: Node, result: Step) -> None: ...

    def order_failed(self, order: Order, op: int, error: Exception) -> None:
        self.told.append(f"{order.value} failed: {error}")

    def timer_s(self, timer: Timer, node: Node) -> float:
        return self.timers_s[timer]


@asynccontextmanager
async def driven(node: Node, shell: Shell) -> AsyncIterator[tuple[Driver, asyncio.Task[None]]]:
    driver = Driver(node, shell)
    shell.driver = driver
    task = asyncio.create_task(driver.run())
    try:
        yield driver, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110  # conditions of the product have no event
            await asyncio.sleep(0)


async def test_a_state_is_durable_before_it_is_told_or_acted_upon() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        shell.disk_free.clear()
        driver.put(FailoverRequested())
        await until(lambda: "saving FAILING_OVER" in shell.told)
        assert driver.spoken.state is State.NORMAL
        assert not {"told FAILING_OVER", "stop services"} & set(shell.told)
        shell.disk_free.set()
        await until(lambda: "ServicesStopped" in shell.told)
    order = ("saved FAILING_OVER", "told FAILING_OVER", "stop services", "ServicesStopped")
    assert [shell.told.index(word) for word in order] == sorted(map(shell.told.index, order))


async def test_an_answer_to_a_withdrawn_order_changes_nothing() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(ServicesStopped(op=2))
        driver.put(FailoverRequested())
        driver.put(ServicesStopped(op=3))
        await until(lambda: shell.told.count("ServicesStopped") == 3)
        assert driver.node.state is State.FAILING_OVER


async def test_a_move_is_withdrawn_when_the_node_goes_on_without_it() -> None:
    """Taking over from a silent peer that turns out to have taken over as well."""
    shell = Shell()
    shell.work_free.clear()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(PeerDown())
        await until(lambda: "move 4" in shell.told)
        driver.put(PeerHeard(Report(State.FAILED_MODE, Reason.UNKNOWN, op=9)))
        await until(lambda: "move 4 withdrawn" in shell.told)
        assert driver.node.state is State.FAILED_MODE


async def test_an_order_that_raises_is_an_operation_that_failed() -> None:
    shell = Shell()
    shell.fails = RuntimeError("boom")
    async with driven(NORMAL, shell) as (driver, task):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(PeerDown())
        await until(lambda: driver.node.state is State.FAILED_MODE)
        assert driver.node.reason is Reason.TAKE_OVER_USERS_FAILED
        assert "move_users failed: boom" in shell.told
        assert not task.done()


async def test_a_full_inbox_drops_events_and_refuses_requests() -> None:
    shell = Shell()
    shell.disk_free.clear()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerDown())
        await until(lambda: "saving TAKING_OVER" in shell.told)
        assert all(driver.put(PeerHeard(PEER_NORMAL)) for _ in range(INBOX_EVENTS))
        assert not driver.put(PeerHeard(PEER_NORMAL))
        assert await driver.ask(FailoverRequested()) is None
        assert driver.dropped_count == 2
        shell.disk_free.set()
        await until(lambda: shell.told.count("PeerHeard") == INBOX_EVENTS)


async def test_a_refusal_is_answered_with_what_is_needed() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, _):
        answer = await driver.ask(FailoverRequested())
        assert answer is not None
        assert answer.refusal is not None


async def test_who_asks_is_answered_also_when_srm_stops_in_the_middle() -> None:
    """The request that was being saved, one that waited, and one that came too late: each of them
    waited for ever once, and the administrator's command with it."""
    shell = Shell()
    shell.disk_free.clear()
    async with driven(NORMAL, shell) as (driver, task):
        driver.put(PeerHeard(PEER_NORMAL))
        saved = asyncio.create_task(driver.ask(FailoverRequested()))
        waits = asyncio.create_task(driver.ask(FailoverRequested()))
        await until(lambda: "saving FAILING_OVER" in shell.told)
        task.cancel()
        async with asyncio.timeout(BOUND_S):
            assert [await saved, await waits] == [None, None]
            assert await driver.ask(FailoverRequested()) is None


async def test_a_stopped_driver_leaves_no_order_and_no_timer() -> None:
    shell = Shell()
    shell.work_free.clear()
    async with driven(NORMAL, shell) as (driver, task):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(PeerDown())
        await until(lambda: "move 4" in shell.told)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "move 4 withdrawn" in shell.told
        assert all(handle.cancelled() for handle in driver._timers.values())


async def test_a_passing_state_that_lasts_too_long_is_a_failure() -> None:
    shell = Shell()
    shell.work_free.clear()
    shell.timers_s[Timer.STAY] = 0.02
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(FailoverRequested())
        await until(lambda: driver.node.state is State.FAILED_MODE)


async def test_a_timer_that_rings_late_was_not_awake_and_is_counted_anew() -> None:
    """SIGSTOP while failing over: on waking, the timer was due before the peer could be read."""
    shell = Shell()
    shell.work_free.clear()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        driver.put(FailoverRequested())
        await until(lambda: Timer.STAY in driver._timers)
        armed = driver._timers[Timer.STAY]
        due_s, timer, due = armed._args
        driver._ring(due_s - TIMER_LATE_S - 60.1, timer, due)
        assert driver._timers[Timer.STAY] is not armed
        assert "StayExpired" not in shell.told
        driver._ring(due_s, timer, due)
        await until(lambda: "StayExpired" in shell.told)


async def test_an_event_during_a_slow_save_is_decided_upon_afterwards() -> None:
    shell = Shell()
    shell.disk_free.clear()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerDown())
        driver.put(HealthChanged(Health.SERVICE_DOWN, lasting=False))
        await until(lambda: "saving TAKING_OVER" in shell.told)
        assert "HealthChanged" not in shell.told
        shell.disk_free.set()
        await until(lambda: "HealthChanged" in shell.told)
        assert driver.node.health is Health.SERVICE_DOWN


async def test_passing_shows_that_the_driver_lives_and_decides_nothing() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, _):
        driver.put(PeerHeard(PEER_NORMAL))
        async with asyncio.timeout(BOUND_S):
            await driver.passed()
        assert shell.told == ["PeerHeard"]


async def test_a_driver_that_hangs_lets_nobody_pass() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, _):
        shell.disk_free.clear()
        driver.put(PeerDown())
        passing = asyncio.create_task(driver.passed())
        await until(lambda: "saving TAKING_OVER" in shell.told)
        assert not passing.done()
        shell.disk_free.set()
        async with asyncio.timeout(BOUND_S):
            await passing


async def test_whoever_passes_is_not_forgotten_when_srm_stops() -> None:
    shell = Shell()
    async with driven(NORMAL, shell) as (driver, running):
        shell.disk_free.clear()
        driver.put(PeerDown())
        while driver.put(PeerHeard(PEER_NORMAL)):
            pass
        passing = asyncio.create_task(driver.passed())  # finds the inbox full
        await until(lambda: "saving TAKING_OVER" in shell.told)
        running.cancel()
        async with asyncio.timeout(BOUND_S):
            await passing
            await driver.passed()
