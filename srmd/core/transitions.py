"""The rules: what a node decides in each state on each event.

Read the table at the end first; it is the specification (rules R1-R14, see docs/state-machine.md).
Three ideas run through the decisions above it.

*The state is the order.*  A node acts on what its peer reports of itself, and reports come again
with every heartbeat: a lost message is repaired by the next one, a restart finds its place again.

*Giving comes before taking.*  The node that lets users go says READY; only then the other one moves
them.  A silent peer cannot be asked: it is taken from.

*A higher `op` is later.*  A report whose `op` is below ours was sent before the peer noticed us.

X is the home side, Y the backup side.  "ours" marks what Cisco does not document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from srmd.core.effects import Effect, MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Booted,
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HaSet,
    HealthChanged,
    OperationFailed,
    Order,
    PeerDown,
    PeerHeard,
    PeerLeft,
    PeerMismatched,
    PlacementSeen,
    RecoverRequested,
    Report,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.machine import Row, Step, Table, go, ignore, on, refuse
from srmd.core.node import Node
from srmd.core.states import (
    Contact,
    Destination,
    Health,
    Reason,
    SplitBrain,
    Stage,
    Start,
    State,
)

# ---------------------------------------------------------------------------- goals and questions


def move(to: Destination) -> Callable[[int], Effect]:
    return lambda op: MoveUsers(op, to)


ALL_HERE = move(Destination.HERE)
EACH_HOME = move(Destination.HOME)

AUTO_RECOVERED = {
    Reason.AUTO_RECOVERY_DATABASE_FAILURE: Reason.AUTO_RECOVER_DATABASE_FAILURE,
    # The document prints the database's reason for node 1 of row 23 too.
    Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN: Reason.AUTO_RECOVER_DATABASE_FAILURE,
}
"""How the node that auto-recovers the users names what its peer reports (rows 22 and 23)."""

HAS_ACTED = frozenset({Reason.PEER_DOWN, Reason.PEER_REBOOT})
"""Reasons of a peer that gave us up and took over."""

HAS_YIELDED = frozenset({Reason.INITIALIZATION, Reason.PEER_DOWN})
"""Reasons of a failed-over peer that may have held users: it restarted, or it heard us take over.

Ours, as is TAKEN_UNASKED: see `hold_users_again`.
"""

TAKEN_UNASKED = frozenset({*HAS_ACTED, Reason.PEER_DOWN_DURING_INITIALIZATION})
"""Causes of a role that was taken from a peer that could not be heard."""


def well(node: Node | Report) -> bool:
    return node.health is Health.OK


def failure(node: Node) -> Reason:
    """How the node's own lasting failure is called (R3, R4)."""
    if node.health is Health.DATABASE_DOWN:
        return Reason.DATABASE_FAILURE
    return Reason.CRITICAL_SERVICE_DOWN


def heard(node: Node) -> Report:
    """The report of a peer that was heard since we started."""
    assert node.peer is not None, "asked for the report of a peer never heard"
    return node.peer


def stay(node: Node) -> Step:
    return Step(node)


# ---------------------------------------------------------------------------- doors to other states


def fail(node: Node, reason: Reason, *effects: Callable[[int], Effect]) -> Step:
    return go(node, State.FAILED_MODE, reason, *effects)


def become_failed_over(node: Node, reason: Reason) -> Step:
    """Failed Over, or Failed Over with Critical Services Not Running, by our health."""
    to = State.FAILED_OVER if well(node) else State.FAILED_OVER_SERVICES_DOWN
    return go(node, to, reason, StartServices)


def claim(node: Node, reason: Reason) -> Step:
    """Take all users over from a peer that does not serve them any more."""
    return go(node, State.TAKING_OVER, reason, StartServices, ALL_HERE, stage=Stage.MOVING)


def give_up_users(node: Node, reason: Reason) -> Step:
    """Fail over with the services left as they are; the users are let go at once."""
    return go(node, State.FAILING_OVER, reason, stage=Stage.READY)


def restart(node: Node, start: Start) -> Step:
    """Begin anew, as SRM does when it starts: listen for the peer, have the services running."""
    fresh = replace(node, contact=Contact.NEVER, apart=False, start=start)
    return go(fresh, State.INITIALIZING, Reason.INITIALIZATION, StartServices)


def resume(node: Node, *effects: Callable[[int], Effect]) -> Step:
    """The same state after a restart: only the reason tells of it."""
    return go(node, node.state, Reason.INITIALIZATION, *effects, cause=node.cause)


def recovers(peer: Report, node: Node) -> bool:
    """The peer has recovered from a failure of the pair that we still live in (R10).

    As long as it is unwell and does not hear us it is not followed (ours): if it stays so it fails
    again, and we would have sent its users home to where nobody serves them.
    """
    began = peer.state is State.INITIALIZING and peer.start is Start.RECOVER and peer.op > node.op
    return began and (peer.hears_us or well(peer))


def join_failure(node: Node, report: Report) -> Step:
    """Running in Failed Mode is a state of both nodes."""
    return fail(node, report.reason)


def nobody_serves(node: Node) -> Step:
    """Both nodes have given their users up: only Recover leads out (ours)."""
    return fail(node, Reason.UNKNOWN)


def unless_unnoticed(node: Node, peer: Report) -> Step:
    """The peer gave its users up after us: nobody serves.  Before us: it has not noticed us yet."""
    return nobody_serves(node) if peer.op > node.op else stay(node)


