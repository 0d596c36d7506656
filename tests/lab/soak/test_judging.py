"""The judge of endurance: growth is found, wobbling is not; late beats against the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from srmd.lab.soak.judging import (
    CONTROL_TIMES_MAX,
    GROWTH,
    LATE_INTERVALS_MAX,
    LATE_SHARE,
    LATEST_INTERVALS_MAX,
    MIB,
    VOLUME_BYTES_PER_BEAT_MAX,
    WAL_MIB_MAX,
    Finding,
    Still,
    judged,
    lateness,
    slope,
)
from srmd.lab.soak.sampling import CONTROL, Sample

INTERVAL_S = 0.1
BEATS = 10
"""A second."""
LENGTH_S = 300


def sample(at_s: float, node: str = "a", **more: object) -> Sample:
    made = Sample(
        at_s=at_s,
        node=node,
        life="1",
        run="1.1",
        resting=True,
        late={"0.002": int(at_s * BEATS)},
        latest_s=0.0015,
        rss_bytes=int(40 * MIB),
        descriptors=20,
        threads=5,
        tasks=12,
        database_bytes=100_000,
        log_bytes=int(at_s * 3000),
    )
    return replace(made, **more)  # type: ignore[arg-type] # names of its fields


def control() -> list[Sample]:
    return [sample(second, CONTROL, life=CONTROL, run=CONTROL) for second in range(LENGTH_S)]


def run_of(change: Callable[[Sample], Sample] = lambda one: one, node: str = "a") -> list[Sample]:
    return [change(sample(second, node)) for second in range(LENGTH_S)]


def failed(samples: Iterable[Sample], still: Iterable[Still] = ()) -> list[Finding]:
    return [one for one in judged([*control(), *samples], still, INTERVAL_S) if not one.kept]


def names(found: Iterable[Finding]) -> list[str]:
    return [one.what for one in found]


def test_what_stays_the_same_is_well() -> None:
    assert failed(run_of()) == []


@pytest.mark.parametrize("name", GROWTH)
def test_a_slow_leak_is_found_in_each_of_them(name: str) -> None:
    """Twice the bound over the time that is judged, one step after the other."""
    bound = GROWTH[name]
    step = 2 * bound.rise_max * bound.per / (LENGTH_S * 2 / 3)

    def leaks(one: Sample) -> Sample:
        grown: dict[str, Any] = {name: int(getattr(one, name) + step * one.at_s)}
        return replace(one, **grown)

    found = failed(run_of(leaks))
    assert names(found) == [f"rise of {bound.what}"]
    assert found[0].measured == pytest.approx(2 * bound.rise_max, rel=0.15)


def test_noise_and_outliers_are_no_growth() -> None:
    chance = Random(5)

    def wobbles(one: Sample) -> Sample:
        outlier = 60 * MIB if one.at_s % 17 == 0 else 0
        noise = chance.uniform(-2, 2) * MIB
        return replace(one, rss_bytes=int(one.rss_bytes + noise + outlier))

    assert failed(run_of(wobbles)) == []


def test_what_is_taken_while_warming_up_is_no_growth() -> None:
    def warms(one: Sample) -> Sample:
        return replace(one, rss_bytes=int(min(40, 10 + one.at_s) * MIB))

    assert failed(run_of(warms)) == []


def test_what_is_used_in_the_middle_of_a_story_is_not_looked_at() -> None:
    def busy(one: Sample) -> Sample:
        return replace(one, resting=False, descriptors=int(20 + one.at_s))

    rests = [one for one in run_of() if one.at_s % 2]
    assert failed([*rests, *(busy(one) for one in run_of() if not one.at_s % 2)]) == []


def test_a_node_that_is_started_again_begins_a_new_life() -> None:
    """Each life takes a little more than the one before it: no process grows."""

    def lives(one: Sample) -> Sample:
        number = int(one.at_s // 100)
        return replace(one, life=str(number), rss_bytes=int((40 + 10 * number) * MIB))

    assert failed(run_of(lives)) == []


def test_lives_too_short_to_judge_are_no_proof_for_the_node_that_lives_on() -> None:
    def short(one: Sample) -> Sample:
        return replace(one, life=str(int(one.at_s // 20)))

    found = failed(run_of(short))
    assert {one.measured for one in found} == {None}
    assert names(found) == [f"rise of {GROWTH[name].what}" for name in GROWTH if name[:4] != "data"]
    assert failed([*run_of(), *run_of(short, "b")]) == [], "node b is killed on purpose"


def test_a_log_that_is_flooded_is_found_over_rotations_too() -> None:
    def floods(one: Sample) -> Sample:
        return replace(one, journal_bytes=int(one.at_s * 30_000 % 1_000_000))

    assert names(failed(run_of(floods))) == ["log and journal"]


def test_a_write_ahead_log_that_is_never_written_back_is_found() -> None:
    """SQLite uses it again at 4 MiB: growth up to there is its way of working."""

    def grows_to(most: float) -> Callable[[Sample], Sample]:
        return lambda one: replace(one, wal_bytes=int(min(one.at_s / 10, most) * MIB))

    assert failed(run_of(grows_to(4.1))) == []
    assert names(failed(run_of(grows_to(99)))) == ["largest write-ahead log"]


def test_a_broken_promise_is_found() -> None:
    found = failed(run_of(lambda one: replace(one, defects=int(one.at_s > 200))))
    assert names(found) == ["broken promises, dropped records"]


def late_at(moment_s: float, name: str, latest_s: float) -> Callable[[Sample], Sample]:
    def late(one: Sample) -> Sample:
        if one.at_s < moment_s:
            return one
        return replace(one, late={**one.late, name: 1}, latest_s=latest_s)

    return late


def test_one_beat_later_than_three_intervals_is_found() -> None:
    found = failed(run_of(late_at(150, "more", 0.35)))
    assert names(found) == ["lateness of the latest beat"]
    assert found[0].measured == pytest.approx(350)
    assert found[0].bound == pytest.approx(300)


def test_a_beat_later_than_every_class_is_found_and_not_taken_for_a_second() -> None:
    found = failed(run_of(late_at(150, "more", 7.5)))
    assert found[0].measured == pytest.approx(7500)


def test_the_same_beat_is_no_finding_where_the_bare_timer_was_as_late() -> None:
    noisy = [late_at(100, "0.15", 0.12)(one) for one in control()]
    found = judged([*noisy, *run_of(late_at(150, "more", 0.35))], (), INTERVAL_S)
    assert [one for one in found if not one.kept] == []


def test_beats_of_a_node_that_was_frozen_on_purpose_are_left_out_and_counted() -> None:
    samples = run_of(late_at(150, "more", 2.0))
    still = Still("a", 148.0, 152.0)
    assert failed(samples, [still]) == []
    assert lateness(samples, [still]).left_out_count == 61
    assert names(failed(samples, [replace(still, node="b")])) == ["lateness of the latest beat"]


def test_many_slightly_late_beats_are_found_by_their_share() -> None:
    def sluggish(one: Sample) -> Sample:
        return replace(one, late={"0.05": int(one.at_s * BEATS)}, latest_s=0.048)

    assert names(failed(run_of(sluggish))) == ["lateness of 99% of the beats"]


def test_an_srm_that_starts_anew_counts_from_nothing() -> None:
    first = replace(sample(10), late={"0.002": 100})
    second = replace(sample(11), late={"0.002": 4}, run="1.2")
    assert dict(lateness([first, second], ()).counts) == {"0.002": 4}


def test_no_beat_at_all_is_no_proof() -> None:
    found = failed(run_of(lambda one: replace(one, late={})))
    assert [one.measured for one in found] == [None, None]


def test_the_guide_names_every_bound() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "endurance.md").read_text()
    for bound in GROWTH.values():
        assert f"| {bound.what} | {bound.rise_max:g} {bound.unit}".rstrip() in guide
    assert f"| write-ahead log, at its largest | {WAL_MIB_MAX:g} MiB" in guide
    assert f"| log and journal | {VOLUME_BYTES_PER_BEAT_MAX:g} bytes a beat" in guide
    assert f"| {LATE_SHARE:.0%} of the beats | {LATE_INTERVALS_MAX:g} intervals" in guide
    assert f"| the latest beat | {LATEST_INTERVALS_MAX:g} interval" in guide
    assert f"{CONTROL_TIMES_MAX:g} times the bare timer" in guide


def test_the_slope_of_many_samples_is_found_from_a_part_of_them() -> None:
    assert slope([(second, 3.0 * second) for second in range(10_000)]) == pytest.approx(3.0)
    assert slope([(1.0, 5.0)]) == 0.0
    assert not math.isnan(slope([]))
