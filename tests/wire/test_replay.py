from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.wire.codec import MalformedMessage
from srmd.wire.replay import Mark, is_stale, mark_from_json, mark_to_json, seen

numbers = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.integers(0, 9), st.integers(0, 200))), max_size=60
)


def accepted(arrivals: list[tuple[int, int]], width: int) -> list[tuple[int, int]]:
    """Which of the (incarnation, seq) arrivals were let through."""
    mark = Mark()
    passed = []
    for incarnation, seq in arrivals:
        if not is_stale(mark, incarnation=incarnation, seq=seq, width=width):
            mark = seen(mark, incarnation=incarnation, seq=seq, width=width)
            passed.append((incarnation, seq))
    return passed


def test_heartbeats_only_count_upwards() -> None:
    arrivals = [(1, 1), (1, 3), (1, 2), (1, 3), (1, 4)]
    assert accepted(arrivals, width=1) == [(1, 1), (1, 3), (1, 4)]


def test_control_requests_may_overtake_each_other_but_count_once() -> None:
    arrivals = [(1, 5), (1, 3), (1, 5), (1, 4), (1, 3), (1, 1), (1, 2)]
    assert accepted(arrivals, width=64) == [(1, 5), (1, 3), (1, 4), (1, 1), (1, 2)]


def test_the_window_holds_64_numbers() -> None:
    assert accepted([(1, 100), (1, 37), (1, 36)], width=64) == [(1, 100), (1, 37)]


def test_a_number_at_the_edge_is_remembered_while_the_window_moves() -> None:
    assert accepted([(1, 37), (1, 100), (1, 37)], width=64) == [(1, 37), (1, 100)]
    assert accepted([(1, 36), (1, 37), (1, 100), (1, 37)], width=64)[-1] == (1, 100)


def test_a_new_incarnation_starts_over_and_the_old_one_is_stale() -> None:
    arrivals = [(1, 900), (2, 1), (1, 901), (2, 2)]
    assert accepted(arrivals, width=64) == [(1, 900), (2, 1), (2, 2)]


def test_zero_is_never_a_number() -> None:
    assert accepted([(0, 1), (1, 0), (0, 0)], width=64) == []


@given(arrivals=numbers, width=st.sampled_from([1, 2, 64]))
def test_the_window_agrees_with_a_plain_list_of_all_that_was_seen(
    arrivals: list[tuple[int, int]], width: int
) -> None:
    past: list[tuple[int, int]] = []
    for incarnation, seq in arrivals:
        current = max((i for i, _ in past), default=0)
        highest = max((s for i, s in past if i == current), default=0)
        fresh = (
            incarnation >= 1
            and seq >= 1
            and (incarnation, seq) not in past
            and (incarnation > current or (incarnation == current and seq > highest - width))
        )
        if fresh:
            past.append((incarnation, seq))
    assert accepted(arrivals, width) == past


@given(arrivals=numbers)
def test_a_stored_mark_is_the_same_mark_and_fits_a_database_column(
    arrivals: list[tuple[int, int]],
) -> None:
    mark = Mark()
    for incarnation, seq in arrivals:
        if not is_stale(mark, incarnation=incarnation, seq=seq, width=64):
            mark = seen(mark, incarnation=incarnation, seq=seq, width=64)
    assert mark_from_json(json.loads(json.dumps(mark_to_json(mark)))) == mark
    assert mark.window < 2**63


def test_a_damaged_mark_is_refused_by_field() -> None:
    with pytest.raises(MalformedMessage, match=r"^seq: -1 is not a whole number from 0 to"):
        mark_from_json({"incarnation": 1, "seq": -1, "window": 0})
