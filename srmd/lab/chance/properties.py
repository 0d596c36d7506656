"""What must hold while anything may fail: asked on every decision and at every look, and counted.

One node's promises are those of `srmd.core.promises`; what takes two nodes, or time, is here.
Letters and numbers (S1, L4) are those of docs/search.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from srmd.config import Config
from srmd.core.events import Booted, PeerDown, PeerHeard
from srmd.core.handbook import ROWS
from srmd.core.promises import PROMISES, told
from srmd.core.states import PASSING, Reason, State
from srmd.lab.scenario.invariants import RESTS_AFTER_INTERVALS, Watch
from srmd.lab.scenario.stage import Look
from srmd.lab.scenario.story import MEANINGS, Invariant
from srmd.lab.scenario.verbs import NodeName
from srmd.lab.simulated.pair import Pair, Stepped
from srmd.node.timing import unwell_limit_s

PAIR: Final[Mapping[str, str]] = {
    "one_serves": "S1, S2: at rest, on a whole network, each user is served exactly once",
    "backup_serves_all": "S5: at rest in Running in Backup Mode, a node serves everybody it knows",
    "heard_was_said": "S7: what a node hears of its peer is something that the peer was",
    "patience": "S8: no peer is down earlier than the timeout after its last heartbeat",
    "passing_ends": "L4: no node stays in a passing state beyond its bound",
    "lasting_loss_rests": "L7: under a loss in one direction that lasts, the pair comes to rest",
    "home_again": "L2: healed, what the handbook recommends brings every user home",
    "as_told": "what the story itself expects is seen",
    "no_error": "the program itself does not fail",
}
"""Of the pair, beside the promises of one node and the invariants of scenarios."""

ALL: Final[Mapping[str, str]] = {
    **{one.key: f"{one.source}: {one.says}" for one in PROMISES},
    **{one.value: MEANINGS[one] for one in Invariant},
    **PAIR,
}
"""Every property by its key."""

DECIDED_LATE_S: Final = 0.01
"""A heartbeat counts when it arrives, and is decided on when the state before it is durable."""
_RESTING: Final = frozenset(
    {
        State.NORMAL,
        State.BACKUP,
        State.IDLE,
        State.FAILED_OVER,
        State.FAILED_OVER_SERVICES_DOWN,
    }
)
"""In which it is said who serves."""
_STABLE: Final = frozenset(row.key for row in ROWS if row.stable)

Half = tuple[State, Reason]


class Properties:
    """Watches one pair, from its start to the end of the story."""

    def __init__(
        self, pair: Pair, timers: Mapping[str, float], invariants: tuple[Invariant, ...]
    ) -> None:
        """The pair is in row 1, with each user at home."""
        self.counts: Counter[str] = Counter()
        """How often each property was asked."""
        self.broken: tuple[str, str] | None = None
        """The key of the first property that did not hold, and what happened."""
        self.rows: set[str] = set()
        """Keys of the rows that the nodes named."""
        self.pairs: set[tuple[str, str]] = set()
        """States of both nodes that were seen together."""
        self.transitions_count = 0
        self.harmed = False
        """The network is not whole."""
        self._invariants = invariants
        self._watch = Watch(invariants, pair.look(), timers)
        self._pair = pair
        self._timeout_s = timers["keep_alive_timeout"]
        self._rest_s = RESTS_AFTER_INTERVALS * timers["keep_alive_interval"]
        self._passing_s = passing_limit_s(pair.a.config)
        self._heard_s: dict[NodeName, float] = {}
        self._said = {
            name: {(node.boot.machine.state, node.boot.machine.reason, node.boot.machine.op)}
            for name, node in pair.nodes.items()
            if node.boot is not None
        }
        self._passing: dict[NodeName, tuple[int, float] | None] = {}
        self._still: tuple[tuple[Half | None, ...], float] = ((), 0.0)
        pair.watchers.append(self.decided)

    def hold(self, key: str, kept: bool, what: str) -> None:
        """The property was asked; what happened if it was not kept."""
        assert key in ALL, key
        self.counts[key] += 1
        if not kept and self.broken is None:
            self.broken = (key, f"{ALL[key]}: {what}")

    # ------------------------------------------------------------ each decision

    def decided(self, stepped: Stepped) -> None:
        before, event, result = stepped.before, stepped.event, stepped.result
        node, name = result.node, stepped.node
        self.transitions_count += stepped.changes_state
        self._said[name] |= {
            (before.state, before.reason, before.op),
            (node.state, node.reason, node.op),
        }
        for promise in PROMISES:
            if promise.about(before, event, result):
                kept = promise.kept(before, event, result)
                self.hold(promise.key, kept, "" if kept else self._told(stepped))
        match event:
            case Booted():
                self._heard_s[name] = stepped.at_s
            case PeerHeard(report, beat):
                said = (report.state, report.reason, report.op) in self._said[name.other]
                self.hold("heard_was_said", said, "" if said else self._told(stepped))
                if beat:
                    self._heard_s[name] = stepped.at_s
            case PeerDown() if name in self._heard_s:
                silent_s = stepped.at_s - self._heard_s[name]
                patient = silent_s >= self._timeout_s - DECIDED_LATE_S
                self.hold("patience", patient, f"after {silent_s:.3f} s: {self._told(stepped)}")
            case _:
                pass

    def _told(self, stepped: Stepped) -> str:
        words = told(stepped.before, stepped.event, stepped.result)
        return f"{stepped.node.value}, {stepped.at_s:.4f} s: {words}"

    # ------------------------------------------------------------ each look

    def looked(self, look: Look) -> None:
        wrong = self._watch.broken_by(look)
        for invariant in self._invariants:
            broken = wrong is not None and wrong.startswith(f"{invariant.value} ")
            self.hold(invariant.value, not broken, wrong or "")
        halves = tuple(look.half(node) for node in NodeName)
        self.pairs.add((_state(halves[0]), _state(halves[1])))
        self.rows |= {view.row_key for view in look.views.values() if view and view.row_key}
        if halves != self._still[0]:
            self._still = (halves, look.at_s)
        for node in NodeName:
            self._passes(node, look)
        if look.at_s - self._still[1] >= self._rest_s:
            self._served_once(look)
            for node in NodeName:
                self._serves_all(node, look)

    def _passes(self, node: NodeName, look: Look) -> None:
        """While it stands still it cannot go on: its time is not counted then."""
        view = look.views[node]
        if view is None or view.half is None or view.half[0] not in PASSING:
            self._passing[node] = None
            return
        op, since_s = self._passing.get(node) or (-1, 0.0)
        if op != view.op:
            op, since_s = view.op, look.at_s
            self._passing[node] = (op, since_s)
        stayed_s = look.at_s - since_s
        kept = stayed_s <= self._passing_s
        self.hold("passing_ends", kept, f"{node.value} for {stayed_s:.0f} s: {look}")

    def _served_once(self, look: Look) -> None:
        a, b = look.views[NodeName.A], look.views[NodeName.B]
        if self.harmed or a is None or b is None or a.peer_down or b.peer_down:
            return
        if a.assigned is None or a.assigned != b.assigned or a.served is None or b.served is None:
            return
        rests = a.row_key == b.row_key and a.row_key in _STABLE
        if not rests or not all(_state_in(v.half, _RESTING) for v in (a, b)):
            return
        total, served = sum(a.assigned.values()), a.served + b.served
        kept = served == total if self._well(look, *NodeName) else served <= total
        self.hold("one_serves", kept, f"{served} of {total} users are served: {look}")

    def _serves_all(self, node: NodeName, look: Look) -> None:
        view = look.views[node]
        alone = _state_in(look.half(node), {State.BACKUP}) and not _state_in(
            look.half(node.other), {State.BACKUP, State.TAKING_OVER, State.NORMAL}
        )
        if view is None or view.assigned is None or not alone or not self._well(look, node):
            return
        total = sum(view.assigned.values())
        what = f"{node.value} serves {view.served} of {total}: {look}"
        self.hold("backup_serves_all", view.served == total, what)

    def _well(self, look: Look, *names: NodeName) -> bool:
        """Whoever of these is to serve can: its services and its database run."""
        for name in names:
            boot = self._pair.nodes[name].boot
            serves = _state_in(look.half(name), {State.NORMAL, State.BACKUP})
            if serves and not (boot and boot.services.critical_ok and boot.database.ok):
                return False
        return True


def passing_limit_s(config: Config) -> float:
    """No node stays longer in a passing state: the peer is given up, then the transition itself.

    Only Initializing takes so long; its bound begins when the peer is heard or given up.
    """
    return (
        2 * config.heartbeat.initialization_keep_alive_timeout_s
        + unwell_limit_s(config)
        + config.limits.transition_s
        + config.heartbeat.keep_alive_interval_s
    )


def _state_in(half: Half | None, states: frozenset[State] | set[State]) -> bool:
    return half is not None and half[0] in states


def _state(half: Half | None) -> str:
    return "-" if half is None else half[0].name
