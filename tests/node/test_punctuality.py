"""Late beats, counted by classes."""

from __future__ import annotations

from srmd.node.punctuality import CLASSES, Punctuality


def test_each_beat_is_in_the_first_class_that_holds_it() -> None:
    punctuality = Punctuality()
    for late_s in (0.0, 0.001, 0.0011, 0.06, 5.0):
        punctuality.note(late_s)
    counts = punctuality.counts()
    assert {name: count for name, count in counts.items() if count} == {
        "0.001": 2,
        "0.002": 1,
        "0.07": 1,
        "more": 1,
    }
    assert tuple(counts) == CLASSES
    assert punctuality.latest_s == 5.0


def test_two_readings_subtracted_tell_of_the_time_between() -> None:
    punctuality = Punctuality()
    punctuality.note(0.5)
    before = punctuality.counts()
    punctuality.note(0.5)
    punctuality.note(0.002)
    after = punctuality.counts()
    between = {name: after[name] - before[name] for name in CLASSES}
    assert {name: count for name, count in between.items() if count} == {"0.002": 1, "0.5": 1}
