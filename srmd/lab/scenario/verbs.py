"""What can be done to a pair, as frozen values: the vocabulary of the scenarios' `do`.

`phrases.py` reads them from text, each stage carries them out.  Nodes are `a` and `b`; `mirrored`
swaps them, so that a story written for a as the home side is told for b as well.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar, Union

from srmd.lab.scenario.durations import Duration


class NodeName(Enum):
    A = "a"
    B = "b"

    @property
    def other(self) -> NodeName:
        return NodeName.B if self is NodeName.A else NodeName.A


class Direction(Enum):
    """From whom to whom a datagram, or the request of a control call, travels."""

    A_TO_B = "a->b"
    B_TO_A = "b->a"
    BOTH = "both ways"

    @property
    def other(self) -> Direction:
        return _OTHER_WAY[self]

    @property
    def ways(self) -> tuple[Direction, ...]:
        """One or both of the one-way directions."""
        return (Direction.A_TO_B, Direction.B_TO_A) if self is Direction.BOTH else (self,)

    @property
    def receiver(self) -> NodeName:
        """Of one way."""
        assert self is not Direction.BOTH
        return NodeName.B if self is Direction.A_TO_B else NodeName.A


_OTHER_WAY = {
    Direction.A_TO_B: Direction.B_TO_A,
    Direction.B_TO_A: Direction.A_TO_B,
    Direction.BOTH: Direction.BOTH,
}


class Channel(Enum):
    HEARTBEATS = "heartbeats"
    CONTROL = "control"
    ALL = "all"


class Disturbance(Enum):
    """What happens to single heartbeats, by chance."""

    DUPLICATE = "duplicate"
    REORDER = "reorder"
    REPLAY = "replay"
    CORRUPT = "corrupt"
    TRUNCATE = "truncate"


class ServiceAction(Enum):
    KILL = "kill"
    STOP = "stop"
    START = "start"
    RESTART = "restart"
    HANG = "hang"
    BLOCK = "block"
    UNBLOCK = "unblock"


class Fault(Enum):
    """Faults on command inside a node."""

    DATABASE = "database"
    MOVES = "moves"


class SrmAction(Enum):
    STOP = "stop"
    START = "start"
    RESTART = "restart"


class PowerAction(Enum):
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    KILL = "kill"
    TERMINATE = "terminate"
    START = "start"
    FREEZE = "freeze"
    THAW = "thaw"


class FileAction(Enum):
    """Changes of the files of a node that is off."""

    LOSE = "lose"
    COPY = "copy"
    RESTORE = "restore"


class Files(Enum):
    """Parts of the state directory of a node."""

    STATE = "state"
    """Both of the following."""
    MEMORY = "memory"
    """`node.json`, the one before it, and what the node remembers of its database."""
    DATABASE = "database"
    """The user database."""

    @property
    def memory(self) -> bool:
        return self is not Files.DATABASE

    @property
    def database(self) -> bool:
        return self is not Files.MEMORY


class Way(Enum):
    """Where to a clock is put."""

    FORWARD = "forward"
    BACK = "back"


class Operation(Enum):
    FAILOVER = "failover"
    FALLBACK = "fallback"


Setting = Union[str, bool, int, float]


# The network between the nodes.


@dataclass(frozen=True, slots=True)
class Cut:
    channel: Channel
    direction: Direction
    refuse: bool
    """Refused (connection refused, port unreachable) instead of silent."""


@dataclass(frozen=True, slots=True)
class Lose:
    percent: float
    direction: Direction
    bursts: bool
    """A lost heartbeat makes the loss of the next one more probable."""


@dataclass(frozen=True, slots=True)
class DropNext:
    count: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class Disturb:
    how: Disturbance
    percent: float
    direction: Direction


@dataclass(frozen=True, slots=True)
class Delay:
    channel: Channel
    by: Duration
    jitter: Duration | None
    direction: Direction


@dataclass(frozen=True, slots=True)
class Limit:
    """A narrow line: so much passes, and the rest queues."""

    channel: Channel
    kilobytes_per_s: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class Hold:
    """Park heartbeats; healing releases them in one burst."""

    direction: Direction


@dataclass(frozen=True, slots=True)
class HoldUntilDeadline:
    """Park heartbeats, and release them in one burst at the deadline of the receiver.

    That is the moment at which it would call the sender down: exactly in virtual time, within some
    milliseconds on real processes.
    """

    direction: Direction
    """One way: each receiver has a deadline of its own."""


@dataclass(frozen=True, slots=True)
class Flap:
    up: Duration
    down: Duration
    direction: Direction


@dataclass(frozen=True, slots=True)
class Reset:
    """Control calls are accepted, and reset once they have sent something."""

    direction: Direction


@dataclass(frozen=True, slots=True)
class Heal:
    channel: Channel
    direction: Direction


# The nodes.


@dataclass(frozen=True, slots=True)
class Service:
    action: ServiceAction
    name: str
    node: NodeName


@dataclass(frozen=True, slots=True)
class SetFault:
    fault: Fault
    node: NodeName
    active: bool


@dataclass(frozen=True, slots=True)
class Srm:
    action: SrmAction
    node: NodeName


@dataclass(frozen=True, slots=True)
class Power:
    action: PowerAction
    node: NodeName


@dataclass(frozen=True, slots=True)
class DeleteDatabase:
    """The file of the user database is removed while the node runs."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class KeepFiles:
    """Files of a node are lost, copied, or replaced by their copy.

    A node has one copy of each kind; copying again replaces it.
    """

    action: FileAction
    what: Files
    node: NodeName

    @property
    def takes_memory(self) -> bool:
        """The node forgets something: its memory is lost, or an older one put back."""
        return self.what.memory and self.action is not FileAction.COPY

    @property
    def needs_node_off(self) -> bool:
        """A node that runs would write its files again; only its database may change under it."""
        return self.action is FileAction.LOSE or (
            self.action is FileAction.RESTORE and self.what.memory
        )


