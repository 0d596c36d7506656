"""A scenario as a frozen value: what one file says, free of any stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from srmd.core import handbook
from srmd.core.states import SplitBrain, State
from srmd.core.texts import STATES, Text
from srmd.lab.scenario.durations import Duration
from srmd.lab.scenario.verbs import NodeName, Verb, mirrored, mirrored_text
from srmd.shown import written

Row = int | str
"""A row of the handbook: its number in Cisco's table, or the key of a row of ours."""

SILENT: Final[handbook.Pattern] = (State.DOWN, handbook.ANY)
"""Nobody hears the node: its peer shows it as Down State."""


class Orientation(Enum):
    AS_WRITTEN = "as written"
    MIRRORED = "mirrored"
    """a and b are swapped before it is played."""
    BOTH = "both"


class Invariant(Enum):
    """What has to hold at every look at the pair, from begin to end."""

    USERS_KEPT = "users_kept"
    OP_GROWS = "op_grows"
    KNOWN_ROWS = "known_rows"
    USERS_AGREE = "users_agree"
    HOMES_SERVED = "homes_served"
    ONE_BACKUP = "one_backup"
    NO_FAILED_MODE = "no_failed_mode"
    NO_TRANSITION = "no_transition"


ALWAYS: Final = (
    Invariant.USERS_KEPT,
    Invariant.OP_GROWS,
    Invariant.KNOWN_ROWS,
    Invariant.USERS_AGREE,
    Invariant.HOMES_SERVED,
)
"""These hold in every scenario; the others where the file names them."""

MEANINGS: Final[Mapping[Invariant, str]] = {
    Invariant.USERS_KEPT: "no user and no assignment is lost",
    Invariant.OP_GROWS: "the operation number of a node never falls",
    Invariant.KNOWN_ROWS: "the handbook knows every pair at which the nodes rest",
    Invariant.USERS_AGREE: "in row 1 both databases come to hold the same users",
    Invariant.HOMES_SERVED: "in row 1 each node comes to serve those at home on it, and no others",
    Invariant.ONE_BACKUP: "never both nodes Running in Backup Mode",
    Invariant.NO_FAILED_MODE: "never Running in Failed Mode",
    Invariant.NO_TRANSITION: "no node changes its state at all",
}


class Share(Enum):
    """Users of the group, in words."""

    NONE = "none"
    OWN = "own"
    """Those whose home the node is."""
    ALL = "all"


Served = int | Share


class Mode(Enum):
    """How the users of the group are spread over the nodes."""

    BALANCED = "balanced"
    ACTIVE_STANDBY = "active-standby"


@dataclass(frozen=True, slots=True)
class Users:
    count: int = 200
    mode: Mode = Mode.BALANCED


@dataclass(frozen=True, slots=True)
class Group:
    """What a scenario may want of the nodes' [group]."""

    automatic_fallback: bool = False
    split_brain: SplitBrain = SplitBrain.FAIL


@dataclass(frozen=True, slots=True)
class Settings:
    """What the pair has to be before the story begins; equal settings can share a pair."""

    group: Group = Group()
    timers: tuple[tuple[str, Duration], ...] = ()
    """Changes to the stage's own timers, made in this order."""
    users: Users = Users()
    clocks: bool = False
    """Each node has a clock of its own, which `put clock` can put."""

    def timers_of(self, stage: Mapping[str, float]) -> dict[str, float]:
        """The pair's timers in seconds; each may be written in terms of those before it.

        A starting node is never less patient than another one: where the file lengthens the keep
        alive timeout alone, that of the initialization follows.
        """
        made = dict(stage)
        for name, value in self.timers:
            made[name] = value.seconds(made)
        starting = "initialization_keep_alive_timeout"
        if starting not in dict(self.timers):
            made[starting] = max(made[starting], made["keep_alive_timeout"])
        return made


