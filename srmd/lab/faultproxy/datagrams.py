"""The toxics for datagrams.  Pure: the moment, a random substream and a datagram come in, what
becomes of it goes out.

Times are monotonic seconds.  `now_s` is the moment at which the datagram reaches this toxic, which
lies in the future when an earlier toxic delays it: the whole chain is asked once, on arrival, so a
later change never touches a datagram that is under way.

Source of names: Toxiproxy's toxics, where there is one of that kind; otherwise ours.
"""

# All toxics have one signature, and few need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random
from typing import ClassVar

from srmd.lab.faultproxy.toxic import (
    BYTES,
    CHANCE,
    MILLISECONDS,
    SWITCH,
    Range,
    Toxic,
    attribute,
    state,
)

COPIES_MAX = 100
WINDOW_MAX = 1000
DATAGRAM_BYTES_MAX = 65_535
COUNT_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram on its way."""

    payload: bytes
    ordinal: int
    """Its number in its direction, from 1.  Copies and replays keep the number of the original."""
    session: int = 0
    """The client whose traffic it is, numbered by whoever knows clients."""


class Decision(Enum):
    """What a toxic did to a datagram."""

    PASSED = "passed"
    DROPPED = "dropped"
    DELAYED = "delayed"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    CORRUPTED = "corrupted"
    TRUNCATED = "truncated"
    REPLAYED = "replayed"
    PARKED = "parked"
    """It waits within the toxic, for a later datagram or the end of the toxic."""
    OVERFLOWED = "overflowed"
    """There was no room in a buffer: not a loss that was asked for, so counted apart."""


@dataclass(frozen=True, slots=True)
class Release:
    """A datagram leaves the toxic at a moment."""

    at_s: float
    datagram: Datagram


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a toxic made of one datagram."""

    decision: Decision
    releases: tuple[Release, ...] = ()


DROPPED = Outcome(Decision.DROPPED)
OVERFLOWED = Outcome(Decision.OVERFLOWED)


def passed(now_s: float, *datagrams: Datagram) -> Outcome:
    return Outcome(Decision.PASSED, tuple(Release(now_s, each) for each in datagrams))


def happens(rng: Random, chance: float) -> bool:
    """Certain and impossible things draw no random number, so they can be mixed in freely."""
    return chance >= 1 or (chance > 0 and rng.random() < chance)


@dataclass(slots=True)
class DatagramToxic(Toxic):
    """Does nothing: the noop of the API, and the base of those that do."""

    since_s: float = state(0.0)
    """When it was added."""

    @property
    def parked(self) -> Collection[Datagram]:
        """Datagrams that wait within it, oldest first."""
        return ()

    @property
    def parked_bytes(self) -> int:
        return sum(len(datagram.payload) for datagram in self.parked)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        """Decides about a datagram that reaches this toxic."""
        return passed(now_s, datagram)

    def unpark(self) -> tuple[Datagram, ...]:
        """Gives up all that is parked, oldest first; the toxic ends."""
        return ()


@dataclass(slots=True)
class Latency(DatagramToxic):
    """Each datagram waits `latency` ms, more or less by up to `jitter` ms.

    Jitter may reorder, as it does on a real path, unless `keep_order` is 1.
    """

    TYPE: ClassVar[str] = "latency"
    latency: int = attribute(0, MILLISECONDS)
    jitter: int = attribute(0, MILLISECONDS)
    keep_order: int = attribute(0, SWITCH)
    last_release_s: float = state(-math.inf)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        wait_ms = float(self.latency)
        if self.jitter > 0:
            wait_ms += rng.uniform(-self.jitter, self.jitter)
        at_s = now_s + max(0.0, wait_ms) / 1000
        if self.keep_order:
            at_s = max(at_s, self.last_release_s)
        self.last_release_s = max(at_s, self.last_release_s)
        if at_s == now_s:
            return passed(now_s, datagram)
        return Outcome(Decision.DELAYED, (Release(at_s, datagram),))


@dataclass(slots=True)
class PacketLoss(DatagramToxic):
    """Loses a share of `loss_rate`, or `loss_rate + correlation` after a loss.

    Source: Toxiproxy 2.13.0, packet_loss; the sum is capped at 1.
    """

    TYPE: ClassVar[str] = "packet_loss"
    loss_rate: float = attribute(0.0, CHANCE)
    correlation: float = attribute(0.0, CHANCE)
    lost_last: bool = state(False)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        chance = self.loss_rate + (self.correlation if self.lost_last else 0.0)
        self.lost_last = happens(rng, chance)
        return DROPPED if self.lost_last else passed(now_s, datagram)