@dataclass(frozen=True, slots=True)
class PutClock:
    """The node's time of day jumps; monotonic time does not."""

    way: Way
    by: Duration
    """So far from the true time, wherever the clock stood before."""
    node: NodeName

    def ahead_s(self, timers: Mapping[str, float]) -> float:
        """How far the clock is ahead of the true time; below 0 behind it."""
        return self.by.seconds(timers) * (1 if self.way is Way.FORWARD else -1)


# The administrator.


@dataclass(frozen=True, slots=True)
class Operate:
    operation: Operation
    node: NodeName
    """The node that fails over, or falls back."""
    via: NodeName
    """The node that is asked."""


@dataclass(frozen=True, slots=True)
class Recover:
    via: NodeName


@dataclass(frozen=True, slots=True)
class SetHa:
    enabled: bool
    via: NodeName


@dataclass(frozen=True, slots=True)
class AddUsers:
    count: int
    via: NodeName


@dataclass(frozen=True, slots=True)
class Configure:
    """Into the configuration file; the node reads it when SRM restarts."""

    key: str
    """Section and key, as `group.name`."""
    value: Setting
    node: NodeName


@dataclass(frozen=True, slots=True)
class SetKey:
    """What stands in the file of key k1; the node reads it when SRM restarts."""

    right: bool
    """Wrong: no datagram and no call of the peer can be verified."""
    node: NodeName


@dataclass(frozen=True, slots=True)
class Clone:
    """Both nodes have the configuration file of one: the same ids, only the addresses differ.

    The node reads it when it starts.
    """

    node: NodeName
    """Whose file it is."""
    active: bool
    """False: the other node has its own file again."""


NetworkFault = Union[
    Cut, Lose, DropNext, Disturb, Delay, Limit, Hold, HoldUntilDeadline, Flap, Reset
]
NodeVerb = Union[
    Service, SetFault, Srm, Power, DeleteDatabase, KeepFiles, Configure, SetKey, Clone, PutClock
]
AdminVerb = Union[Operate, Recover, SetHa, AddUsers]
Verb = Union[NetworkFault, Heal, NodeVerb, AdminVerb]

NETWORK_FAULTS: tuple[type[NetworkFault], ...] = NetworkFault.__args__  # type: ignore[attr-defined]
ADMIN_VERBS: tuple[type[AdminVerb], ...] = AdminVerb.__args__  # type: ignore[attr-defined]
VERBS: tuple[type[Verb], ...] = Verb.__args__  # type: ignore[attr-defined]

V = TypeVar("V", bound=Verb)


def mirrored(verb: V) -> V:
    """The same with a and b swapped."""
    swapped: dict[str, Any] = {
        field.name: value.other
        for field in dataclasses.fields(verb)
        if isinstance(value := getattr(verb, field.name), (NodeName, Direction))
    }
    return dataclasses.replace(verb, **swapped)


def mirrored_text(text: str) -> str:
    """A verb as it is written, with a and b swapped; what is quoted is no node."""
    parts = re.split(r"('[^']*'|\"[^\"]*\")", text)
    parts[::2] = [re.sub(r"\b[ab]\b", lambda m: "ab"[m[0] == "a"], part) for part in parts[::2]]
    return "".join(parts)
