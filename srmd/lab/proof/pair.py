"""A pair of nodes and all that is on its way between them, as one small hashable value.

The numbers of a pair (`op`, stamps) grow for ever, but the rules only compare them: `Canon`
renumbers them so that the pairs are finitely many.  It keeps the order of all numbers that can
still be compared, and distances up to `GAP_MAX`: one `op` catches up with the other step by
step, so a distance matters, but whether it takes three steps or five does not.  A counterexample is
played again with its true numbers before it is told (`story.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from srmd.core.states import Health
from srmd.lab.proof.minds import BELOW

GAP_MAX: Final = 2
"""Distances between two `op` above this one count as this one."""
OP_BASE: Final = 2
"""The lower node's `op`; below it there is room for two old placements."""

OFF, STOPPED, RUNNING = 0, 1, 2
"""`Side.up`: the node is off; it runs without SRM; SRM runs."""
SOUND, SERVICE, DATABASE = 0, 1, 2
"""`Side.fault`."""
AT_HOME, AT_A, AT_B = 0, 1, 2
"""`Side.layout`: where its database places the users.  A move places the users of both homes at
once, so there are these three."""
WITHDRAWN: Final = 2
"""Added to a job whose operation is over: it is still done, its answer means nothing."""
DONE: Final = 2
"""Added to a move that is durable, its answer still unread."""


class Report(NamedTuple):
    """A heartbeat on its way."""

    report: int
    op: int
    stamp: int


class Side(NamedTuple):
    """One node with its services, its database, its orders, and what is on its way to it."""

    mind: int
    op: int
    heard: int
    """The `op` that the peer last reported, or BELOW our own."""
    stamp: int
    up: int
    services: bool
    fault: int
    jobs: tuple[int, ...]
    """Services to start or stop, in this order."""
    move: int
    placed_op: int
    placed_by: int
    layout: int
    late: tuple[Report, ...]
    """Former reports of the peer that may still arrive, the oldest first."""

    @property
    def health(self) -> Health:
        if self.fault == DATABASE:
            return Health.DATABASE_DOWN
        return Health.OK if self.services and self.fault == SOUND else Health.SERVICE_DOWN


class Pair(NamedTuple):
    """Both nodes, and what is known of them together."""

    sides: tuple[Side, Side]
    """Node a, which sorts first, and node b."""
    orderly: bool
    """Since the pair was at rest neither node was lost to the other and none has failed: nobody is
    served twice, not even on the way (S1)."""
    mismatched: bool
    """The nodes' settings do not make a pair."""

    @property
    def a(self) -> Side:
        return self.sides[0]

    @property
    def b(self) -> Side:
        return self.sides[1]


Numbers = tuple[int, ...]


class Canon:
    """Renumbers pairs, and remembers how."""

    def __init__(self, gap_max: int = GAP_MAX) -> None:
        self._gap_max = gap_max
        self._known: dict[tuple[int, ...], Numbers] = {}
        self._sides: dict[Side, Side] = {}

    def pair(self, a: Side, b: Side, *, orderly: bool, mismatched: bool) -> Pair:
        key = (
            a.op,
            b.op,
            a.heard,
            b.heard,
            a.placed_op,
            b.placed_op,
            a.stamp,
            b.stamp,
            len(a.late),
            *(number for late in a.late for number in late[1:]),
            *(number for late in b.late for number in late[1:]),
        )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._renumbered(a, b)
        if found:
            a, b = _with_numbers(a, b, found)
        sides = self._sides
        return Pair((sides.setdefault(a, a), sides.setdefault(b, b)), orderly, mismatched)

    def _renumbered(self, a: Side, b: Side) -> Numbers:
        """The new numbers in the order of the key; empty: as they are."""
        low = min(a.op, b.op)
        live = {a.op, b.op}
        live |= {side.heard for side in (a, b) if side.heard >= side.op}
        live |= {late.op for side in (a, b) for late in side.late if late.op >= side.op}
        live |= {side.placed_op for side in (a, b) if side.placed_op >= low}
        new: dict[int, int] = {}
        last = at = 0
        for number in sorted(live):
            at = at + min(number - last, self._gap_max) if new else OP_BASE
            new[number] = at
            last = number
        old = sorted({side.placed_op for side in (a, b)} - new.keys())
        places = new | {number: rank for rank, number in enumerate(old)}
        down = min(a.stamp, b.stamp) - 1

        def seen(op: int, by: Side) -> int:
            return new[op] if op >= by.op else BELOW

        def lates(side: Side) -> list[int]:
            told: list[int] = []
            for late in side.late:
                told += (seen(late.op, side), max(late.stamp, side.stamp - 1) - down)
            return told

        numbers = (
            new[a.op],
            new[b.op],
            seen(a.heard, a),
            seen(b.heard, b),
            places[a.placed_op],
            places[b.placed_op],
            a.stamp - down,
            b.stamp - down,
            *lates(a),
            *lates(b),
        )
        before = (
            *(a.op, b.op, a.heard, b.heard, a.placed_op, b.placed_op, a.stamp, b.stamp),
            *(number for late in (*a.late, *b.late) for number in late[1:]),
        )
        return () if numbers == before else numbers


class Exact(Canon):
    """Leaves all numbers as they are, for a single story."""

    def pair(self, a: Side, b: Side, *, orderly: bool, mismatched: bool) -> Pair:
        return Pair((a, b), orderly, mismatched)


def _with_numbers(a: Side, b: Side, numbers: Numbers) -> tuple[Side, Side]:
    ops, stamps, rest = numbers[:6], numbers[6:8], numbers[8:]
    split = 2 * len(a.late)
    made = []
    for i, (side, late) in enumerate(((a, rest[:split]), (b, rest[split:]))):
        arriving = tuple(
            Report(one.report, late[2 * n], late[2 * n + 1]) for n, one in enumerate(side.late)
        )
        made.append(
            Side(
                side.mind,
                ops[i],
                ops[2 + i],
                stamps[i],
                side.up,
                side.services,
                side.fault,
                side.jobs,
                side.move,
                ops[4 + i],
                side.placed_by,
                side.layout,
                arriving,
            )
        )
    return made[0], made[1]
