"""Rest, a story, the way home, and again, until the time is over."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from srmd.lab.chance.drawing import passing
from srmd.lab.pair import LabNode
from srmd.lab.real.stage import RealStage
from srmd.lab.scenario.running import Play, StoryFailed
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.scenario.story import Scenario, Settings
from srmd.lab.soak.control import Control
from srmd.lab.soak.faults import drawn, frozen_nodes, repairs
from srmd.lab.soak.homeward import attempt, go_home
from srmd.lab.soak.judging import Finding, Still, judged
from srmd.lab.soak.sampling import PROC, Sample, Sampler
from srmd.log import EVENTS

REST: Final = "3s"
"""Between two stories, at home: what is measured then is judged for growth."""
DEFECT: Final = "This is a defect of srmd"
"""So begins the advice of an event that should never be logged."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Told:
    """One story as it went; times from the begin of the run."""

    number: int
    did: tuple[str, ...]
    began_s: float
    healed_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Endurance:
    """What a run showed."""

    seed: int
    interval_s: float
    took_s: float
    stories: tuple[Told, ...]
    samples: tuple[Sample, ...]
    still: tuple[Still, ...]
    findings: tuple[Finding, ...]
    why: str
    """What went wrong besides the findings, with the story; empty when nothing did."""

    @property
    def passed(self) -> bool:
        return not self.why and all(one.kept for one in self.findings)


def soak(stage: RealStage, minutes: float, seed: int, tell: Tell) -> Endurance:
    """Raises StageBroken when the environment is not fit; what was measured proves nothing then."""
    if not (PROC / "self" / "fd").exists():
        raise StageBroken(f"{PROC} does not tell of processes here: use Linux")
    stage.prepare(Settings())
    interval_s = stage.timers["keep_alive_interval"]
    with Control(interval_s) as control:
        run = _Run(stage, control, seed, tell)
        run.until(minutes * 60)
    logged = [found for node in stage.wired.pair.nodes for found in defects_in(node)]
    return Endurance(
        seed=seed,
        interval_s=interval_s,
        took_s=run.elapsed_s(),
        stories=tuple(run.stories),
        samples=tuple(run.sampler.samples),
        still=tuple(run.still),
        findings=judged(run.sampler.samples, run.still, interval_s),
        why="\n".join([*filter(None, [run.why]), *logged]),
    )


def with_left_behind(run: Endurance, processes: Sequence[str]) -> Endurance:
    """The pair has ended; these processes of it had not."""
    lines = [f"left behind: {process}" for process in processes]
    return replace(run, why="\n".join([*filter(None, [run.why]), *lines]))


@dataclass
class _Run:
    stage: RealStage
    control: Control
    seed: int
    tell: Tell
    stories: list[Told] = field(default_factory=list)
    still: list[Still] = field(default_factory=list)
    why: str = ""

    def __post_init__(self) -> None:
        self._began_s = time.monotonic()
        self._resting = False
        self.sampler = Sampler(
            self.stage.wired.pair.nodes, self.control, lambda: self._resting, self._began_s
        )

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def until(self, end_s: float) -> None:
        with self.sampler:
            while self.elapsed_s() < end_s and not self.why:
                self._story(drawn(self.seed, len(self.stories) + 1), end_s)
                self.sampler.check()

    def _story(self, scenario: Scenario, end_s: float) -> None:
        number = len(self.stories) + 1
        play = Play(scenario.name, scenario, self.stage, lambda _line: None)
        did: list[str] = []
        began_s = healed_s = self.elapsed_s()
        try:
            play.begin()
            self._rest(play)
            began_s = self.elapsed_s()
            if began_s >= end_s:
                return
            self._faults(play, did)
            healed_s = self.elapsed_s()
            go_home(play, self.stage.wired, repairs(scenario))
        except StoryFailed as failed:
            self.why = "\n".join([f"{scenario.name}: {failed}", *_lines(play)])
        ended_s = self.elapsed_s()
        self.still += [Still(node, began_s, ended_s) for node in frozen_nodes(scenario)]
        self.stories.append(Told(number, tuple(did), began_s, healed_s, ended_s))
        home = "FAILED" if self.why else f"home after {ended_s - healed_s:.1f} s"
        self.tell(f"{began_s:7.1f} s  story {number}: {'; '.join(did)}; {home}")

    def _rest(self, play: Play) -> None:
        self._resting = True
        try:
            play.step(passing(REST))
        finally:
            self._resting = False

    def _faults(self, play: Play, did: list[str]) -> None:
        try:
            for step in play.scenario.steps:
                if not step.said:
                    play.step(step)
                elif attempt(play, step.said[0]):
                    did.append(step.said[0])
        finally:
            play.heal()


def _lines(play: Play) -> list[str]:
    return [f"{one['at_s']:8.2f} s  {one['kind']:<8} {one['text']}" for one in play.journal]


def defects_in(node: LabNode) -> list[str]:
    """Records that should never be written, and what is no record at all, such as a traceback."""
    found: Counter[str] = Counter()
    for line in node.log_file.read_text(errors="replace").splitlines():
        record = _record(line)
        if record is None:
            found[f"no record: {line[:200]}"] += 1
        elif (event := str(record.get("event"))) in EVENTS and EVENTS[event].advice.startswith(
            DEFECT
        ):
            found[line[:400]] += 1
    return [f"the log of node {node.id}, {count} times: {text}" for text, count in found.items()]


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
