"""The properties of a pair: S1-S10, L1-L9 and M1, each a sentence and a check.

Three kinds of questions are asked.  Of each *step* of one node (`of_step`), of each *pair* that is
reached (`of_pair`), and of each *rest* in which a pair ends that is left alone (`of_rest`).  Every
answer is counted: a property that was never asked proves nothing, and fails the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from srmd.core import handbook
from srmd.core.events import (
    Booted,
    Event,
    FailoverRequested,
    FallbackRequested,
    HaSet,
    PeerDown,
    PeerHeard,
    PeerMismatched,
    RecoverRequested,
    UsersMoved,
)
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.states import AWAY, PASSING, Contact, Health, Reason, State
from srmd.core.transitions import TABLE
from srmd.lab.proof.happenings import World
from srmd.lab.proof.minds import alike, misread, misshown, plain
from srmd.lab.proof.pair import RUNNING, Pair, Side


class Property(Enum):
    """Named as in the list of properties; the value says what holds."""

    S1 = "no user is served twice: on the way while no node was lost, at rest while both hear"
    S2 = "no user is lost: a pair at rest that hears itself and is well serves everybody"
    S3 = "every pair has a row, and a pair at rest has a stable one"
    S4 = "only transitions of the table, with reasons that the state can have"
    S5 = "words mean what they say: who is failed over serves nobody, and knows of its services"
    S6 = "the operation number grows with each transition; answers to older ones change nothing"
    S8 = "only silence makes a silent peer; control messages prove no life, and are no other news"
    S9 = "a command that is not offered changes nothing; one that is offered is obeyed"
    S10 = "a manual failover lasts until a manual fallback, or until the pair fails or is dissolved"
    L1 = "a normal node takes over at once when its peer is lost"
    L2 = "once faults are repaired, the recommended actions lead to row 1"
    L3 = "no dead end: a pair at rest that is not normal has a recommended action that changes it"
    L4 = "a passing state ends by itself, whatever is broken"
    L5 = "one fault makes a node take over once, not again and again"
    L6 = "two backups that hear each other do not stay so"
    L7 = "when one node never hears the other, the pair comes to rest in a known pair"
    L8 = (
        "a command that is offered at rest while one node is deaf ends neither newly in failed mode"
        " nor in a circle nor with fewer homes served, unless it does so while both nodes hear"
    )
    L9 = "set on both nodes at once, high availability ends with one value, and row 1 is in reach"
    M1 = "what the search leaves out no rule reads: other values are answered alike"


ELSEWHERE: Final = {
    "S7": "forged, replayed, stale and foreign datagrams: tests/wire and the scenarios",
    "S8, time": "clock jumps, and no firing before the timeout: tests of the detector",
    "L1, time": "how soon a loss is noticed: tests of the detector, and the scenarios",
    "L4, time": "how long each passing state may last: `limits` of the configuration",
}
"""What a model without time and bytes cannot say, and who says it."""


OTHERS_ASKED: Final = 4
"""Nodes with other unread facts that are asked each question; each question takes the next ones.

Two would show every fact with two values; a mind is asked so many questions that all come in turn.
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """A property that does not hold."""

    law: Property
    told: str


