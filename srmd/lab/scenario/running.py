"""Plays a scenario on a stage: step by step, with one eye on the invariants, healed at the end.

The clock is the stage's, so the same code plays in real and in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from srmd.core import handbook
from srmd.core.handbook.row import fits
from srmd.core.states import Reason, State
from srmd.lab.scenario.durations import Duration, duration
from srmd.lab.scenario.invariants import Watch
from srmd.lab.scenario.reading import WITHIN
from srmd.lab.scenario.stage import (
    Doing,
    Look,
    Stage,
    StageBroken,
    VerbFailed,
    VerbRefused,
)
from srmd.lab.scenario.story import (
    SILENT,
    Expect,
    Picture,
    Row,
    Scenario,
    Served,
    Share,
    Stays,
    Step,
)
from srmd.lab.scenario.verbs import (
    ADMIN_VERBS,
    NETWORK_FAULTS,
    KeepFiles,
    NodeName,
    Verb,
)

ASKED_AGAIN_FOR: Final = duration("2 * keep_alive_interval + 10s")
"""How long a refused verb of the administrator is asked again: the node may not know yet."""
VERB_LIMIT_S: Final = 300.0
"""No verb takes longer: a call to a node gives up before; ours."""
NORMAL: Final = (State.NORMAL, Reason.NORMAL)
AT_HOME: Final = Picture(
    halves=dict.fromkeys(NodeName, (NORMAL,)),
    row=1,
    served=dict.fromkeys(NodeName, Share.OWN),
    users_agree=True,
)
"""Where every play begins and ends."""

Tell = Callable[[str], None]


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    """The pair did not do what the story says."""
    ERROR = "error"
    """The environment failed; nothing is known of the pair."""
    SKIPPED = "skipped"
    """The stage cannot do what the story needs."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one play ended."""

    name: str
    scenario: Scenario
    verdict: Verdict
    why: str
    """Empty when it passed."""
    took_s: float
    rows: tuple[Row, ...]
    """Rows of the handbook that were asked for and seen, in order."""
    journal: tuple[dict[str, Any], ...]
    """Each thing done, seen and reached, with `at_s` from the begin."""
    checked_count: int
    """How often an invariant was looked at."""
    began_s: float = 0.0
    """On the stage's clock."""


class StoryFailed(Exception):
    """The pair did not do what the story says; the message tells what it did."""


