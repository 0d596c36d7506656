"""What must hold at every look, kept true by watching one look after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from srmd.core.states import Reason, State
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.stage import Look
from srmd.lab.scenario.story import MEANINGS, Invariant
from srmd.lab.scenario.verbs import NodeName

RESTS_AFTER_INTERVALS: Final = 3
"""A pair that has not changed for so many heartbeats rests: both know of each other."""
AGREE_WITHIN: Final = duration("initialization_keep_alive_timeout + 20 * keep_alive_interval")
"""Time that two nodes in row 1 may hold different users: to compare them takes 10 intervals,
to read all users of the peer again some seconds.  Ours."""
SERVED_WITHIN: Final = duration("10 * keep_alive_interval + 10s")
"""Time that two nodes in row 1 may serve others than those at home: users are placed again after a
second, and once a second while that fails.  Ours."""
_NORMAL: Final = (State.NORMAL, Reason.NORMAL)


class Watch:
    """The invariants of one play.  Two nodes are asked one after the other, so a look may mix two
    moments: what both nodes show at once counts only when the next look shows it too."""

    def __init__(
        self, invariants: Iterable[Invariant], first: Look, timers: Mapping[str, float]
    ) -> None:
        self.checked_count = 0
        self._invariants = tuple(invariants)
        self._rest_s = RESTS_AFTER_INTERVALS * timers["keep_alive_interval"]
        self._agree_s = AGREE_WITHIN.seconds(timers)
        self._served_s = SERVED_WITHIN.seconds(timers)
        self._differ_since_s: float | None = None
        self._misserved_since_s: float | None = None
        self._before = first
        self._unchanged_since_s = first.at_s
        self._assigned = first.assigned or {}
        self._first_op = {node: view.op for node, view in first.views.items() if view}
        self._last_op = dict(self._first_op)

    def broken_by(self, look: Look) -> str | None:
        """What this look breaks, in words; None when all is well."""
        if any(look.half(node) != self._before.half(node) for node in NodeName):
            self._unchanged_since_s = look.at_s
        for invariant in self._invariants:
            self.checked_count += 1
            found = _CHECKS[invariant](self, look)
            if found is not None:
                return f"{invariant.value} ({MEANINGS[invariant]}): {found}"
        self._before = look
        self._last_op |= {node: view.op for node, view in look.views.items() if view}
        return None

    def memory_taken(self, node: NodeName) -> None:
        """The story took the node's memory: its operation number begins anew."""
        self._last_op.pop(node, None)

    def _users_kept(self, look: Look) -> str | None:
        """As far as one of both nodes knows: a node that lost its database gets all from the other.

        Users may be added; then so many have to stay.  A node that does not answer, or has not
        opened its database yet, may be the one that knows them.
        """
        if any(view is None or view.assigned is None for view in look.views.values()):
            return None
        now = look.assigned
        assert now is not None, "both nodes know their users"
        for node, count in self._assigned.items():
            if now[node] < count:
                return f"{now[node]} users at home on {node.value}, {count} before"
        self._assigned = now
        return None

    def _op_grows(self, look: Look) -> str | None:
        for node, view in look.views.items():
            if view is not None and view.op < self._last_op.get(node, 0):
                return f"{node.value} fell from {self._last_op[node]} to {view.op}"
        return None

    def _known_rows(self, look: Look) -> str | None:
        rests = look.at_s - self._unchanged_since_s >= self._rest_s
        strangers = [
            node.value
            for node, view in look.views.items()
            if view is not None and view.half is not None and view.rests_unknown
        ]
        return f"{', '.join(strangers)} finds no row for {look}" if rests and strangers else None

    def _users_agree(self, look: Look) -> str | None:
        """Within a bound, which begins anew while the nodes cannot exchange users."""
        able = all(
            view is not None and view.half == _NORMAL and not view.control_fails
            for view in look.views.values()
        )
        differ = look.users_differ if able else None
        if differ is None:
            self._differ_since_s = None
        elif self._differ_since_s is None:
            self._differ_since_s = look.at_s
        elif look.at_s - self._differ_since_s > self._agree_s:
            return differ
        return None

    def _homes_served(self, look: Look) -> str | None:
        """Within a bound, which begins anew while a node cannot serve, or does not hear the other.

        Normal is a state of high availability.
        """
        wrong = [
            f"{node.value} serves {view.served} of {view.assigned[node]} at home on it"
            for node, view in look.views.items()
            if view is not None and view.assigned is not None and view.served is not None
            if view.served != view.assigned[node]
        ]
        at_home = all(
            view is not None and view.half == _NORMAL and view.able and not view.peer_down
            for view in look.views.values()
        )
        if not at_home or not wrong:
            self._misserved_since_s = None
        elif self._misserved_since_s is None:
            self._misserved_since_s = look.at_s
        elif look.at_s - self._misserved_since_s > self._served_s:
            return " | ".join(wrong)
        return None

    def _one_backup(self, look: Look) -> str | None:
        both = all(_both_backup(one) for one in (self._before, look))
        return str(look) if both else None

    def _no_failed_mode(self, look: Look) -> str | None:
        for node in NodeName:
            half = look.half(node)
            if half is not None and half[0] is State.FAILED_MODE:
                return str(look)
        return None

    def _no_transition(self, look: Look) -> str | None:
        for node, view in look.views.items():
            if view is not None and view.op != self._first_op.get(node, view.op):
                return str(look)
        return None


_CHECKS: Final[Mapping[Invariant, Callable[[Watch, Look], str | None]]] = {
    Invariant.USERS_KEPT: Watch._users_kept,  # noqa: SLF001 # its own methods, by name
    Invariant.OP_GROWS: Watch._op_grows,  # noqa: SLF001
    Invariant.KNOWN_ROWS: Watch._known_rows,  # noqa: SLF001
    Invariant.USERS_AGREE: Watch._users_agree,  # noqa: SLF001
    Invariant.HOMES_SERVED: Watch._homes_served,  # noqa: SLF001
    Invariant.ONE_BACKUP: Watch._one_backup,  # noqa: SLF001
    Invariant.NO_FAILED_MODE: Watch._no_failed_mode,  # noqa: SLF001
    Invariant.NO_TRANSITION: Watch._no_transition,  # noqa: SLF001
}


def _both_backup(look: Look) -> bool:
    halves = [look.half(node) for node in NodeName]
    return all(half is not None and half[0] is State.BACKUP for half in halves)
