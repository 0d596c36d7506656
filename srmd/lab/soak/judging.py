"""What must not grow, and how late a beat may be.  Pure: samples in, findings out.

*Growth* is judged while the pair rests at home, in one life of a process (or of a file), without
its first part, in which a program takes what it goes on to use.  The slope is the median of the
slopes of all pairs of samples (Theil and Sen), which single outliers do not move; the rise is this
slope over the time that was judged.

*Lateness* of beats is compared with that of a bare timer on the same machine at the same time: a
machine that starts twenty processes at once is late itself.  A bound is a part of the interval
between two beats, or a multiple of what the bare timer shows, whichever is more.

All bounds are ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from operator import attrgetter
from statistics import median
from typing import Final

from srmd.lab.soak.sampling import CONTROL, Sample
from srmd.node.punctuality import BOUNDS_S, CLASSES

WARM_UP_PART: Final = 1 / 3
"""So much of a life is left out, but not more than the next."""
WARM_UP_MAX_S: Final = 120.0
JUDGED_SAMPLES_MIN: Final = 10
JUDGED_MIN_S: Final = 45.0
"""A life of which less is left is too short to be judged."""
LIVES_ON: Final = frozenset({"a"})
"""The node that no story kills: one of its lives has to be long enough."""
POINTS_MAX: Final = 200
"""Of more samples every n-th is taken."""

VOLUME_BYTES_PER_BEAT_MAX: Final = 1000.0
"""Log and journal of a node, by heartbeats that it should have sent in that time."""
WAL_MIB_MAX: Final = 8.0
"""SQLite writes its log back to the database at 1000 pages, which are 4 MiB; twice that means that
something keeps it from doing so."""
LATE_SHARE: Final = 0.99
LATE_INTERVALS_MAX: Final = 0.3
"""So late, in intervals, may be the latest of 99 % of the beats."""
LATEST_INTERVALS_MAX: Final = 3.0
"""So late may be the latest of all: below that no timeout of four intervals is filled."""
CONTROL_TIMES_MAX: Final = 3.0
"""So many times as late as the bare timer, if that is more."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much of something a node may come to use over the time that is judged."""

    what: str
    unit: str
    rise_max: float
    per: float = 1.0
    """How much of the sample's figure is one of the unit."""
    of_files: bool = False
    """It outlives the process."""


MIB: Final = 1024.0**2
GROWTH: Final[Mapping[str, Bound]] = {
    "rss_bytes": Bound("memory (RSS)", "MiB", 4.0, MIB),
    "descriptors": Bound("file descriptors", "", 4.0),
    "threads": Bound("threads", "", 2.0),
    "tasks": Bound("asyncio tasks", "", 4.0),
    "database_bytes": Bound("user database", "MiB", 0.25, MIB, of_files=True),
}
"""By the name in a sample."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was measured, beside its bound."""

    what: str
    node: str
    measured: float | None
    """None: there was nothing to measure."""
    bound: float
    unit: str
    note: str = ""
    required: bool = True
    """Nothing to measure is no proof, and so a failure."""

    @property
    def kept(self) -> bool:
        return not self.required if self.measured is None else self.measured <= self.bound


@dataclass(frozen=True, slots=True)
class Still:
    """A node stood still on purpose: its beats are late then, and that is no finding."""

    node: str
    from_s: float
    until_s: float


def judged(
    samples: Sequence[Sample], still: Iterable[Still], interval_s: float
) -> tuple[Finding, ...]:
    """All findings, by node."""
    nodes = sorted({one.node for one in samples} - {CONTROL})
    bare = lateness([one for one in samples if one.node == CONTROL], ())
    found: list[Finding] = []
    for node in nodes:
        of_node = [one for one in samples if one.node == node]
        found += [_growth(of_node, name, bound) for name, bound in GROWTH.items()]
        found += [_write_ahead(of_node), _volume(of_node, interval_s)]
        spans = [one for one in still if one.node == node]
        found += _punctuality(lateness(of_node, spans), bare, node, interval_s)
        found.append(_defects(of_node))
    return tuple(found)


