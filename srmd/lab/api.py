"""Break a pair from Python, in a few lines: the same words as in a scenario file.

    def test_one_way_silence(lab):
        lab.cut("heartbeats", "a->b")
        lab.expect(b="Running in Backup Mode / Peer Down", within="keep_alive_timeout + 1s")
        lab.heal()
        lab.do("fallback a")

`lab` is a fixture that pytest finds where srmd is installed (`srmd.lab.plugin`); without pytest,
`Lab.running()` is a context.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from srmd.core import handbook
from srmd.core.texts import Text
from srmd.lab.real.stage import RealStage
from srmd.lab.scenario.durations import NotADuration, duration
from srmd.lab.scenario.phrases import NotAVerb, verb
from srmd.lab.scenario.reading import WITHIN, ScenarioError, load, served_of, side_of
from srmd.lab.scenario.running import Play, StoryFailed, Verdict
from srmd.lab.scenario.stage import Look, StageBroken
from srmd.lab.scenario.story import (
    Expect,
    Picture,
    Row,
    Scenario,
    Settings,
    Stays,
    Step,
)
from srmd.lab.scenario.verbs import NodeName
from srmd.shown import NotAState

Halves = str | list[str]
"""`State / Reason`, `State / *`, `down`, or a list of alternatives."""


P = ParamSpec("P")
R = TypeVar("R")


def _in_short(method: Callable[P, R]) -> Callable[P, R]:
    """Tell the fault of a test, or of the pair, at the line of the test: pytest would show all
    that is below it."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except (StoryFailed, NotAVerb, NotADuration, NotAState, ScenarioError) as told:
            raise told.with_traceback(None) from None

    return call


class Lab:
    """One test's use of a pair.  Every method raises StoryFailed when the pair does otherwise."""

    @_in_short
    def __init__(self, stage: RealStage, settings: Settings, tell: Callable[[str], None]) -> None:
        """Raises StageBroken or StoryFailed: no pair, or none in row 1."""
        self.stage = stage
        stage.prepare(settings)
        empty = Text("a test", "テスト")
        self._scenario = Scenario(Path("test"), empty, empty, (), (), settings)
        self._tell = tell
        self._play = Play("test", self._scenario, stage, tell)
        self._play.begin()

    @classmethod
    @contextmanager
    def running(
        cls, settings: Settings | None = None, tell: Callable[[str], None] = print
    ) -> Iterator[Lab]:
        """A pair for the block; healed, checked and removed at its end."""
        with RealStage(tell=tell) as stage:
            lab = cls(stage, settings or Settings(), tell)
            try:
                yield lab
            finally:
                lab.heal()
            lab.ends_at_home()

    @_in_short
    def do(self, *texts: str) -> None:
        """Any verb of a scenario, such as `kill node a`.  Raises NotAVerb for what is none."""
        self._play.step(Step(0, do=tuple(map(verb, texts)), said=texts))

    @_in_short
    def refused(self, text: str) -> None:
        """The node has to refuse this."""
        self._play.step(Step(0, refused=verb(text), said=(text,)))

    @_in_short
    def cut(self, channel: str = "all", direction: str = "both ways") -> None:
        self.do(f"cut {channel} {direction}")

    @_in_short
    def heal(self) -> None:
        """All faults of the network end, and frozen nodes go on."""
        self._play.heal()

    @_in_short
    def expect(
        self,
        a: Halves | None = None,
        b: Halves | None = None,
        *,
        within: str | None = None,
        not_before: str | None = None,
        row: Row | None = None,
        served: Mapping[str, int | str] | None = None,
    ) -> None:
        """The pair is seen like this, all at the same time, within the limit."""
        limit = WITHIN if within is None else duration(within)
        earliest = None if not_before is None else duration(not_before)
        self._play.step(Step(0, check=Expect(_picture(a, b, row, served), limit, earliest)))

    @_in_short
    def stays(
        self,
        a: Halves | None = None,
        b: Halves | None = None,
        *,
        length: str = "0s",
        meanwhile: str | None = None,
        row: Row | None = None,
        served: Mapping[str, int | str] | None = None,
    ) -> None:
        """The pair is like this at every look, so long, also while something is done."""
        done = None if meanwhile is None else verb(meanwhile)
        check = Stays(_picture(a, b, row, served), duration(length), done)
        self._play.step(Step(0, check=check, said=() if meanwhile is None else (meanwhile,)))

    def look(self) -> Look:
        """What both nodes show now."""
        return self.stage.look()

    @_in_short
    def run(self, path: str | Path) -> None:
        """A whole scenario file, in its first orientation, with this lab's settings."""
        name, scenario = load(Path(path)).plays()[0]
        result = Play(name, scenario, self.stage, self._tell).run()
        if result.verdict is Verdict.ERROR:
            raise StageBroken(result.why)
        if result.verdict is not Verdict.PASSED:
            raise StoryFailed(f"{name}: {result.verdict.value}: {result.why}")

    @_in_short
    def ends_at_home(self) -> None:
        """Row 1, each user at home."""
        self._play.end()


def _picture(
    a: Halves | None,
    b: Halves | None,
    row: Row | None,
    served: Mapping[str, int | str] | None,
) -> Picture:
    sides: dict[NodeName, handbook.Side] = {
        node: side_of(want) for node, want in ((NodeName.A, a), (NodeName.B, b)) if want is not None
    }
    shares = {NodeName(node): served_of(share) for node, share in (served or {}).items()}
    return Picture(halves=sides, row=row, served=shares)
