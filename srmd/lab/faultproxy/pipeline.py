"""One direction of a UDP proxy: its toxics in order, one bounded queue, and the evidence.

Pure, so virtual time can run it: whoever owns it brings datagrams in, asks when the next one is
due, and takes the due ones out.

    ready = pipeline.admit(now_s, datagram)     # these go out at once
    wake me at pipeline.next_due_s
    ready = pipeline.take_due(now_s)

A datagram meets the toxics that are there when it arrives; later changes are for later datagrams.
Only what a toxic has parked is still its own, and continues behind it when the toxic is removed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from srmd.lab.faultproxy.datagrams import Datagram, DatagramToxic, Decision, happens

QUEUE_DATAGRAMS = 10_000
"""How many datagrams may wait in one direction, parked ones included."""
QUEUE_BYTES = 16 * 2**20
"""How many bytes may wait in one direction, parked ones included."""


@dataclass(frozen=True, slots=True)
class Room:
    """The bounds of the queue of one direction."""

    datagrams: int = QUEUE_DATAGRAMS
    bytes: int = QUEUE_BYTES


@dataclass(frozen=True, slots=True)
class Step:
    """What one toxic did to one datagram."""

    toxic: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of a datagram when it arrived, or when a toxic gave it up."""

    at_s: float
    datagram: Datagram
    steps: tuple[Step, ...]
    """Only toxics that touched it."""
    releases_s: tuple[float, ...]
    """When it leaves, once for each copy; none: it is lost or parked."""
    queue_dropped: int = 0
    """How many copies found the queue full."""
    parked_before: bool = False
    """It is not new: a toxic that ended gave it up."""


@dataclass(slots=True)
class Counts:
    """The evidence of one direction."""

    received: int = 0
    forwarded: int = 0
    """Handed to the socket."""
    queue_dropped: int = 0
    """No room in the queue or in the buffer of a bandwidth toxic: not a loss that was wanted."""
    discarded: int = 0
    """Waiting when an administrator stopped the proxy, or when their client was forgotten."""
    by_decision: Counter[Decision] = field(default_factory=Counter)
    dropped_by: Counter[str] = field(default_factory=Counter)
    """Wanted losses, by the name of the toxic."""


@dataclass(slots=True)
class Placed:
    """A toxic in its place."""

    name: str
    toxic: DatagramToxic
    toxicity: float
    """The chance that it touches a datagram, drawn for each."""
    rng: Random


@dataclass(order=True, slots=True)
class _Waiting:
    at_s: float
    number: int
    datagram: Datagram = field(compare=False)


