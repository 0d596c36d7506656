"""`srmd sim` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srmd.cli import Exit, main
from srmd.lab.chance import shrinking
from srmd.lab.scenario import load
from srmd.node.reports import Reports

Capture = pytest.CaptureFixture[str]

FAILS = 1037
"""In seeds.txt, as one that was mended."""


def test_few_seeds_ask_too_little_and_that_is_a_failure(capsys: Capture) -> None:
    assert main(["sim", "--seeds", "2", "--from", "1", "--jobs", "1", "--json"]) == Exit.FAILED
    told = capsys.readouterr()
    summary = json.loads(told.out)
    assert summary["plans"] == 2
    assert summary["failures"] == []
    assert "lasting_loss_rests" in summary["never_asked"]
    assert "with --from 1 all happens again" in told.err
    assert "try more --seeds" in told.err


def test_one_seed_is_told_as_it_goes(capsys: Capture) -> None:
    assert main(["sim", "--seed", "3"]) == Exit.OK
    assert "reached  a Normal / Normal  |  b Normal / Normal" in capsys.readouterr().out


def test_a_failure_is_kept_as_a_file_that_fails_again(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srmd.cli.sim.can_shrink", lambda: False)
    monkeypatch.setattr(Reports, "doubt", lambda *_: None)  # what mended it
    kept = tmp_path / "kept"
    assert main(["sim", "--seed", str(FAILS), "--keep", str(kept)]) == Exit.FAILED
    told = capsys.readouterr().err
    assert f"seed {FAILS} failed: passing_ends" in told
    assert shrinking.NOT_INSTALLED in told
    (file,) = kept.iterdir()
    assert load(file).steps
    assert main(["sim", str(file), "--seed", str(FAILS)]) == Exit.FAILED


@pytest.mark.parametrize(
    "words, said",
    [
        (["--executor", "slurm://x"], "unknown; write dask://HOST:PORT"),
        (["--executor", "dask://x:1", "--jobs", "2"], "the cluster has its own workers"),
        (["--seed", "1", "--seeds", "2"], "not beside --seed"),
        (["nowhere.toml"], "give --seed too"),
        (["nowhere.toml", "--seed", "1"], "name a file that can be read"),
        (["--seeds", "0"], "a whole number from 1 to 999999999 is needed"),
    ],
)
def test_wrong_words_are_told_with_the_way_out(
    words: list[str], said: str, capsys: Capture
) -> None:
    assert main(["sim", *words]) == Exit.USAGE
    assert said in capsys.readouterr().err
