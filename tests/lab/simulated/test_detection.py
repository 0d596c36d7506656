"""Detection alone, over simulated weeks: it agrees with the formula, and with the whole pair."""

from __future__ import annotations

import pytest

from srmd.lab.faultproxy.datagrams import DatagramToxic, DropNext, Latency, PacketLoss, Replay
from srmd.lab.faultproxy.pipeline import Pipeline, Placed
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.simulated.detection import Silence, listen

DAY_S = 86_400.0


def line(*toxics: DatagramToxic, seed: int = 1) -> Pipeline:
    pipeline = Pipeline()
    for number, toxic in enumerate(toxics):
        pipeline.add(0.0, Placed(f"t{number}", toxic, 1.0, substream(seed, number)))
    return pipeline


@pytest.mark.parametrize(
    "timeout_s, lost_in_a_row",
    [pytest.param(4.0, 4, id="the tie is the beat's"), pytest.param(3.5, 3, id="no tie")],
)
def test_false_alarms_are_as_frequent_as_the_formula_says(
    timeout_s: float, lost_in_a_row: int
) -> None:
    """interval / (p^k (1 - p)) seconds between two, for independent loss."""
    loss, for_s = 0.5, DAY_S
    listened = listen(
        line(PacketLoss(loss_rate=loss)), interval_s=1, timeout_s=timeout_s, for_s=for_s
    )
    expected_s = 1 / (loss**lost_in_a_row * (1 - loss))
    assert for_s / len(listened.silences) == pytest.approx(expected_s, rel=0.05)


def test_a_month_without_loss_has_no_alarm() -> None:
    listened = listen(line(), interval_s=15, timeout_s=60, for_s=30 * DAY_S)
    assert listened.silences == ()
    assert listened.heard_count == listened.sent_count == 172_801


def test_three_lost_beats_are_borne_and_four_are_not() -> None:
    assert not listen(line(DropNext(count=3)), interval_s=15, timeout_s=60, for_s=300).silences
    listened = listen(line(DropNext(count=5)), interval_s=15, timeout_s=60, for_s=300)
    assert listened.silences == (Silence(heard_s=0.0, down_s=60.0, ended_s=75.0),)


def test_a_dead_sender_is_found_a_timeout_after_its_last_beat() -> None:
    listened = listen(line(), interval_s=15, timeout_s=60, for_s=DAY_S, dies_s=1000)
    assert listened.silences == (Silence(heard_s=990.0, down_s=1050.0, ended_s=None),)


def test_a_late_beat_is_late_and_an_old_one_is_none() -> None:
    """Delayed by more than the timeout the first beat comes at 70 s, and the others follow."""
    listened = listen(line(Latency(latency=70_000)), interval_s=15, timeout_s=60, for_s=300)
    assert listened.silences == (Silence(heard_s=0.0, down_s=60.0, ended_s=70.0),)
    replayed = line(Replay(probability=1.0), DropNext(count=0))
    assert listen(replayed, interval_s=15, timeout_s=60, for_s=300).heard_count == 21