def both_serve(node: Node) -> Step:
    """R9: both served the same users.  Each keeps its own; then the policy decides."""
    if node.policy.split_brain is SplitBrain.HOME:
        return restart(node, Start.RECOVER)
    return fail(node, Reason.UNKNOWN, EACH_HOME)


# ---------------------------------------------------------------------------- R1: start


def start_afresh(node: Node, event: Booted) -> Step:
    """SRM starts in Initializing, has its services started and listens for the peer (R1)."""
    if not node.ha:
        return stay_out(node)
    return restart(node, event.start)


def start_idle(node: Node, event: Booted) -> Step:
    """Stored Idle stays Idle, its services stay stopped, over a reboot too (rows 5, 6)."""
    if not node.ha:
        return stay_out(node)
    return resume(replace(node, start=event.start), StopServices)


def start_in_role(node: Node, event: Booted) -> Step:
    """A stored role is resumed; what the peer reports then decides (rows 6-9)."""
    if not node.ha:
        return stay_out(node)
    return resume(replace(node, start=event.start), StartServices)


def start_failing_over(node: Node, event: Booted) -> Step:
    """A fail-over half way is resumed (ours): a manual one goes on stopping the services, and in
    any other they run."""
    if not node.ha:
        return stay_out(node)
    again = replace(node, start=event.start)
    if node.cause is Reason.ON_ADMIN_REQUEST:
        return resume(again, StopServices)
    step = resume(again, StartServices)
    return replace(step, node=replace(step.node, stage=Stage.READY))


def start_failed(node: Node, event: Booted) -> Step:
    """An SRM restart does not leave Running in Failed Mode (row 21); a reboot starts afresh."""
    if not node.ha:
        return stay_out(node)
    if event.start is Start.REBOOT:
        return restart(node, event.start)
    return fail(replace(node, start=event.start), Reason.UNKNOWN)


def stay_out(node: Node) -> Step:
    return go(node, State.UNKNOWN, Reason.HA_NOT_ENABLED, StartServices)


# ---------------------------------------------------------------------------- Initializing


def find_place(node: Node, event: PeerHeard | PeerDown | PeerLeft | HealthChanged) -> Step:
    """What the peer reports, or its silence, and our health decide where we begin (R1)."""
    if node.contact is Contact.NEVER:
        return stay(node)
    if node.contact is not Contact.HEARD:
        if well(node):
            reason = Reason.PEER_DOWN_DURING_INITIALIZATION
            return claim(node, Reason.PEER_REBOOT if node.contact is Contact.LEFT else reason)
        return fail(node, Reason.CRITICAL_SERVICE_DOWN) if node.lasting else stay(node)
    peer = heard(node)
    match peer.state:
        case State.INITIALIZING | State.NORMAL:
            if node.lasting:
                return fail_over_or_fail(node)
            if well(node) and node.stage is Stage.BEGUN:
                return Step(replace(node, stage=Stage.MOVING), (EACH_HOME(node.op),))
            return stay(node)
        case State.BACKUP:
            if node.start is Start.RECOVER and peer.op < node.op:
                return stay(node)  # from before it heard that we recover: it follows
            return become_failed_over(node, Reason.INITIALIZATION)
        case State.TAKING_BACK:
            return go(node, State.FALLING_BACK, Reason.INITIALIZATION)
        case State.FALLING_BACK:
            return take_back(node, Reason.INITIALIZATION)
        case State.FAILING_OVER:
            return step_in(node, take_over_reason(peer))
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN:
            return step_in(node, Reason.INITIALIZATION)
        case State.FAILED_MODE:
            return meet_failed_peer(node, peer)
        case State.TAKING_OVER | State.UNKNOWN | State.DOWN:
            return stay(node)


def meet_failed_peer(node: Node, peer: Report) -> Step:
    """A restart joins the failure (row 21); a recovered or rebooted node lets the peer follow."""
    follows = {Start.RESTART: False, Start.REBOOT: well(peer), Start.RECOVER: peer.op < node.op}
    return stay(node) if follows[node.start] else fail(node, Reason.UNKNOWN)


def begin_normal(node: Node, event: UsersMoved) -> Step:
    """Our users are at home: Normal (row 1)."""
    return go(node, State.NORMAL, Reason.NORMAL)


def give_up_starting(node: Node, event: OperationFailed) -> Step:
    """Users that cannot be brought home at the start are an internal error (row 21)."""
    if event.order is Order.MOVE_USERS:
        return fail(node, Reason.UNKNOWN)
    return stay(node)


# ---------------------------------------------------------------------------- Normal


def fail_over_or_fail(node: Node) -> Step:
    """Our failure lasts: the peer takes our users, unless it cannot serve either (R3, R4)."""
    peer = heard(node)
    if well(peer):
        return give_up_users(node, failure(node))
    return fail(node, Reason.CRITICAL_SERVICE_DOWN) if peer.lasting else stay(node)


def step_in(node: Node, reason: Reason) -> Step:
    """Take over from a peer that fails over, unless we cannot serve either (R3)."""
    if well(node):
        peer = heard(node)
        if peer.state is State.FAILING_OVER and peer.stage is Stage.BEGUN:
            return go(node, State.TAKING_OVER, reason, StartServices)
        return claim(node, reason)
    return fail(node, Reason.CRITICAL_SERVICE_DOWN) if node.lasting else stay(node)


def take_over_reason(peer: Report) -> Reason:
    return AUTO_RECOVERED.get(peer.reason, peer.reason)


