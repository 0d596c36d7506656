"""An operator who reads the handbook: the recommended action of the row that is shown, as verbs.

What the faults of a story left behind (a blocked service, a wrong key) is put right first, where
the node runs: "remove what keeps it from starting".  Where a row offers more than one way, chance
chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from srmd.core.services import DATABASE_SERVICE
from srmd.core.states import State
from srmd.lab.scenario.stage import Look, View
from srmd.lab.scenario.story import Scenario
from srmd.lab.scenario.verbs import (
    Configure,
    NodeName,
    Power,
    PowerAction,
    PutClock,
    Service,
    ServiceAction,
    SetFault,
    SetKey,
    Verb,
)
from srmd.lab.simulated.pair import Pair, cisco_defaults
from srmd.node.commands import Offer, offers

EITHER_WAY: Final = 0.3
"""So often the second way of a row is taken, where it has one."""

IN_FILES: Final = (SetKey, Configure)

Advice = tuple[str, ...]
"""Verbs as they are written; none: wait."""


def repairs_of(scenario: Scenario) -> list[tuple[NodeName, Advice]]:
    """(node, verbs) for everything in the story that outlasts it and that no row speaks of.

    What stands in a file is read when SRM restarts.
    """
    found: dict[Advice, NodeName] = {}
    for verb in scenario.verbs():
        repair = _repair(verb)
        if repair is not None:
            node, text = repair
            reread = (f"restart srm on {node.value}",) if isinstance(verb, IN_FILES) else ()
            found[(text, *reread)] = node
    # Who stands still hears nothing.
    return sorted(
        ((node, texts) for texts, node in found.items()),
        key=lambda repair: not repair[1][0].startswith("thaw"),
    )


def _repair(verb: Verb) -> tuple[NodeName, str] | None:
    match verb:
        case Service(ServiceAction.BLOCK, name, node):
            return node, f"unblock service '{name}' on {node.value}"
        case Service(ServiceAction.HANG, name, node) if name == DATABASE_SERVICE:
            return node, f"unblock service '{name}' on {node.value}"
        case SetFault(fault, node, True):
            return node, f"repair {fault.value} on {node.value}"
        case SetKey(False, node):
            return node, f"right key on {node.value}"
        case Configure("group.name", _, node):
            return node, f'configure group.name = "{cisco_defaults().group.name}" on {node.value}'
        case PutClock(_, _, node):
            return node, f"right clock on {node.value}"
        case Power(PowerAction.FREEZE, node):
            return node, f"thaw node {node.value}"
        case _:
            return None


class Operator:
    """Looks at the pair as a person does: `srmd status`, `srmd service list` on both nodes."""

    def __init__(self, pair: Pair, chance: Random) -> None:
        self._pair = pair
        self._chance = chance

    def bring_back(self) -> Advice:
        """Power on what is off, start SRM where it is stopped."""
        advice: list[str] = []
        for name, node in self._pair.nodes.items():
            if not node.runs:
                advice.append(f"start node {name.value}")
            elif node.boot is not None and node.boot.srm is None:
                advice.append(f"start srm on {name.value}")
        return tuple(advice)

    def advised(self, look: Look) -> Advice:
        """What the handbook recommends for this pair."""
        alone = [view for view in look.views.values() if view is not None and view.half is not None]
        back = self.bring_back()
        if back:
            other_way = self._alone(look, alone[0]) if len(alone) == 1 else ()
            return other_way if other_way and self._chance.random() < EITHER_WAY else back
        if len(alone) < len(NodeName):
            return ()
        # Two nodes that do not hear each other may name two rows.
        for key in sorted({view.row_key for view in alone}):
            way = _WAYS.get(key)
            if way is not None:
                return way(self, look)
        return ()

    def _alone(self, look: Look, view: View) -> Advice:
        """Rows of a silent peer that name a second way: use the node that is left."""
        name = next(name for name, one in look.views.items() if one is view).value
        return {
            "idle_peer_silent": (f"fallback {name}",),
            "failed_mode_peer_silent": (f"recover via {name}",),
        }.get(view.row_key, ())

    # ------------------------------------------------------------ ways, by row

    def fall_back(self, look: Look) -> Advice:
        """The command is offered: not before both nodes hear each other."""
        names = _in(look, State.IDLE, State.FAILED_OVER)
        return tuple(f"fallback {name.value}" for name in names if self._offers_fallback(name))

    def _offers_fallback(self, name: NodeName) -> bool:
        boot = self._pair.nodes[name].boot
        return boot is not None and Offer("fallback", here=True) in offers(boot.machine)

    def start_services(self, look: Look) -> Advice:
        """On the node that failed over; or reboot it.  Once it shows Failed Over: fallback."""
        advice: list[str] = []
        for name in _in(look, State.FAILED_OVER_SERVICES_DOWN):
            down = self._down(name)
            if not down or self._chance.random() < EITHER_WAY:
                advice.append(f"reboot node {name.value}")
            else:
                advice += [f"start service '{service}' on {name.value}" for service in down]
        return (*advice, *self.fall_back(look))

    def reboot(self, look: Look) -> Advice:
        """Row 13: a database is repaired by a reboot of its node."""
        names = _in(look, State.FAILED_OVER_SERVICES_DOWN)
        return tuple(f"reboot node {name.value}" for name in names)

    def recover(self, _look: Look) -> Advice:
        return (f"recover via {self._chance.choice('ab')}",)

    def enable(self, look: Look) -> Advice:
        """Row 24: switched off, it is switched on; otherwise SRM reads corrected settings."""
        if any(view is not None and view.mismatch for view in look.views.values()):
            return ("restart srm on a", "restart srm on b")
        boots = [node.boot for node in self._pair.nodes.values()]
        if any(boot is not None and not boot.machine.ha for boot in boots):
            return (f"enable ha via {self._chance.choice('ab')}",)
        return ("restart srm on a", "restart srm on b")

    def _down(self, name: NodeName) -> list[str]:
        """What `srmd service list` shows as stopped; the database answers for itself."""
        boot = self._pair.nodes[name].boot
        if boot is None:
            return []
        services = [boot.services.named(status.name) for status in boot.services.statuses()]
        down = [
            service.status.name
            for service in services
            if service.enabled and service.status.critical and not service.started
        ]
        return [*down, *(() if boot.database.ok else (DATABASE_SERVICE,))]


_Way = Callable[[Operator, Look], Advice]


def _ways(way: _Way, *keys: str) -> Iterable[tuple[str, _Way]]:
    return [(key, way) for key in keys]


_WAYS: Final[dict[str, _Way]] = dict(
    [
        *_ways(
            Operator.fall_back,
            "manually_failed_over",
            "idle_home_restarted",
            "idle_both_restarted",
            "idle_backup_restarted",
            "services_restored",
            "database_restored",
            "yielded",
            "auto_recovered_node_repaired",
            "home_came_back",
            "idle",
            "failed_over",
        ),
        *_ways(
            Operator.start_services,
            "critical_service_down",
            "peer_down_during_initialization",
            "auto_recovered_from_database_failure",
            "auto_recovered_from_critical_service_down",
            "home_came_back_services_down",
            "failed_over_services_down",
        ),
        *_ways(Operator.reboot, "database_failure"),
        *_ways(
            Operator.recover,
            "start_of_services_failed",
            "neither_can_serve",
            "take_over_users_failed",
            "take_back_users_failed",
            "failed_mode_unknown",
            "failed_mode_database_failure",
            "failed_mode_mixed",
        ),
        *_ways(Operator.enable, "ha_not_enabled"),
    ]
)
"""By the key of the row.  The others say to wait, or to bring back a node that is silent."""


def _in(look: Look, *states: State) -> list[NodeName]:
    """The nodes in one of these states."""
    halves = {name: look.half(name) for name in NodeName}
    return [name for name, half in halves.items() if half is not None and half[0] in states]
