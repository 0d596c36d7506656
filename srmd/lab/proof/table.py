"""Which pairs are reached at rest: the table docs/pairs-at-rest.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from srmd.core import handbook
from srmd.lab.proof.search import Rest
from srmd.shown import written

HEAD: Final = """\
# Pairs at rest

Written by `srmd prove --table`: every pair in which two nodes come to rest when they are left
alone, whatever happened before, and the row of the handbook that tells about it.
"Down" stands for a node whose SRM does not run.
A pair and its mirror image are one line.
See [proof.md](proof.md) for what was searched.

"""


def as_markdown(rests: Iterable[Rest], bounds: str) -> str:
    """The file; the same for the same pairs."""
    rows: dict[str, set[tuple[str, str]]] = {}
    for rest in rests:
        halves = sorted("Down" if half is None else written(half) for half in (rest.a, rest.b))
        rows.setdefault(rest.row, set()).add((halves[0], halves[1]))
    known = [row for row in handbook.ROWS if row.key in rows]
    lines = [HEAD, f"{bounds}\n", _counted(known, rows)]
    lines.append("| row | one node | the other node |\n|---|---|---|")
    for row in known:
        name = f"{row.n} `{row.key}`" if row.n is not None else f"ours: `{row.key}`"
        lines += [f"| {name} | {one} | {other} |" for one, other in sorted(rows[row.key])]
    return "\n".join(lines) + "\n"


def _counted(known: list[handbook.Row], rows: dict[str, set[tuple[str, str]]]) -> str:
    documented = sum(len(rows[row.key]) for row in known if row.n is not None)
    ours = sum(len(rows[row.key]) for row in known if row.n is None)
    bugs = sum(
        len(rows[row.key])
        for row in known
        if not row.stable or row.key in {handbook.UNDOCUMENTED, handbook.IN_TRANSITION}
    )
    return (
        f"{documented + ours} pairs: {documented} are in Cisco's table, {ours} are rows of ours,"
        f" {bugs} should not exist.\n"
    )
