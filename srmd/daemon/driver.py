"""The driver: one inbox, one consumer.  event -> step -> save -> tell -> arm -> act.

The order is the core's (`Ready`); the driver adds only time and tasks.  What we say of ourselves
(`spoken`) changes when the new state is durable, not before.  Orders run as tasks beside the
consumer, so a slow disk or a slow service never delays an event; their answers come back through
the inbox.  An exception in an order becomes an OperationFailed and never leaves its task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

from srmd.core.effects import Effect, MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Event,
    FallbackDue,
    OperationFailed,
    Order,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import Step, ready
from srmd.core.node import Node, Timer
from srmd.core.transitions import step
from srmd.node.timing import TIMER_LATE_S

INBOX_EVENTS = 1024
"""Bound of the inbox.  A node handles an event in well under a millisecond, so a full inbox is a
fault of ours: reports are dropped then (they come again), and requests are refused."""
FULL_INBOX_PAUSE_S = 0.1
"""How soon a timer that found the inbox full rings again."""


class Shell(Protocol):
    """What the driver needs of its surroundings."""

    async def save(self, node: Node) -> None:
        """Make the state durable.  Never raises: a disk that fails is the shell's to report."""
        ...

    def tell(self) -> None:
        """Let the peer know at once what we now say of ourselves."""
        ...

    async def start_services(self) -> None: ...

    async def stop_services(self) -> None: ...

    async def move_users(self, order: MoveUsers) -> None: ...

    def stepped(self, before: Node, event: Event, result: Step, at_s: float) -> None:
        """An event was decided on, at a monotonic second; nothing is done about it yet."""
        ...

    def spoke(self, before: Node, result: Step) -> None:
        """The decision is durable, and from now on it is what we say of ourselves."""
        ...

    def order_failed(self, order: Order, op: int, error: Exception) -> None: ...

    def timer_s(self, timer: Timer, node: Node) -> float:
        """How long a timer of the machine runs, in seconds."""
        ...


