"""How late beats leave: counted by classes of lateness, so that it costs next to nothing for ever.

Two readings of the counts, subtracted, tell of the time between them.  All of it is ours.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

MORE: Final = "more"
BOUNDS_S: Final = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.007,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1.0,
)
"""The upper end of each class; a beat that is later than the last one counts as `more`."""
CLASSES: Final = (*map(str, BOUNDS_S), MORE)


class Punctuality:
    """The lateness of every beat, against the schedule on which it was due."""

    def __init__(self) -> None:
        self.latest_s = 0.0
        """How late the latest beat of all was."""
        self._counts = [0] * len(CLASSES)

    def note(self, late_s: float) -> None:
        self._counts[bisect_left(BOUNDS_S, late_s)] += 1
        self.latest_s = max(self.latest_s, late_s)

    def counts(self) -> dict[str, int]:
        """Beats by class: {"0.001": beats at most 1 ms late, ...}, each in one class only."""
        return dict(zip(CLASSES, self._counts, strict=True))