@dataclass(slots=True)
class Duplicate(DatagramToxic):
    """With `probability`, sends `copies` more of it, `delay` ms after the original."""

    TYPE: ClassVar[str] = "duplicate"
    STANDARD: ClassVar[bool] = False
    probability: float = attribute(1.0, CHANCE)
    copies: int = attribute(1, Range(1, COPIES_MAX))
    delay: int = attribute(0, MILLISECONDS)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        if not happens(rng, self.probability):
            return passed(now_s, datagram)
        copy = Release(now_s + self.delay / 1000, datagram)
        return Outcome(Decision.DUPLICATED, (Release(now_s, datagram), *([copy] * self.copies)))


@dataclass(slots=True)
class Reorder(DatagramToxic):
    """With `probability`, a datagram is overtaken by the next `gap` ones, or held for `delay` ms.

    Only one at a time waits to be overtaken, so a probability of 1 and a gap of 1 swap pairs.
    One that waits for others and gets none leaves when the toxic is removed.
    """

    TYPE: ClassVar[str] = "reorder"
    STANDARD: ClassVar[bool] = False
    probability: float = attribute(1.0, CHANCE)
    gap: int = attribute(1, Range(0, WINDOW_MAX))
    delay: int = attribute(0, MILLISECONDS)
    """When it is set, the gap means nothing."""
    waiting: deque[Datagram] = field(default_factory=deque, init=False, repr=False)
    overtaken: int = state(0)
    """How many have overtaken the one that waits."""

    @property
    def parked(self) -> Collection[Datagram]:
        return self.waiting

    def problem(self) -> str | None:
        if not self.gap and not self.delay:
            return "gap and delay are both 0, so nothing would move; set one of them"
        return None

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        if self.waiting:
            self.overtaken += 1
            if self.delay or self.overtaken >= self.gap:
                return passed(now_s, datagram, *self.unpark())
            return passed(now_s, datagram)
        if not happens(rng, self.probability):
            return passed(now_s, datagram)
        if self.delay:
            late = Release(now_s + self.delay / 1000, datagram)
            return Outcome(Decision.REORDERED, (late,))
        self.waiting.append(datagram)
        self.overtaken = 0
        return Outcome(Decision.PARKED)

    def unpark(self) -> tuple[Datagram, ...]:
        return _emptied(self.waiting)


