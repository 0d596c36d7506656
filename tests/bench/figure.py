"""A figure: what something takes, beside what it cannot be faster than.

Both parts are measured in turns, in one run, because a machine is not the same a minute later; so
the ratio means something where a time alone does not.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Measured durations, in seconds; never empty."""

    durations_s: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.durations_s, "nothing was measured"

    @property
    def median_s(self) -> float:
        return statistics.median(self.durations_s)

    @property
    def p99_s(self) -> float:
        """The 99th percentile by nearest rank: up to 100 measurements that is the longest."""
        ordered = sorted(self.durations_s)
        return ordered[math.ceil(0.99 * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Within:
    """The goal: the median is at most `factor` times the other's, and `more_s` above that."""

    factor: float
    more_s: float = 0.0

    def is_met(self, figure: Figure) -> bool:
        return figure.ours.median_s <= self.factor * figure.beside.median_s + self.more_s

    def __str__(self) -> str:
        parts = []
        if self.factor != 1 or not self.more_s:
            parts.append(f"{self.factor:g}x")
        if self.more_s:
            parts.append(f"{self.more_s * 1000:.2g} ms")
        return f"within {' + '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing we promise, with both of its parts."""

    name: str
    ours: Sample
    beside_name: str
    beside: Sample
    goal: Within | None = None
    note: str = ""
    """What the numbers mean in other words, such as a rate."""

    @property
    def ratio(self) -> float:
        return self.ours.median_s / self.beside.median_s

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return f"{self.goal}: {'yes' if self.goal.is_met(self) else 'NO'}"


HEAD = ("what", "median", "p99", "beside it", "median", "p99", "rounds", "ratio", "goal")
LEFT = frozenset({0, 3, 8})
"""Columns of words; numbers stand at the right."""


def table(figures: Sequence[Figure]) -> str:
    """The figures for people, a line each, with their notes below.  Times are in milliseconds."""
    rows = [HEAD, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    notes = [f"  {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *notes])


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _ms(figure.ours.median_s),
        _ms(figure.ours.p99_s),
        figure.beside_name,
        _ms(figure.beside.median_s),
        _ms(figure.beside.p99_s),
        str(len(figure.ours.durations_s)),
        f"{figure.ratio:.2f}",
        figure.verdict,
    )


def _ms(duration_s: float) -> str:
    duration_ms = duration_s * 1000
    return f"{duration_ms:.{4 if duration_ms < 0.1 else 2}f}"


def in_turns(rounds: int, *works: Callable[[], object]) -> tuple[Sample, ...]:
    """Time each of the works, one after the other, so many times; a sample for each.

    Each round begins with another one, so that none always pays for what another left behind.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for step in range(len(works)):
            index = (number + step) % len(works)
            taken[index].append(timed_s(works[index]))
    return tuple(Sample(tuple(durations_s)) for durations_s in taken)


def timed_s(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s
