"""Sweeps: simulation and formula agree, and detection alone is what a whole pair does."""

from __future__ import annotations

import math

import pytest

from srmd.core.events import PeerDown
from srmd.lab.faultproxy.catalogue import Protocol, toxic_for
from srmd.lab.faultproxy.datagrams import DatagramToxic
from srmd.lab.faultproxy.pipeline import Pipeline, Placed
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario.configured import timers_of
from srmd.lab.scenario.toxics import harms
from srmd.lab.scenario.verbs import Direction, Lose, NodeName
from srmd.lab.simulated.detection import listen
from srmd.lab.simulated.pair import Pair, Stepped, cisco_defaults
from srmd.lab.whatif.advice import NoAdvice, recommend
from srmd.lab.whatif.line import Line, Timers
from srmd.lab.whatif.sweep import Case, Effort, Price, poisson_bounds, tried

CISCO = Timers(15.0, 60.0)
BRIEF = Effort(weeks=2, deaths=100)


@pytest.mark.parametrize(
    "line, timers",
    [
        pytest.param(Line(0.2), CISCO, id="independent, beat on the deadline"),
        pytest.param(Line(0.2), Timers(15, 59), id="independent, deadline before the beat"),
        pytest.param(Line(0.1, burst_beats=2), CISCO, id="bursts"),
        pytest.param(Line(0.2, latency_s=0.2), CISCO, id="a late line is late for all"),
    ],
)
def test_the_simulation_agrees_with_the_closed_formula(line: Line, timers: Timers) -> None:
    """Within four standard deviations of a Poisson count; the seed is fixed."""
    found = tried(Case(line, timers), Effort(weeks=2, deaths=1))
    expected = line.false_per_year(timers) * found.years
    assert expected > 50, "too few to tell"
    assert abs(found.false_count - expected) < 4 * math.sqrt(expected)


def test_with_jitter_the_formula_is_an_upper_bound() -> None:
    line = Line(0.2, latency_s=0.1, jitter_s=0.1)
    found = tried(Case(line, CISCO), Effort(weeks=2, deaths=1))
    assert 0 < found.false_per_year < line.false_per_year(CISCO)


@pytest.mark.parametrize("seed", range(1, 7))
def test_detection_alone_finds_what_a_whole_pair_finds(seed: int) -> None:
    """The first false take-over of a pair on a line of loss, to the moment."""
    timers = timers_of(cisco_defaults())
    fault = Lose(percent=35, bursts=False, direction=Direction.BOTH)
    pair = Pair(seed=seed)
    downs: list[tuple[float, NodeName]] = []

    def watch(stepped: Stepped) -> None:
        if isinstance(stepped.event, PeerDown):
            downs.append((stepped.at_s, stepped.node))

    pair.watchers.append(watch)
    pair.start()
    pair.run_until(300.0)
    next_beat_s = {}
    for name, node in pair.nodes.items():
        assert node.boot is not None
        assert node.boot.srm is not None
        next_beat_s[name] = node.boot.srm.beats.next_beat_s
    pair.network.do(fault, timers)
    while not downs:
        pair.run_until(pair.now_s + 60)

    expected = []
    for harm in harms(fault, timers):
        sender = NodeName.A if harm.link.direction is Direction.A_TO_B else NodeName.B
        toxic = toxic_for(Protocol.UDP, harm.toxic, strict=True)
        assert isinstance(toxic, DatagramToxic)
        toxic.change(harm.attributes, strict=True)
        pipeline = Pipeline()
        rng = substream(seed, harm.link.name, harm.stream, harm.name)
        pipeline.add(0.0, Placed(harm.name, toxic, 1.0, rng))
        listened = listen(pipeline, interval_s=15, timeout_s=60, for_s=7 * 86400)
        began_s = next_beat_s[sender] + pair.costs.latency_s
        expected.append((began_s + listened.silences[0].down_s, sender.other))
    at_s, receiver = min(expected)
    assert downs[0][1] is receiver
    assert downs[0][0] == pytest.approx(at_s, abs=1e-6)


def test_a_death_is_noticed_between_timeout_less_interval_and_timeout() -> None:
    found = tried(Case(Line(), CISCO), BRIEF)
    assert found.false_count == 0
    assert found.detection_s[0] >= 45
    assert found.detection_s[-1] <= 60
    assert found.detection_at_s(0.5) == pytest.approx(52.5, abs=2.5)


def test_the_same_seed_finds_the_same_and_another_does_not() -> None:
    case = Case(Line(0.2), CISCO)
    assert tried(case, BRIEF) == tried(case, BRIEF)
    assert tried(case, BRIEF) != tried(case, Effort(weeks=2, deaths=100, seed=2))


def test_a_count_has_the_bounds_of_the_tables() -> None:
    """Garwood 1936, as printed in tables of exact Poisson limits."""
    assert poisson_bounds(0) == pytest.approx((0.0, 3.689), abs=1e-3)
    assert poisson_bounds(10) == pytest.approx((4.795, 18.390), abs=1e-3)


def test_a_price_is_false_take_overs_and_deaths() -> None:
    found = tried(Case(Line(), CISCO), BRIEF)
    mean_s = sum(found.detection_s) / len(found.detection_s)
    price = Price(users=60, relogin_s=100, deaths_a_year=2)
    assert found.user_minutes_per_year(price) == pytest.approx(2 * (mean_s + 200))


def test_the_recommended_timers_keep_to_the_target_and_none_shorter_does() -> None:
    line, target = Line(0.1, latency_s=0.05, jitter_s=0.05), 1.0
    for timers in recommend(line, target):
        assert line.false_per_year(timers) <= target
        shorter = Timers(timers.interval_s, timers.timeout_s - timers.interval_s)
        assert line.false_per_year(shorter) > target


def test_a_line_that_no_timers_mend_is_said() -> None:
    with pytest.raises(NoAdvice, match="mend the line"):
        recommend(Line(0.9), 0.1)
