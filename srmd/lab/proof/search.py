"""Breadth-first: every pair that can be reached with at most so many faults, and what is wrong.

Pairs are found in the order of their faults, then of their steps, so the way to each is a shortest
one: no way has fewer faults, and of those with as few none has fewer steps.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from srmd.core.handbook import Half
from srmd.core.node import Policy
from srmd.core.states import SplitBrain
from srmd.lab.proof.happenings import HA_COMMANDS, Asked, Happening, Kind, World
from srmd.lab.proof.pair import RUNNING, Pair
from srmd.lab.proof.properties import DEAF_RESTS, Broken, Judge, Property
from srmd.lab.proof.ways import ROW_1, Way, Ways

PROGRESS_EVERY: Final = 4096
"""Pairs between two reports of progress."""
FOUND_MAX: Final = 20
"""Counterexamples that one search keeps; it goes on counting."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search looks."""

    faults: int
    messages: int
    """Reports that may be held up on their way to each node at once."""
    pairs_max: int
    """Memory has an end: the search fails, and says so, when there are more."""
    asks: frozenset[Property] = frozenset(Property)
    """The properties that are asked; a proof asks all."""


@dataclass(frozen=True, slots=True)
class Configuration:
    automatic_fallback: bool
    split_brain: SplitBrain

    def __str__(self) -> str:
        automatic = "on" if self.automatic_fallback else "off"
        return f"split_brain {self.split_brain.value}, automatic fallback {automatic}"

    @property
    def policy(self) -> Policy:
        return Policy(self.automatic_fallback, self.split_brain)


CONFIGURATIONS: Final = tuple(
    Configuration(automatic, split) for split in SplitBrain for automatic in (False, True)
)


@dataclass(frozen=True, slots=True)
class Found:
    """A counterexample: what is broken, and the shortest way to the pair where it shows."""

    law: Property
    told: str
    path: tuple[Happening, ...]
    way: tuple[str, ...] = ()
    """What happens afterwards by itself, or by repair and advice."""
    on_way: str | None = None
    """The name of that way; None: it shows in the pair itself."""
    from_row_1: bool = True
    """It begins in row 1; otherwise with both nodes off, as they were never on."""
    asked: tuple[Asked, ...] = ()
    """The commands that are given where that way rests, and do harm."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A pair at rest, as people see it."""

    a: Half | None
    b: Half | None
    row: str
    n: int | None


@dataclass(slots=True)
class Result:
    configuration: Configuration
    bounds: Bounds
    pairs: int = 0
    edges: int = 0
    by_faults: list[int] = field(default_factory=list)
    asked: Counter[Property] = field(default_factory=Counter)
    broken: Counter[Property] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)
    rests: set[Rest] = field(default_factory=set)
    walked: int = 0
    minds: int = 0
    thoughts: int = 0
    seconds: float = 0.0
    complete: bool = True


Progress = Callable[[int, int, str], None]
"""Pairs reached, pairs looked at, what is being done."""


