"""Only the detection: beats one way, the toxics on them, and the detector at the end.

For sweeps over weeks and years.  It is what a node does at the end of one link, without the rest of
the node: the same detector, the same pipeline, the same order at the deadline.  A datagram counts
as the wire counts it: unchanged, and newer than all before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from srmd.core.detector import Detector
from srmd.lab.faultproxy.pipeline import Pipeline

BEAT_BYTES: Final = 600
"""A heartbeat is about so long; only a narrow line cares."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The peer counted as down."""

    heard_s: float
    """The last heartbeat before."""
    down_s: float
    ended_s: float | None
    """The next heartbeat; None: none came."""


@dataclass(frozen=True, slots=True)
class Listened:
    """What one end of a link saw."""

    sent_count: int
    heard_count: int
    silences: tuple[Silence, ...]


def listen(
    pipeline: Pipeline,
    *,
    interval_s: float,
    timeout_s: float,
    for_s: float,
    dies_s: float = math.inf,
) -> Listened:
    """Beats at 0, interval, twice the interval and so on, until the sender dies; toxics are in the
    pipeline already.  The receiver has just heard one when it begins."""
    payload = b"beat".ljust(BEAT_BYTES, b".")
    sent, heard, newest = 0, 0, 0
    since_s = 0.0
    down_s: float | None = None
    silences: list[Silence] = []
    while True:
        beat_s = sent * interval_s
        due_s = math.inf if pipeline.next_due_s is None else pipeline.next_due_s
        deadline_s = math.inf if down_s is not None else since_s + timeout_s
        now_s = min(beat_s, due_s, deadline_s)
        if now_s > for_s:
            break
        if now_s in (beat_s, due_s):  # what arrives comes before the deadline
            arrived = pipeline.take_due(now_s)
            if now_s == beat_s:
                sent += 1
                if now_s < dies_s:
                    arrived += pipeline.admit(now_s, payload)
            for datagram in arrived:
                if datagram.payload != payload or datagram.ordinal <= newest:
                    continue
                newest, heard = datagram.ordinal, heard + 1
                if down_s is not None:
                    silences.append(Silence(since_s, down_s, now_s))
                    down_s = None
                since_s = now_s
        else:
            assert _is_down(since_s, now_s, interval_s=interval_s, timeout_s=timeout_s)
            down_s = now_s
    if down_s is not None:
        silences.append(Silence(since_s, down_s, None))
    return Listened(sent, heard, tuple(silences))


def _is_down(since_s: float, now_s: float, *, interval_s: float, timeout_s: float) -> bool:
    """What the detector says, of a receiver that was awake all the time.

    It is asked at deadlines alone: between them nothing but its last beat counts.
    """
    detector = Detector.begin(
        interval_s=interval_s,
        timeout_s=timeout_s,
        initialization_timeout_s=timeout_s,
        now_s=since_s,
    )
    tick_s = since_s + interval_s
    while tick_s < now_s:
        detector = detector.ticked(tick_s)
        tick_s += interval_s
    return detector.ticked(now_s).is_down(now_s, initializing=False)