def answer_as_normal(node: Node, event: PeerHeard | HealthChanged) -> Step:
    """A normal node watches its health, steps in for a failing peer, yields to a new backup."""
    peer = heard(node)
    match peer.state:
        case State.NORMAL | State.INITIALIZING:
            return fail_over_or_fail(node) if node.lasting else stay(node)
        case State.FAILING_OVER | State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN:
            return step_in(node, take_over_reason(peer))
        case State.TAKING_OVER | State.BACKUP:
            return give_up_users(node, Reason.PEER_DOWN)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.FALLING_BACK | State.TAKING_BACK | State.UNKNOWN | State.DOWN:
            return stay(node)


def take_over_from_lost_peer(node: Node, event: PeerDown | PeerLeft) -> Step:
    """The peer is gone: take its users, and those here stay here (R5, R12)."""
    return claim(node, node.loss)


def fail_over_on_request(node: Node, event: FailoverRequested) -> Step:
    """The administrator fails this node over: its services are stopped first (R2)."""
    if not may_fail_over(node, node.peer, node.contact):
        return Step(node, refusal=FAILOVER_NEEDS)
    return go(node, State.FAILING_OVER, Reason.ON_ADMIN_REQUEST, StopServices)


FAILOVER_NEEDS = "both nodes in Normal, hearing each other, with their critical services running"
FALLBACK_NEEDS = (
    "the home node in Idle or Failed Over and its peer in Running in Backup Mode,"
    " hearing each other"
)
RECOVER_NEEDS = "both nodes in Running in Failed Mode (or one, and its peer silent)"


def may_fail_over(mine: Node | Report, other: Report | None, contact: Contact) -> bool:
    """The failing side's view of R2's guard; works on reports too, for the peer's side."""
    return (
        contact is Contact.HEARD
        and other is not None
        and mine.state is State.NORMAL
        and other.state is State.NORMAL
        and well(other)
    )


def may_fall_back(mine: Node | Report, other: Report | None, contact: Contact) -> bool:
    """The home side's view of the guard of R6, with R12's Idle node whose peer is silent.

    A backup that does not hear us would never let our users go: the fallback would end in Running
    in Failed Mode, as the automatic one would, which asks the same (`timers`).
    """
    if contact is Contact.HEARD and other is not None:
        ready = mine.state in {State.IDLE, State.FAILED_OVER}
        return ready and other.state is State.BACKUP and other.hears_us
    return mine.state is State.IDLE and contact in {Contact.SILENT, Contact.LEFT}


def may_recover(mine: Node | Report, other: Report | None, contact: Contact) -> bool:
    """Both failed (R10); or one, whose peer is lost: a node must not stay failed forever (ours)."""
    if mine.state is not State.FAILED_MODE:
        return False
    return contact is not Contact.HEARD or (
        other is not None and other.state in {State.FAILED_MODE, State.INITIALIZING}
    )


# ---------------------------------------------------------------------------- Failing Over


def let_go(node: Node, event: ServicesStopped) -> Step:
    """Our services are stopped and our users let go: the peer may take them (R2)."""
    return finish_failing_over(replace(node, stage=Stage.READY))


def finish_failing_over(node: Node) -> Step:
    """When the peer holds our users: Idle if the administrator wished it, else Failed Over."""
    peer = node.peer
    if node.stage is not Stage.READY or node.contact is not Contact.HEARD:
        return stay(node)
    if peer is None or peer.state is not State.BACKUP:
        return stay(node)
    if node.cause is Reason.ON_ADMIN_REQUEST:
        return go(node, State.IDLE, node.reason, cause=node.cause)
    to = State.FAILED_OVER if well(node) else State.FAILED_OVER_SERVICES_DOWN
    return go(node, to, node.reason, cause=node.cause)


def answer_while_failing_over(node: Node, event: PeerHeard) -> Step:
    """Wait for the peer to hold our users; if it fails over as well, one of us turns round."""
    peer = event.report
    match peer.state:
        case State.BACKUP:
            return finish_failing_over(node)
        case State.FAILING_OVER:
            return settle_double_failing_over(node, peer)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN:
            return unless_unnoticed(node, peer)
        case State.NORMAL | State.INITIALIZING | State.TAKING_OVER | State.UNKNOWN | State.DOWN:
            return stay(node)
        case State.TAKING_BACK | State.FALLING_BACK:
            return stay(node)


def settle_double_failing_over(node: Node, peer: Report) -> Step:
    """Both nodes fail over at once: the one that can serve turns round (ours)."""
    manual = node.cause is Reason.ON_ADMIN_REQUEST
    able, peer_able = manual or well(node), peer.reason in GIVEN_UP_WELL or well(peer)
    if not able and not peer_able:
        return fail(node, Reason.CRITICAL_SERVICE_DOWN)
    if able and (not peer_able or not node.first):
        return go(node, State.TAKING_OVER, take_over_reason(peer), StartServices)
    return stay(node)


GIVEN_UP_WELL = frozenset({Reason.ON_ADMIN_REQUEST})
"""Reasons of a failing node whose services are down only because it was told so."""


def fail_unstopped(node: Node, event: OperationFailed) -> Step:
    """Services that cannot be stopped are an internal error (row 21)."""
    if event.order is Order.STOP_SERVICES:
        return fail(node, Reason.UNKNOWN)
    return stay(node)


# ---------------------------------------------------------------------------- Taking Over


