"""One story: anything may fail, and nothing wrong may happen; then all is healed, and everybody is
to be home.

1. The steps of the scenario are played.  What is refused, or cannot be done at that moment, is left
   out; the time that it took passes.
2. The network is whole again, what the faults left behind is put right.  Then an operator does
   what the handbook recommends for the pair that is shown, until row 1 is reached with each user
   at home.

What was played is kept as a scenario of its own, the operator's part written down: it can be played
without an operator.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final, NoReturn

from srmd.core.handbook import Side
from srmd.lab.chance.drawing import FOREVER, done, passing, story
from srmd.lab.chance.operator import Advice, Operator, repairs_of
from srmd.lab.chance.properties import Properties, passing_limit_s
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.invariants import RESTS_AFTER_INTERVALS
from srmd.lab.scenario.reading import WITHIN
from srmd.lab.scenario.running import AT_HOME, Play, StoryFailed, Tell, missing
from srmd.lab.scenario.stage import Look, VerbFailed, VerbRefused
from srmd.lab.scenario.story import SILENT, Expect, Picture, Scenario, Stays, Step
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    Channel,
    Cut,
    Direction,
    Heal,
    NodeName,
)
from srmd.lab.simulated.stage import SimulatedStage

A_MOMENT: Final = "10ms"
"""What was asked before is done by then."""
ACTIONS_MAX: Final = 10
"""How often the operator may act on the way home; ours.  The longest way that is known: two nodes
start, services start, a fallback fails, a recovery, a reboot, and a fallback again."""
REST: Final = duration(f"{RESTS_AFTER_INTERVALS} * keep_alive_interval")
"""How long the same is shown before an operator believes it."""
SETTLED: Final = duration(
    "2 * initialization_keep_alive_timeout + 2 * critical_service_delay"
    " + 2 * start_limit + 2 * stop_limit + 2 * move_limit"
)
"""After so long under a loss that lasts, nothing changes any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one story showed; a plain value, that travels between processes."""

    seed: int
    broken: str
    """The key of the property that did not hold; empty when all held."""
    why: str
    played: Scenario
    """What was done, with the operator's part."""
    counts: tuple[tuple[str, int], ...]
    rows: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    transitions_count: int
    actions_count: int
    """Of the operator."""
    simulated_s: float
    way_home_s: float
    """From the heal to row 1."""
    transcript: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return bool(self.broken)


class _Watched(SimulatedStage):
    """The simulated stage under the eyes of the properties."""

    properties: Properties | None = None

    def look(self) -> Look:
        look = super().look()
        if self.properties is not None:
            self.properties.looked(look)
            if self.properties.broken is not None:
                raise StoryFailed(self.properties.broken[1])
        return look


def tried(seed: int, scenario: Scenario, *, transcript: bool = False) -> Found:
    """Plays it in virtual time; the same seed and scenario give the same, in every process."""
    lines: list[str] = []

    def tell(line: str) -> None:
        if transcript:
            lines.append(line)

    with _Watched(seed=seed) as stage:
        return _Trial(seed, scenario, stage, tell).run(lines)


