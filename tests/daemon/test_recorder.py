"""What SRM leaves in the journal, so that its run can be replayed and explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.core.events import Event, PeerDown, PeerHeard
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.core.transitions import step
from srmd.daemon.recorder import BEATS_A_LINE, CHECKPOINT_INPUTS, Recorder
from srmd.node.memory import Boot, wake
from srmd.wire.journal import Beats, Decided, Entry, Heard, Known, Sent, entry_from_json
from tests.daemon.nodes import config_of
from tests.play import a_node, a_report

INTERVAL_S = 0.05
"""Of the configuration."""
BOOT = Boot(boot_id="0" * 32, os_boot_id="os", at="2026-11-22T12:00:00.000+00:00")
NORMAL = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))
BEAT = PeerHeard(a_report(State.NORMAL))


class Lines:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, entry: Mapping[str, object]) -> None:
        self.entries.append(entry_from_json(dict(entry)))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def recorder(lines: Lines, tmp_path: Path) -> Recorder:
    config = config_of("a", tmp_path)
    memory = replace(wake(None, config, BOOT, rebooted=False)[0], incarnation=4)
    return Recorder(lines, config, memory, NORMAL)


def decide(recorder: Recorder, node: Node, event: Event, at_s: float = 5.0) -> Node:
    result = step(node, event)
    recorder.decided(node, event, result, at_s=at_s)
    return result.node


def test_it_begins_with_the_node_who_writes_and_its_timers(
    recorder: Recorder, lines: Lines
) -> None:
    (first,) = lines.entries
    assert isinstance(first, Known)
    assert first.boot
    assert first.node == NORMAL
    assert first.about is not None
    assert (first.about.node, first.about.peer, first.about.incarnation) == ("a", "b", 4)
    assert first.about.timers.keep_alive_interval_s == 0.05


def test_the_beats_before_a_transition_stand_before_it(recorder: Recorder, lines: Lines) -> None:
    recorder.sent(7, 1.0)
    recorder.heard(2, 9, 1.5)
    decide(recorder, NORMAL, BEAT)
    decide(recorder, NORMAL, PeerDown())
    kinds = [type(entry).__name__ for entry in lines.entries]
    assert kinds == ["Known", "Decided", "Beats", "Decided"]
    beats = lines.entries[2]
    assert isinstance(beats, Beats)
    assert (beats.incarnation, beats.sent, beats.heard) == (4, (Sent(7, 1.0),), (Heard(2, 9, 1.5),))


def test_quiet_beats_share_a_line(recorder: Recorder, lines: Lines) -> None:
    for seq in range(BEATS_A_LINE):
        recorder.sent(seq, seq * INTERVAL_S)
        decide(recorder, NORMAL, BEAT, seq * INTERVAL_S)
    assert sum(isinstance(entry, Beats) for entry in lines.entries) == 1
    recorder.flush()  # nothing waits
    assert sum(isinstance(entry, Beats) for entry in lines.entries) == 1


def test_a_long_run_can_be_taken_up_in_the_middle(recorder: Recorder, lines: Lines) -> None:
    node = NORMAL
    for _ in range(2 * CHECKPOINT_INPUTS):
        node = decide(recorder, node, BEAT)
    known = [entry for entry in lines.entries if isinstance(entry, Known)]
    assert [entry.boot for entry in known] == [True, False, False]
    assert known[-1].node == node
    assert isinstance(lines.entries[-2], Decided)


def test_a_node_that_hears_nobody_leaves_a_line_in_every_second_interval(
    recorder: Recorder, lines: Lines
) -> None:
    """Its beats waited for a full line.  A time line of a pair that runs said "no record of the
    node" of the last 32 intervals."""
    decide(recorder, NORMAL, PeerDown(), 0.0)
    for seq in range(1, 13):
        recorder.sent(seq, seq * INTERVAL_S + 0.001)
    beats = [entry for entry in lines.entries if isinstance(entry, Beats)]
    told = [one.at_s for entry in beats for one in entry.sent]
    assert len(told) >= 11
    assert len(beats) >= 6
