"""Which rows of the handbook which scenarios reach."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from srmd.core import handbook
from srmd.lab.scenario.running import Verdict
from srmd.lab.scenario.story import Row, Scenario

JOURNAL_BYTES_MAX = 50_000_000


class BadJournal(Exception):
    """A file that no run of ours has written; the message names it."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """For each row that a scenario shows, the scenarios; and the documented rows of none."""

    reached: Mapping[Row, tuple[str, ...]]

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of Cisco's rows that nothing reaches; ours may be missing."""
        return tuple(row.n for row in handbook.DOCUMENTED if row.n is not None and not self.of(row))

    def of(self, row: handbook.Row) -> tuple[str, ...]:
        names = [name for key in (row.n, row.key) if key for name in self.reached.get(key, ())]
        return tuple(dict.fromkeys(names))

    def table(self) -> str:
        """Every documented row, and those of ours that are reached."""
        lines = []
        for row in handbook.ROWS:
            names = self.of(row)
            if names or not row.ours:
                number = f"{row.n:>4}" if row.n else "ours"
                lines.append(f"{number}  {row.key:<44} {', '.join(names) or '(missing)'}")
        documented = handbook.DOCUMENTED_COUNT
        lines.append(
            f"{documented - len(self.missing)} of {documented} documented rows are reached"
        )
        return "\n".join(lines)


def of_scenarios(scenarios: Iterable[Scenario]) -> Coverage:
    """By what the files look for."""
    return _collected((scenario.name, scenario.shows) for scenario in scenarios)


def of_journals(folder: Path) -> Coverage:
    """By what plays that passed have seen.  Raises BadJournal."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            with file.open(encoding="utf-8") as opened:
                played = json.loads(opened.read(JOURNAL_BYTES_MAX))
            if played["verdict"] == Verdict.PASSED.value:
                found.append((str(played["name"]), tuple(played["rows"])))
        except (OSError, ValueError, KeyError, TypeError) as bad:
            raise BadJournal(f"{file}: no journal of srmd lab run ({bad})") from bad
    return _collected(found)


def _collected(found: Iterable[tuple[str, tuple[Row, ...]]]) -> Coverage:
    reached: dict[Row, list[str]] = {}
    for name, rows in found:
        for row in dict.fromkeys(rows):
            reached.setdefault(row, []).append(name)
    return Coverage({row: tuple(names) for row, names in reached.items()})