class _Trial:
    def __init__(self, seed: int, scenario: Scenario, stage: _Watched, tell: Tell) -> None:
        self._seed = seed
        self._scenario = scenario
        self._stage = stage
        stage.prepare(scenario.settings)
        # The properties watch the invariants too, and count them.
        unwatched = dataclasses.replace(scenario, invariants=())
        self._play = Play(scenario.name, unwatched, stage, tell)
        self._properties = Properties(stage.pair, stage.timers, scenario.invariants)
        self._operator = Operator(stage.pair, substream(seed, "operator"))
        self._repairs = repairs_of(scenario)
        self._steps: list[Step] = []
        self._actions_count = 0
        self._way_home_s = 0.0

    def run(self, lines: list[str]) -> Found:
        properties, stage = self._properties, self._stage
        stage.properties = properties
        key, why = "", ""
        try:
            self._play.begin()
            for step in self._scenario.steps:
                self._do(step)
            if (way := _lasting_loss(self._scenario)) is not None:
                self._rests(way)
            self._goes_home()
        except StoryFailed as failed:
            key, why = properties.broken or ("as_told", str(failed))
        except Exception as error:  # noqa: BLE001 # a defect of the program is what is looked for
            key, why = "no_error", f"{type(error).__name__}: {error}"
        properties.counts["no_error"] += 1
        return Found(
            seed=self._seed,
            broken=key,
            why=why,
            played=story(self._seed, self._scenario.settings, tuple(self._steps)),
            counts=tuple(sorted(properties.counts.items())),
            rows=frozenset(properties.rows),
            pairs=frozenset(properties.pairs),
            transitions_count=properties.transitions_count,
            actions_count=self._actions_count,
            simulated_s=stage.now_s(),
            way_home_s=self._way_home_s,
            transcript=tuple(lines),
        )

    def _do(self, step: Step) -> bool:
        """False: it could not be done, and only its time has passed."""
        began_s = self._stage.now_s()
        for verb in step.do:
            if isinstance(verb, NETWORK_FAULTS):
                self._properties.harmed = True
        try:
            self._play.step(step)
        except StoryFailed as failed:
            if not isinstance(failed.__cause__, (VerbFailed, VerbRefused)):
                self._steps.append(step)
                raise
            passed_s = self._stage.now_s() - began_s
            if passed_s > 0:
                self._steps.append(passing(f"{passed_s:.9f}s"))
            return False
        self._steps.append(step)
        if any(verb == _ALL_HEALED for verb in step.do):
            self._properties.harmed = False
        return True

    # ------------------------------------------------------------ a loss that lasts

    def _rests(self, way: Direction) -> None:
        """All but this loss is put right; then nothing changes any more, however long it lasts."""
        for channel in Channel:
            if channel is not Channel.ALL:
                self._do(done(f"heal {channel.value} {way.other.value}"))
        self._do(done(f"heal control {way.value}"))
        for _ in NodeName:
            self._put_right()
            for text in self._operator.bring_back():
                self._do(done(text))
        self._do(Step(line=0, check=Stays(Picture(), SETTLED)))
        look = self._play.look()
        stays = Step(line=0, check=Stays(_picture(look), FOREVER))
        try:
            self._do(stays)
        except StoryFailed as failed:
            self._properties.hold("lasting_loss_rests", False, str(failed))
            raise
        self._properties.hold("lasting_loss_rests", True, "")

    # ------------------------------------------------------------ the way home

    def _goes_home(self) -> None:
        self._steps.append(done("heal"))
        self._play.heal()
        self._properties.harmed = False
        healed_s = self._stage.now_s()
        for _ in range(ACTIONS_MAX + 1):
            self._put_right()
            advice = self._until_advised()
            if not advice:
                self._way_home_s = self._stage.now_s() - healed_s
                self._properties.hold("home_again", True, "")
                return
            self._actions_count += 1
            for text in advice:
                self._do(done(text))
        self._not_home(f"not after {ACTIONS_MAX} actions", self._play.look())

    def _put_right(self) -> None:
        """What can be reached now; the rest when its node runs."""
        for repair in tuple(self._repairs):
            node, texts = repair
            if self._stage.pair.nodes[node].boot is None:
                continue
            if all(self._do(done(text)) for text in texts):
                self._repairs.remove(repair)
                self._do(passing(A_MOMENT))

    def _until_advised(self) -> Advice:
        """What the operator is to do; nothing, once everybody is home."""
        timers = self._stage.timers
        limit_s = passing_limit_s(self._stage.pair.a.config)
        give_up_s = self._stage.now_s() + limit_s
        shown, since_s = "", self._stage.now_s()
        while True:
            look = self._play.look()
            if not missing(AT_HOME, look):
                return ()
            if str(look) != shown:
                shown, since_s = str(look), look.at_s
            if look.at_s - since_s >= REST.seconds(timers) and (
                advice := self._operator.advised(look)
            ):
                picture = _picture(look)
                self._steps += [
                    Step(line=0, check=Expect(picture, WITHIN)),
                    Step(line=0, check=Stays(picture, REST)),
                ]
                return advice
            if look.at_s >= give_up_s:
                self._not_home(f"not within {limit_s:g} s", look)

    def _not_home(self, bound: str, look: Look) -> NoReturn:
        rows = ", ".join(
            f"{name.value} names row {view.row or view.row_key}"
            for name, view in look.views.items()
            if view is not None
        )
        lacking = "; ".join(missing(AT_HOME, look))
        self._properties.hold("home_again", False, f"{bound}: {look}; {rows}; {lacking}")
        raise StoryFailed(bound)


_ALL_HEALED: Final = Heal(Channel.ALL, Direction.BOTH)


def _lasting_loss(scenario: Scenario) -> Direction | None:
    """The direction of the loss with which the story begins, if nothing in it ends that."""
    verbs = scenario.verbs()
    first = verbs[0] if verbs else None
    network = [verb for verb in verbs if isinstance(verb, (*NETWORK_FAULTS, Heal))]
    if isinstance(first, Cut) and first.direction is not Direction.BOTH and network == [first]:
        return first.direction if first.channel is Channel.HEARTBEATS else None
    return None


def _picture(look: Look) -> Picture:
    """What is shown, to be looked for again; of a node that shows nothing, whether it is heard."""
    halves: dict[NodeName, Side] = {}
    for node in NodeName:
        half = look.half(node)
        if half is not None:
            halves[node] = (half,)
        elif not look.heard_of(node):
            halves[node] = (SILENT,)
    return Picture(halves)