def answer_while_taking_over(node: Node, event: PeerHeard) -> Step:
    """Move the users once the peer let them go; yield or fail if it took over as well (R9)."""
    peer = event.report
    if recovers(peer, node):
        return restart(node, Start.RECOVER)
    match peer.state:
        case State.FAILING_OVER:
            return order_move(node) if peer.stage is Stage.READY else stay(node)
        case (
            State.INITIALIZING
            | State.IDLE
            | State.FAILED_OVER
            | State.FAILED_OVER_SERVICES_DOWN
            | State.NORMAL
        ):
            return order_move(node)
        case State.TAKING_OVER | State.BACKUP:
            return answer_rival(node, peer)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.TAKING_BACK | State.FALLING_BACK | State.UNKNOWN | State.DOWN:
            return stay(node)


def order_move(node: Node) -> Step:
    if node.stage is Stage.MOVING:
        return stay(node)
    return Step(replace(node, stage=Stage.MOVING), (ALL_HERE(node.op),))


def answer_rival(node: Node, peer: Report) -> Step:
    """Both hold, or take, all users (R9).

    One that has just restarted only remembers its role: it yields to one that acted.  One that was
    never apart from its rival sees a one-way loss: the deaf rival cannot yield, so this node does.
    Where both had lost each other, both served.
    """
    if not peer.settled and node.contact_before is not Contact.NEVER:
        return stay(node)
    if node.contact_before is Contact.NEVER and peer.settled:
        return become_failed_over(node, Reason.INITIALIZATION)
    if not node.apart:
        return give_up_users(node, Reason.PEER_DOWN)
    if peer.settled and peer.hears_us:
        return stay(node)
    return both_serve(node)


def order_move_without_asking(node: Node, event: PeerDown | PeerLeft) -> Step:
    """A peer that is gone cannot let its users go: take them (R12)."""
    return order_move(node)


def hold_users(node: Node, event: UsersMoved) -> Step:
    """All users are here: Running in Backup Mode."""
    return keep_or_hand_over(go(node, State.BACKUP, node.reason, cause=node.cause).node)


def fail_taking_over(node: Node, event: OperationFailed) -> Step:
    """Users that cannot be taken over fail both nodes (R7, row 19)."""
    if event.order is Order.MOVE_USERS:
        return fail(node, Reason.TAKE_OVER_USERS_FAILED)
    return stay(node)


def overdue_taking_over(node: Node, event: StayExpired) -> Step:
    """A take-over that does not end has failed (R7)."""
    return fail(node, Reason.TAKE_OVER_USERS_FAILED)


# ---------------------------------------------------------------------------- Backup


def keep_or_hand_over(node: Node) -> Step:
    """A backup that cannot serve hands all users to a peer that can (R8), or both fail (row 15)."""
    if not node.lasting:
        return stay(node)
    if node.contact is Contact.HEARD:
        peer = heard(node)
        if peer.state is State.FAILED_OVER and well(peer):
            return give_up_users(
                node,
                Reason.AUTO_RECOVERY_DATABASE_FAILURE
                if node.health is Health.DATABASE_DOWN
                else Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN,
            )
        on_its_way = peer.state is not State.IDLE and not peer.lasting
        if on_its_way:
            return stay(node)
    return fail(node, Reason.CRITICAL_SERVICE_DOWN)


def watch_as_backup(node: Node, event: HealthChanged | PeerLeft) -> Step:
    """The backup keeps its role when the peer is lost, and in short failures of its own (R8)."""
    return keep_or_hand_over(node)


def answer_as_backup(node: Node, event: PeerHeard) -> Step:
    """Let the home node take its users back; settle with a rival; fail or recover with the peer."""
    peer = event.report
    if recovers(peer, node):
        return restart(node, Start.RECOVER)
    match peer.state:
        case State.TAKING_BACK:
            if (
                peer.op < node.op
            ):  # an order from before we took over: the peer finds out and yields
                return keep_or_hand_over(node)
            return go(node, State.FALLING_BACK, peer.reason)
        case State.TAKING_OVER | State.BACKUP:
            return answer_rival(node, peer)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN | State.INITIALIZING:
            unasked = node.cause in TAKEN_UNASKED or peer.reason in HAS_YIELDED
            resumed = node.reason is Reason.INITIALIZATION and node.contact_before is Contact.NEVER
            if resumed or (unasked and peer.op > node.op):
                return hold_users_again(node)
            return keep_or_hand_over(node)
        case State.NORMAL | State.FAILING_OVER | State.FALLING_BACK | State.UNKNOWN | State.DOWN:
            return keep_or_hand_over(node)


def lose_peer_as_backup(node: Node, event: PeerDown) -> Step:
    """Without its peer a backup keeps its role; one that resumed it places the users again (ours).

    Who starts again may find another placement than it left: a database that was lost, or one that
    the peer has filled meanwhile.
    """
    never_heard = node.reason is Reason.INITIALIZATION and node.peer is None
    return hold_users_again(node) if never_heard and not node.lasting else keep_or_hand_over(node)


def hold_users_again(node: Node) -> Step:
    """A peer that was not asked may have placed users on itself after us: hold them (ours).

    Placements are kept apart while the nodes do not hear each other, and the highest (op, node)
    wins: without this the users could be placed on a node that serves nobody, until the fallback.
    """
    return go(node, State.BACKUP, node.reason, ALL_HERE, cause=node.cause)


# ---------------------------------------------------------------------------- Idle, Failed Over