@dataclass
class Play:
    """One play: `run` does all of it; or `begin`, `step` by step, and `end` in any case."""

    name: str
    scenario: Scenario
    stage: Stage
    tell: Tell
    journal: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began_s = self.stage.now_s()
        self._last: Look | None = None
        self._watch: Watch | None = None
        self._done_s = self._began_s
        """When the last thing was done or reached: what follows counts from here."""

    def run(self) -> Result:
        """Never raises but for Ctrl-C, and then has healed too."""
        verdict, why = self._verdict()
        took_s = self.stage.now_s() - self._began_s
        self._note("verdict", verdict.value + (f": {why}" if why else ""))
        return Result(
            self.name,
            self.scenario,
            verdict,
            why,
            took_s,
            tuple(self.rows),
            tuple(self.journal),
            self._watch.checked_count if self._watch is not None else 0,
            self._began_s,
        )

    def _verdict(self) -> tuple[Verdict, str]:
        cannot = [why for verb in self.scenario.verbs() if (why := self.stage.cannot(verb))]
        if cannot:
            return Verdict.SKIPPED, cannot[0]
        try:
            try:
                self.begin()
                for step in self.scenario.steps:
                    self.step(step)
            finally:
                self.heal()
            self.end()
        except StoryFailed as failed:
            return Verdict.FAILED, str(failed)
        except StageBroken as broken:
            return Verdict.ERROR, str(broken)
        return Verdict.PASSED, ""

    def begin(self) -> None:
        """The pair is in row 1.  Raises StoryFailed or StageBroken, as `step` and `end`."""
        self._expect(Expect(AT_HOME, WITHIN), self._done_s, afresh=True)

    def heal(self) -> None:
        """All faults of the network are gone.  Raises StageBroken."""
        self._note("heal", "all faults of the network end")
        self.stage.heal()
        self._done_s = self.stage.now_s()

    def end(self) -> None:
        """Healed, the pair comes back to row 1."""
        self._expect(Expect(AT_HOME, WITHIN), self._done_s, afresh=True)

    def step(self, step: Step) -> None:
        """Do what the step says and see what comes of it."""
        began_s = self.stage.now_s()
        acts = bool(step.do) or step.refused is not None
        try:
            for said, verb in zip(step.said, step.do, strict=False):
                self._note("do", said)
                self._do(verb)
            if step.refused is not None:
                self._note("refused", step.said[-1])
                self._refused(step.refused)
            if acts:
                self._done_s = self.stage.now_s()
            match step.check:
                case Expect():
                    self._expect(step.check, began_s if acts else self._done_s, afresh=acts)
                case Stays():
                    self._stays(step.check, step.said[-1] if step.check.meanwhile else "")
                case None:
                    pass
        except (StoryFailed, VerbFailed, VerbRefused) as failed:
            place = f"{self.scenario.path.name}, line {step.line}: " if step.line else ""
            raise StoryFailed(f"{place}{failed}") from failed

    # ------------------------------------------------------------------ doing

    def _do(self, verb: Verb) -> None:
        """An administrator's verb is asked again while it is refused, within a bound."""
        give_up_s = self.stage.now_s() + self._seconds(ASKED_AGAIN_FOR)
        while True:
            try:
                self._await(self.stage.begin(verb))
                break
            except VerbRefused:
                if not isinstance(verb, ADMIN_VERBS) or self.stage.now_s() >= give_up_s:
                    raise
            self.look()
        if isinstance(verb, KeepFiles) and verb.takes_memory and self._watch is not None:
            self._watch.memory_taken(verb.node)

    def _refused(self, verb: Verb) -> None:
        try:
            self._await(self.stage.begin(verb))
        except VerbRefused as refusal:
            return self._note("said", str(refusal))
        raise StoryFailed("the node should have refused, and did not")

    def _await(self, doing: Doing) -> None:
        give_up_s = self.stage.now_s() + VERB_LIMIT_S
        while not doing.done():
            if self.stage.now_s() >= give_up_s:
                raise StageBroken(f"not done within {VERB_LIMIT_S:g} s")
            self.look()

    # ------------------------------------------------------------------ looking

    def look(self) -> Look:
        """A look at the pair, noted when it is news.  Raises StoryFailed for a broken invariant."""
        look = self.stage.look()
        if self._last is None or str(look) != str(self._last):
            self._note("seen", str(look))
        self._last = look
        if self._watch is not None:
            broken = self._watch.broken_by(look)
            if broken is not None:
                raise StoryFailed(f"broken: {broken}")
        elif not missing(AT_HOME, look):
            self._watch = Watch(self.scenario.invariants, look, self.stage.timers)
        return look

    def _expect(self, expected: Expect, began_s: float, *, afresh: bool) -> None:
        within_s = self._seconds(expected.within)
        look = self.look() if afresh or self._last is None else self._last
        while lacking := missing(expected.picture, look):
            if self.stage.now_s() >= self._done_s + within_s:
                self._rows_seen(look)
                limit = f"{expected.within} ({within_s:g} s)"
                raise StoryFailed(f"not within {limit}: {expected.picture}; {'; '.join(lacking)}")
            look = self.look()
        after_s = max(0.0, look.at_s - began_s)
        if expected.not_before is not None:
            earliest_s = self._seconds(expected.not_before)
            if after_s < earliest_s:
                limit = f"{expected.not_before} ({earliest_s:g} s)"
                raise StoryFailed(f"too early, after {after_s:.3f} s, not before {limit}")
        self._done_s = self.stage.now_s()
        if expected.picture.row is not None:
            self.rows.append(expected.picture.row)
        self._note("reached", f"{expected.picture}", after_s=round(after_s, 3))

    def _stays(self, stays: Stays, said: str) -> None:
        verb = stays.meanwhile
        holds = self._holder(stays.picture)
        if verb is not None:
            self._note("while", said)
            doing = self.stage.begin(verb)
            while not doing.done():
                holds(self.look())
        until_s = self.stage.now_s() + self._seconds(stays.hold)
        look = self.look()
        holds(look)
        while look.at_s < until_s:
            look = self.look()
            holds(look)
        if isinstance(verb, NETWORK_FAULTS):
            self._await(self.stage.lift(verb))
            self._note("heal", said)
        self._done_s = self.stage.now_s()
        if stays.picture.row is not None:
            self.rows.append(stays.picture.row)
        self._note("stayed", f"{stays.picture}")

    def _holder(self, picture: Picture) -> Callable[[Look], None]:
        def holds(look: Look) -> None:
            lacking = missing(picture, look)
            if lacking:
                raise StoryFailed(f"did not stay: {picture}; {'; '.join(lacking)}")

        return holds

    def _rows_seen(self, look: Look) -> None:
        rows = [
            f"{node.value}: row {view.row or view.row_key}"
            for node, view in look.views.items()
            if view is not None
        ]
        self._note("rows", "  |  ".join(rows))

    def _seconds(self, length: Duration) -> float:
        return length.seconds(self.stage.timers)

    def _note(self, kind: str, text: str, **more: object) -> None:
        at_s = self.stage.now_s() - self._began_s
        self.journal.append({"at_s": round(at_s, 4), "kind": kind, "text": text, **more})
        self.tell(f"{at_s:8.2f} s  {kind:<8} {text}")


