"""The critical services of a node, and how long it may be without one.

A service that is down is no failure of the node yet: only when the node has been unhealthy, without
a break, for the critical service delay does that become a reason to move its users.  A start that
is under way then is waited for: it has a limit of its own, and a service that runs or is down at
its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from srmd.core.states import Health

DATABASE_SERVICE = "A Cisco DB"
"""The database.  It is critical too, but its loss is a reason of its own."""

SRM_SERVICE = "Cisco Server Recovery Manager"
"""SRM itself, where services are listed."""

CRITICAL_SERVICES = ("Cisco XCP Router", "Cisco Presence Engine", "Cisco SIP Proxy")
"""Critical by default, besides the database."""

OPTIONAL_SERVICES = (
    "Cisco XCP Text Conference Manager",
    "Cisco XCP Message Archiver",
    "Cisco XCP SIP Federation Connection Manager",
    "Cisco XCP Authentication Service",
)
"""Critical only on a node where the administrator has activated them."""

COMMANDED_OUT_OF_SERVICE = "Commanded out of service"
"""The note on a service that SRM or an administrator stopped."""


CISCO_NAMES = (DATABASE_SERVICE, *CRITICAL_SERVICES, *OPTIONAL_SERVICES, SRM_SERVICE)

PREFIX = "cisco "
"""Most names begin so; it may be left out where a service is named."""


class UnknownService(Exception):
    """No service is meant by this name, or more than one; the message has their names."""


def as_cisco_writes(name: str) -> str:
    """One of Cisco's names, whatever its capitals; any other name as it is."""
    return next((one for one in CISCO_NAMES if _plain(one) == _plain(name)), name)


def service_meant(name: str, known: Iterable[str]) -> str:
    """The service that a person means by this name.

    Capitals and blanks do not matter, and a beginning is enough where no other service has it;
    "Cisco" may be left out.  Raises UnknownService.
    """
    names = list(known)
    meant = _plain(name)
    found = [one for one in names if one == name] or [one for one in names if _plain(one) == meant]
    if not found and meant:
        found = [
            one
            for one in names
            if _plain(one).startswith(meant) or _plain(one).removeprefix(PREFIX).startswith(meant)
        ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownService(f"service {name}: could be {' or '.join(found)}; name one of them")
    raise UnknownService(f"service {name}: unknown; this node has {', '.join(names)}")


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


class ServiceState(Enum):
    """State of a service.  The values are what `utils service list` prints."""

    STARTED = "STARTED"
    STARTING = "STARTING"
    STOPPED = "STOPPED"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What an operator sees of one service."""

    name: str
    state: ServiceState
    note: str
    """Why it is in this state; empty when there is nothing to say."""
    critical: bool
    since_s: float
    """When it came into this state, in monotonic seconds of this process."""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class HealthWatch:
    """Whether the node could serve users, and whether that has been so for the delay.

    All moments are monotonic seconds.  Feed it at each change and again at `due_at_s()`.
    Source: administration guide, "Critical Service Down Delay"; ours: the database has the same
    delay, which is counted from when the node became unhealthy, whatever else fails meanwhile.
    Ours too: Cisco's reason is that a service is *stopped*, so while all that is down is being
    started, the delay does not run out; if the start fails, it has run out at once.
    """

    critical_service_delay_s: float
    health: Health = Health.OK
    unhealthy_since_s: float | None = None
    lasting: bool = False
    """The node has been unhealthy for the delay, without a break, and then no start was under way;
    a later one changes nothing until it has succeeded."""
    overdue: bool = False
    """The delay is over; with a start under way that is not yet `lasting`."""

    def feed(
        self, *, database_ok: bool, services_ok: bool, starting: bool, now_s: float
    ) -> HealthWatch:
        """The watch after what is true at this moment.

        `starting`: each critical service that does not run is being started, within its limit.
        """
        if database_ok and services_ok:
            return HealthWatch(self.critical_service_delay_s)
        since_s = now_s if self.unhealthy_since_s is None else self.unhealthy_since_s
        overdue = now_s >= since_s + self.critical_service_delay_s
        return replace(
            self,
            health=Health.SERVICE_DOWN if database_ok else Health.DATABASE_DOWN,
            unhealthy_since_s=since_s,
            lasting=self.lasting or (overdue and not (starting and database_ok)),
            overdue=overdue,
        )

    def left_s(self, now_s: float) -> float | None:
        """The rest of the delay; None while the node is well."""
        if self.unhealthy_since_s is None:
            return None
        return max(0.0, self.unhealthy_since_s + self.critical_service_delay_s - now_s)

    def due_at_s(self) -> float | None:
        """The end of the delay; None when nothing is to be waited for but a change."""
        if self.unhealthy_since_s is None or self.overdue:
            return None
        return self.unhealthy_since_s + self.critical_service_delay_s
