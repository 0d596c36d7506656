"""A counterexample for people: told on the screen, and written as a scenario for the stages.

The search forgets how far numbers are apart (`pair.py`), so each counterexample is first played
again with its true numbers; one that does not show there is told as doubtful.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from srmd.lab.proof.happenings import HA_COMMANDS, Asked, Happening, World
from srmd.lab.proof.pair import OFF, RUNNING, Pair
from srmd.lab.proof.properties import Judge, Property
from srmd.lab.proof.search import Configuration, Found
from srmd.lab.proof.ways import Ways
from srmd.shown import written

SERVICE: Final = "Cisco Presence Engine"
"""The critical service that dies in scenarios."""

REST: Final = "4 * keep_alive_timeout"
"""So long a scenario waits for the pair to rest before it gives a command."""

BEGINNINGS: Final = {
    "alone": "and then, by itself",
    "mended": "and then, with repairs and the handbook's advice",
    "deaf a": "from now on a never hears b",
    "deaf b": "from now on b never hears a",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One happening of a story, and the pair after it."""

    happening: Happening
    before: Pair
    after: Pair


class Story:
    """One counterexample, played again with true numbers."""

    def __init__(self, configuration: Configuration, messages: int, found: Found) -> None:
        self.configuration = configuration
        self.found = found
        self.world = World(configuration.policy, messages, exact=True)
        self.ways = Ways(self.world)
        begin = self.world.begin()
        self.begin = self.ways.normal(begin) if found.from_row_1 else begin
        self.moments: list[Moment] = []
        self.doubt: str | None = None
        judge = Judge(self.world, frozenset(Property))
        pair = self.begin
        for happening in found.path:
            after = dict(self.world.nexts(pair)).get(happening)
            if after is None:
                self.doubt = f"with true numbers, this does not happen: {happening}"
                return
            self.moments.append(Moment(happening, pair, after))
            pair = after
        self.end = pair
        self.world.nexts(pair)
        if found.on_way is not None:
            walked = islice(self.ways.walk(found.on_way, pair, found.asked), len(found.way))
            if tuple(told for told, _ in walked) != found.way:
                self.doubt = "with true numbers, it goes on in another way"
        elif found.law not in {one.law for one in (*judge.of_pair(pair), *judge.broken_steps)}:
            self.doubt = "with true numbers, the property holds"

    def lines(self) -> Iterator[str]:
        """What happens, with what each node shows when it changes."""
        found = self.found
        yield f"{found.law.name} does not hold: {found.law.value}"
        yield f"  {found.told}"
        yield f"  with {self.configuration}; {self._begins()}"
        for moment in self.moments:
            yield f"  {moment.happening}{self._shows(moment.before, moment.after)}"
        if found.on_way is not None:
            yield f"  {BEGINNINGS[found.on_way]}:"
        for told in found.way:
            yield f"    {told}"
        if self.doubt is not None:
            yield f"  DOUBTFUL: {self.doubt}"

    def _begins(self) -> str:
        return "from row 1" if self.found.from_row_1 else "both nodes off, nothing stored"

    def _shows(self, before: Pair, after: Pair) -> str:
        changed = [
            f"{'ab'[at]} {self._half(after, at)}"
            for at in (0, 1)
            if self._half(before, at) != self._half(after, at)
        ]
        return f"  ->  {', '.join(changed)}" if changed else ""

    def _half(self, pair: Pair, at: int) -> str:
        if pair.sides[at].up != RUNNING:
            return "down"
        state, reason = self.world.traits(at, pair.sides[at]).half
        return written((state, reason))

    # ------------------------------------------------------------------ as a file

    def scenario(self) -> str:
        """The file.  What no verb can bring about is told in its story, and as a comment."""
        steps: list[str] = []
        unsaid: list[str] = []
        cut: set[str] = set()
        if not self.found.from_row_1:
            steps.append(_step(["kill node a", "kill node b"]))
        for moment in self.moments:
            does, comment = self._verbs(moment, cut)
            expects = self._expects(moment)
            if comment:
                unsaid.append(f"{moment.happening}")
                steps.append(f"# no verb for: {moment.happening}")
            if does or expects:
                steps.append(_step(does, expects))
        if self.found.on_way in {"deaf a", "deaf b"}:
            at = self.found.on_way[-1]
            steps.append(_step([f"cut heartbeats {_other(at)}->{at}"]))
        if self.found.asked:
            steps.append(f'[[step]]\nstays = {{}}\nfor = "{REST}"\n')
            steps.append(_step([_verb(asked) for asked in self.found.asked]))
        return self._head(unsaid) + "\n".join(steps)

    def _head(self, unsaid: list[str]) -> str:
        found = self.found
        told = f"{found.told}. With {self.configuration}; {self._begins()}."
        if unsaid:
            told += " No verb brings these about: " + "; ".join(dict.fromkeys(unsaid)) + "."
        policy = self.configuration
        return (
            "# A counterexample of `srmd prove`.  The stages choose the order of what happens at"
            " once,\n# so playing it may need several tries.\n"
            "shows = [1]\n\n"
            f"[title]\nen = {json.dumps(f'{found.law.name}: {found.law.value}')}\n"
            f"ja = {json.dumps(f'性質 {found.law.name} の反例', ensure_ascii=False)}\n\n"
            f"[story]\nen = {json.dumps(told, ensure_ascii=False)}\n"
            f"ja = {json.dumps('`srmd prove` が見つけた反例です。', ensure_ascii=False)}\n\n"
            f'[group]\nsplit_brain = "{policy.split_brain.value}"\n'
            f"automatic_fallback = {str(policy.automatic_fallback).lower()}\n\n"
        )

    def _expects(self, moment: Moment) -> dict[str, str]:
        """What a node shows when it came to a state where it stays until something happens."""
        shown = {}
        for at in (0, 1):
            half = self._half(moment.after, at)
            if half != self._half(moment.before, at) and half != "down":
                shown["ab"[at]] = half
        return shown

    def _verbs(self, moment: Moment, cut: set[str]) -> tuple[list[str], bool]:
        """(verbs, whether something is left that no verb says)."""
        happening, before = moment.happening, moment.before
        me = "ab"[happening.at]
        other = _other(me)
        side = before.sides[happening.at]
        match happening.verb:
            case "loses every heartbeat":
                cut.add(me)
                return [f"cut heartbeats {other}->{me}"], False
            case "hears its peer":
                if me in cut:
                    cut.discard(me)
                    return [f"heal heartbeats {other}->{me}"], False
                return [], False
            case "a report is held up in the network":
                return [f"hold heartbeats {other}->{me}"], False
            case "hears an old report":
                return [f"heal heartbeats {other}->{me}"], False
            case "SRM starts":
                return [f"start {'node' if side.up == OFF else 'srm on'} {me}"], False
            case "the node dies":
                return [f"kill node {me}"], False
            case "the node says that it goes down":
                return [f"shutdown node {me}"], False
            case "SRM stops":
                return [f"stop srm on {me}"], False
            case "a service dies":
                return [
                    f"block service '{SERVICE}' on {me}",
                    f"kill service '{SERVICE}' on {me}",
                ], False
            case "the database fails":
                return [f"fail database on {me}"], False
            case "the move fails":
                return [f"fail moves on {me}"], False
            case "what is broken is repaired":
                return [
                    f"repair database on {me}",
                    f"unblock service '{SERVICE}' on {me}",
                    f"start service '{SERVICE}' on {me}",
                ], False
            case "is asked to fail over":
                return [f"failover {me}"], False
            case "is asked to fall back":
                return [f"fallback {me}"], False
            case "is asked to recover":
                return [f"recover via {me}"], False
            case "high availability is set off":
                return [f"disable ha via {me}"], False
            case "high availability is set on":
                return [f"enable ha via {me}"], False
            case (
                "the services' order fails"
                | "the wait is over"
                | "the services take longer than the delay"
                | "the move is durable, but its answer is late"
                | "the settings do not match"
                | "the settings match again"
            ):
                return [], True
            case _:
                return [], False  # it happens by itself


def _step(does: list[str], expects: dict[str, str] | None = None) -> str:
    lines = ["[[step]]"]
    if does:
        lines.append(f"do = {json.dumps(does)}" if len(does) > 1 else f"do = {json.dumps(does[0])}")
    if expects:
        wanted = ", ".join(f"{node} = {json.dumps(half)}" for node, half in expects.items())
        lines.append(f"expect = {{ {wanted} }}")
    return "\n".join(lines) + "\n"


def _verb(asked: Asked) -> str:
    node = "ab"[asked.at]
    if asked.command in HA_COMMANDS:
        return f"{asked.command.removeprefix('ha ')} ha via {node}"
    return f"{asked.command} {'via ' if asked.command == 'recover' else ''}{node}"


def _other(node: str) -> str:
    return "b" if node == "a" else "a"


__all__ = ["Story"]
