"""A line between two nodes on which heartbeats are lost and late by chance.

Loss is that of the fault proxy's `packet_loss`: one chance after a beat that arrived, another after
one that was lost.  So a mean length of the bursts can be asked for (a Gilbert model), and the time
to a run of k lost beats has a closed formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from srmd.lab.faultproxy.datagrams import DatagramToxic, Latency, PacketLoss
from srmd.lab.faultproxy.pipeline import Pipeline, Placed
from srmd.lab.faultproxy.seeds import substream

EXACT_S: Final = 1e-9
"""Timers that are multiples of each other stay so, whatever binary fractions make of them."""


class NoSuchLine(ValueError):
    """Numbers that no line can have; the message says which, and what would be right."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Keep Alive Interval and Keep Alive Timeout."""

    interval_s: float
    timeout_s: float

    def __post_init__(self) -> None:
        if not 0 < 2 * self.interval_s <= self.timeout_s:
            text = f"interval {self.interval_s:g} s, timeout {self.timeout_s:g} s"
            raise NoSuchLine(f"{text}: a timeout is at least twice the interval")


@dataclass(frozen=True, slots=True)
class Line:
    """Both directions are alike, and independent of each other."""

    loss: float = 0.0
    """Share of the heartbeats that are lost, in the long run; 0 to below 1."""
    burst_beats: float = 1.0
    """Mean number of beats lost in a row.  1: each on its own, whatever was before (then runs are
    a little longer by chance alone: 1 / (1 - loss))."""
    latency_s: float = 0.0
    jitter_s: float = 0.0
    """A beat is earlier or later than the latency by up to so much, evenly; ours."""

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise NoSuchLine(f"loss {self.loss:.0%}: 0% to below 100%")
        if self.burst_beats < 1:
            raise NoSuchLine(f"burst {self.burst_beats:g}: 1 beat or more")
        if self.latency_s < 0 or self.jitter_s < 0:
            raise NoSuchLine(f"latency {self.latency_s:g} s, jitter {self.jitter_s:g} s: 0 or more")
        if self.jitter_s > self.latency_s:
            text = f"jitter {self.jitter_s:g} s with a latency of {self.latency_s:g} s"
            raise NoSuchLine(f"{text}: no beat arrives before it was sent; jitter up to latency")

    @property
    def after_loss(self) -> float:
        """The chance that a beat is lost after one that was."""
        return max(self.loss, 1 - 1 / self.burst_beats)

    @property
    def after_arrival(self) -> float:
        """The chance that a beat is lost after one that arrived, so that `loss` comes true."""
        return self.loss * (1 - self.after_loss) / (1 - self.loss)

    def pipeline(self, seed: int, direction: str, part: str) -> Pipeline:
        """The toxics of one direction, with chance of their own."""
        made = Pipeline()
        first = self.after_arrival
        toxics: list[DatagramToxic] = []
        if self.loss:
            toxics.append(PacketLoss(loss_rate=first, correlation=self.after_loss - first))
        if self.latency_s:
            toxics.append(Latency(latency=_ms(self.latency_s), jitter=_ms(self.jitter_s)))
        for toxic in toxics:
            rng = substream(seed, direction, part, toxic.TYPE)
            made.add(0.0, Placed(toxic.TYPE, toxic, 1.0, rng))
        return made

    def lost_in_a_row(self, timers: Timers) -> int:
        """So many beats have to be lost one after the other for a false take-over.

        Without jitter it is exactly so: a beat that falls on the deadline counts (R13).  With
        jitter fewer may do, if the last one heard was early and the next one is late.
        """
        late_s = 2 * self.jitter_s
        return max(1, math.floor((timers.timeout_s - late_s + EXACT_S) / timers.interval_s))

    def false_per_year(self, timers: Timers) -> float:
        """Expected false take-overs of a pair in a year of 365 days, by the closed formula.

        A run begins after a beat that arrived; its length is geometric.  For independent loss p
        this is the reciprocal of interval / (p^k (1 - p)), twice, for both directions; with jitter
        it is an upper bound.
        """
        k = self.lost_in_a_row(timers)
        begins = (1 - self.loss) * self.after_arrival
        beats_a_year = YEAR_S / timers.interval_s
        return float(DIRECTIONS * beats_a_year * begins * self.after_loss ** (k - 1))


YEAR_S: Final = 365 * 86400.0
DIRECTIONS: Final = 2


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