@dataclass(frozen=True, slots=True)
class Picture:
    """What has to be seen of the pair, all at the same time; empty parts are not looked at."""

    halves: Mapping[NodeName, handbook.Side] = field(default_factory=dict)
    """Each node's alternatives of state and reason."""
    row: Row | None = None
    """Each node of `halves` that is not silent names this row."""
    served: Mapping[NodeName, Served] = field(default_factory=dict)
    mismatch: str | None = None
    """A part of what each node of `halves` says does not match."""
    users_agree: bool = False
    """Both databases hold the same users."""

    @property
    def is_empty(self) -> bool:
        return not (self.halves or self.served or self.row is not None or self.mismatch)

    def mirrored(self) -> Picture:
        return dataclasses.replace(
            self,
            halves={node.other: side for node, side in self.halves.items()},
            served={node.other: share for node, share in self.served.items()},
        )

    def __str__(self) -> str:
        parts = [f"{node.value} {_written(side)}" for node, side in self.halves.items()]
        parts += [f"row {self.row}"] if self.row is not None else []
        parts += [
            f"{node.value} serves {share.value if isinstance(share, Share) else share}"
            for node, share in self.served.items()
        ]
        parts += [f"mismatch: {self.mismatch}"] if self.mismatch else []
        return "  |  ".join(parts)


def _written(side: handbook.Side) -> str:
    return " or ".join(map(_pattern, side))


def _pattern(pattern: handbook.Pattern) -> str:
    state, reason = pattern
    if state is State.DOWN:
        return "down"
    return f"{STATES[state].en} / *" if reason is None else written((state, reason))


@dataclass(frozen=True, slots=True)
class Expect:
    """The picture is reached, not before one bound and within the other."""

    picture: Picture
    within: Duration
    not_before: Duration | None = None

    def mirrored(self) -> Expect:
        return dataclasses.replace(self, picture=self.picture.mirrored())


@dataclass(frozen=True, slots=True)
class Stays:
    """The picture holds without a break, for a time or while something is done."""

    picture: Picture
    hold: Duration
    meanwhile: Verb | None = None

    def mirrored(self) -> Stays:
        meanwhile = None if self.meanwhile is None else mirrored(self.meanwhile)
        return dataclasses.replace(self, picture=self.picture.mirrored(), meanwhile=meanwhile)


@dataclass(frozen=True, slots=True)
class Step:
    """One [[step]]: what is done, then what must come of it."""

    line: int
    """Where it stands in the file; 0 when nowhere."""
    do: tuple[Verb, ...] = ()
    refused: Verb | None = None
    """Asked for, and the node has to refuse it."""
    check: Expect | Stays | None = None
    said: tuple[str, ...] = ()
    """`do`, `refused` and `while` as they are written."""

    def mirrored(self) -> Step:
        return dataclasses.replace(
            self,
            do=tuple(map(mirrored, self.do)),
            refused=None if self.refused is None else mirrored(self.refused),
            check=None if self.check is None else self.check.mirrored(),
            said=tuple(map(mirrored_text, self.said)),
        )

    def verbs(self) -> tuple[Verb, ...]:
        """Everything that this step wants done."""
        found = [*self.do, self.refused]
        if isinstance(self.check, Stays):
            found.append(self.check.meanwhile)
        return tuple(one for one in found if one is not None)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story about a pair.  Played, it begins and ends in row 1 with every user at home."""

    path: Path
    title: Text
    story: Text
    shows: tuple[Row, ...]
    steps: tuple[Step, ...]
    settings: Settings = Settings()
    orientation: Orientation = Orientation.AS_WRITTEN
    invariants: tuple[Invariant, ...] = ALWAYS

    @property
    def name(self) -> str:
        return self.path.stem

    def plays(self) -> tuple[tuple[str, Scenario], ...]:
        """(name, story) of each orientation in which it is to be played."""
        as_written, other = (self.name, self), (f"{self.name} (mirrored)", self.mirrored())
        match self.orientation:
            case Orientation.AS_WRITTEN:
                return (as_written,)
            case Orientation.MIRRORED:
                return (other,)
            case Orientation.BOTH:
                return (as_written, other)

    def mirrored(self) -> Scenario:
        return dataclasses.replace(self, steps=tuple(step.mirrored() for step in self.steps))

    def verbs(self) -> tuple[Verb, ...]:
        return tuple(one for step in self.steps for one in step.verbs())


def row_of(text: Row) -> handbook.Row | None:
    """The row of a number or key; None when the handbook has none."""
    for row in handbook.ROWS:
        if text in (row.n, row.key):
            return row
    return None