class Driver:
    """Drives one node; made anew with each start of SRM."""

    def __init__(self, node: Node, shell: Shell) -> None:
        self.node = node
        """What the node is, by all that was decided."""
        self.spoken = node
        """What the node says it is: the last state that is durable."""
        self.has_spoken = False
        """A decision of this run is durable; until then `spoken` is what a former run said."""
        self.dropped_count = 0
        self._shell = shell
        self._inbox: asyncio.Queue[tuple[Event | None, asyncio.Future[Step | None] | None]] = (
            asyncio.Queue(INBOX_EVENTS)
        )
        """Events, each with who waits for the decision.  None only passes, see `passed`."""
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._orders: dict[asyncio.Task[None], Effect] = {}
        self._asking: asyncio.Future[Step | None] | None = None
        """Waits for the decision that is being made."""
        self._ended = False
        self._failure: Exception | None = None
        """The error of a timer that rang."""

    def put(self, event: Event) -> bool:
        """Hand an event in; False when the inbox is full and the event is lost."""
        return self._enter(event, None)

    async def ask(self, event: Event) -> Step | None:
        """Hand a request in and wait for the decision.

        None: it is not taken up, because the inbox is full or SRM stops.
        """
        answer: asyncio.Future[Step | None] = asyncio.get_running_loop().create_future()
        if not self._enter(event, answer):
            return None
        return await answer

    async def passed(self) -> None:
        """The consumer has come past all that was handed in before; nothing is decided on.

        It is how a driver shows that it lives: with one that hangs this never returns.  When SRM
        stops it returns at once.
        """
        answer: asyncio.Future[Step | None] = asyncio.get_running_loop().create_future()
        while not self._ended:
            try:
                self._inbox.put_nowait((None, answer))
            except asyncio.QueueFull:
                await asyncio.sleep(FULL_INBOX_PAUSE_S)
            else:
                await answer
                return

    def _enter(self, event: Event, answer: asyncio.Future[Step | None] | None) -> bool:
        if self._ended:
            return False
        try:
            self._inbox.put_nowait((event, answer))
        except asyncio.QueueFull:
            self.dropped_count += 1
            return False
        return True

    async def run(self) -> None:
        """Decide on events until cancelled; then no timer and no order of ours is left.

        Raises what a timer raised: a driver whose timers do not ring must not seem well.
        """
        try:
            while True:
                event, self._asking = await self._inbox.get()
                if self._failure is not None:
                    raise self._failure
                result = None if event is None else await self._handle(event)
                if self._asking is not None and not self._asking.done():
                    self._asking.set_result(result)
        finally:
            self._ended = True
            for handle in self._timers.values():
                handle.cancel()
            self._refuse_what_waits()
            await self._end_orders()

    async def _handle(self, event: Event) -> Step:
        before = self.node
        result = step(before, event)
        self._shell.stepped(before, event, result, time.monotonic())
        self.node = result.node
        todo = ready(before, result)
        if todo.save:
            await self._shell.save(result.node)
        self.spoken = result.node
        self.has_spoken = True
        self._shell.spoke(before, result)
        if todo.tell:
            self._shell.tell()
        for timer in todo.disarm:
            self._disarm(timer)
        for timer in todo.arm:
            self._arm(timer)
        self._withdraw_moves()
        for effect in todo.act:
            self._act(effect)
        return result

    def _arm(self, timer: Timer) -> None:
        op = self.node.op
        due = StayExpired(op) if timer is Timer.STAY else FallbackDue(op)
        due_s = time.monotonic() + self._shell.timer_s(timer, self.node)
        self._ring_at(due_s, timer, due)

    def _ring_at(self, due_s: float, timer: Timer, due: Event) -> None:
        loop = asyncio.get_running_loop()
        wait_s = due_s - time.monotonic()
        self._timers[timer] = loop.call_later(wait_s, self._rung, due_s, timer, due)

    def _disarm(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)  # none: it ran before SRM restarted
        if handle is not None:
            handle.cancel()

    def _rung(self, due_s: float, timer: Timer, due: Event) -> None:
        try:
            self._ring(due_s, timer, due)
        except Exception as error:  # noqa: BLE001  # a defect of ours, whatever it is
            self._failure = error
            with suppress(asyncio.QueueFull):  # the consumer comes by anyhow
                self._inbox.put_nowait((None, None))

    def _ring(self, due_s: float, timer: Timer, due: Event) -> None:
        now_s = time.monotonic()
        if (
            now_s - due_s > TIMER_LATE_S
        ):  # we were stopped, and what ended meanwhile is still unread
            self._ring_at(now_s + self._shell.timer_s(timer, self.node), timer, due)
        elif not self.put(due):
            self._ring_at(now_s + FULL_INBOX_PAUSE_S, timer, due)

    def _withdraw_moves(self) -> None:
        """A move that the node has left behind must not become durable later."""
        for task, effect in self._orders.items():
            if isinstance(effect, MoveUsers) and effect.op != self.node.op:
                task.cancel()

    def _act(self, effect: Effect) -> None:
        task = asyncio.create_task(self._carry_out(effect), name=f"order {effect}")
        self._orders[task] = effect
        task.add_done_callback(lambda done: self._orders.pop(done, None))

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartServices(op):
                await self._answer(
                    self._shell.start_services(), ServicesStarted(op), Order.START_SERVICES
                )
            case StopServices(op):
                await self._answer(
                    self._shell.stop_services(), ServicesStopped(op), Order.STOP_SERVICES
                )
            case MoveUsers(op):
                await self._answer(self._shell.move_users(effect), UsersMoved(op), Order.MOVE_USERS)

    async def _answer(
        self,
        work: Awaitable[None],
        done: ServicesStarted | ServicesStopped | UsersMoved,
        order: Order,
    ) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # whatever it is, the operation has failed
            self._shell.order_failed(order, done.op, error)
            await self._inbox.put((OperationFailed(done.op, order), None))
        else:
            await self._inbox.put((done, None))

    async def _end_orders(self) -> None:
        tasks = list(self._orders)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_what_waits(self) -> None:
        answers = [self._asking]
        while not self._inbox.empty():
            answers.append(self._inbox.get_nowait()[1])
        for answer in answers:
            if answer is not None and not answer.done():
                answer.set_result(None)
