"""Where a pair goes: left alone, repaired, or with one node deaf for good.

A *way* is a rule that picks one thing to happen next, fairly: orders are carried out, reports
arrive, silence is noticed, waits end.  From each pair there is then one walk, which ends at rest,
or goes round in a circle.  Walks meet, so all of them together cost one look at each pair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from srmd.core.handbook import find
from srmd.core.states import Contact, Reason, State
from srmd.lab.proof.happenings import HA_COMMANDS, Asked, Step, World
from srmd.lab.proof.pair import RUNNING, SOUND, Pair

STEPS_MAX: Final = 400
"""Steps after which a walk on true numbers, which never come again, counts as endless."""
ROW_1: Final = (State.NORMAL, Reason.NORMAL)


class End(NamedTuple):
    """How a walk ends."""

    pair: Pair
    round: bool
    """It never ends: this pair comes again."""
    takes_over: tuple[int, int]
    """How often each node takes over on the way."""


class Way:
    """All walks of one rule."""

    def __init__(self, world: World, choose: Callable[[Pair], Step | None]) -> None:
        self._world = world
        self._choose = choose
        self._ends: dict[Pair, End] = {}

    def end(self, pair: Pair) -> End:
        """Where the walk from here ends."""
        ends = self._ends
        walked: list[Pair] = []
        on_it: set[Pair] = set()
        here = pair
        while here not in ends:
            if here in on_it:
                ends[here] = End(here, round=True, takes_over=(0, 0))
                break
            walked.append(here)
            on_it.add(here)
            step = self._choose(here)
            if step is None:
                ends[here] = End(here, round=False, takes_over=(0, 0))
                break
            here = step[1]
        end, after = ends[here], here
        for before in reversed(walked):
            if before != after or before not in ends:
                taken = tuple(
                    count + self._takes_over(before, after, at)
                    for at, count in enumerate(end.takes_over)
                )
                end = ends[before] = End(end.pair, end.round, (taken[0], taken[1]))
            after = before
        return ends[pair]

    def _takes_over(self, before: Pair, after: Pair, at: int) -> bool:
        was = self._world.traits(at, before.sides[at]).state
        now = self._world.traits(at, after.sides[at]).state
        return was is not State.TAKING_OVER and now is State.TAKING_OVER

    def walk(self, pair: Pair) -> Iterator[Step]:
        """The steps, for those who want to tell them; ends where it begins to repeat itself."""
        met = {pair}
        step = self._choose(pair)
        while step is not None and len(met) < STEPS_MAX:
            yield step
            if step[1] in met:
                return
            met.add(step[1])
            step = self._choose(step[1])


class Ways:
    """The rules of all ways, on one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alone = Way(world, self._alone)
        self.mended = Way(world, self._mended)
        self.deaf = (Way(world, self._deaf_a), Way(world, self._deaf_b))

    def named(self, name: str) -> Way:
        """`alone`, `mended`, `deaf a` or `deaf b`."""
        ways = {
            "alone": self.alone,
            "mended": self.mended,
            "deaf a": self.deaf[0],
            "deaf b": self.deaf[1],
        }
        return ways[name]

    def walk(self, name: str, pair: Pair, asked: tuple[Asked, ...] = ()) -> Iterator[Step]:
        """The steps of the way from here; at rest commands are given, and the way goes on.

        After commands about high availability both nodes hear each other.
        """
        way = self.named(name)
        for step in way.walk(pair):
            yield step
            pair = step[1]
        for one in asked:
            given = self.world.asked_to(pair, one)
            if given is not None:
                yield given
                pair = given[1]
        if asked:
            after = self.alone if asked[0].command in HA_COMMANDS else way
            yield from after.walk(pair)

    # ------------------------------------------------------------------ what happens by itself

    def _by_itself(self, pair: Pair, deaf: int | None) -> Step | None:
        world = self.world
        for at in (0, 1):
            side = pair.sides[at]
            if side.late:
                clear = side._replace(late=())
                return "old reports are lost", world.with_side(pair, at, clear)
        for at in (0, 1):
            if pair.sides[at].up == RUNNING and (pair.sides[at].jobs or pair.sides[at].move):
                return world.next_order(pair, at)
        for at in (0, 1):
            if at != deaf:
                heard = world.hear(pair, at)
                if heard is not pair:
                    return f"{'ab'[at]}: hears its peer", heard
        for at in (0, 1):
            side = pair.sides[at]
            gone = at == deaf or pair.sides[1 - at].up != RUNNING
            hoped = world.traits(at, side).contact in {Contact.NEVER, Contact.HEARD}
            if side.up == RUNNING and gone and hoped:
                return f"{'ab'[at]}: hears nothing of its peer", world.silence(pair, at)
        for at in (0, 1):
            step = world.lasting(pair, at)
            if step is not None:
                return step
        for at in (0, 1):
            step = world.due(pair, at)
            if step is not None:
                return step
        return None

    def _overdue(self, pair: Pair) -> Step | None:
        for at in (0, 1):
            step = self.world.expired(pair, at)
            if step is not None:
                return step
        return None

    def _alone(self, pair: Pair) -> Step | None:
        return self._by_itself(pair, None) or self._overdue(pair)

    def _deaf_a(self, pair: Pair) -> Step | None:
        return self._by_itself(pair, 0) or self._overdue(pair)

    def _deaf_b(self, pair: Pair) -> Step | None:
        return self._by_itself(pair, 1) or self._overdue(pair)

    # ------------------------------------------------------------------ repairs and advice

    def _mended(self, pair: Pair) -> Step | None:
        world = self.world
        if pair.mismatched:
            return "the settings are corrected", pair._replace(mismatched=False)
        for at in (0, 1):
            side = pair.sides[at]
            if side.up != RUNNING:
                return f"{'ab'[at]}: SRM starts", world.started(pair, at)
            if side.fault != SOUND or (not side.services and not side.jobs):
                repaired = world.repaired(at, side)
                if repaired != side:
                    mended = world.with_side(pair, at, repaired)
                    return f"{'ab'[at]}: what is broken is repaired", mended
        step = self._by_itself(pair, None)
        if step is not None or self.is_normal(pair):
            return step
        return self._advised(pair) or self._overdue(pair)

    def normal(self, pair: Pair) -> Pair:
        """Row 1 as it is reached from here when everything works."""
        for _ in range(STEPS_MAX):
            step = self._mended(pair)
            if step is None:
                assert self.is_normal(pair), "a sound pair ends in row 1"
                return pair
            pair = step[1]
        raise AssertionError(f"a sound pair is not in row 1 after {STEPS_MAX} steps")

    def is_normal(self, pair: Pair) -> bool:
        world = self.world
        return all(pair.sides[at].up == RUNNING and world.half(pair, at) == ROW_1 for at in (0, 1))

    def _advised(self, pair: Pair) -> Step | None:
        """The first command of the handbook's advice that changes something."""
        for command, node in self.advice(pair):
            if command == "fallback":
                asked = [node] if node is not None else [0, 1]
                steps = [self.world.asked_to(pair, Asked(at, "fallback")) for at in asked]
            elif command == "recover":
                steps = [self.world.asked_to(pair, Asked(at, "recover")) for at in (0, 1)]
            elif command == "ha enable":
                steps = [self.world.asked_to(pair, Asked(at, command)) for at in (0, 1)]
            elif command.startswith('service restart "Cisco Server Recovery Manager"'):
                steps = [self.world.restarted(pair)]
            else:
                continue  # it only looks, or repairs what is repaired already
            for step in steps:
                if step is not None and step[1] != pair:
                    return f"advice: `srmd {command}`: {step[0]}", step[1]
        return None

    def advice(self, pair: Pair) -> list[tuple[str, int | None]]:
        """The commands of the recommended action, in its order, each with the node it names."""
        halves = [self.world.half(pair, at) for at in (0, 1)]
        match = find(halves[0], halves[1])
        text = match.action("a", "b").en
        found: list[tuple[str, int | None]] = []
        for command in re.findall(r"`srmd ([^`]*)`", text):
            words = command.split()
            named = {"a": 0, "b": 1}.get(words[-1])
            if words[0] == "fallback":
                found.append(("fallback", named))
            else:
                found.append((command, None))
        return found


__all__ = ["End", "ROW_1", "Step", "Way", "Ways"]
