"""Virtual time: one heap of moments, and the lives of the processes that plan in them.

At one moment arrivals come before work, and work before deadlines: what has arrived is processed
before a deadline at the same instant (R13).  Among equals the order of planning decides.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

Action = Callable[[], None]
HELD_MAX: Final = 10_000
"""Actions that wait while a process stands still; a pair has some dozens."""


class Rank(IntEnum):
    """What comes first at one moment."""

    ARRIVAL = 0
    WORK = 1
    DEADLINE = 2


class Moments:
    """The clock of a simulation, and all that is still to happen in it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.count = 0
        """How many actions have been carried out."""
        self._heap: list[tuple[float, Rank, int, Action]] = []
        self._planned = 0

    @property
    def next_s(self) -> float:
        """When something happens next; infinity when nothing is planned."""
        return self._heap[0][0] if self._heap else math.inf

    def at(self, at_s: float, rank: Rank, action: Action) -> None:
        """Plan an action; what lies in the past happens now."""
        self._planned += 1
        heapq.heappush(self._heap, (max(at_s, self.now_s), rank, self._planned, action))

    def step(self) -> None:
        """The next action."""
        self.now_s, _, _, action = heapq.heappop(self._heap)
        self.count += 1
        action()

    def run_until(self, until_s: float) -> None:
        """All that happens up to this moment, and at it."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, _, action = heapq.heappop(heap)
            self.count += 1
            action()
        self.now_s = max(self.now_s, until_s)


class Planner(Protocol):
    """Where actions can be planned."""

    @property
    def now_s(self) -> float: ...

    def at(self, at_s: float, rank: Rank, action: Action) -> None: ...


class Life:
    """One run of a process, or of a part of it: what it had planned ends with it.

    While it stands still (SIGSTOP) nothing of it happens; what was due meanwhile happens when it
    goes on, in the order in which it was due, behind what has arrived.
    """

    def __init__(self, moments: Moments, parent: Life | None = None) -> None:
        self.moments = moments
        self._parent = parent
        self._ended = False
        self._frozen = False
        self._held: list[tuple[Rank, Action]] = []
        self._at_end: list[Action] = []

    @property
    def now_s(self) -> float:
        return self.moments.now_s

    @property
    def alive(self) -> bool:
        return not self._ended and (self._parent is None or self._parent.alive)

    @property
    def frozen(self) -> bool:
        return self._frozen if self._parent is None else self._parent.frozen

    def at(self, at_s: float, rank: Rank, action: Action) -> None:
        self.moments.at(at_s, rank, lambda: self.do(rank, action))

    def after(self, delay_s: float, action: Action, rank: Rank = Rank.WORK) -> None:
        self.at(self.now_s + delay_s, rank, action)

    def do(self, rank: Rank, action: Action) -> None:
        """Now; or later, while it stands still; or never, when it has ended."""
        if not self.alive:
            return
        if self.frozen:
            self._hold(rank, action)
        else:
            action()

    def at_end(self, action: Action) -> None:
        """Something to be let go when this life ends."""
        self._at_end.append(action)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._held.clear()
            actions, self._at_end = self._at_end, []
            for action in actions:
                action()

    def freeze(self) -> None:
        assert self._parent is None, "a process stands still as a whole"
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False
        held, self._held = self._held, []
        for rank, action in held:
            self.at(self.now_s, rank, action)

    def _hold(self, rank: Rank, action: Action) -> None:
        if self._parent is not None:
            self._parent._hold(rank, lambda: self.do(rank, action))  # noqa: SLF001 -- its own class
            return
        assert len(self._held) < HELD_MAX, "a process that stands still plans nothing new"
        self._held.append((rank, action))


class Alarm:
    """Rings once, at the moment it is set to last."""

    def __init__(self, planner: Planner, rank: Rank, ring: Action) -> None:
        self.at_s: float | None = None
        self._planner = planner
        self._rank = rank
        self._ring = ring
        self._planned_s = math.inf
        """The earliest moment that is planned: a later one needs none of its own until then."""

    def set(self, at_s: float) -> None:
        self.at_s = at_s
        if at_s < self._planned_s:
            self._plan(at_s)

    def cancel(self) -> None:
        self.at_s = None

    def _plan(self, at_s: float) -> None:
        self._planned_s = at_s
        self._planner.at(at_s, self._rank, lambda: self._come(at_s))

    def _come(self, planned_s: float) -> None:
        if planned_s != self._planned_s:
            return  # it was set to an earlier moment since
        self._planned_s = math.inf
        if self.at_s is None:
            return
        if self.at_s > self._planner.now_s:
            self._plan(self.at_s)
        else:
            self.at_s = None
            self._ring()
