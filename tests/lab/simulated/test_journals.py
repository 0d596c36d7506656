"""A simulated pair leaves journals as a live one does: replayed, explained, drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from srmd.lab.records.history import histories
from srmd.lab.records.reading import read
from srmd.lab.records.replaying import replay
from srmd.lab.records.timeline import timeline
from srmd.lab.simulated.journals import CHECKPOINT_INPUTS, Journals
from srmd.lab.simulated.pair import Pair

TWO_HOURS_S = 7200.0
"""Hundreds of beats at Cisco's interval, so that there are checkpoints."""


def written(folder: Path, seed: int) -> dict[str, str]:
    """A pair that has run; a node is killed on the way, and started again."""
    folder.mkdir()
    pair = Pair(seed=seed)
    journals = Journals(pair)
    pair.start()
    pair.run_until(TWO_HOURS_S)
    pair.a.kill()
    pair.run_until(TWO_HOURS_S + 300.0)
    pair.a.start()
    pair.run_until(TWO_HOURS_S + 600.0)
    for name, text in journals.texts().items():
        (folder / name).write_text(text)
    return journals.texts()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulated") / "pair"
    written(made, seed=3)
    return made


def test_log_and_machine_agree(folder: Path) -> None:
    for journal in read([folder]).journals:
        found = replay(journal)
        assert found.disagreement is None
        assert found.inputs_count > CHECKPOINT_INPUTS
        assert found.checkpoints_count >= 1


def test_the_clock_is_one_and_the_offset_says_so(folder: Path) -> None:
    (found,) = histories(read([folder])).offsets
    assert found.uncertainty_s is not None
    assert found.offset_s == pytest.approx(0.0, abs=found.uncertainty_s + 1e-6)


def test_the_dead_node_and_the_take_over_are_on_the_line(folder: Path) -> None:
    line = timeline(read([folder]))
    said = {(bar.lane, bar.text.en) for bar in line.bars}
    assert ("node a", "no record of the node") in said
    assert ("node b", "Running in Backup Mode / Peer Down") in said
    assert ("users a", "users of a: served by b") in said


def test_the_same_seed_gives_the_same_journals(folder: Path, tmp_path: Path) -> None:
    again = written(tmp_path / "again", seed=3)
    assert {file.name: file.read_text() for file in folder.iterdir()} == again