# ---------------------------------------------------------------------------- growth


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Median of the slopes of all pairs (Theil and Sen); 0 of fewer than two moments."""
    step = max(1, math.ceil(len(points) / POINTS_MAX))
    pairs = combinations(points[::step], 2)
    found = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x2 > x1]
    return median(found) if found else 0.0


def _growth(samples: Sequence[Sample], name: str, bound: Bound) -> Finding:
    """The worst of all lives that are long enough."""
    value = attrgetter(name)
    lives: dict[str, list[Sample]] = {}
    for one in samples:
        if one.resting:
            lives.setdefault("" if bound.of_files else one.life, []).append(one)
    rises: list[tuple[float, float]] = []
    for life in lives.values():
        warm = _warm(life)
        if warm:
            span_s = warm[-1].at_s - warm[0].at_s
            points = [(one.at_s, value(one) / bound.per) for one in warm]
            rises.append((slope(points) * span_s, span_s))
    node = samples[0].node
    if not rises:
        return Finding(
            f"rise of {bound.what}",
            node,
            None,
            bound.rise_max,
            bound.unit,
            f"none of {len(lives)} lives rests long enough",
            required=node in LIVES_ON,
        )
    rise, span_s = max(rises)
    note = f"in {span_s:.0f} s; worst of {len(rises)} of {len(lives)} lives"
    return Finding(f"rise of {bound.what}", node, rise, bound.rise_max, bound.unit, note)


def _warm(life: Sequence[Sample]) -> list[Sample]:
    """Without the begin; empty when too little is left."""
    first_s, last_s = life[0].at_s, life[-1].at_s
    from_s = first_s + min(WARM_UP_MAX_S, WARM_UP_PART * (last_s - first_s))
    kept = [one for one in life if one.at_s >= from_s]
    enough = len(kept) >= JUDGED_SAMPLES_MIN and last_s - kept[0].at_s >= JUDGED_MIN_S
    return kept if enough else []


def _write_ahead(samples: Sequence[Sample]) -> Finding:
    largest = max(one.wal_bytes for one in samples) / MIB
    return Finding("largest write-ahead log", samples[0].node, largest, WAL_MIB_MAX, "MiB")


def _volume(samples: Sequence[Sample], interval_s: float) -> Finding:
    """What was written, also what a rotation has thrown away since."""
    written = 0
    for before, after in pairwise(samples):
        for name in ("log_bytes", "journal_bytes"):
            written += max(0, getattr(after, name) - getattr(before, name))
    beats = (samples[-1].at_s - samples[0].at_s) / interval_s
    measured = written / beats if beats > 0 else None
    return Finding(
        "log and journal", samples[0].node, measured, VOLUME_BYTES_PER_BEAT_MAX, "bytes a beat"
    )


def _defects(samples: Sequence[Sample]) -> Finding:
    count = float(max(one.defects for one in samples))
    return Finding("broken promises, dropped records", samples[0].node, count, 0.0, "")


# ---------------------------------------------------------------------------- lateness


@dataclass(frozen=True, slots=True)
class Window:
    """The beats between two samples."""

    from_s: float
    until_s: float
    counts: Mapping[str, int]
    latest_s: float
    """Not more than this; exact where the latest of all was among them."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late beats were, and how many are left out because the node stood still on purpose."""

    windows: tuple[Window, ...]
    left_out_count: int

    @property
    def counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for window in self.windows:
            total.update(window.counts)
        return total

    @property
    def latest_s(self) -> float:
        return max((window.latest_s for window in self.windows), default=0.0)

    def within_s(self, share: float) -> float:
        """The upper end of the class that holds this share of all beats; inf beyond the last."""
        counts = self.counts
        wanted, seen = share * sum(counts.values()), 0
        for name, bound_s in zip(CLASSES, (*BOUNDS_S, math.inf), strict=True):
            seen += counts[name]
            if seen >= wanted:
                return bound_s
        return math.inf


def lateness(samples: Sequence[Sample], still: Sequence[Still]) -> Lateness:
    """Of one node.  What was sent between the last sample of an SRM and its end is not known."""
    windows: list[Window] = []
    left_out = 0
    for before, after in pairwise(samples):
        same = before.run == after.run
        counts = {
            name: count - (before.late.get(name, 0) if same else 0)
            for name, count in after.late.items()
        }
        total = sum(counts.values())
        if any(one.from_s <= after.at_s and before.at_s <= one.until_s for one in still):
            left_out += total
        elif total:
            upper = [
                bound_s
                for name, bound_s in zip(CLASSES, (*BOUNDS_S, math.inf), strict=True)
                if counts.get(name, 0)
            ]
            latest_s = min(upper[-1], after.latest_s)
            windows.append(Window(before.at_s, after.at_s, counts, latest_s))
    return Lateness(tuple(windows), left_out)


def _punctuality(
    beats: Lateness, bare: Lateness, node: str, interval_s: float
) -> tuple[Finding, Finding]:
    count = sum(beats.counts.values())
    ends = f"{count} beats, {beats.left_out_count} left out (the node was frozen)"
    found = []
    for what, mine_s, bare_s, intervals in (
        (
            f"lateness of {LATE_SHARE:.0%} of the beats",
            beats.within_s(LATE_SHARE),
            bare.within_s(LATE_SHARE),
            LATE_INTERVALS_MAX,
        ),
        ("lateness of the latest beat", beats.latest_s, bare.latest_s, LATEST_INTERVALS_MAX),
    ):
        bound_s = max(intervals * interval_s, CONTROL_TIMES_MAX * bare_s)
        ratio = f"{mine_s / bare_s:.1f} times" if bare_s else "no figure of"
        note = f"{ratio} the bare timer's {1000 * bare_s:.1f} ms; {ends}"
        measured = 1000 * mine_s if count else None
        found.append(Finding(what, node, measured, 1000 * bound_s, "ms", note))
    return found[0], found[1]