@dataclass(slots=True)
class Corrupt(DatagramToxic):
    """With `probability` per datagram, flips `bits` different bits of it.

    Only bytes from `offset` on are touched, `length` of them; 0 means up to the end.
    """

    TYPE: ClassVar[str] = "corrupt"
    STANDARD: ClassVar[bool] = False
    probability: float = attribute(1.0, CHANCE)
    bits: int = attribute(1, Range(1, 8 * DATAGRAM_BYTES_MAX))
    offset: int = attribute(0, Range(0, DATAGRAM_BYTES_MAX))
    length: int = attribute(0, Range(0, DATAGRAM_BYTES_MAX))

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        size = len(datagram.payload)
        end = min(size, self.offset + self.length) if self.length else size
        room = range(8 * self.offset, 8 * end)
        if not room or not happens(rng, self.probability):
            return passed(now_s, datagram)
        payload = bytearray(datagram.payload)
        for bit in rng.sample(room, min(self.bits, len(room))):
            payload[bit // 8] ^= 1 << (bit % 8)
        spoilt = replace(datagram, payload=bytes(payload))
        return Outcome(Decision.CORRUPTED, (Release(now_s, spoilt),))


@dataclass(slots=True)
class Truncate(DatagramToxic):
    """With `probability`, only the first `bytes` bytes arrive; 0 makes an empty datagram."""

    TYPE: ClassVar[str] = "truncate"
    STANDARD: ClassVar[bool] = False
    probability: float = attribute(1.0, CHANCE)
    bytes: int = attribute(0, Range(0, DATAGRAM_BYTES_MAX))

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        if len(datagram.payload) <= self.bytes or not happens(rng, self.probability):
            return passed(now_s, datagram)
        short = replace(datagram, payload=datagram.payload[: self.bytes])
        return Outcome(Decision.TRUNCATED, (Release(now_s, short),))


@dataclass(slots=True)
class Bandwidth(DatagramToxic):
    """A line of `rate` KB/s, with room for `buffer` bytes in front of it.

    Datagrams are never split.  A rate of 0 is no limit (as Toxiproxy from 2.13.0 on), a buffer of 0
    is bounded by the queue of the proxy alone.
    """

    TYPE: ClassVar[str] = "bandwidth"
    rate: int = attribute(0, Range(0, 2**31))
    buffer: int = attribute(0, BYTES)
    free_s: float = state(-math.inf)
    """When the line will have sent all that it was given."""

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        if self.rate <= 0:
            return passed(now_s, datagram)
        bytes_per_s = self.rate * 1000
        waiting_bytes = max(0.0, self.free_s - now_s) * bytes_per_s
        if self.buffer > 0 and waiting_bytes + len(datagram.payload) > self.buffer:
            return OVERFLOWED
        self.free_s = max(now_s, self.free_s) + len(datagram.payload) / bytes_per_s
        return Outcome(Decision.DELAYED, (Release(self.free_s, datagram),))


@dataclass(slots=True)
class Timeout(DatagramToxic):
    """A black hole.  With `timeout` > 0 ms, a client that has been idle for so long is forgotten,
    and its next datagram reaches the upstream from another port."""

    TYPE: ClassVar[str] = "timeout"
    timeout: int = attribute(0, MILLISECONDS)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        return DROPPED


@dataclass(slots=True)
class LimitData(DatagramToxic):
    """Lets the first `bytes` bytes through, in whole datagrams, then nothing more."""

    TYPE: ClassVar[str] = "limit_data"
    bytes: int = attribute(0, BYTES)
    seen_bytes: int = state(0)

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        self.seen_bytes += len(datagram.payload)
        return passed(now_s, datagram) if self.seen_bytes <= self.bytes else DROPPED


@dataclass(slots=True)
class Hold(DatagramToxic):
    """Parks everything, and releases it in one burst when the toxic is removed."""

    TYPE: ClassVar[str] = "hold"
    STANDARD: ClassVar[bool] = False
    waiting: deque[Datagram] = field(default_factory=deque, init=False, repr=False)
    """Bounded by the queue of the pipeline, which counts what is parked."""
    waiting_bytes: int = state(0)

    @property
    def parked(self) -> Collection[Datagram]:
        return self.waiting

    @property
    def parked_bytes(self) -> int:
        return self.waiting_bytes

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        self.waiting.append(datagram)
        self.waiting_bytes += len(datagram.payload)
        return Outcome(Decision.PARKED)

    def unpark(self) -> tuple[Datagram, ...]:
        self.waiting_bytes = 0
        return _emptied(self.waiting)


@dataclass(slots=True)
class Flap(DatagramToxic):
    """The line is up for `up` ms and down for `down` ms, again and again.

    It begins `phase` ms into the cycle, at the moment when the toxic is added.
    """

    TYPE: ClassVar[str] = "flap"
    STANDARD: ClassVar[bool] = False
    up: int = attribute(1000, MILLISECONDS)
    down: int = attribute(1000, MILLISECONDS)
    phase: int = attribute(0, MILLISECONDS)

    def problem(self) -> str | None:
        if not self.up or not self.down:
            return "up and down must be greater than 0; for always down use timeout"
        return None

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        position_ms = ((now_s - self.since_s) * 1000 + self.phase) % (self.up + self.down)
        return passed(now_s, datagram) if position_ms < self.up else DROPPED


@dataclass(slots=True)
class DropNext(DatagramToxic):
    """Drops the next `count` datagrams, and counts down: the attribute shows how many are left."""

    TYPE: ClassVar[str] = "drop_next"
    STANDARD: ClassVar[bool] = False
    count: int = attribute(1, Range(0, COUNT_MAX))

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        if self.count <= 0:
            return passed(now_s, datagram)
        self.count -= 1
        return DROPPED


@dataclass(slots=True)
class Replay(DatagramToxic):
    """With `probability`, sends one of the last `window` datagrams again, behind the new one."""

    TYPE: ClassVar[str] = "replay"
    STANDARD: ClassVar[bool] = False
    probability: float = attribute(1.0, CHANCE)
    window: int = attribute(20, Range(1, WINDOW_MAX))
    seen: deque[Datagram] = field(
        default_factory=lambda: deque(maxlen=WINDOW_MAX), init=False, repr=False
    )

    def admit(self, now_s: float, rng: Random, datagram: Datagram) -> Outcome:
        recent = list(self.seen)[-self.window :]
        self.seen.append(datagram)
        if not recent or not happens(rng, self.probability):
            return passed(now_s, datagram)
        # It goes to where the new one goes: the session of the old one may be gone.
        again = replace(rng.choice(recent), session=datagram.session)
        return Outcome(Decision.REPLAYED, (Release(now_s, datagram), Release(now_s, again)))


def _emptied(waiting: deque[Datagram]) -> tuple[Datagram, ...]:
    all_of_it = tuple(waiting)
    waiting.clear()
    return all_of_it
