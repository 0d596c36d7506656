"""What the HTTP side may ask of the running node: the seam between `http` and `main`.

Every method returns within a bound of its own.  Nothing here raises for what an administrator can
do wrong: that is a `Refused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from srmd.config import Config
from srmd.node.calling import Answer


class Action(Enum):
    """The administrator's actions on the pair."""

    FAILOVER = "failover"
    FALLBACK = "fallback"
    RECOVER = "recover"


class ServiceAction(Enum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    KILL = "kill"
    """SIGKILL: the service crashes."""
    HANG = "hang"
    """The process lives but does not answer its health check."""
    BLOCK = "block"
    """The service refuses to start until unblocked, over a reboot too."""
    UNBLOCK = "unblock"


class SrmAction(Enum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"


class PowerAction(Enum):
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"


class Fault(Enum):
    """Faults on command, for rehearsals; gone after a reboot of the node."""

    DATABASE = "database"
    """Every use of the database fails."""
    MOVES = "moves"
    """Moving users fails; the database is well otherwise."""


@dataclass(frozen=True, slots=True)
class Done:
    """The request was taken up (or is done, where it is quick)."""

    detail: str
    op: int | None = None
    """Operation number of the transition that it began."""
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not possible now; nothing has changed."""

    detail: str
    """What was asked, what is the case, and the way out, in one sentence."""
    needed: str = ""
    """The state that is needed, in words."""
    kind: str = "conflict"
    """conflict (409), not_found (404), invalid (422), unavailable (503)."""
    problems: tuple[Mapping[str, Any], ...] = ()
    """For an import: the first bad lines with `line`, `value` and `reason`."""


Outcome = Done | Refused


class Facade(Protocol):
    """The running node, as its HTTP side sees it."""

    @property
    def config(self) -> Config: ...

    @property
    def host_names(self) -> frozenset[str]:
        """The names, in lower case, by which programs may call this node."""
        ...

    def status(self) -> dict[str, Any]: ...

    async def act(self, action: Action, node: str) -> Outcome: ...

    async def set_ha(self, enabled: bool) -> Outcome: ...

    def services(self) -> list[dict[str, Any]]: ...

    async def service(self, name: str, action: ServiceAction) -> Outcome: ...

    async def order_srm(self, action: SrmAction) -> Outcome: ...

    async def power(self, action: PowerAction) -> Outcome: ...

    async def reload(self, by: str) -> Outcome:
        """Read the configuration again; `by` is who asked, for the record.

        result: {"taken": [key], "refused": [sentence], "needs": [{"key", "command"}]}.
        """
        ...

    async def users(self, after: str, limit: int, home: str | None, serving: str | None) -> Outcome:
        """A page of users.

        result: {"users": [{"user_id", "home_node", "serving_node"}], "next": user_id or null}.
        """
        ...

    async def import_users(self, csv: bytes) -> Outcome: ...

    async def generate_users(self, count: int, mode: str, prefix: str) -> Outcome: ...

    async def assign_users(self, mode: str | None, user: str | None, home: str | None) -> Outcome:
        """All users by a mode (balanced, active-standby, none), or one user to a home node."""
        ...

    async def unassign_users(self, user: str | None) -> Outcome:
        """One user, or all when None."""
        ...

    async def delete_users(self, user: str | None) -> Outcome:
        """One user, or all when None."""
        ...

    async def export_users(self) -> bytes | Refused:
        """All users as a CSV file."""
        ...

    async def topology(self) -> Outcome:
        """result: {"nodes": {id: {"assigned": n, "served": n}}, "unassigned": n, "total": n,
        "placement": {home: serving}}."""
        ...

    async def fault(self, fault: Fault, active: bool) -> Outcome: ...

    def refuse_certificate(self, detail: str) -> None:
        """A control message came with a certificate that is not the peer's: count and log it."""
        ...

    async def control(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer: ...