def answer_as_idle(node: Node, event: PeerHeard) -> Step:
    """Idle lasts until a manual fallback; it ends only with a failure of the pair."""
    peer = event.report
    match peer.state:
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case (
            State.IDLE
            | State.FAILED_OVER
            | State.FAILED_OVER_SERVICES_DOWN
            | State.FAILING_OVER
            | State.TAKING_BACK
        ):
            return nobody_serves(node)
        case (
            State.BACKUP
            | State.TAKING_OVER
            | State.NORMAL
            | State.INITIALIZING
            | State.FALLING_BACK
            | State.UNKNOWN
            | State.DOWN
        ):
            return stay(node)


def answer_as_failed_over(node: Node, event: PeerHeard) -> Step:
    """The peer holds our users; if it has to give them up, we take them all (R8)."""
    peer = event.report
    match peer.state:
        case State.FAILING_OVER:
            return step_in(node, take_over_reason(peer))
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.IDLE | State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN | State.TAKING_BACK:
            return nobody_serves(node)
        case (
            State.BACKUP
            | State.TAKING_OVER
            | State.NORMAL
            | State.INITIALIZING
            | State.FALLING_BACK
            | State.UNKNOWN
            | State.DOWN
        ):
            return stay(node)


def watch_as_failed_over(node: Node, event: HealthChanged) -> Step:
    """Failed Over tells whether the services run (rows 11, 12); alone, we serve if we can."""
    if well(node):
        if node.contact in {Contact.SILENT, Contact.LEFT}:
            return claim(node, node.loss)
        if node.state is State.FAILED_OVER_SERVICES_DOWN:
            return go(node, State.FAILED_OVER, node.reason, cause=node.cause)
    elif node.state is State.FAILED_OVER:
        return go(node, State.FAILED_OVER_SERVICES_DOWN, node.reason, cause=node.cause)
    return stay(node)


def wait_for_services(node: Node, event: PeerDown | PeerLeft) -> Step:
    """Nobody serves; we take over as soon as our services run (ours)."""
    return stay(node)


# ---------------------------------------------------------------------------- fallback


def take_back(node: Node, reason: Reason) -> Step:
    return go(node, State.TAKING_BACK, reason, StartServices)


def take_back_on_request(node: Node, event: FallbackRequested) -> Step:
    """The administrator brings the users of this node home (R6)."""
    if not may_fall_back(node, node.peer, node.contact):
        return Step(node, refusal=FALLBACK_NEEDS)
    return take_back(node, Reason.ON_ADMIN_REQUEST)


def take_back_by_itself(node: Node, event: FallbackDue) -> Step:
    """This node was well for the automatic fallback wait (R6, row 10)."""
    return take_back(node, Reason.AUTOMATIC_FALLBACK)


def be_ready_to_take_back(node: Node, event: ServicesStarted) -> Step:
    """Our services run: the peer may let our users go; a lost peer is taken from (R12)."""
    return go_on_taking_back(replace(node, stage=Stage.READY))


def go_on_taking_back(node: Node) -> Step:
    if node.stage is not Stage.READY:
        return stay(node)
    if node.contact in {Contact.SILENT, Contact.LEFT}:
        return claim(node, node.loss)
    if node.contact is Contact.HEARD:
        peer = heard(node)
        let_go = peer.state is State.FALLING_BACK and peer.stage is Stage.READY
        if let_go or peer.state is State.NORMAL:
            # A new op: the peer may have ordered a move with ours, before it heard of us.
            return go(
                node, node.state, node.reason, EACH_HOME, cause=node.cause, stage=Stage.MOVING
            )
    return stay(node)


def answer_while_taking_back(node: Node, event: PeerHeard) -> Step:
    """Move our users home once the peer let them go; yield to a peer that took them again."""
    peer = event.report
    match peer.state:
        case State.FALLING_BACK | State.NORMAL:
            return go_on_taking_back(node)
        case State.BACKUP:
            acted = peer.reason in HAS_ACTED and node.contact_before is Contact.NEVER
            if acted or peer.op > node.op:
                return become_failed_over(
                    node, Reason.INITIALIZATION if acted else Reason.PEER_DOWN
                )
            return stay(node)
        case State.TAKING_OVER:
            return give_up_users(node, Reason.PEER_DOWN)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case (
            State.IDLE
            | State.FAILED_OVER
            | State.FAILED_OVER_SERVICES_DOWN
            | State.TAKING_BACK
            | State.FAILING_OVER
        ):
            return unless_unnoticed(node, peer)
        case State.INITIALIZING | State.UNKNOWN | State.DOWN:
            return stay(node)


def lose_peer_while_taking_back(node: Node, event: PeerDown | PeerLeft) -> Step:
    """The fallback goes on without the peer and ends with all users here (R12)."""
    return claim(node, node.loss) if node.stage is Stage.MOVING else go_on_taking_back(node)


def be_home(node: Node, event: UsersMoved) -> Step:
    """Our users are home: Normal (row 1)."""
    return go(node, State.NORMAL, Reason.NORMAL)


def fail_taking_back(node: Node, event: OperationFailed) -> Step:
    """Services that do not start, or users that cannot be moved, fail both nodes (rows 14, 20)."""
    if event.order is Order.MOVE_USERS:
        return fail(node, Reason.TAKE_BACK_USERS_FAILED)
    return fail(node, Reason.START_OF_CRITICAL_SERVICES_FAILED)


def overdue_taking_back(node: Node, event: StayExpired) -> Step:
    """A fallback that does not end has failed, in its services or in its users."""
    if node.stage is Stage.BEGUN:
        return fail(node, Reason.START_OF_CRITICAL_SERVICES_FAILED)
    return fail(node, Reason.TAKE_BACK_USERS_FAILED)


