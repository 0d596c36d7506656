"""Which cells of the table the stories visit.

The coverage that matters is of rules: `test_table.py` lists the (state, event) cells that decide
something and that no playbook and no documented row has exercised.
"""

from __future__ import annotations

import pytest

from srmd.core.machine import Row
from srmd.core.states import State
from srmd.core.transitions import TABLE

Key = tuple[State, type]


class Visited(dict[Key, Row]):
    """Cells that remember which of them were asked."""

    def __init__(self) -> None:
        super().__init__(TABLE.cells)
        self.keys_asked: set[Key] = set()

    def __getitem__(self, key: Key) -> Row:
        self.keys_asked.add(key)
        return super().__getitem__(key)


class StoriesFailed(Exception):
    """The stories themselves do not pass; what they visit means nothing."""


def cells_visited_by(*files: str) -> set[Key]:
    """Run these test files in a session of their own; the cells that they ask.

    Raises StoriesFailed.
    """
    visited = Visited()
    kept = TABLE.cells
    TABLE.cells = visited
    try:
        # The outer session has the clock and the assertions; this one only has to run.
        result = pytest.main(["-q", "-p", "no:cacheprovider", "-o", "timeout=0", *files])
    finally:
        TABLE.cells = kept
    if result != pytest.ExitCode.OK:
        raise StoriesFailed(f"{files}: {result!r}; run them alone to see why")
    return visited.keys_asked
