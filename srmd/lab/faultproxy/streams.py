"""The toxics for byte streams.  Pure: the moment, a random substream and a piece of the stream come
in, pieces with the moments of their release go out, never in another order.

A stream ends with an `Ending`.  Each connection and direction has copies of the toxics of its own.

Source: Toxiproxy 2.12.0, folder toxics; packet_loss and a bandwidth of 0 as in 2.13.0.
"""

# All toxics have one signature, and few need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import ClassVar

from srmd.lab.faultproxy.datagrams import happens
from srmd.lab.faultproxy.toxic import (
    BYTES,
    CHANCE,
    MILLISECONDS,
    Range,
    Toxic,
    attribute,
    state,
)

SLICE_S = 0.1
"""A slow line hands on what it can carry in this time, and then the next piece."""
MICROSECONDS = Range(0, 60_000_000)


class Ending(Enum):
    """How a stream ends."""

    FINISHED = "finished"
    """The sender has said all; the other direction may go on."""
    CLOSED = "closed"
    """The connection is closed, both directions of it."""
    RESET = "reset"
    """The connection is torn down: the peers see ECONNRESET."""


Piece = bytes | Ending
Releases = list[tuple[float, Piece]]


@dataclass(slots=True)
class StreamToxic(Toxic):
    """Does nothing: the noop of the API, and the base of those that do."""

    def start(self, now_s: float) -> None:
        """The connection begins, or the toxic is added or changed while it runs."""

    @property
    def deadline_s(self) -> float | None:
        """When it closes the connection if no piece arrives before."""
        return None

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        """A piece reaches the toxic."""
        return [(now_s, piece)]

    def removed(self) -> Ending | None:
        """What its end does to the connection; what it delays is released in any case."""
        return None


@dataclass(slots=True)
class Latency(StreamToxic):
    """Each piece waits `latency` ms, more or less by up to `jitter` ms; the order is kept."""

    TYPE: ClassVar[str] = "latency"
    latency: int = attribute(0, MILLISECONDS)
    jitter: int = attribute(0, MILLISECONDS)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if piece is Ending.FINISHED:
            return [(now_s, piece)]
        wait_ms = float(self.latency)
        if self.jitter > 0:
            wait_ms += rng.uniform(-self.jitter, self.jitter)
        return [(now_s + max(0.0, wait_ms) / 1000, piece)]


@dataclass(slots=True)
class Bandwidth(StreamToxic):
    """A line of `rate` KB/s; 0 is no limit."""

    TYPE: ClassVar[str] = "bandwidth"
    rate: int = attribute(0, Range(0, 2**31))
    free_s: float = state(0.0)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if self.rate <= 0 or isinstance(piece, Ending):
            return [(now_s, piece)]
        bytes_per_s = self.rate * 1000
        size = max(1, int(bytes_per_s * SLICE_S))
        releases: Releases = []
        self.free_s = max(self.free_s, now_s)
        for start in range(0, len(piece), size):
            part = piece[start : start + size]
            self.free_s += len(part) / bytes_per_s
            releases.append((self.free_s, part))
        return releases


@dataclass(slots=True)
class Timeout(StreamToxic):
    """Swallows all data.  After `timeout` ms without any the connection is closed; 0: never.

    Its removal closes the connection too: what was swallowed is missing.
    """

    TYPE: ClassVar[str] = "timeout"
    timeout: int = attribute(0, MILLISECONDS)
    last_s: float = state(0.0)

    def start(self, now_s: float) -> None:
        self.last_s = now_s

    @property
    def deadline_s(self) -> float | None:
        return self.last_s + self.timeout / 1000 if self.timeout > 0 else None

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        self.last_s = now_s
        return [(now_s, piece)] if isinstance(piece, Ending) else []

    def removed(self) -> Ending | None:
        return Ending.CLOSED


@dataclass(slots=True)
class ResetPeer(StreamToxic):
    """Tears the connection down `timeout` ms after the first data, which is lost."""

    TYPE: ClassVar[str] = "reset_peer"
    timeout: int = attribute(0, MILLISECONDS)
    begun: bool = state(False)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if self.begun:
            return []
        self.begun = True
        return [(now_s + max(0, self.timeout) / 1000, Ending.RESET)]


@dataclass(slots=True)
class SlowClose(StreamToxic):
    """Delays the end of the stream by `delay` ms."""

    TYPE: ClassVar[str] = "slow_close"
    delay: int = attribute(0, MILLISECONDS)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        wait_s = max(0, self.delay) / 1000 if isinstance(piece, Ending) else 0.0
        return [(now_s + wait_s, piece)]


@dataclass(slots=True)
class LimitData(StreamToxic):
    """Lets `bytes` bytes through, then closes the connection.

    The count is the connection's, and survives changes of the toxic.
    """

    TYPE: ClassVar[str] = "limit_data"
    bytes: int = attribute(0, BYTES)
    passed_bytes: int = state(0)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if isinstance(piece, Ending):
            return [(now_s, piece)]
        part = piece[: max(0, self.bytes - self.passed_bytes)]
        self.passed_bytes += len(part)
        releases: Releases = [(now_s, part)] if part else []
        if self.passed_bytes >= self.bytes:
            releases.append((now_s, Ending.CLOSED))
        return releases


@dataclass(slots=True)
class Slicer(StreamToxic):
    """Cuts data into slices of about `average_size` bytes, `delay` microseconds apart.

    An average of 0, which only a lenient server lets in, cuts nothing: Toxiproxy 2.12 crashes.
    """

    TYPE: ClassVar[str] = "slicer"
    average_size: int = attribute(0, BYTES)
    size_variation: int = attribute(0, BYTES)
    delay: int = attribute(0, MICROSECONDS)

    def problem(self) -> str | None:
        if self.average_size < 1:
            return "average_size must be greater than 0"
        if not 0 <= self.size_variation <= self.average_size:
            return "size_variation must be at least 0 and at most average_size"
        return None

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if isinstance(piece, Ending) or self.average_size < 1:
            return [(now_s, piece)]
        vary = min(max(0, self.size_variation), self.average_size)
        releases: Releases = []
        start = 0
        at_s = now_s
        while start < len(piece):
            size = max(1, self.average_size + rng.randint(-vary, vary))
            releases.append((at_s, piece[start : start + size]))
            start += size
            at_s += max(0, self.delay) / 1_000_000
        return releases


@dataclass(slots=True)
class PacketLoss(StreamToxic):
    """Loses pieces of the stream, which corrupts it: no packet of TCP is lost.

    Source: Toxiproxy 2.13.0, packet_loss.
    """

    TYPE: ClassVar[str] = "packet_loss"
    loss_rate: float = attribute(0.0, CHANCE)
    correlation: float = attribute(0.0, CHANCE)
    lost_last: bool = state(False)

    def admit(self, now_s: float, rng: Random, piece: Piece) -> Releases:
        if isinstance(piece, Ending):
            return [(now_s, piece)]
        chance = self.loss_rate + (self.correlation if self.lost_last else 0.0)
        self.lost_last = happens(rng, chance)
        return [] if self.lost_last else [(now_s, piece)]
