"""How a scenario is played and judged: on a made-up stage, in a time of its own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from srmd.core import handbook
from srmd.core.states import Reason, State
from srmd.core.texts import Text
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.phrases import verb
from srmd.lab.scenario.running import Play, Result, Verdict
from srmd.lab.scenario.stage import Look, StageBroken, VerbFailed, VerbRefused, View
from srmd.lab.scenario.story import (
    ALWAYS,
    SILENT,
    Expect,
    Invariant,
    Picture,
    Scenario,
    Share,
    Stays,
    Step,
)
from srmd.lab.scenario.verbs import NodeName, Recover, Verb

A, B = NodeName.A, NodeName.B
LOOK_S = 0.25
NORMAL = (State.NORMAL, Reason.NORMAL)
IDLE = (State.IDLE, Reason.ON_ADMIN_REQUEST)
BACKUP = (State.BACKUP, Reason.PEER_DOWN)
HOME = View(
    half=NORMAL,
    peer_down=False,
    row=1,
    row_key="normal",
    served=10,
    assigned={A: 10, B: 10},
    op=1,
    mismatch=None,
)
ALONE = dataclasses.replace(HOME, half=BACKUP, peer_down=True, row=16, row_key="peer_down")
TIMERS = {
    "keep_alive_interval": 1.0,
    "keep_alive_timeout": 4.5,
    "initialization_keep_alive_timeout": 10.0,
    "critical_service_delay": 2.0,
    "automatic_fallback_wait": 5.0,
    "start_limit": 2.0,
    "stop_limit": 2.0,
    "move_limit": 2.0,
    "reboot": 1.0,
}

Views = Mapping[NodeName, View | None]
AT_HOME: Views = {A: HOME, B: HOME}


def test_a_node_without_srm_is_not_said_to_be_stopped() -> None:
    """SRM may be starting: "(SRM is stopped)" was told of a node in STARTING."""
    look = Look(0.0, {A: dataclasses.replace(HOME, half=None), B: None})
    assert str(look).startswith("a (SRM does not run)")
    assert str(look).endswith("b (does not answer)")


@dataclass
class Done:
    """A verb that takes some looks, and may end badly."""

    looks: int = 0
    error: Exception | None = None

    def done(self) -> bool:
        self.looks -= 1
        if self.looks >= 0:
            return False
        if self.error is not None:
            raise self.error
        return True


@dataclass
class FakeStage:
    """The pair is what `plan` says at each moment; at the end, after `heal`, it is at home."""

    plan: Callable[[float], Views] = lambda _now_s: AT_HOME
    outcome: Callable[[Verb], Done] = lambda _verb: Done()
    name: str = "fake"
    timers: Mapping[str, float] = field(default_factory=lambda: dict(TIMERS))
    healed_count: int = 0
    done: list[Verb] = field(default_factory=list)
    lifted: list[Verb] = field(default_factory=list)
    cannot_do: str | None = None
    heal_error: Exception | None = None
    _now_s: float = 0.0

    def cannot(self, verb: Verb) -> str | None:
        return self.cannot_do

    def now_s(self) -> float:
        return self._now_s

    def look(self) -> Look:
        self._now_s += LOOK_S
        return Look(self._now_s, AT_HOME if self.healed_count else self.plan(self._now_s))

    def begin(self, verb: Verb) -> Done:
        self.done.append(verb)
        return self.outcome(verb)

    def lift(self, verb: Verb) -> Done:
        self.lifted.append(verb)
        return Done()

    def heal(self) -> None:
        self.healed_count += 1
        if self.heal_error is not None:
            raise self.heal_error


def played(stage: FakeStage, *steps: Step, invariants: tuple[Invariant, ...] = ALWAYS) -> Result:
    text = Text("story", "話")
    scenario = Scenario(Path("story.toml"), text, text, (), steps, invariants=invariants)
    return Play("story", scenario, stage, lambda _line: None).run()


def expects(within: str, not_before: str | None = None, **halves: handbook.Side) -> Step:
    picture = Picture(halves={NodeName(node): side for node, side in halves.items()})
    earliest = duration(not_before) if not_before else None
    return Step(7, check=Expect(picture, duration(within), earliest))


def from_then(then_s: float, views: Views) -> Callable[[float], Views]:
    return lambda now_s: views if now_s >= then_s else AT_HOME


def a_lost(then_s: float) -> Callable[[float], Views]:
    return from_then(then_s, {A: None, B: ALONE})


def test_a_pair_that_does_what_is_expected_passes_and_is_healed() -> None:
    stage = FakeStage(a_lost(5.0))
    seen = dataclasses.replace(
        expects("keep_alive_timeout + 1s", b=(BACKUP,), a=(SILENT,)), do=(verb("kill node a"),)
    )
    result = played(stage, dataclasses.replace(seen, said=("kill node a",)))
    assert (result.verdict, result.why) == (Verdict.PASSED, "")
    assert stage.healed_count == 1
    assert [entry["kind"] for entry in result.journal] == [
        "seen",
        "reached",
        "do",
        "seen",
        "reached",
        "heal",
        "seen",
        "reached",
        "verdict",
    ]
    assert result.checked_count > 0


def test_what_comes_too_late_fails_with_the_line_and_what_was_there_instead() -> None:
    result = played(FakeStage(a_lost(9.0)), expects("keep_alive_timeout", b=(BACKUP,)))
    assert result.verdict is Verdict.FAILED
    assert result.why.startswith("story.toml, line 7: not within keep_alive_timeout (4.5 s)")
    assert "it was a Normal / Normal  |  b Normal / Normal" in result.why


def test_what_comes_too_early_fails() -> None:
    step = expects("9s", "keep_alive_timeout - keep_alive_interval", b=(BACKUP,))
    assert played(FakeStage(a_lost(4.0)), step).verdict is Verdict.PASSED
    early = played(FakeStage(a_lost(3.0)), step)
    assert early.verdict is Verdict.FAILED
    assert "too early, after 2.750 s" in early.why


def test_what_is_already_there_counts_for_the_next_expectation() -> None:
    lost = a_lost(2.0)
    result = played(FakeStage(lost), expects("9s", b=(BACKUP,)), expects("0s", a=(SILENT,)))
    assert result.verdict is Verdict.PASSED


def test_a_node_is_down_when_its_peer_says_so_even_if_it_answers() -> None:
    idle = dataclasses.replace(HOME, half=IDLE)
    mute: Views = {A: idle, B: ALONE}
    silent = expects("9s", a=(SILENT,))
    assert played(FakeStage(from_then(2.0, mute)), silent).verdict is Verdict.PASSED
    dead: Views = {A: None, B: HOME}
    assert played(FakeStage(from_then(2.0, dead)), silent).verdict is Verdict.FAILED


def test_row_users_and_mismatch_have_to_be_there_at_the_same_time() -> None:
    picture = Picture(
        halves={A: ((State.UNKNOWN, None),)},
        row=24,
        served={A: Share.OWN, B: 7},
        mismatch="group name",
    )
    a = dataclasses.replace(
        HOME, half=(State.UNKNOWN, Reason.UNKNOWN), row=24, mismatch="the group name differs"
    )
    step = Step(1, check=Expect(picture, duration("9s")))
    whole: Views = {A: a, B: dataclasses.replace(HOME, served=7)}
    assert played(FakeStage(from_then(2.0, whole)), step).rows == (1, 24, 1)
    for lacking in (
        {A: dataclasses.replace(a, row=23), B: whole[B]},
        {A: dataclasses.replace(a, served=9), B: whole[B]},
        {A: dataclasses.replace(a, mismatch="the key differs"), B: whole[B]},
        {A: a, B: HOME},
    ):
        assert played(FakeStage(from_then(2.0, lacking)), step).verdict is Verdict.FAILED


def test_stays_looks_at_every_moment_of_its_time() -> None:
    step = Step(1, check=Stays(Picture(halves={A: (NORMAL,)}), duration("5s")))
    assert played(FakeStage(), step).verdict is Verdict.PASSED
    idle: Views = {A: dataclasses.replace(HOME, half=IDLE), B: HOME}
    blink = FakeStage(lambda now_s: idle if now_s == 3.0 else AT_HOME)
    result = played(blink, step)
    assert result.verdict is Verdict.FAILED
    assert "did not stay: a Normal / Normal" in result.why


def test_a_fault_of_the_network_lasts_while_something_stays_and_is_lifted() -> None:
    cut = verb("cut control")
    check = Stays(Picture(halves={A: (NORMAL,)}), duration("2s"), cut)
    stage = FakeStage()
    assert played(stage, Step(1, check=check, said=("cut control",))).verdict is Verdict.PASSED
    assert (stage.done, stage.lifted) == ([cut], [cut])


def test_an_action_begun_meanwhile_is_not_lifted() -> None:
    restart = verb("restart srm on a")
    check = Stays(Picture(halves={A: (NORMAL,)}), duration("2s"), restart)
    stage = FakeStage(outcome=lambda _verb: Done(looks=3))
    assert played(stage, Step(1, check=check, said=("restart",))).verdict is Verdict.PASSED
    assert stage.lifted == []


def test_a_refused_command_is_asked_again_but_not_for_ever() -> None:
    answers = itertools.chain([VerbRefused("not yet")] * 3, itertools.repeat(None))
    recover = Step(1, do=(Recover(A),), said=("recover",))
    stage = FakeStage(outcome=lambda _verb: Done(error=next(answers)))
    assert played(stage, recover).verdict is Verdict.PASSED
    assert len(stage.done) == 4
    never = FakeStage(outcome=lambda _verb: Done(error=VerbRefused("needed: failed mode")))
    result = played(never, recover)
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        "story.toml, line 1: needed: failed mode",
    )
    assert 46 < len(never.done) < 52, "for two intervals and 10 s, a look each"


def test_what_has_to_be_refused_and_is_not_fails() -> None:
    step = Step(1, refused=Recover(A), said=("recover",))
    refusing = FakeStage(outcome=lambda _verb: Done(error=VerbRefused("no")))
    assert played(refusing, step).verdict is Verdict.PASSED
    assert "should have refused" in played(FakeStage(), step).why


@pytest.mark.parametrize(
    "error,verdict",
    [(VerbFailed("no such service"), Verdict.FAILED), (StageBroken("no proxy"), Verdict.ERROR)],
)
def test_a_failing_verb_and_a_broken_stage_are_told_apart_and_both_are_healed(
    error: Exception, verdict: Verdict
) -> None:
    stage = FakeStage(outcome=lambda _verb: Done(error=error))
    result = played(stage, Step(3, do=(verb("kill node a"),), said=("kill node a",)))
    assert result.verdict is verdict
    assert str(error) in result.why
    assert stage.healed_count == 1


def test_a_stage_that_cannot_be_healed_is_an_error() -> None:
    result = played(FakeStage(heal_error=StageBroken("still cut")))
    assert (result.verdict, result.why) == (Verdict.ERROR, "still cut")


def test_ctrl_c_heals_first() -> None:
    stage = FakeStage(outcome=lambda _verb: Done(error=KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        played(stage, Step(1, do=(verb("heal"),), said=("heal",)))
    assert stage.healed_count == 1


def test_what_the_stage_cannot_do_skips_the_whole_story_before_anything_is_done() -> None:
    stage = FakeStage(cannot_do="not from here")
    result = played(stage, Step(1, do=(verb("kill node a"),), said=("kill node a",)))
    assert (result.verdict, result.why) == (Verdict.SKIPPED, "not from here")
    assert stage.done == []


def test_a_play_that_does_not_end_at_home_fails() -> None:
    class Lost(FakeStage):
        def heal(self) -> None:
            """And nothing gets better."""

    result = played(Lost(a_lost(2.0)), expects("9s", b=(BACKUP,)))
    assert result.verdict is Verdict.FAILED
    assert "a Normal / Normal  |  b Normal / Normal  |  row 1" in result.why


def test_users_that_a_node_does_not_know_yet_are_not_lost() -> None:
    """Row 6, both nodes reboot: the first answer of each had counted no users, and was believed."""
    starting = dataclasses.replace(HOME, half=None, row=None, row_key="", served=0, assigned=None)

    def plan(now_s: float) -> Views:
        return (
            {A: starting, B: starting if now_s < 4.0 else HOME} if 2.0 <= now_s < 6.0 else AT_HOME
        )

    step = Step(1, check=Stays(Picture(), duration("9s")))
    assert played(FakeStage(plan), step).verdict is Verdict.PASSED
    unknown = FakeStage(lambda now_s: {A: starting, B: starting} if now_s >= 2.0 else AT_HOME)
    result = played(unknown, Step(1, check=Stays(Picture(served={A: Share.OWN}), duration("9s"))))
    assert result.verdict is Verdict.FAILED
    assert "a serves 0" in result.why


ONE_BACKUP = (*ALWAYS, Invariant.ONE_BACKUP)
BOTH: Views = {A: ALONE, B: ALONE}


@pytest.mark.parametrize(
    "invariant,views",
    [
        (Invariant.USERS_KEPT, {A: dataclasses.replace(HOME, assigned={A: 9, B: 10})}),
        (Invariant.OP_GROWS, {A: dataclasses.replace(HOME, op=0)}),
        (
            Invariant.NO_FAILED_MODE,
            {A: dataclasses.replace(HOME, half=(State.FAILED_MODE, Reason.UNKNOWN))},
        ),
        (Invariant.NO_TRANSITION, {A: dataclasses.replace(HOME, op=2)}),
        (
            Invariant.KNOWN_ROWS,
            {A: dataclasses.replace(HOME, row=None, row_key=handbook.UNDOCUMENTED)},
        ),
        (Invariant.ONE_BACKUP, {A: ALONE, B: ALONE}),
    ],
)
def test_a_broken_invariant_fails_wherever_the_story_is(
    invariant: Invariant, views: dict[NodeName, View]
) -> None:
    now: Views = {A: views[A], B: views.get(B, views[A])}
    stage = FakeStage(lambda now_s: now if now_s >= 2.0 else AT_HOME)
    step = Step(1, check=Stays(Picture(served={A: Share.OWN}), duration("9s")))
    result = played(stage, dataclasses.replace(step, check=None), step, invariants=(invariant,))
    assert result.verdict is Verdict.FAILED
    assert f"broken: {invariant.value}" in result.why


def holding(a: str, b: str, **changes: Any) -> Views:
    """Both at home, with these contents of their databases."""
    return {
        node: dataclasses.replace(HOME, content=content, **changes)
        for node, content in ((A, a), (B, b))
    }


UNLIKE, ALIKE = holding("10 users", "9 users"), holding("10 users", "10 users")
AGREE_WITHIN_S = 30.0
"""initialization_keep_alive_timeout + 20 * keep_alive_interval, of TIMERS."""


@pytest.mark.parametrize(
    "plan,broken",
    [
        (from_then(2.0, UNLIKE), True),
        (lambda now_s: ALIKE if now_s % 25 < 1 else UNLIKE, False),
        (from_then(2.0, holding("10 users", "9 users", control_fails=True)), False),
        (from_then(2.0, holding("10 users", "9 users", half=IDLE)), False),
    ],
)
def test_databases_that_stay_unlike_in_row_1_break_an_invariant(
    plan: Callable[[float], Views], broken: bool
) -> None:
    """Not while users are on their way, nor while the control channel fails, nor in other rows."""
    step = Step(1, check=Stays(Picture(), duration(f"{2 * AGREE_WITHIN_S:g}s")))
    result = played(FakeStage(plan), step, invariants=(Invariant.USERS_AGREE,))
    assert ("broken: users_agree" in result.why) is broken, result.why


def serving(a: int, **changes: Any) -> Views:
    """Both in Normal; node a serves so many of the 10 users at home on it."""
    return {A: dataclasses.replace(HOME, served=a, **changes), B: HOME}


SERVED_WITHIN_S = 20.0
"""10 * keep_alive_interval + 10 s, of TIMERS."""


@pytest.mark.parametrize(
    "plan,broken",
    [
        (from_then(2.0, serving(0)), True),
        (from_then(2.0, serving(20)), True),
        (lambda now_s: serving(10) if now_s % 15 < 1 else serving(0), False),
        (from_then(2.0, serving(0, able=False)), False),
        (from_then(2.0, serving(0, peer_down=True)), False),
        (from_then(2.0, serving(0, half=IDLE)), False),
    ],
)
def test_users_at_home_whom_their_node_does_not_serve_in_row_1_break_an_invariant(
    plan: Callable[[float], Views], broken: bool
) -> None:
    """Both nodes were in Normal, their databases alike, and nobody saw that users had no node."""
    step = Step(1, check=Stays(Picture(), duration(f"{2 * SERVED_WITHIN_S:g}s")))
    result = played(FakeStage(plan), step, invariants=(Invariant.HOMES_SERVED,))
    assert ("broken: homes_served" in result.why) is broken, result.why


def test_a_story_does_not_end_while_the_databases_differ() -> None:
    @dataclasses.dataclass
    class Unlike(FakeStage):
        def look(self) -> Look:
            return dataclasses.replace(super().look(), views=UNLIKE)

    result = played(Unlike(), invariants=())
    assert result.verdict is Verdict.FAILED
    assert "a holds 10 users | b holds 9 users" in result.why


def test_a_look_that_mixes_two_moments_is_no_proof_of_two_backups() -> None:
    stage = FakeStage(lambda now_s: BOTH if now_s == 2.0 else AT_HOME)
    step = expects("3s", a=(IDLE,))
    assert "broken" not in played(stage, step, invariants=ONE_BACKUP).why