class Judge:
    """Asks and counts."""

    def __init__(self, world: World, asks: frozenset[Property]) -> None:
        self.world = world
        self.asks = asks
        self.asked: Counter[Property] = Counter()
        self.broken_steps: list[Broken] = []
        """Found while nodes thought; the search takes them away and adds the way there."""
        self._rows: dict[object, handbook.Row] = {}
        self._alike: dict[Node, tuple[Node, ...]] = {}
        for minds in world.minds:
            minds.thinking.append(self.of_step)

    # ------------------------------------------------------------------ one step of one node

    def of_step(self, before: Node, event: Event, step: Step) -> None:
        wrong = [*self._wrong_in_step(before, event, step)]
        if Property.M1 in self.asks:
            wrong += self._wrong_in_model(before, event, step)
        for law, told in wrong:
            self.broken_steps.append(Broken(law, f"{_told(before)} sees {event}: {told}"))

    def _wrong_in_model(
        self, before: Node, event: Event, step: Step
    ) -> Iterator[tuple[Property, str]]:
        bare = plain(before)
        others = self._alike.get(bare)
        if others is None:
            others = self._alike[bare] = alike(bare)
            shown = misshown(others, bare)
            if shown is not None:
                yield Property.M1, shown
        first = self.asked[Property.M1] * OTHERS_ASKED
        self.asked[Property.M1] += 1
        some = [others[(first + at) % len(others)] for at in range(min(OTHERS_ASKED, len(others)))]
        read = misread(some, before, event, step)
        if read is not None:
            yield Property.M1, read

    def _wrong_in_step(
        self, before: Node, event: Event, step: Step
    ) -> Iterator[tuple[Property, str]]:
        after = step.node
        changed = (before.state, before.reason) != (after.state, after.reason)
        self.asked[Property.S6] += 1
        if after.op < before.op or (changed and after.op == before.op):
            yield Property.S6, f"op {before.op} becomes {after.op}"
        if TABLE.step(after, UsersMoved(after.op - 1)).node != after:
            yield Property.S6, "an answer to an older operation changes something"
        self.asked[Property.S4] += 1
        if after.reason not in VOCABULARY[after.state]:
            yield Property.S4, f"{after.state.name} has no reason {after.reason.name}"
        self.asked[Property.S8] += 1
        if (
            after.contact is Contact.SILENT
            and before.contact is not Contact.SILENT
            and not isinstance(event, PeerDown)
        ):
            yield Property.S8, "the peer counts as silent"
        if isinstance(event, PeerHeard):
            told = TABLE.step(before, PeerHeard(event.report, beat=False))
            same = step.node if before.contact is Contact.HEARD else before
            if told.node != same:
                yield Property.S8, "the same report by the control channel does something else"
        if isinstance(event, (FailoverRequested, FallbackRequested, RecoverRequested)):
            self.asked[Property.S9] += 1
            obeyed = after.op != before.op
            if obeyed is not offered(before, event) or obeyed is (step.refusal is not None):
                yield Property.S9, "obeyed" if obeyed else "refused"
            if not obeyed and (after != before or step.effects):
                yield Property.S9, "refused, and yet something changes"
        if before.state is State.IDLE:
            self.asked[Property.S10] += 1
            ended = after.state in {State.FAILED_MODE, State.UNKNOWN} or isinstance(
                event, (FallbackRequested, HaSet, PeerMismatched)
            )
            ended = ended or (isinstance(event, Booted) and not before.ha)
            if after.state is not State.IDLE and not ended:
                yield Property.S10, f"leads to {_told(after)}"
        if isinstance(event, PeerDown) and before.state is State.NORMAL:
            self.asked[Property.L1] += 1
            if after.state is not State.TAKING_OVER:
                yield Property.L1, f"leads to {_told(after)}"

    # ------------------------------------------------------------------ a pair

    def of_pair(self, pair: Pair) -> Iterator[Broken]:
        """What is wrong in any pair that is reached."""
        world = self.world
        if pair.orderly:
            self.asked[Property.S1] += 1
            if world.serves(0, pair.a) & world.serves(1, pair.b):
                yield Broken(Property.S1, "users are served twice on the way")
        self.asked[Property.S3] += 1
        if self.row(pair).key == handbook.UNDOCUMENTED:
            yield Broken(Property.S3, "the handbook knows nothing of the pair")
        for at in (0, 1):
            yield from self._words(at, pair.sides[at])

    def _words(self, at: int, side: Side) -> Iterator[Broken]:
        traits = self.world.traits(at, side)
        if side.up != RUNNING or traits.state not in AWAY:
            return
        self.asked[Property.S5] += 1
        well = side.health is Health.OK
        wrong = {
            State.FAILED_OVER: not well,
            State.FAILED_OVER_SERVICES_DOWN: well,
            State.IDLE: False,
        }[traits.state]
        if wrong or self.world.serves(at, side):
            yield Broken(Property.S5, f"{'ab'[at]} is {traits.state.name}, {side.health.name}")

    def row(self, pair: Pair) -> handbook.Row:
        """The row of the handbook, a node whose SRM does not run being silent."""
        world = self.world
        a = world.traits(0, pair.a).half if pair.a.up == RUNNING else None
        b = world.traits(1, pair.b).half if pair.b.up == RUNNING else None
        key = (a, b)
        if key not in self._rows:
            mine, theirs = (b, a) if a is None else (a, b)
            self._rows[key] = handbook.find(mine or handbook.SILENT, theirs).row
        return self._rows[key]

    # ------------------------------------------------------------------ a pair at rest

    def of_rest(self, pair: Pair) -> Iterator[Broken]:
        """What is wrong where a pair rests whose nodes hear each other as far as they run."""
        world = self.world
        a, b = world.traits(0, pair.a), world.traits(1, pair.b)
        row = self.row(pair)
        running = [t for t, side in ((a, pair.a), (b, pair.b)) if side.up == RUNNING]
        self.asked[Property.L4] += 1
        if any(t.state in PASSING for t in running):
            yield Broken(Property.L4, "a passing state does not end")
            return
        self.asked[Property.S3] += 1
        if not row.stable or row.key in {handbook.UNDOCUMENTED, handbook.IN_TRANSITION}:
            yield Broken(Property.S3, f"the pair rests in {row.key}, which is no stable row")
        if len(running) < 2 or any(t.contact is not Contact.HEARD for t in running):
            return
        self.asked[Property.L6] += 1
        if a.state is b.state is State.BACKUP:
            yield Broken(Property.L6, "both stay backups")
        mine, theirs = world.serves(0, pair.a), world.serves(1, pair.b)
        self.asked[Property.S1] += 1
        if mine & theirs:
            yield Broken(Property.S1, "users are served twice at rest")
        everybody = mine | theirs == 3
        if {a.state, b.state} <= SERVING_STATES and self._able(pair):
            self.asked[Property.S2] += 1
            if not everybody:
                yield Broken(Property.S2, "users are served by nobody")

    def harm(self, before: Pair, after: Pair) -> str | None:
        """The harm of a command that led from one rest to the other."""
        failed, fails = (
            any(
                side.up == RUNNING and self.world.traits(at, side).state is State.FAILED_MODE
                for at, side in enumerate(pair.sides)
            )
            for pair in (before, after)
        )
        if fails and not failed:
            return "ends in Running in Failed Mode"
        served, serves = (
            self.world.serves(0, pair.a) | self.world.serves(1, pair.b) for pair in (before, after)
        )
        if serves.bit_count() < served.bit_count():
            return "leaves users that are served by nobody"
        return None

    def _able(self, pair: Pair) -> bool:
        """Whoever has to serve in this pair is well."""
        world = self.world
        for at in (0, 1):
            side = pair.sides[at]
            if world.traits(at, side).state not in AWAY and side.health is not Health.OK:
                return False
        return True