class Pipeline:
    """One direction.  `tell` hears of every datagram, when somebody wants to know."""

    def __init__(
        self, room: Room | None = None, tell: Callable[[Happened], None] | None = None
    ) -> None:
        self.counts = Counts()
        self._room = room or Room()
        self._tell = tell
        self._placed: list[Placed] = []
        self._queue: list[_Waiting] = []
        self._queue_bytes = 0
        self._pushed = 0
        self._arrived = 0

    @property
    def next_due_s(self) -> float | None:
        return self._queue[0].at_s if self._queue else None

    @property
    def waiting(self) -> int:
        """Datagrams in the queue or parked."""
        return len(self._queue) + sum(len(placed.toxic.parked) for placed in self._placed)

    def sessions_waiting(self) -> set[int]:
        """The clients whose datagrams are in the queue or parked."""
        queued = {waiting.datagram.session for waiting in self._queue}
        parked = (datagram for placed in self._placed for datagram in placed.toxic.parked)
        return queued.union(datagram.session for datagram in parked)

    @property
    def toxics(self) -> list[DatagramToxic]:
        return [placed.toxic for placed in self._placed]

    def add(self, now_s: float, placed: Placed) -> None:
        placed.toxic.since_s = now_s
        self._placed.append(placed)

    def remove(self, now_s: float, name: str) -> list[Datagram]:
        """Takes a toxic out.  What it had parked goes on, and what of that is ready is returned."""
        index = next(i for i, placed in enumerate(self._placed) if placed.name == name)
        gone = self._placed.pop(index)
        for datagram in gone.toxic.unpark():
            self._send_through(now_s, datagram, index, parked_before=True)
        return self.take_due(now_s)

    def admit(self, now_s: float, payload: bytes, session: int = 0) -> list[Datagram]:
        """A datagram arrives.  Returns all that leaves at this moment, in the order of leaving."""
        self._arrived += 1
        self.counts.received += 1
        datagram = Datagram(payload, self._arrived, session)
        if not self._placed and not self._queue:
            self.counts.forwarded += 1
            if self._tell:
                self._tell(Happened(now_s, datagram, (), (now_s,)))
            return [datagram]
        ready = self.take_due(now_s)
        if not self._has_room_for(payload):
            self.counts.queue_dropped += 1
            if self._tell:
                self._tell(Happened(now_s, datagram, (), (), queue_dropped=1))
            return ready
        self._send_through(now_s, datagram, 0)
        return ready + self.take_due(now_s)

    def take_due(self, now_s: float, at_most: int | None = None) -> list[Datagram]:
        """What is due, earliest first; `at_most` so many, the rest stays due."""
        due: list[Datagram] = []
        while self._queue and self._queue[0].at_s <= now_s and len(due) != at_most:
            datagram = heapq.heappop(self._queue).datagram
            self._queue_bytes -= len(datagram.payload)
            due.append(datagram)
        self.counts.forwarded += len(due)
        return due

    def discard(self) -> None:
        """Throws away all that waits, parked or not."""
        self.counts.discarded += self.waiting
        for placed in self._placed:
            placed.toxic.unpark()
        self._queue.clear()
        self._queue_bytes = 0

    def placed(self, name: str) -> Placed:
        return next(placed for placed in self._placed if placed.name == name)

    def _send_through(
        self, now_s: float, datagram: Datagram, first: int, *, parked_before: bool = False
    ) -> None:
        """Takes a datagram through the toxics from number `first` on, into the queue."""
        steps: list[Step] = []
        releases = list(self._through(now_s, datagram, first, steps))
        kept = [at_s for at_s, each in releases if self._push(at_s, each)]
        refused = len(releases) - len(kept)
        self.counts.queue_dropped += refused
        for step in steps:
            self._count(step)
        if self._tell:
            overflowed = sum(step.decision is Decision.OVERFLOWED for step in steps)
            self._tell(
                Happened(
                    now_s,
                    datagram,
                    tuple(steps),
                    tuple(sorted(kept)),
                    queue_dropped=refused + overflowed,
                    parked_before=parked_before,
                )
            )

    def _through(
        self, now_s: float, datagram: Datagram, index: int, steps: list[Step]
    ) -> Iterator[tuple[float, Datagram]]:
        """All releases at the end of the line; each copy meets the later toxics on its own."""
        if index == len(self._placed):
            yield now_s, datagram
            return
        placed = self._placed[index]
        if not happens(placed.rng, placed.toxicity):
            yield from self._through(now_s, datagram, index + 1, steps)
            return
        outcome = placed.toxic.admit(now_s, placed.rng, datagram)
        if outcome.decision is not Decision.PASSED:
            steps.append(Step(placed.name, outcome.decision))
        for release in outcome.releases:
            yield from self._through(release.at_s, release.datagram, index + 1, steps)

    def _has_room_for(self, payload: bytes) -> bool:
        waiting_bytes = self._queue_bytes + sum(toxic.parked_bytes for toxic in self.toxics)
        return (
            self.waiting < self._room.datagrams and waiting_bytes + len(payload) <= self._room.bytes
        )

    def _push(self, at_s: float, datagram: Datagram) -> bool:
        size = len(datagram.payload)
        if len(self._queue) >= self._room.datagrams or self._queue_bytes + size > self._room.bytes:
            return False
        self._pushed += 1
        heapq.heappush(self._queue, _Waiting(at_s, self._pushed, datagram))
        self._queue_bytes += size
        return True

    def _count(self, step: Step) -> None:
        self.counts.by_decision[step.decision] += 1
        if step.decision is Decision.DROPPED:
            self.counts.dropped_by[step.toxic] += 1
        elif step.decision is Decision.OVERFLOWED:
            self.counts.queue_dropped += 1