class Search:
    """One search of one configuration."""

    def __init__(
        self, configuration: Configuration, bounds: Bounds, progress: Progress = lambda *_: None
    ) -> None:
        self.world = World(configuration.policy, bounds.messages)
        self.judge = Judge(self.world, bounds.asks)
        self.ways = Ways(self.world)
        self.result = Result(configuration, bounds)
        self._bounds = bounds
        self._progress = progress
        self._index: dict[Pair, int] = {}
        self.pairs: list[Pair] = []
        self._parents = array("l")
        self._by: list[Happening | None] = []
        self._told: set[tuple[Property, str]] = set()
        self._rests: dict[Pair, int] = {}
        """Rests of pairs that are left alone, each with the first pair that leads there."""
        self._deaf_rests: tuple[dict[Pair, int], dict[Pair, int]] = ({}, {})
        """Rests of pairs while one node is deaf, each with the first pair that leads there."""

    def run(self) -> Result:
        """Explore, then follow all ways."""
        began_s = time.perf_counter()
        collecting = gc.isenabled()
        gc.disable()  # millions of tuples without a cycle: collecting them takes half of the time
        try:
            self._explore()
            if self.result.complete:
                self._follow()
        finally:
            if collecting:
                gc.enable()
        result, world = self.result, self.world
        result.asked = self.judge.asked
        result.pairs = len(self.pairs)
        result.minds = sum(len(minds.nodes) for minds in world.minds)
        result.thoughts = sum(minds.thoughts_count for minds in world.minds)
        result.seconds = time.perf_counter() - began_s
        return result

    # ------------------------------------------------------------------ reaching

    def _explore(self) -> None:
        begin = self.world.begin()
        self._reach(self.ways.normal(begin), -1, None)
        self._reach(begin, -1, None)
        at = 0
        later: list[tuple[Pair, int, Happening]] = []
        for faults in range(self._bounds.faults + 1):
            for pair, parent, by in later:
                self._reach(pair, parent, by)
            later = []
            last = faults == self._bounds.faults
            while at < len(self.pairs):
                if len(self.pairs) > self._bounds.pairs_max:
                    self.result.complete = False
                    return
                if at % PROGRESS_EVERY == 0:
                    self._progress(len(self.pairs), at, f"faults: {faults}")
                self._expand(at, later, last=last)
                at += 1
            self.result.by_faults.append(len(self.pairs))

    def _expand(self, at: int, later: list[tuple[Pair, int, Happening]], *, last: bool) -> None:
        pair, index = self.pairs[at], self._index
        try:
            nexts = self.world.nexts(pair, faults=not last)
        except AssertionError as undeclared:
            self._note(Broken(Property.S4, str(undeclared)), at)
            return
        if self.judge.broken_steps:
            self._note_steps(at)
        self.result.edges += len(nexts)
        for happening, after in nexts:
            if after in index:
                continue
            if happening.kind == Kind.FAULT:
                later.append((after, at, happening))
            else:
                self._reach(after, at, happening)

    def _reach(self, pair: Pair, parent: int, by: Happening | None) -> None:
        if pair in self._index:
            return
        at = self._index[pair] = len(self.pairs)
        self.pairs.append(pair)
        self._parents.append(parent)
        self._by.append(by)
        for broken in self.judge.of_pair(pair):
            self._note(broken, at)

    # ------------------------------------------------------------------ following

    def _follow(self) -> None:
        for at, pair in enumerate(self.pairs):
            if at % PROGRESS_EVERY == 0:
                self._progress(len(self.pairs), at, "ways")
            try:
                self._follow_one(at, pair)
            except AssertionError as undeclared:
                self._note(Broken(Property.S4, str(undeclared)), at)
            if self.judge.broken_steps:
                self._note_steps(at)
        for rest, at in self._rests.items():
            self._set_at_once(rest, "alone", at)
            self._note_steps(at)
        for deaf in (0, 1):
            for rest, at in self._deaf_rests[deaf].items():
                if Property.L8 in self.judge.asks:
                    self._ask(rest, deaf, at)
                self._set_at_once(rest, f"deaf {'ab'[deaf]}", at)
                self._note_steps(at)

    def _ask(self, rest: Pair, deaf: int, at: int) -> None:
        """Give each command that is offered at this rest, and follow it while the node is deaf."""
        for asked in self._offered(rest):
            self.judge.asked[Property.L8] += 1
            harm = self._harm(rest, asked, self.ways.deaf[deaf])
            if harm is not None and harm != self._harm_when_heard(rest, asked):
                told = f"in {self._shown(rest)}, {asked.command} {'ab'[asked.at]} {harm}"
                self._note(Broken(Property.L8, told), at, f"deaf {'ab'[deaf]}", (asked,))

    def _harm(self, rest: Pair, asked: Asked, way: Way) -> str | None:
        """The harm of a command that is given at this rest and followed on this way."""
        step = self.world.asked_to(rest, asked)
        if step is None:
            return "is refused"
        end = way.end(step[1])
        return "never rests" if end.round else self.judge.harm(rest, end.pair)

    def _harm_when_heard(self, rest: Pair, asked: Asked) -> str | None:
        """Its harm once both nodes hear each other, which then does not come of the deafness.

        A fallback to a node whose services do not start ends in row 14, deaf or not.
        """
        end = self.ways.alone.end(rest)
        if end.round or asked not in self._offered(end.pair):
            return None
        return self._harm(end.pair, asked, self.ways.alone)

    def _offered(self, rest: Pair) -> dict[Asked, None]:
        """All commands that are offered, each once."""
        return dict.fromkeys((*self.world.offered(rest, 0), *self.world.offered(rest, 1)))

    def _set_at_once(self, rest: Pair, way: str, at: int) -> None:
        """Set high availability on both nodes before either hears of the other's command.

        Then both hear each other.
        """
        if rest.mismatched or any(side.up != RUNNING for side in rest.sides):
            return
        for commands in product(HA_COMMANDS, repeat=2):
            asked = tuple(Asked(node, command) for node, command in enumerate(commands))
            pair = rest
            for one in asked:
                step = self.world.asked_to(pair, one)
                pair = pair if step is None else step[1]
            self.judge.asked[Property.L9] += 1
            told = f"in {self._shown(rest)}, {commands[0]} on a and {commands[1]} on b"
            end = self.ways.alone.end(pair)
            values = [self.world.traits(node, end.pair.sides[node]).ha for node in (0, 1)]
            if end.round or values[0] is not values[1]:
                self._note(Broken(Property.L9, f"{told} stay apart"), at, way, asked)
            elif not self.ways.is_normal(self.ways.mended.end(pair).pair):
                self._note(Broken(Property.L9, f"{told} lead to no row 1"), at, way, asked)

    def _follow_one(self, at: int, pair: Pair) -> None:
        ways, judge, asked = self.ways, self.judge, self.judge.asked
        end = ways.alone.end(pair)
        asked[Property.L5] += 1
        if end.round:
            self._note(Broken(Property.L4, "left alone, the pair never rests"), at, "alone")
        else:
            if max(end.takes_over) > 1:
                self._note(Broken(Property.L5, f"{end.takes_over} times"), at, "alone")
            self._rests.setdefault(end.pair, at)
            for broken in self._at_rest(end.pair):
                self._note(broken, at, "alone")
        end = ways.mended.end(pair)
        asked[Property.L2] += 1
        asked[Property.L3] += 1
        if end.round:
            self._note(Broken(Property.L2, "repair and advice go round"), at, "mended")
        elif not ways.is_normal(end.pair):
            told = f"in {self._shown(end.pair)} no advice changes anything"
            self._note(Broken(Property.L3, told), at, "mended")
        else:
            for broken in self._at_rest(end.pair):
                self._note(broken, at, "mended")
        for deaf in (0, 1):
            if pair.sides[deaf].up != RUNNING or pair.sides[1 - deaf].up != RUNNING:
                continue
            way = ways.deaf[deaf]
            end = way.end(pair)
            asked[Property.L7] += 1
            if end.round:
                self._note(Broken(Property.L7, "it never rests"), at, f"deaf {'ab'[deaf]}")
            elif not judge.row(end.pair).stable and judge.row(end.pair).key not in DEAF_RESTS:
                told = f"it rests in {judge.row(end.pair).key}"
                self._note(Broken(Property.L7, told), at, f"deaf {'ab'[deaf]}")
            if not end.round:
                self._deaf_rests[deaf].setdefault(end.pair, at)

    def _at_rest(self, pair: Pair) -> Iterator[Broken]:
        row = self.judge.row(pair)
        shown = [
            self.world.traits(at, pair.sides[at]).half if pair.sides[at].up == RUNNING else None
            for at in (0, 1)
        ]
        self.result.rests.add(Rest(shown[0], shown[1], row.key, row.n))
        return self.judge.of_rest(pair)

    def _shown(self, pair: Pair) -> str:
        return " and ".join(
            "/".join(word.name for word in self.world.traits(at, pair.sides[at]).half)
            for at in (0, 1)
        )

    # ------------------------------------------------------------------ counterexamples

    def _note_steps(self, at: int) -> None:
        for broken in self.judge.broken_steps:
            self._note(broken, at)
        self.judge.broken_steps.clear()

    def _note(
        self, broken: Broken, at: int, on_way: str | None = None, asked: tuple[Asked, ...] = ()
    ) -> None:
        result = self.result
        result.broken[broken.law] += 1
        key = (broken.law, broken.told)
        if key in self._told or len(result.found) >= FOUND_MAX:
            return
        self._told.add(key)
        after: tuple[str, ...] = ()
        if on_way is not None:
            after = tuple(told for told, _ in self.ways.walk(on_way, self.pairs[at], asked))
        path, root = self.path(at)
        result.found.append(Found(broken.law, broken.told, path, after, on_way, root == 0, asked))

    def path(self, at: int) -> tuple[tuple[Happening, ...], int]:
        """The shortest way to a pair, and the pair where it begins."""
        path: list[Happening] = []
        by = self._by[at]
        while by is not None:
            path.append(by)
            at = self._parents[at]
            by = self._by[at]
        return tuple(reversed(path)), at


__all__ = [
    "CONFIGURATIONS",
    "Bounds",
    "Configuration",
    "Found",
    "ROW_1",
    "Rest",
    "Result",
    "Search",
]