SERVING_STATES: Final = frozenset({State.NORMAL, State.BACKUP, *AWAY})
"""States of pairs that serve everybody."""


def offered(node: Node, request: Event) -> bool:
    """R2, R6 with R12, R10: what the documents allow, written without looking at the rules."""
    peer = node.peer
    sees = node.contact is Contact.HEARD and peer is not None
    match request:
        case FailoverRequested():
            normal = node.state is State.NORMAL
            if not (sees and normal):
                return False
            assert peer is not None
            return peer.state is State.NORMAL and peer.health is Health.OK
        case FallbackRequested():
            if sees:
                assert peer is not None
                back = node.state in {State.IDLE, State.FAILED_OVER}
                return back and peer.state is State.BACKUP and peer.hears_us
            return node.state is State.IDLE and node.contact in {Contact.SILENT, Contact.LEFT}
        case RecoverRequested():
            if node.state is not State.FAILED_MODE:
                return False
            if not sees:
                return node.contact is not Contact.HEARD
            assert peer is not None
            return peer.state in {State.FAILED_MODE, State.INITIALIZING}
        case _:
            raise AssertionError(f"{request} is no command")


_R = Reason
_LOSSES: Final = {_R.PEER_DOWN, _R.PEER_REBOOT, _R.PEER_DOWN_DURING_INITIALIZATION}
_AUTO: Final = {
    _R.AUTO_RECOVER_DATABASE_FAILURE,
    _R.AUTO_RECOVERY_DATABASE_FAILURE,
    _R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN,
}
_FAILURES: Final = {_R.CRITICAL_SERVICE_DOWN, _R.DATABASE_FAILURE}
_ASKED: Final = {_R.ON_ADMIN_REQUEST, _R.INITIALIZATION}
_FALLBACK: Final = {*_ASKED, _R.AUTOMATIC_FALLBACK}
_AWAY: Final = {*_ASKED, *_FAILURES, *_AUTO, _R.PEER_DOWN}

VOCABULARY: Final[dict[State, set[Reason]]] = {
    State.UNKNOWN: {_R.UNKNOWN, _R.HA_NOT_ENABLED},
    State.INITIALIZING: {_R.INITIALIZATION},
    State.IDLE: _ASKED,
    State.NORMAL: {_R.NORMAL},
    State.BACKUP: {*_AWAY, *_LOSSES},
    State.TAKING_OVER: {*_AWAY, *_LOSSES, _R.AUTOMATIC_FALLBACK},
    State.TAKING_BACK: _FALLBACK,
    State.FAILING_OVER: _AWAY,
    State.FAILED_OVER: _AWAY,
    State.FAILED_OVER_SERVICES_DOWN: _AWAY,
    State.FALLING_BACK: _FALLBACK,
    State.FAILED_MODE: {
        _R.CRITICAL_SERVICE_DOWN,
        _R.DATABASE_FAILURE,
        _R.START_OF_CRITICAL_SERVICES_FAILED,
        _R.TAKE_OVER_USERS_FAILED,
        _R.TAKE_BACK_USERS_FAILED,
        _R.UNKNOWN,
    },
}
"""The reasons of each state: those of the documented rows, and (ours) those that rules R1-R14 add.

Backup and Taking Over / Automatic Fallback: a fallback that was given up (R12).
"""


DEAF_RESTS: Final = frozenset({"failed_mode_spreads", "ha_news_travels"})
"""Rows that pass by when both nodes hear, and where the pair rests while one is deaf (ours).

The one that hears has failed (both had taken over, R9), or has left high availability: the deaf
node cannot know it, and follows when it hears.
"""


def _told(node: Node) -> str:
    return f"{node.state.name} / {node.reason.name}"


__all__ = ["Broken", "ELSEWHERE", "Judge", "Property", "VOCABULARY", "offered"]
