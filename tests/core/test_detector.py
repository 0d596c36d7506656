"""Rule R13 about silence: never too early, never blaming the peer for our own sleep."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from srmd.core.detector import STALLS_FORGIVEN_MAX, Detector

INTERVAL_S = 15.0
TIMEOUT_S = 60.0
INITIALIZATION_TIMEOUT_S = 120.0


def detector(now_s: float = 0.0, interval_s: float = INTERVAL_S) -> Detector:
    return Detector.begin(
        interval_s=interval_s,
        timeout_s=4 * interval_s,
        initialization_timeout_s=8 * interval_s,
        now_s=now_s,
    )


def awake(silent: Detector, until_s: float) -> Detector:
    """The detector of a node that ticks once an interval until, and at, that moment."""
    while silent.ticked_s + silent.interval_s < until_s:
        silent = silent.ticked(silent.ticked_s + silent.interval_s)
    return silent.ticked(until_s)


def test_the_peer_is_down_at_the_timeout_after_its_last_heartbeat() -> None:
    silent = awake(detector(), 10.0).heard(10.0)
    assert silent.deadline_s(initializing=False) == 70.0
    assert not awake(silent, 69.999).is_down(69.999, initializing=False)
    assert awake(silent, 70.0).is_down(70.0, initializing=False)


def test_while_initializing_the_longer_timeout_applies() -> None:
    silent = awake(detector(), 119.999)
    assert not silent.is_down(119.999, initializing=True)
    assert silent.ticked(120.0).is_down(120.0, initializing=True)
    assert silent.is_down(119.999, initializing=False)


def test_a_heartbeat_that_arrives_at_the_deadline_counts() -> None:
    silent = awake(detector(), 60.0).heard(60.0)  # the shell drains before it asks
    assert not silent.is_down(60.0, initializing=False)
    assert silent.deadline_s(initializing=False) == 120.0


def test_a_restart_of_srm_begins_the_silence_anew() -> None:
    silent = awake(detector(), 59.0).watch(59.0)
    assert silent == detector(59.0)


def test_a_node_that_was_suspended_listens_for_one_interval_before_it_blames_the_peer() -> None:
    resumed = awake(detector(), 30.0).ticked(130.0)
    assert not resumed.is_down(130.0, initializing=False)
    assert resumed.deadline_s(initializing=False) == 145.0
    assert resumed.ticked(145.0).is_down(145.0, initializing=False)


def test_a_node_that_has_not_ticked_cannot_blame_the_peer() -> None:
    assert not awake(detector(), 30.0).is_down(130.0, initializing=False)


def test_a_peer_heard_after_our_sleep_is_as_alive_as_ever() -> None:
    resumed = awake(detector(), 30.0).ticked(130.0).heard(131.0)
    assert resumed.deadline_s(initializing=False) == 191.0
    assert resumed.stalls_count == 0


def test_a_tick_late_by_less_than_half_an_interval_moves_no_deadline() -> None:
    assert awake(detector(), 45.0).ticked(67.4).is_down(67.4, initializing=False)


def test_scheduling_noise_is_no_stall_even_when_the_interval_is_short() -> None:
    silent = awake(detector(interval_s=0.02), 0.06)
    assert silent.ticked(0.12).is_down(0.12, initializing=False)


def test_a_stall_long_before_the_deadline_does_not_prolong_the_silence() -> None:
    assert detector().ticked(40.0).deadline_s(initializing=False) == 60.0


def test_a_node_that_stalls_without_end_still_sees_a_dead_peer() -> None:
    silent, now_s, answers = detector(), 0.0, []
    for _ in range(STALLS_FORGIVEN_MAX + 1):
        now_s += 100.0
        silent = silent.ticked(now_s)
        answers.append(silent.is_down(now_s, initializing=False))
    assert answers == [False, False, False, True]


@pytest.mark.parametrize(
    "silent_s,missed",
    [(0.0, 0), (15.0, 0), (15.1, 0), (22.5, 1), (30.0, 1), (37.6, 2), (60.0, 3), (67.5, 4)],
)
def test_a_beat_is_missed_when_half_an_interval_late(silent_s: float, missed: int) -> None:
    assert detector().beats_missed(silent_s) == missed


def test_the_time_left_is_counted_down_to_zero() -> None:
    silent = detector(5.0)
    assert silent.seconds_to_peer_down(15.0, initializing=False) == 50.0
    assert silent.seconds_to_peer_down(15.0, initializing=True) == 110.0
    assert silent.seconds_to_peer_down(500.0, initializing=False) == 0.0
    assert silent.silent_s(15.0) == 10.0
    assert silent.silent_s(4.0) == 0.0


def test_a_timeout_shorter_than_the_interval_cannot_be() -> None:
    with pytest.raises(AssertionError):
        dataclasses.replace(detector(), timeout_s=14.0)


steps = st.lists(
    st.tuples(st.sampled_from(("tick", "hear", "ask")), st.floats(0, 100)), max_size=60
)


@given(start_s=st.floats(0, 1e7), steps=steps, initializing=st.booleans())
def test_no_peer_is_down_before_the_timeout_after_its_last_heartbeat(
    start_s: float, steps: Sequence[tuple[str, float]], initializing: bool
) -> None:
    timeout_s = INITIALIZATION_TIMEOUT_S if initializing else TIMEOUT_S
    silent, now_s, last_s = detector(start_s), start_s, start_s
    for verb, step_s in steps:
        now_s += step_s
        if verb == "tick":
            silent = silent.ticked(now_s)
        elif verb == "hear":
            silent, last_s = silent.heard(now_s), now_s
        if silent.is_down(now_s, initializing):
            assert now_s >= last_s + timeout_s
            assert silent.seconds_to_peer_down(now_s, initializing) == 0.0


@given(
    slept_after_s=st.floats(0, 200),
    slept_s=st.floats(22.6, 10_000),
    initializing=st.booleans(),
)
def test_whoever_slept_is_given_an_interval_to_hear_the_peer(
    slept_after_s: float, slept_s: float, initializing: bool
) -> None:
    silent = awake(detector(), slept_after_s)
    assume(not silent.is_down(slept_after_s, initializing))
    resumed_s = slept_after_s + slept_s
    silent = silent.ticked(resumed_s)
    assert not silent.is_down(resumed_s, initializing)
    assert silent.deadline_s(initializing) >= resumed_s + INTERVAL_S


@given(
    heard_at_s=st.floats(0, 1e6),
    tick_s=st.floats(0.1, INTERVAL_S),
    initializing=st.booleans(),
)
def test_a_node_that_stays_awake_sees_a_dead_peer_exactly_at_the_deadline(
    heard_at_s: float, tick_s: float, initializing: bool
) -> None:
    silent = detector(heard_at_s)
    deadline_s = silent.deadline_s(initializing)
    now_s = heard_at_s
    while now_s + tick_s < deadline_s:
        now_s += tick_s
        silent = silent.ticked(now_s)
        assert not silent.is_down(now_s, initializing)
    assert silent.deadline_s(initializing) == deadline_s
    assert silent.ticked(deadline_s).is_down(deadline_s, initializing)


@given(beats=st.lists(st.floats(0, 59.9), max_size=50))
def test_a_peer_heard_more_often_than_the_timeout_is_never_down(beats: list[float]) -> None:
    silent, now_s = detector(), 0.0
    for gap_s in beats:
        silent = awake(silent, now_s + gap_s)
        now_s += gap_s
        assert not silent.is_down(now_s, initializing=False)
        silent = silent.heard(now_s)
        assert not silent.is_down(now_s, initializing=False)


@given(order=st.permutations((10.0, 20.0, 30.0)))
def test_an_older_moment_never_shortens_the_wait(order: list[float]) -> None:
    silent = detector()
    for now_s in order:
        silent = silent.heard(now_s)
    assert silent.deadline_s(initializing=False) == 90.0