def answer_while_falling_back(node: Node, event: PeerHeard) -> Step:
    """Let the users go when the home node is ready; take the role again if it gave up."""
    peer = event.report
    match peer.state:
        case State.TAKING_BACK:
            if peer.stage is Stage.BEGUN or node.stage is not Stage.BEGUN:
                return stay(node)
            return Step(replace(node, stage=Stage.READY))
        case State.NORMAL:
            return place_them_home(node)
        case State.FAILED_OVER | State.FAILED_OVER_SERVICES_DOWN | State.IDLE:
            return claim(node, node.cause)
        case State.BACKUP | State.TAKING_OVER:
            if node.contact_before is Contact.NEVER:
                return become_failed_over(node, Reason.INITIALIZATION)
            return give_up_users(node, Reason.PEER_DOWN)
        case State.FAILED_MODE:
            return join_failure(node, peer)
        case State.FAILING_OVER:
            return claim(node, take_over_reason(peer)) if well(node) else stay(node)
        case State.INITIALIZING | State.FALLING_BACK | State.UNKNOWN | State.DOWN:
            return stay(node)


def place_them_home(node: Node) -> Step:
    """The users are home: our database has to say so too, before we are Normal (ours).

    It is what a node goes by that stands alone.  If it placed them here still, and SRM restarted
    now into another group or without high availability, both nodes would serve them.
    """
    if node.stage is Stage.MOVING:
        return stay(node)
    return go(node, node.state, node.reason, EACH_HOME, cause=node.cause, stage=Stage.MOVING)


def end_falling_back(node: Node, event: UsersMoved) -> Step:
    """The users are home by our database too: Normal (row 1)."""
    return go(node, State.NORMAL, Reason.NORMAL)


def end_falling_back_unplaced(node: Node, event: OperationFailed) -> Step:
    """A database that cannot place them has failed, which the health tells: Normal too (ours)."""
    if event.order is Order.MOVE_USERS:
        return go(node, State.NORMAL, Reason.NORMAL)
    return stay(node)


def overdue_falling_back(node: Node, event: StayExpired) -> Step:
    """A fallback that does not end has failed."""
    return fail(node, Reason.TAKE_BACK_USERS_FAILED)


# ---------------------------------------------------------------------------- Failed Mode


def answer_as_failed(node: Node, event: PeerHeard) -> Step:
    """Stay failed until Recover, which the peer's report brings too, or the peer's reboot (R10)."""
    peer = event.report
    if recovers(peer, node):
        return restart(node, Start.RECOVER)
    if peer.state is State.INITIALIZING and peer.start is Start.REBOOT and well(node):
        return claim(node, Reason.PEER_REBOOT)
    if peer.state is State.FAILED_MODE and peer.reason is not node.reason:
        if peer.reason is Reason.UNKNOWN or peer.op == node.op:
            return fail(node, Reason.UNKNOWN)
        if node.reason is not Reason.UNKNOWN and peer.op > node.op:
            return fail(node, peer.reason)
    return stay(node)


def take_over_from_rebooting_peer(node: Node, event: PeerLeft) -> Step:
    """The peer announced a reboot: a node that can serve takes over (R12, row 14's last step)."""
    return claim(node, Reason.PEER_REBOOT) if well(node) else stay(node)


def recover(node: Node, event: RecoverRequested) -> Step:
    """SRM restarts, forgets the failure, starts the services (R10); the peer follows our report."""
    if not may_recover(node, node.peer, node.contact):
        return Step(node, refusal=RECOVER_NEEDS)
    return restart(node, Start.RECOVER)


# ---------------------------------------------------------------------------- HA off, mismatch


def switch_ha(node: Node, event: HaSet) -> Step:
    """High availability off: no failover, services and users stay as they are (R11)."""
    changed = replace(node, ha=event.enabled, ha_stamp=event.stamp)
    if event.enabled:
        return stay(changed)
    return go(changed, State.UNKNOWN, Reason.HA_NOT_ENABLED)


def switch_ha_on(node: Node, event: HaSet) -> Step:
    """High availability on: SRM finds its place as if it had just started (R11)."""
    changed = replace(node, ha=event.enabled, ha_stamp=event.stamp)
    if event.enabled:
        return restart(changed, Start.RESTART)
    if node.reason is Reason.HA_NOT_ENABLED:
        return stay(changed)
    return go(changed, State.UNKNOWN, Reason.HA_NOT_ENABLED)


def be_unknown(node: Node, event: PeerMismatched) -> Step:
    """Two nodes that are not set up as a pair are both Unknown (R11, row 24)."""
    if node.state is State.UNKNOWN:
        return stay(node)
    return go(node, State.UNKNOWN, Reason.UNKNOWN)


def leave_unknown(node: Node, event: PeerHeard) -> Step:
    """The peer matches again: find our place as if SRM had just started (R11)."""
    if node.ha:
        return restart(node, Start.RESTART)
    return stay(node)


def overdue(node: Node, event: StayExpired) -> Step:
    """A passing state that does not end is an internal error (row 21, ours)."""
    return fail(node, Reason.UNKNOWN)


# ---------------------------------------------------------------------------- the table

S = State

FAILOVER_AND_OUT = (S.FAILING_OVER, S.FAILED_MODE)
FAILED_OVER_STATES = (S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN)

