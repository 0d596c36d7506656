"""What a search has met, in words and numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from srmd.core.handbook import DOCUMENTED, DOCUMENTED_COUNT, OURS
from srmd.core.promises import PROMISES
from srmd.lab.chance.properties import ALL, PAIR
from srmd.lab.chance.trial import Found
from srmd.lab.scenario.story import ALWAYS

ASKED: Final = tuple(
    key
    for key in (
        *(one.key for one in PROMISES),
        *(one.value for one in ALWAYS),
        *PAIR,
    )
    if key != "as_told"  # drawn stories expect nothing
)
"""Properties that a search has to ask at least once: otherwise it proves nothing of them."""


@dataclass
class Summary:
    """Grows by one story after the other; their order means nothing."""

    plans_count: int = 0
    simulated_s: float = 0.0
    transitions_count: int = 0
    actions_count: int = 0
    way_home_max_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    rows: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    failures: list[Found] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.plans_count += 1
        self.simulated_s += found.simulated_s
        self.transitions_count += found.transitions_count
        self.actions_count += found.actions_count
        self.way_home_max_s = max(self.way_home_max_s, found.way_home_s)
        self.counts.update(dict(found.counts))
        self.rows |= found.rows
        self.pairs |= found.pairs
        if found.failed:
            self.failures.append(found)
            self.failures.sort(key=lambda one: one.seed)

    @property
    def never_asked(self) -> list[str]:
        return [key for key in ASKED if not self.counts[key]]

    def as_plain(self) -> dict[str, Any]:
        """For programs; the same seeds give the same."""
        return {
            "plans": self.plans_count,
            "simulated_h": round(self.simulated_s / 3600, 3),
            "transitions": self.transitions_count,
            "operator_actions": self.actions_count,
            "way_home_max_s": round(self.way_home_max_s, 3),
            "rows": sorted(self.rows),
            "pairs": sorted(self.pairs),
            "evaluations": {key: self.counts[key] for key in ASKED},
            "never_asked": self.never_asked,
            "failures": [
                {"seed": one.seed, "property": one.broken, "why": one.why} for one in self.failures
            ],
        }

    def as_text(self) -> str:
        documented = sorted(row.n for row in DOCUMENTED if row.key in self.rows and row.n)
        missing = sorted(set(range(1, DOCUMENTED_COUNT + 1)) - set(documented))
        ours = sum(row.key in self.rows for row in OURS)
        without = f", without {', '.join(map(str, missing))}" if missing else ""
        width = max(map(len, ASKED))
        lines = [
            "evaluations of each property:",
            *(f"  {key:<{width}}  {self.counts[key]:>10,}  {ALL[key]}" for key in ASKED),
            "",
            f"{self.plans_count:,} plans, {self.simulated_s / 3600:,.1f} simulated hours,"
            f" {self.transitions_count:,} transitions,"
            f" {self.actions_count:,} actions of the operator",
            f"rows of the handbook: {len(documented)} of {DOCUMENTED_COUNT} documented{without};"
            f" {ours} of {len(OURS)} ours;  pairs of states: {len(self.pairs)}",
            f"the longest way home took {self.way_home_max_s:,.0f} s",
        ]
        return "\n".join(lines)
