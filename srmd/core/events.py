"""Everything that can happen to a node.  A decision is made for each of these in each state.

Events are facts, named as what happened.  Those with an `op` answer an order or a timer of the
operation that this number stamps; when the node has moved on, the kernel drops them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from srmd.core.states import Health, Reason, Stage, Start, State


@dataclass(frozen=True, slots=True)
class Report:
    """What a node says of itself in every heartbeat; all that its peer's machine may know of it."""

    state: State
    reason: Reason
    op: int
    stage: Stage = Stage.BEGUN
    start: Start = Start.RESTART
    settled: bool = True
    """It has heard its peer, or given it up, since its SRM started: its role is decided, not just
    remembered."""
    hears_us: bool = True
    health: Health = Health.OK
    lasting: bool = False
    """Its health has been bad for the critical service delay."""
    ha: bool = True
    ha_stamp: int = 0
    """How often high availability has been switched, as far as it knows: the higher stamp wins."""


class Order(Enum):
    """The kinds of work a node orders from its shell."""

    START_SERVICES = "start_services"
    STOP_SERVICES = "stop_services"
    MOVE_USERS = "move_users"


@dataclass(frozen=True, slots=True)
class Booted:
    """SRM started; the node's state is what was stored."""

    start: Start


@dataclass(frozen=True, slots=True)
class PeerHeard:
    """The peer reported itself."""

    report: Report
    beat: bool = True
    """By a heartbeat, which proves life; False: by the control channel, which does not."""


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The peer has been silent for the timeout that applies to our state."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer announced that its node shuts down or reboots."""


@dataclass(frozen=True, slots=True)
class PeerMismatched:
    """The peer is configured in a way that cannot make a pair with us."""

    what: str
    """Which setting, in words: an administrator reads it."""


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """Our critical services or database changed, or have now been down for the delay."""

    health: Health
    lasting: bool


@dataclass(frozen=True, slots=True)
class ServicesStarted:
    """All critical services run, as ordered."""

    op: int


@dataclass(frozen=True, slots=True)
class ServicesStopped:
    """All critical services are stopped, as ordered."""

    op: int


@dataclass(frozen=True, slots=True)
class UsersMoved:
    """The move of the users is durable."""

    op: int


@dataclass(frozen=True, slots=True)
class OperationFailed:
    """An order could not be carried out."""

    op: int
    order: Order


@dataclass(frozen=True, slots=True)
class StayExpired:
    """A passing state has lasted longer than its bound."""

    op: int


@dataclass(frozen=True, slots=True)
class FallbackDue:
    """The home node has been well for the automatic fallback wait, without a break."""

    op: int


@dataclass(frozen=True, slots=True)
class FailoverRequested:
    """The administrator wants this node to fail over to its peer."""


@dataclass(frozen=True, slots=True)
class FallbackRequested:
    """The administrator wants the users of this node back on it."""


@dataclass(frozen=True, slots=True)
class RecoverRequested:
    """The administrator wants the pair out of Running in Failed Mode."""


@dataclass(frozen=True, slots=True)
class HaSet:
    """High availability was switched on or off, here or (carried by its report) at the peer."""

    enabled: bool
    stamp: int


@dataclass(frozen=True, slots=True)
class PlacementSeen:
    """The database places users by an order with this number, which is news to this node: another
    database was put in place of ours, or the peer's outranked it."""

    op: int


Event = Union[
    Booted,
    PeerHeard,
    PeerDown,
    PeerLeft,
    PeerMismatched,
    HealthChanged,
    ServicesStarted,
    ServicesStopped,
    UsersMoved,
    OperationFailed,
    StayExpired,
    FallbackDue,
    FailoverRequested,
    FallbackRequested,
    RecoverRequested,
    HaSet,
    PlacementSeen,
]

EVENTS: tuple[type[Event], ...] = Event.__args__  # type: ignore[attr-defined]
"""All event types, in the order in which tables print them."""
