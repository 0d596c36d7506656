"""Whom a node serves: what its database held when it was used last, and what an order moves."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from srmd.core.effects import MoveUsers
from srmd.core.events import PlacementSeen
from srmd.core.node import Node, Serving, serving
from srmd.core.states import AWAY, Contact, Destination, State
from srmd.store.database import EMPTY, Content, Counts, LowerOp, Placement, UserDatabase
from srmd.wire.codec import is_believable


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of the database when it was used last; nothing is known before its first use."""

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


def moved_count(homes: dict[str, str], picture: Picture, *, me: str) -> int:
    """The count of users whom a move brings here.

    Those who leave are counted, and paced, by the node that they come to.
    """
    return sum(
        picture.assigned_to(home)
        for home, to in homes.items()
        if to == me and picture.serving_of(home) != me
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


def counted_op(picture: Picture, *, proved: bool) -> int:
    """The number of the newest placement; 0 for one that the peer would not believe of us.

    It is bounded as the numbers of the peer are: a node that counted on from a number of a damaged
    database would be mute.
    """
    return picture.placement_op if is_believable(picture.placement_op, proved=proved) else 0


def placement_seen(node: Node, picture: Picture, *, proved: bool) -> PlacementSeen | None:
    """The event for the machine, so that its next order outranks what the database holds.

    None: it knows a number that is as high.
    """
    op = counted_op(picture, proved=proved)
    return PlacementSeen(op) if op > node.newest_op else None


PLACED_AGAIN_PAUSE_S: Final = 1.0
"""Between two tries to place users again; and how long two nodes in Normal have to agree on their
states before one of them places its users home: an order of the peer is told meanwhile."""


def displaced(
    node: Node, picture: Picture, newest_op: int, *, me: str, peer: str
) -> dict[str, str] | None:
    """The nodes that have to serve the users, if the database places them against the states.

    A database that was replaced by an older copy, or by a new one, places the users where they were
    before.  A backup would serve its own only, and in Normal a node would not serve its own.
    `newest_op` is of the newest placement that this run of SRM has seen.  None: nothing is lost, or
    a node is under way, and its order or the peer's placement decides.
    """
    if not picture.is_known:
        return None
    match node.state:
        case State.BACKUP:
            homes = {me: me, peer: me}
            lost = picture.placement_op < newest_op
            alone = node.contact is not Contact.HEARD or _peer_is(node, AWAY)
            return homes if lost or (alone and _differs(homes, picture)) else None
        case State.NORMAL if _peer_is(node, {State.NORMAL}):
            homes = {me: me}
            return homes if _differs(homes, picture) else None
        case _:
            return None


def placed_again_op(node: Node, picture: Picture, newest_op: int) -> int:
    """The number by which displaced users are placed again: it outranks all that was seen."""
    return max(node.op, newest_op + (picture.placement_op == newest_op))


def _peer_is(node: Node, states: Container[State]) -> bool:
    """The peer is heard, in one of these states, and hears us."""
    report = node.peer
    heard = node.contact is Contact.HEARD and report is not None and report.hears_us
    return heard and report is not None and report.state in states


def _differs(homes: dict[str, str], picture: Picture) -> bool:
    return any(picture.serving_of(home) != to for home, to in homes.items())


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
