"""Timers for a line: the fastest that keep false take-overs rare, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from srmd.lab.whatif.line import Line, Timers

INTERVALS_S: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0)
"""Candidates; ours.  15 s is Cisco's."""
BEATS: Final = range(2, 41)
"""A timeout of so many beats, and half a beat, so that no beat falls on the deadline."""


class NoAdvice(ValueError):
    """No pair of timers does what was asked; the message says what to give up."""


def recommend(line: Line, target_per_year: float) -> list[Timers]:
    """For each interval the shortest timeout that keeps to the target, fastest detection first.

    Raises NoAdvice.
    """
    good = [
        timers for interval_s in INTERVALS_S for timers in _first(line, interval_s, target_per_year)
    ]
    if not good:
        worst = max(BEATS) + 0.5
        raise NoAdvice(
            f"no timeout of up to {worst:g} intervals keeps this line at {target_per_year:g} false"
            " take-overs a year; mend the line, or allow more"
        )
    return sorted(good, key=lambda timers: (timers.timeout_s, -timers.interval_s))


def _first(line: Line, interval_s: float, target_per_year: float) -> Iterator[Timers]:
    for timers in _timeouts(interval_s):
        if line.false_per_year(timers) <= target_per_year:
            yield timers
            return


def _timeouts(interval_s: float) -> Iterable[Timers]:
    return (Timers(interval_s, (beats + 0.5) * interval_s) for beats in BEATS)
