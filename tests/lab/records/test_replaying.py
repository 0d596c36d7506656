"""A journal is fed through the machine again; where they disagree is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.cli import Exit, main
from srmd.core.events import PeerDown, UsersMoved
from srmd.core.states import Reason, State
from srmd.lab.records.reading import read
from srmd.lab.records.replaying import Replay, replay
from srmd.wire.journal import Decided, Dropped
from tests.lab.records.written import Scribe, Written

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def a(tmp_path: Path) -> Scribe:
    """Node a takes over from a silent peer."""
    pair = Written(tmp_path).begin()
    pair.a.take(4.0, PeerDown())
    pair.a.take(5.0, UsersMoved(pair.a.node.op))
    return pair.a


def replayed(file: Path) -> Replay:
    return replay(read([file]).journals[0])


def test_a_journal_of_the_machine_agrees_with_it(a: Scribe, capsys: Capture) -> None:
    found = replayed(a.journal)
    assert (found.inputs_count, found.starts_count, found.disagreement) == (2, 1, None)
    assert main(["replay", str(a.journal)]) == Exit.OK
    assert "node a: 2 inputs, 1 starts of SRM, 0 checkpoints: log and machine agree" in (
        capsys.readouterr().out
    )


def test_the_first_record_that_disagrees_is_told_with_its_rule(a: Scribe, capsys: Capture) -> None:
    a.write(Decided(6.0, PeerDown(), State.FAILED_MODE, Reason.UNKNOWN, 13))
    a.write(Decided(7.0, PeerDown(), State.IDLE, Reason.UNKNOWN, 14))
    assert main(["replay", str(a.journal)]) == Exit.FAILED
    out = capsys.readouterr().out
    assert f"{a.journal}:4: the first record where they disagree" in out
    assert "expected  FAILED_MODE / unknown, op 13  (by the log)" in out
    assert "found     BACKUP / peer_down, op 12  (by the machine)" in out
    assert "rule      lose_peer_as_backup: Without its peer a backup keeps its role" in out
    assert ":5" not in out


def test_json_for_programs(a: Scribe, capsys: Capture) -> None:
    a.write(Decided(6.0, PeerDown(), State.FAILED_MODE, Reason.UNKNOWN, 13))
    assert main(["replay", "--json", str(a.journal)]) == Exit.FAILED
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["node"], one["inputs_count"]) == ("a", 3)
    assert one["disagreement"]["line"] == 4
    assert one["disagreement"]["decision"] == "lose_peer_as_backup"


def test_a_checkpoint_that_differs_in_any_field_is_a_disagreement(a: Scribe) -> None:
    a.begin(6.0, replace(a.node, lasting=True), boot=False)
    wrong = replayed(a.journal).disagreement
    assert wrong is not None
    assert (wrong.what, wrong.expected, wrong.found) == (
        "a checkpoint",
        "lasting=True",
        "lasting=False",
    )


@pytest.mark.parametrize("gap", ['{"at_s": 9, "ev', '{"dropped": 3}'])
def test_behind_a_gap_the_replay_waits_for_the_next_whole_node(
    a: Scribe, gap: str, capsys: Capture
) -> None:
    a.raw(gap)
    a.take(10.0, PeerDown())
    a.begin(11.0, boot=False)
    a.take(12.0, PeerDown())
    assert main(["replay", str(a.journal)]) == Exit.OK
    found = replayed(a.journal)
    assert (found.inputs_count, found.skipped_count, found.gaps_count) == (3, 1, 1)
    assert "1 inputs could not be replayed" in capsys.readouterr().out


def test_foreign_and_damaged_lines_are_counted_and_shown(a: Scribe, capsys: Capture) -> None:
    a.raw("hello").raw('{"torn": ').raw('{"some": "thing"}').raw("[1]")
    assert main(["replay", str(a.journal)]) == Exit.OK
    told = capsys.readouterr().err
    assert "1 damaged, 3 foreign" in told
    assert f"{a.journal}:5: not JSON: " in told
    assert f"foreign: {a.journal}:4: not JSON: hello" in told


def test_an_input_that_no_live_machine_can_have_met_is_a_disagreement(a: Scribe) -> None:
    never_heard = replace(a.node, state=State.NORMAL, peer=None)
    a.begin(6.0, never_heard)
    a.raw(
        '{"at_s": 7.0, "event": {"type": "HealthChanged", "health": "ok", "lasting": false},'
        ' "then": ["NORMAL", "normal", 12]}'
    )
    wrong = replayed(a.journal).disagreement
    assert wrong is not None
    assert wrong.found.startswith("the machine cannot take it: asked for the report of a peer")


def test_the_older_half_of_a_rotated_journal_comes_first(a: Scribe) -> None:
    a.journal.rename(a.journal.with_name("journal.jsonl.1"))
    a.take(6.0, PeerDown())
    for name in (a.journal, a.journal.with_name("journal.jsonl.1"), a.journal.parent, a.log):
        found = replayed(name)
        assert (found.inputs_count, found.disagreement) == (3, None), name


@pytest.mark.parametrize("name", ["nowhere", "empty.jsonl", "text.jsonl"])
def test_what_cannot_be_replayed_is_said_with_the_way_out(
    tmp_path: Path, name: str, capsys: Capture
) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "text.jsonl").write_text("hello\n" * 20 + "\x00\xff{" * 3)
    assert main(["replay", str(tmp_path / name)]) == Exit.USAGE
    told = capsys.readouterr().err
    assert str(tmp_path / name) in told
    assert "Traceback" not in told


def test_nothing_is_lost_that_was_only_dropped(a: Scribe) -> None:
    a.write(Dropped(7))
    assert replayed(a.journal).gaps_count == 1
