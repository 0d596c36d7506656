"""Where a scenario is played: what a stage has to offer, and what is seen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from srmd.core import handbook
from srmd.core.states import State
from srmd.lab.scenario.story import Row
from srmd.lab.scenario.verbs import KeepFiles, NodeName, Verb
from srmd.shown import written


class VerbFailed(Exception):
    """What was to be done could not be done; the story cannot go on."""


def must_be_off(verb: KeepFiles) -> str:
    """The reason for which this cannot be done to a node that runs."""
    files = f"the {verb.what.value} of node {verb.node.value}"
    return f"cannot {verb.action.value} {files} while it runs: end it first (terminate, kill)"


class VerbRefused(Exception):
    """The node refused an administrator's verb; the message names the state that is needed."""


class StageBroken(Exception):
    """The environment failed, not the pair: the run proves nothing."""


class NotHome(StageBroken):
    """The pair of somebody else is not in row 1, where every play begins: none can be played."""


@dataclass(frozen=True, slots=True)
class View:
    """What one node says."""

    half: handbook.Half | None
    """Of itself; None while its SRM does not run."""
    peer_down: bool
    """It shows its peer as Down State."""
    row: int | None
    row_key: str
    served: int | None
    """Users that it serves; None when it cannot say."""
    assigned: Mapping[NodeName, int] | None
    """Users by home node, as its database has them; None until that was opened once."""
    op: int
    mismatch: str | None
    content: str | None = None
    """The content of its user database, in short: equal where all users are; None when unknown."""
    control_fails: bool = False
    """Its last call to the peer was not answered: users cannot be exchanged."""

    able: bool = True
    """Its critical services and its database run, as far as it has to serve."""

    def names(self, row: Row) -> bool:
        """The node names this row of the handbook."""
        return row in (self.row, self.row_key)

    @property
    def rests_unknown(self) -> bool:
        return self.row_key == handbook.UNDOCUMENTED


@dataclass(frozen=True, slots=True)
class Look:
    """Both nodes, asked one right after the other."""

    at_s: float
    """Monotonic, of the stage; when the last of the answers was there."""
    views: Mapping[NodeName, View | None]
    """None: the node does not answer."""

    def half(self, node: NodeName) -> handbook.Half | None:
        view = self.views[node]
        return None if view is None else view.half

    def heard_of(self, node: NodeName) -> bool:
        """The peer of this node does not show it as Down State."""
        watcher = self.views[node.other]
        return watcher is None or not watcher.peer_down

    @property
    def assigned(self) -> dict[NodeName, int] | None:
        """Users by home node, as the node has them that knows more; None when neither knows."""
        known = self._assigned_by_nodes()
        if not known:
            return None
        return {node: max(one[node] for one in known) for node in NodeName}

    @property
    def users_counts(self) -> list[int]:
        """Users that each node knows; a node that does not know has no number here."""
        return [sum(one.values()) for one in self._assigned_by_nodes()]

    def _assigned_by_nodes(self) -> list[Mapping[NodeName, int]]:
        views = [view for view in self.views.values() if view is not None]
        return [view.assigned for view in views if view.assigned is not None]

    @property
    def users_differ(self) -> str | None:
        """The contents of both databases, in words, where they are not the same."""
        held = {node: view.content for node, view in self.views.items() if view is not None}
        if None in held.values() or len(set(held.values())) < 2:  # nodes
            return None
        return " | ".join(f"{node.value} holds {content}" for node, content in held.items())

    def __str__(self) -> str:
        return "  |  ".join(f"{node.value} {self._one(node)}" for node in NodeName)

    def _one(self, node: NodeName) -> str:
        view = self.views[node]
        if view is None:
            return "(does not answer)"
        shown = "(SRM does not run)" if view.half is None else written(view.half)
        return shown if self.heard_of(node) else f"{shown} (its peer: {State.DOWN.name.lower()})"


class Doing(Protocol):
    """A verb that is being carried out."""

    def done(self) -> bool:
        """Raises VerbFailed, VerbRefused or StageBroken when it ended that way."""


class Stage(Protocol):
    """A pair to which things can be done.  Time is the stage's own."""

    name: str

    @property
    def timers(self) -> Mapping[str, float]:
        """Of the pair as it runs, by the names of `durations.TIMERS`, in seconds."""

    def cannot(self, verb: Verb) -> str | None:
        """Why this verb cannot be carried out here; None when it can."""

    def now_s(self) -> float: ...

    def look(self) -> Look:
        """Let a little time pass, then look at the pair."""

    def begin(self, verb: Verb) -> Doing: ...

    def lift(self, verb: Verb) -> Doing:
        """Take this one fault of the network away again."""

    def heal(self) -> None:
        """Take all faults of the network away, and make sure of it.  Raises StageBroken."""
