"""The health of a node as its machine is told of it: each change once, and the delay."""

from __future__ import annotations

from dataclasses import dataclass

from srmd.core.events import HealthChanged
from srmd.core.node import Node
from srmd.core.services import HealthWatch
from srmd.core.states import Health


@dataclass(frozen=True, slots=True)
class Facts:
    """What the health of the node follows from."""

    database_ok: bool
    services_ok: bool
    services_starting: bool
    """Each critical service that does not run is being started."""
    now_s: float


class HealthReport:
    """What the machine knows of services and database, and when it has to be told more."""

    def __init__(self, critical_service_delay_s: float) -> None:
        self._delay_s = critical_service_delay_s
        self._watch = HealthWatch(critical_service_delay_s)
        self._told = (Health.OK, False)

    def begin(self, facts: Facts) -> Health:
        """The health with which SRM starts: the machine knows of it from its first moment."""
        self._feed(facts)
        self._told = (self._watch.health, False)
        return self._watch.health

    def give_new_delay(self, node: Node) -> None:
        """Services were ordered to start: they have the whole delay to come up.

        `told` is to follow.
        """
        self._watch = HealthWatch(self._delay_s)
        self._told = (node.health, node.lasting)

    def told(self, facts: Facts) -> tuple[HealthChanged | None, float | None]:
        """The news for the machine, if any, and when to ask again if nothing changes before."""
        self._feed(facts)
        now = (self._watch.health, self._watch.lasting)
        news = HealthChanged(*now) if now != self._told else None
        self._told = now
        return news, self._watch.due_at_s()

    def left_s(self, now_s: float) -> float | None:
        """The rest of the delay; None while the node is well."""
        return self._watch.left_s(now_s)

    def _feed(self, facts: Facts) -> None:
        self._watch = self._watch.feed(
            database_ok=facts.database_ok,
            services_ok=facts.services_ok,
            starting=facts.services_starting,
            now_s=facts.now_s,
        )
