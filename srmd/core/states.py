"""The words of the machine: states, reasons and the small enums that its facts are made of.

The names are Cisco's, as the IM and Presence guides print them; the numbers of `State` are
those of the RTMT counter `SRMState` and are frozen: scripts read them.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """State of a node, numbered as the counter `SRMState` of Cisco Server Recovery Manager."""

    UNKNOWN = 0
    INITIALIZING = 1
    IDLE = 2
    NORMAL = 3
    BACKUP = 4
    TAKING_OVER = 5
    TAKING_BACK = 6
    FAILING_OVER = 7
    FAILED_OVER = 8
    FAILED_OVER_SERVICES_DOWN = 9
    FALLING_BACK = 10
    FAILED_MODE = 11
    DOWN = 12
    """How a silent peer looks to us; never a node's own state."""


OWN_STATES = tuple(state for state in State if state is not State.DOWN)
"""The states that a node itself can be in."""

PASSING = frozenset(
    {
        State.INITIALIZING,
        State.TAKING_OVER,
        State.TAKING_BACK,
        State.FAILING_OVER,
        State.FALLING_BACK,
    }
)
"""States that end by themselves, within a bound."""

AWAY = frozenset({State.IDLE, State.FAILED_OVER, State.FAILED_OVER_SERVICES_DOWN})
"""States in which a node leaves its users to a backup, and serves none."""


class Reason(Enum):
    """Why a node is in its state.  The value is the identifier used on the wire and in logs."""

    NORMAL = "normal"
    ON_ADMIN_REQUEST = "on_admin_request"
    INITIALIZATION = "initialization"
    AUTOMATIC_FALLBACK = "automatic_fallback"
    CRITICAL_SERVICE_DOWN = "critical_service_down"
    DATABASE_FAILURE = "database_failure"
    START_OF_CRITICAL_SERVICES_FAILED = "start_of_critical_services_failed"
    PEER_DOWN = "peer_down"
    PEER_REBOOT = "peer_reboot"
    PEER_DOWN_DURING_INITIALIZATION = "peer_down_during_initialization"
    TAKE_OVER_USERS_FAILED = "take_over_users_failed"
    TAKE_BACK_USERS_FAILED = "take_back_users_failed"
    UNKNOWN = "unknown"
    AUTO_RECOVER_DATABASE_FAILURE = "auto_recover_database_failure"
    AUTO_RECOVERY_DATABASE_FAILURE = "auto_recovery_database_failure"
    """What node 2 of row 22 prints: the document spells it differently there."""
    AUTO_RECOVER_CRITICAL_SERVICE_DOWN = "auto_recover_critical_service_down"
    HA_NOT_ENABLED = "high_availability_not_enabled"


class Health(Enum):
    """Whether a node could serve users at this moment."""

    OK = "ok"
    SERVICE_DOWN = "service_down"
    DATABASE_DOWN = "database_down"
    """The database (`A Cisco DB`) is lost; it outranks a service, having a reason of its own."""


class Contact(Enum):
    """What we know of the peer's presence.  Only heartbeats prove life."""

    NEVER = "never"
    """Not heard since our SRM started, and the timeout has not passed."""
    HEARD = "heard"
    SILENT = "silent"
    """Silent for the timeout."""
    LEFT = "left"
    """It announced that its node goes down (shutdown or reboot)."""


class Stage(Enum):
    """How far a node has come within a passing state."""

    BEGUN = "begun"
    READY = "ready"
    """Our part is done and the peer may go on: users let go (Failing Over, Falling Back), services
    started (Taking Back)."""
    MOVING = "moving"
    """The move of the users is ordered."""


class Start(Enum):
    """How SRM came to start."""

    RESTART = "restart"
    """SRM alone was restarted; the node's boot identity is the old one."""
    REBOOT = "reboot"
    """The node booted: new boot identity."""
    RECOVER = "recover"
    """The administrator (or the split-brain policy) recovered the pair."""


class SplitBrain(Enum):
    """What to do when both nodes took over from each other (ours; Cisco's nodes fail)."""

    FAIL = "fail"
    HOME = "home"


class Destination(Enum):
    """Where a move brings the users of the group."""

    HERE = "here"
    """All users are served by this node."""
    HOME = "home"
    """Each user is served by its home node."""
