"""The node as one finite, frozen value: its state and the facts on which it decides.

Nothing here counts time or knows a name.  Timers are named (`timers`), silence is an event, and a
node knows of its identity only whether it sorts `first`, which breaks ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from srmd.core.events import Report
from srmd.core.states import (
    PASSING,
    Contact,
    Health,
    Reason,
    SplitBrain,
    Stage,
    Start,
    State,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The administrator's choices that decisions depend on."""

    automatic_fallback: bool = False
    split_brain: SplitBrain = SplitBrain.FAIL


@dataclass(frozen=True, slots=True)
class Node:
    """What a node is and knows.

    `cause` is why the present operation or role began; a restart changes `reason` (to
    Initialization) but not `cause`, so a resumed operation still ends as it should.
    `op` stamps the operation: it grows with each transition, past everything heard from the peer
    and found in the user database, so that of two nodes the one that acted later has the higher
    number.
    """

    state: State = State.INITIALIZING
    reason: Reason = Reason.INITIALIZATION
    cause: Reason = Reason.INITIALIZATION
    op: int = 0
    stage: Stage = Stage.BEGUN
    start: Start = Start.RESTART
    contact: Contact = Contact.NEVER
    contact_before: Contact = Contact.NEVER
    """The contact as it was just before the peer was heard last."""
    apart: bool = False
    """The peer was lost, and has not been heard since to know of us, or to serve nobody, later than
    our role began: what comes meanwhile may be old news, released when the network healed."""
    peer: Report | None = None
    """The last report, kept while the peer is silent; None until one is heard."""
    health: Health = Health.OK
    lasting: bool = False
    """The health has been bad for the critical service delay."""
    ha: bool = True
    ha_stamp: int = 0
    placed_op: int = 0
    """The highest number of an order that was found in the user database and is not ours: the next
    order has to outrank it."""
    first: bool = True
    """Our node id sorts before the peer's: the tie-break when both do the same at once."""
    policy: Policy = Policy()

    @property
    def settled(self) -> bool:
        """The peer was heard, or given up, since our SRM started."""
        return self.contact is not Contact.NEVER

    @property
    def newest_op(self) -> int:
        """The highest number that is known of any order: our own, the peer's, or one that the user
        database remembers."""
        heard_op = self.peer.op if self.peer is not None else 0
        return max(self.op, heard_op, self.placed_op)

    @property
    def loss(self) -> Reason:
        """How the loss of the peer is called: it went silent, or it said goodbye (R5)."""
        return Reason.PEER_REBOOT if self.contact is Contact.LEFT else Reason.PEER_DOWN

    def report(self) -> Report:
        """What we say of ourselves in a heartbeat."""
        return Report(
            state=self.state,
            reason=self.reason,
            op=self.op,
            stage=self.stage,
            start=self.start,
            settled=self.settled,
            hears_us=self.contact is Contact.HEARD,
            health=self.health,
            lasting=self.lasting,
            ha=self.ha,
            ha_stamp=self.ha_stamp,
        )


class Timer(Enum):
    """The timers of the machine.  The shell counts them; silence is counted by the detector."""

    STAY = "stay"
    """Bound of a passing state: StayExpired."""
    FALLBACK = "fallback"
    """Automatic fallback wait: FallbackDue."""


def timers(node: Node) -> frozenset[Timer]:
    """The timers that run.  One that is no longer named here dies; one of a new `op` starts anew.

    The fallback timer runs only while the home node is Failed Over, well, and heard by a peer that
    it hears: any break starts the wait again (R6).
    """
    running = set()
    if node.state in PASSING and not (
        node.state is State.INITIALIZING and node.contact is Contact.NEVER
    ):
        running.add(Timer.STAY)
    if (
        node.policy.automatic_fallback
        and node.state is State.FAILED_OVER
        and node.contact is Contact.HEARD
        and node.peer is not None
        and node.peer.state is State.BACKUP
        and node.peer.hears_us
        and node.peer.health is Health.OK
    ):
        running.add(Timer.FALLBACK)
    return frozenset(running)


class Serving(Enum):
    """Whose users a node serves now, among those whom the placement gives to it."""

    NOBODY = "nobody"
    OWN = "own"
    PLACED = "placed"
    """All that are placed here, its own and its peer's."""


def serving(node: Node) -> Serving:
    """Whom the node serves in its state and stage, if its critical services run (ours).

    Of two connected nodes never both serve the same user: the one that gives users up stops at
    READY, before the other one's move is ordered.
    """
    match node.state:
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN | State.TAKING_BACK:
            return Serving.NOBODY
        case State.INITIALIZING | State.NORMAL:
            return Serving.OWN
        case State.FAILING_OVER:
            # Only a Normal node begins here; its database may still place more on it than its own.
            return Serving.NOBODY if node.stage is Stage.READY else Serving.OWN
        case State.FALLING_BACK:
            return Serving.PLACED if node.stage is Stage.BEGUN else Serving.OWN
        case State.TAKING_OVER:
            # The peer has not let its users go yet, whatever an old placement says.
            return Serving.OWN if node.stage is Stage.BEGUN else Serving.PLACED
        case State.BACKUP | State.FAILED_MODE | State.UNKNOWN:
            return Serving.PLACED
        case State.DOWN:
            raise AssertionError("Down State is a view of a peer, never a node's own state")