def missing(picture: Picture, look: Look) -> list[str]:
    """What the look lacks of the picture, in words; empty when it is all there."""
    lacking = []
    for node, side in picture.halves.items():
        if not _shows(side, look, node):
            lacking.append(f"it was {look}")
            break
    spoken = [node for node, side in picture.halves.items() if SILENT not in side]
    for node in spoken:
        view = look.views[node]
        if picture.row is not None and (view is None or not view.names(picture.row)):
            named = "no row" if view is None else f"row {view.row or view.row_key}"
            lacking.append(f"{node.value} names {named}")
        if picture.mismatch is not None:
            said = (view.mismatch or "") if view is not None else ""
            if picture.mismatch not in said:
                lacking.append(f"{node.value} says of a mismatch: {said or 'nothing'}")
    for node, share in picture.served.items():
        view = look.views[node]
        served = None if view is None else view.served
        if served is None or served != _wanted(share, node, look):
            lacking.append(f"{node.value} serves {'?' if served is None else served}")
    if picture.users_agree and (differ := look.users_differ) is not None:
        lacking.append(differ)
    return lacking


def _shows(side: handbook.Side, look: Look, node: NodeName) -> bool:
    if SILENT in side and not look.heard_of(node):
        return True
    half = look.half(node)
    return half is not None and fits(tuple(one for one in side if one != SILENT) or _NONE, half)


_NONE: Final[handbook.Side] = ((State.DOWN, handbook.ANY),)
"""No node is ever in this state itself."""


def _wanted(share: Served, node: NodeName, look: Look) -> int | None:
    """In numbers; a node that has lost its database does not know all users, its peer does.

    None while neither node knows its users.
    """
    if not isinstance(share, Share):
        return share
    if share is Share.NONE:
        return 0
    assigned = look.assigned
    if assigned is None:
        return None
    match share:
        case Share.OWN:
            return assigned[node]
        case Share.ALL:
            return sum(assigned.values())
