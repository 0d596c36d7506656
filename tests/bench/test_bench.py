from __future__ import annotations

import pytest

from tests.bench.__main__ import BENCHES, main
from tests.bench.figure import Figure, Sample, Within, in_turns, table


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_runs_and_shows_both_parts_of_its_figures(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([name, "--quick"])
    printed = capsys.readouterr().out
    assert name in printed.splitlines()
    assert "beside it" in printed
    assert "ratio" in printed


def test_a_word_that_is_no_bench_is_refused_with_the_choices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["moves"])
    assert "moves: one of move, failover, heartbeat, monitor, start" in capsys.readouterr().err


def figure(ours_s: float, beside_s: float, goal: Within) -> Figure:
    return Figure(
        name="ours",
        ours=Sample((ours_s,)),
        beside_name="bare",
        beside=Sample((beside_s,)),
        goal=goal,
    )


def test_a_goal_is_a_factor_or_a_distance_and_the_bound_counts_as_met() -> None:
    assert figure(0.003, 0.001, Within(3)).verdict == "within 3x: yes"
    assert figure(0.0031, 0.001, Within(3)).verdict == "within 3x: NO"
    assert figure(0.0014, 0.001, Within(1, more_s=0.0005)).verdict == "within 0.5 ms: yes"
    assert figure(0.0016, 0.001, Within(1, more_s=0.0005)).verdict == "within 0.5 ms: NO"
    assert figure(0.004, 0.001, Within(3, more_s=0.002)).verdict == "within 3x + 2 ms: yes"


def test_the_99th_percentile_of_few_is_the_longest() -> None:
    assert Sample((0.1, 0.3, 0.2)).p99_s == 0.3
    assert Sample(tuple(range(1, 201))).p99_s == 198


def test_works_are_timed_in_turns_and_each_begins_as_often() -> None:
    order: list[str] = []
    in_turns(2, lambda: order.append("a"), lambda: order.append("b"))
    assert order == ["a", "b", "b", "a"]


def test_the_table_shows_milliseconds_of_both_and_their_ratio() -> None:
    assert table([figure(0.003, 0.0015, Within(3))]).splitlines() == [
        "what  median   p99  beside it  median   p99  rounds  ratio  goal",
        "ours    3.00  3.00  bare         1.50  1.50       1   2.00  within 3x: yes",
    ]
