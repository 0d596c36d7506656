"""The handbook: what a pair of node states means, and what to do about it.

It is advice for the operator and oracle for the tests at once.  The 24 documented rows are in
`documented.py`, those that the document does not list in `ours.py`; here they are found.  The
documented rows are asked first, then ours from the special to the general, so that every pair
has exactly one answer; the key of the last two rows says that nothing better is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from srmd.core.handbook.documented import DOCUMENTED
from srmd.core.handbook.ours import IN_TRANSITION, OURS, SRM_STOPPED, UNDOCUMENTED
from srmd.core.handbook.row import ANY, Half, Pattern, Row, Side, fits
from srmd.core.states import PASSING, Reason, State
from srmd.core.texts import Text

__all__ = [
    "ANY",
    "COMMANDS",
    "DOCUMENTED",
    "DOCUMENTED_COUNT",
    "IN_TRANSITION",
    "OURS",
    "ROWS",
    "SILENT",
    "SRM_STOPPED",
    "UNDOCUMENTED",
    "Half",
    "Match",
    "Pattern",
    "Role",
    "Row",
    "Side",
    "find",
]

Role = Literal["home", "backup", "both"]

DOCUMENTED_COUNT: Final = 24

ROWS: Final[tuple[Row, ...]] = (*DOCUMENTED, *OURS)
"""All rows, in the order in which they are asked."""

SILENT: Final[Half] = (State.DOWN, Reason.UNKNOWN)
"""How a node is written that nobody hears."""

COMMANDS: Final = frozenset(
    {
        "srmd fallback",
        "srmd ha enable",
        "srmd recover",
        "srmd service list",
        "srmd service restart",
        "srmd service start",
        "srmd status",
    }
)
"""The commands that the handbook tells operators to use."""


@dataclass(frozen=True, slots=True)
class Match:
    """The row of a pair, seen from one of its nodes."""

    row: Row
    i_am: Role
    """The side of the row that is ours; both, when the row fits either way round."""

    def cause(self, me: str, peer: str) -> Text:
        return self._naming(self.row.cause, me, peer)

    def action(self, me: str, peer: str) -> Text:
        """What the operator should do, one step a line."""
        return self._naming(self.row.action, me, peer)

    def note(self, me: str, peer: str) -> Text | None:
        return self.row.note and self._naming(self.row.note, me, peer)

    def _naming(self, text: Text, me: str, peer: str) -> Text:
        home, backup = (peer, me) if self.i_am == "backup" else (me, peer)
        return text.naming(home=home, backup=backup)


def find(mine: Half, peer: Half | None) -> Match:
    """The row for what I show and what my peer shows; None: the peer is silent.

    There is always one: see `IN_TRANSITION` and `UNDOCUMENTED` for pairs that nobody described.
    """
    theirs = SILENT if peer is None else peer
    for row in ROWS:
        as_home = fits(row.home, mine) and fits(row.backup, theirs)
        as_backup = fits(row.backup, mine) and fits(row.home, theirs)
        if as_home:
            return Match(row, "both" if as_backup else "home")
        if as_backup:
            return Match(row, "backup")
    raise AssertionError(f"no row for {mine} and {theirs}: the last row has to fit every pair")


def _check(rows: tuple[Row, ...]) -> None:
    """The handbook refuses to exist when it contradicts itself."""
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys), f"two rows of one key: {sorted(keys)}"
    numbers = [row.n for row in rows if not row.ours]
    assert numbers == list(range(1, DOCUMENTED_COUNT + 1)), f"documented rows: {numbers}"
    assert keys[-2:] == [IN_TRANSITION, UNDOCUMENTED], f"last resorts come last, not {keys[-2:]}"
    for row in rows:
        assert row.note or not row.ours, f"{row.key}: a row of ours says why it exists"
        states = {state for state, _ in (*row.home, *row.backup)}
        rests = row.stable and row.key != UNDOCUMENTED
        assert not (rests and states & PASSING), f"{row.key}: no pair rests in a passing state"


_check(ROWS)
