"""Virtual time: what comes first at one moment, and lives that end, stand still and go on."""

from __future__ import annotations

import pytest

from srmd.lab.simulated.flows import Flow, Outcome, TimeLimit, Work, WorkFailed
from srmd.lab.simulated.moments import Alarm, Life, Moments, Rank


class Notes:
    """Writes down what happens, and when."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self.lines: list[tuple[float, str]] = []

    def __call__(self, what: str) -> None:
        self.lines.append((self.moments.now_s, what))


def test_arrivals_come_before_work_and_work_before_deadlines() -> None:
    moments = Moments()
    note = Notes(moments)
    for rank in (Rank.DEADLINE, Rank.WORK, Rank.ARRIVAL, Rank.WORK):
        moments.at(5.0, rank, lambda rank=rank: note(rank.name))  # type: ignore[misc]
    moments.run_until(10.0)
    assert note.lines == [(5.0, "ARRIVAL"), (5.0, "WORK"), (5.0, "WORK"), (5.0, "DEADLINE")]
    assert moments.now_s == 10.0


def test_an_alarm_rings_once_at_the_moment_it_was_set_to_last() -> None:
    moments = Moments()
    note = Notes(moments)
    alarm = Alarm(moments, Rank.DEADLINE, lambda: note("ring"))
    alarm.set(5.0)
    alarm.set(20.0)
    moments.at(8.0, Rank.WORK, lambda: alarm.set(9.0))
    moments.run_until(100.0)
    assert note.lines == [(9.0, "ring")]
    alarm.set(110.0)
    alarm.cancel()
    moments.run_until(200.0)
    assert note.lines == [(9.0, "ring")]


def test_what_was_due_while_a_process_stood_still_happens_when_it_goes_on() -> None:
    moments = Moments()
    note = Notes(moments)
    process = Life(moments)
    part = Life(moments, process)
    part.after(2.0, lambda: note("deadline"), Rank.DEADLINE)
    process.after(3.0, lambda: note("work"))
    part.after(4.0, lambda: note("arrival"), Rank.ARRIVAL)
    moments.run_until(1.0)
    process.freeze()
    moments.run_until(10.0)
    assert not note.lines
    process.thaw()
    moments.run_until(11.0)
    assert note.lines == [(10.0, "arrival"), (10.0, "work"), (10.0, "deadline")]


def test_nothing_happens_after_the_end_of_a_life() -> None:
    moments = Moments()
    note = Notes(moments)
    process = Life(moments)
    part = Life(moments, process)
    process.after(2.0, lambda: note("process"))
    part.after(2.0, lambda: note("part"))
    part.end()
    moments.run_until(5.0)
    assert note.lines == [(2.0, "process")]
    process.after(2.0, lambda: note("process"))
    process.end()
    moments.run_until(10.0)
    assert len(note.lines) == 1


def test_a_flow_waits_for_seconds_and_for_other_flows() -> None:
    moments = Moments()
    life = Life(moments)

    def inner() -> Work[int]:
        yield 2.0
        return 20

    def outer() -> Work[int]:
        yield 1.0
        found = yield Flow(life, inner())
        return int(found) + 1

    flow = Flow(life, outer())
    moments.run_until(2.9)
    assert not flow.done
    moments.run_until(3.0)
    assert flow.result() == 21


def test_a_failure_reaches_whoever_waits() -> None:
    moments = Moments()
    life = Life(moments)

    def fails() -> Work[None]:
        yield 1.0
        raise WorkFailed("the disk is full")

    def waits() -> Work[str]:
        try:
            yield Flow(life, fails())
        except WorkFailed as error:
            return str(error)
        return ""

    flow = Flow(life, waits())
    moments.run_until(2.0)
    assert flow.result() == "the disk is full"


def test_a_defect_ends_the_simulation() -> None:
    moments = Moments()
    life = Life(moments)

    def broken() -> Work[None]:
        yield 1.0
        raise KeyError("a defect")

    Flow(life, broken())
    with pytest.raises(KeyError):
        moments.run_until(2.0)


def test_work_that_takes_too_long_fails_and_never_goes_on() -> None:
    moments = Moments()
    life = Life(moments)
    note = Notes(moments)

    def slow() -> Work[None]:
        yield 10.0
        note("done")

    flow = Flow(life, slow(), limit_s=3.0)
    moments.run_until(20.0)
    with pytest.raises(TimeLimit):
        flow.result()
    assert not note.lines


def test_the_first_end_of_an_outcome_counts() -> None:
    outcome: Outcome[int] = Outcome()
    outcome.fail(TimeLimit("late"))
    outcome.succeed(1)
    with pytest.raises(TimeLimit):
        outcome.result()
