"""Lines: what chance does on them, and what the closed formula says."""

from __future__ import annotations

import pytest

from srmd.lab.whatif.line import YEAR_S, Line, NoSuchLine, Timers

CISCO = Timers(15.0, 60.0)


@pytest.mark.parametrize(
    "loss, mean_s",
    [
        pytest.param(0.01, 48 * YEAR_S, id="one in a hundred: 48 years"),
        pytest.param(0.10, 46.3 * 3600, id="one in ten: 46 hours"),
    ],
)
def test_independent_loss_is_the_known_formula(loss: float, mean_s: float) -> None:
    """interval / (p^k (1 - p)), for one direction, with the tie for the heartbeat: k = 4."""
    expected_s = 15.0 / (loss**4 * (1 - loss))
    assert YEAR_S / (Line(loss).false_per_year(CISCO) / 2) == pytest.approx(expected_s)
    assert expected_s == pytest.approx(mean_s, rel=0.01)


@pytest.mark.parametrize(
    "timers, k",
    [
        (Timers(15, 60), 4),  # the fourth beat falls on the deadline, and counts
        (Timers(15, 59.9), 3),
        (Timers(0.1, 0.3), 3),  # whatever binary fractions make of it
        (Timers(15, 67.5), 4),
    ],
)
def test_so_many_beats_have_to_be_lost(timers: Timers, k: int) -> None:
    assert Line(0.1).lost_in_a_row(timers) == k


def test_with_jitter_the_beat_at_the_deadline_may_be_late() -> None:
    assert Line(0.1, latency_s=0.1, jitter_s=0.1).lost_in_a_row(CISCO) == 3


@pytest.mark.parametrize("burst", [1.0, 1.5, 2.0, 5.0])
def test_a_burst_has_the_length_asked_for_and_the_loss_stays(burst: float) -> None:
    """Read off the toxics themselves, over many beats."""
    pipeline = Line(0.1, burst).pipeline(1, "a->b", "life")
    beats = 200_000
    lost = [not pipeline.admit(float(beat), b"beat") for beat in range(beats)]
    runs = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / beats == pytest.approx(0.1, rel=0.05)
    expected = max(burst, 1 / 0.9)
    assert sum(lost) / runs == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "numbers, said",
    [
        ({"loss": 1.0}, "loss 100%"),
        ({"loss": -0.1}, "loss -10%"),
        ({"burst_beats": 0.5}, "burst 0.5"),
        ({"jitter_s": 0.2, "latency_s": 0.1}, "jitter up to latency"),
        ({"latency_s": -1.0}, "0 or more"),
    ],
)
def test_what_no_line_can_be_is_said(numbers: dict[str, float], said: str) -> None:
    with pytest.raises(NoSuchLine, match=said):
        Line(**numbers)


def test_timers_that_no_pair_may_have_are_said() -> None:
    with pytest.raises(NoSuchLine, match="twice the interval"):
        Timers(15, 20)