EVERYWHERE = (
    on(PeerMismatched, be_unknown, S.UNKNOWN),
    *ignore(PlacementSeen, because="the next order gets a number above it"),
)

SWITCHABLE = (
    *EVERYWHERE,
    on(HaSet, switch_ha, S.UNKNOWN),
)

NO_ORDERS = ignore(
    ServicesStarted,
    ServicesStopped,
    UsersMoved,
    OperationFailed,
    because="goals were set on entry; whether they hold shows in the health, not in the state",
)

AT_REST = (
    *SWITCHABLE,
    *NO_ORDERS,
    *ignore(StayExpired, because="a stable state has no bound"),
)

NOT_NOW = (
    *refuse(FailoverRequested, needs=FAILOVER_NEEDS),
    *refuse(FallbackRequested, needs=FALLBACK_NEEDS),
    *refuse(RecoverRequested, needs=RECOVER_NEEDS),
)
"""No command is possible in this state."""

BUSY = (
    *SWITCHABLE,
    *NOT_NOW,
    *ignore(
        FallbackDue, because="only a node that is Failed Over waits for the automatic fallback"
    ),
)

RULES: dict[State, tuple[Row, ...]] = {
    S.UNKNOWN: (
        *EVERYWHERE,
        *NO_ORDERS,
        on(HaSet, switch_ha_on, S.INITIALIZING),
        on(Booted, start_afresh, S.INITIALIZING),
        on(PeerHeard, leave_unknown, S.INITIALIZING),
        *ignore(
            PeerDown,
            PeerLeft,
            HealthChanged,
            because="without high availability nothing is done about it",
        ),
        *ignore(StayExpired, FallbackDue, because="Unknown has no timers"),
        *NOT_NOW,
    ),
    S.INITIALIZING: (
        *BUSY,
        on(Booted, start_afresh, S.UNKNOWN),
        on(
            PeerHeard,
            find_place,
            *FAILED_OVER_STATES,
            S.FALLING_BACK,
            S.TAKING_BACK,
            S.TAKING_OVER,
            *FAILOVER_AND_OUT,
        ),
        on(PeerDown, find_place, S.TAKING_OVER, S.FAILED_MODE),
        on(PeerLeft, find_place, S.TAKING_OVER, S.FAILED_MODE),
        on(
            HealthChanged,
            find_place,
            *FAILED_OVER_STATES,
            S.FALLING_BACK,
            S.TAKING_BACK,
            S.TAKING_OVER,
            *FAILOVER_AND_OUT,
        ),
        on(UsersMoved, begin_normal, S.NORMAL),
        on(OperationFailed, give_up_starting, S.FAILED_MODE),
        on(StayExpired, overdue, S.FAILED_MODE),
        *ignore(
            ServicesStarted,
            ServicesStopped,
            because="the health tells whether the services run",
        ),
    ),
    S.NORMAL: (
        *AT_REST,
        on(Booted, start_afresh, S.INITIALIZING, S.UNKNOWN),
        on(PeerHeard, answer_as_normal, *FAILOVER_AND_OUT, S.TAKING_OVER),
        on(HealthChanged, answer_as_normal, *FAILOVER_AND_OUT, S.TAKING_OVER),
        on(PeerDown, take_over_from_lost_peer, S.TAKING_OVER),
        on(PeerLeft, take_over_from_lost_peer, S.TAKING_OVER),
        on(FailoverRequested, fail_over_on_request, S.FAILING_OVER),
        *refuse(FallbackRequested, needs=FALLBACK_NEEDS),
        *refuse(RecoverRequested, needs=RECOVER_NEEDS),
        *ignore(FallbackDue, because="the users are at home"),
    ),
    S.FAILING_OVER: (
        *BUSY,
        on(Booted, start_failing_over, S.UNKNOWN),
        on(
            PeerHeard,
            answer_while_failing_over,
            S.IDLE,
            *FAILED_OVER_STATES,
            S.TAKING_OVER,
            S.FAILED_MODE,
        ),
        on(ServicesStopped, let_go, S.IDLE, *FAILED_OVER_STATES),
        on(PeerDown, take_over_from_lost_peer, S.TAKING_OVER),
        on(PeerLeft, take_over_from_lost_peer, S.TAKING_OVER),
        on(OperationFailed, fail_unstopped, S.FAILED_MODE),
        on(StayExpired, overdue, S.FAILED_MODE),
        *ignore(HealthChanged, because="the users are leaving already"),
        *ignore(ServicesStarted, because="the health tells whether the services run"),
        *ignore(UsersMoved, because="not ordered in this state"),
    ),
    S.TAKING_OVER: (
        *BUSY,
        on(Booted, start_in_role, S.UNKNOWN),
        on(
            PeerHeard,
            answer_while_taking_over,
            *FAILED_OVER_STATES,
            S.INITIALIZING,
            *FAILOVER_AND_OUT,
        ),
        on(PeerDown, order_move_without_asking),
        on(PeerLeft, order_move_without_asking),
        on(UsersMoved, hold_users, S.BACKUP, *FAILOVER_AND_OUT),
        on(OperationFailed, fail_taking_over, S.FAILED_MODE),
        on(StayExpired, overdue_taking_over, S.FAILED_MODE),
        *ignore(HealthChanged, because="looked at when the users are here"),
        *ignore(ServicesStarted, because="the health tells whether the services run"),
        *ignore(ServicesStopped, because="not ordered in this state"),
    ),
    S.BACKUP: (
        *AT_REST,
        on(Booted, start_in_role, S.UNKNOWN),
        on(
            PeerHeard,
            answer_as_backup,
            S.FALLING_BACK,
            S.INITIALIZING,
            *FAILED_OVER_STATES,
            *FAILOVER_AND_OUT,
        ),
        on(HealthChanged, watch_as_backup, *FAILOVER_AND_OUT),
        on(PeerDown, lose_peer_as_backup, *FAILOVER_AND_OUT),
        on(PeerLeft, watch_as_backup, *FAILOVER_AND_OUT),
        *NOT_NOW,
        *ignore(FallbackDue, because="the home node decides when it takes its users back"),
    ),
    S.IDLE: (
        *AT_REST,
        on(Booted, start_idle, S.UNKNOWN),
        on(PeerHeard, answer_as_idle, S.FAILED_MODE),
        on(FallbackRequested, take_back_on_request, S.TAKING_BACK),
        *ignore(
            PeerDown,
            PeerLeft,
            HealthChanged,
            because="after a manual failover the services stay stopped until a manual fallback",
        ),
        *ignore(FallbackDue, because="a manual failover is never undone automatically"),
        *refuse(FailoverRequested, needs=FAILOVER_NEEDS),
        *refuse(RecoverRequested, needs=RECOVER_NEEDS),
    ),
    S.FAILED_OVER: (
        *AT_REST,
        on(Booted, start_afresh, S.INITIALIZING, S.UNKNOWN),
        on(PeerHeard, answer_as_failed_over, S.TAKING_OVER, S.FAILED_MODE),
        on(HealthChanged, watch_as_failed_over, S.FAILED_OVER_SERVICES_DOWN, S.TAKING_OVER),
        on(PeerDown, take_over_from_lost_peer, S.TAKING_OVER),
        on(PeerLeft, take_over_from_lost_peer, S.TAKING_OVER),
        on(FallbackRequested, take_back_on_request, S.TAKING_BACK),
        on(FallbackDue, take_back_by_itself, S.TAKING_BACK),
        *refuse(FailoverRequested, needs=FAILOVER_NEEDS),
        *refuse(RecoverRequested, needs=RECOVER_NEEDS),
    ),
    S.FAILED_OVER_SERVICES_DOWN: (
        *AT_REST,
        on(Booted, start_afresh, S.INITIALIZING, S.UNKNOWN),
        on(PeerHeard, answer_as_failed_over, S.TAKING_OVER, S.FAILED_MODE),
        on(HealthChanged, watch_as_failed_over, S.FAILED_OVER, S.TAKING_OVER),
        on(PeerDown, wait_for_services),
        on(PeerLeft, wait_for_services),
        *refuse(FallbackRequested, needs=FALLBACK_NEEDS),
        *ignore(FallbackDue, because="the services must run first"),
        *refuse(FailoverRequested, needs=FAILOVER_NEEDS),
        *refuse(RecoverRequested, needs=RECOVER_NEEDS),
    ),
    S.TAKING_BACK: (
        *BUSY,
        on(Booted, start_in_role, S.UNKNOWN),
        on(
            PeerHeard,
            answer_while_taking_back,
            *FAILED_OVER_STATES,
            *FAILOVER_AND_OUT,
        ),
        on(ServicesStarted, be_ready_to_take_back, S.TAKING_OVER),
        on(UsersMoved, be_home, S.NORMAL),
        on(OperationFailed, fail_taking_back, S.FAILED_MODE),
        on(PeerDown, lose_peer_while_taking_back, S.TAKING_OVER),
        on(PeerLeft, lose_peer_while_taking_back, S.TAKING_OVER),
        on(StayExpired, overdue_taking_back, S.FAILED_MODE),
        *ignore(HealthChanged, because="the start of the services is answered by itself"),
        *ignore(ServicesStopped, because="not ordered in this state"),
    ),
    S.FALLING_BACK: (
        *BUSY,
        on(Booted, start_in_role, S.UNKNOWN),
        on(
            PeerHeard,
            answer_while_falling_back,
            S.TAKING_OVER,
            *FAILED_OVER_STATES,
            *FAILOVER_AND_OUT,
        ),
        on(PeerDown, take_over_from_lost_peer, S.TAKING_OVER),
        on(PeerLeft, take_over_from_lost_peer, S.TAKING_OVER),
        on(UsersMoved, end_falling_back, S.NORMAL),
        on(OperationFailed, end_falling_back_unplaced, S.NORMAL),
        on(StayExpired, overdue_falling_back, S.FAILED_MODE),
        *ignore(
            ServicesStarted,
            ServicesStopped,
            because="the health tells whether the services run",
        ),
        *ignore(HealthChanged, because="looked at when the fallback has ended"),
    ),
    S.FAILED_MODE: (
        *AT_REST,
        on(Booted, start_failed, S.INITIALIZING, S.UNKNOWN),
        on(PeerHeard, answer_as_failed, S.INITIALIZING, S.TAKING_OVER),
        on(PeerLeft, take_over_from_rebooting_peer, S.TAKING_OVER),
        on(RecoverRequested, recover, S.INITIALIZING),
        *ignore(
            PeerDown,
            HealthChanged,
            because="a failed node stays failed until Recover or the peer's reboot",
        ),
        *ignore(FallbackDue, because="only a node that is Failed Over waits for it"),
        *refuse(FailoverRequested, needs=FAILOVER_NEEDS),
        *refuse(FallbackRequested, needs=FALLBACK_NEEDS),
    ),
}

TABLE = Table(RULES)
step = TABLE.step
