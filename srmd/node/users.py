"""Whom a node serves: what its database held when it was used last, and what an order moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from srmd.core.effects import MoveUsers
from srmd.core.node import Node, Serving, serving
from srmd.core.states import Destination, State
from srmd.store.database import EMPTY, Content, Counts, LowerOp, Placement, UserDatabase


@dataclass(frozen=True, slots=True)
class Picture:
    """What the database held when it was used last; nothing is known before its first use."""

    db_id: str = ""
    revision: int = 0
    placement_op: int = 0
    serving: tuple[tuple[str, str], ...] = ()
    """(home, serving) for each home node of the group."""
    assigned: tuple[tuple[str, int], ...] = ()
    unassigned: int = 0
    content: Content = EMPTY
    placements: tuple[Placement, ...] = ()

    @property
    def is_known(self) -> bool:
        """The database was used since the node started: every database has an id."""
        return bool(self.db_id)

    def serving_of(self, home: str) -> str:
        return dict(self.serving).get(home, home)

    def assigned_to(self, home: str) -> int:
        return dict(self.assigned).get(home, 0)


def picture_of(database: UserDatabase, nodes: tuple[str, str]) -> Picture:
    """Raises DatabaseDown."""
    placements = database.placements()
    placed = {row.home: row.serving for row in placements}
    counts: Counts = database.counts()
    return Picture(
        db_id=database.db_id,
        revision=database.revision(),
        placement_op=max((row.op for row in placements), default=0),
        serving=tuple((home, placed.get(home, home)) for home in nodes),
        assigned=tuple((home, counts.assigned.get(home, 0)) for home in nodes),
        unassigned=counts.unassigned,
        content=database.content(),
        placements=placements,
    )


def homes_after(order: MoveUsers, *, me: str, peer: str) -> dict[str, str]:
    """Who shall serve the users of each home node."""
    return {me: me, peer: me if order.to is Destination.HERE else peer}


def moved_count(homes: dict[str, str], picture: Picture) -> int:
    """How many users a move to these places concerns."""
    return sum(
        picture.assigned_to(home) for home, to in homes.items() if picture.serving_of(home) != to
    )


def place(database: UserDatabase, homes: dict[str, str], op: int, by: str) -> None:
    """Move the users, unless the peer's later order has placed them so already.

    Both nodes order each home to itself when they start, with the same op; the one that loses the
    tie has what it wanted.  Raises LowerOp when the later order placed them elsewhere.
    """
    try:
        database.move(homes, op=op, by=by)
    except LowerOp:
        placed = {row.home: row.serving for row in database.placements()}
        if any(placed.get(home, home) != serving for home, serving in homes.items()):
            raise


PLACED_AGAIN_PAUSE_S: Final = 1.0
"""Between two tries to place users again."""


def displaced(
    node: Node, picture: Picture, newest_op: int, *, me: str, peer: str
) -> dict[str, str] | None:
    """Who has to serve the users, if the database of a backup has lost their placement.

    A database that was replaced by an older copy, or by a new one, places the users where they were
    before, and a backup would serve its own only.  `newest_op` is of the newest placement that this
    run of SRM has seen.  None: nothing is lost, or the node is no backup, and the peer's placement
    or the next order decides.
    """
    if node.state is not State.BACKUP or not picture.is_known:
        return None
    return {me: me, peer: me} if picture.placement_op < newest_op else None


def served_count(node: Node, me: str, picture: Picture, *, well: bool) -> int:
    """Users that the node serves in this state: those placed here whom the state lets it serve.

    `well`: its critical services and its database run; else it serves nobody.
    """
    if not well:
        return 0
    match serving(node):
        case Serving.NOBODY:
            return 0
        case Serving.OWN:
            return picture.assigned_to(me) if picture.serving_of(me) == me else 0
        case Serving.PLACED:
            return sum(count for home, count in picture.assigned if picture.serving_of(home) == me)
