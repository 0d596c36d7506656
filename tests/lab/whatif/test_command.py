"""`srmd sweep` as people use it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from srmd.cli import main
from srmd.lab.whatif.report import COLUMNS

QUICK = ("--weeks", "0.5", "--deaths", "20", "--jobs", "1")


def test_a_sweep_prints_a_line_a_case_and_writes_table_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"sweep.{kind}" for kind in ("csv", "png", "svg")}
    words = ["sweep", "--loss", "10%,0.2", "--timeout", "45s,60s", "--csv", str(files["csv"])]
    assert main([*words, "--plot", str(files["png"]), "--plot", str(files["svg"]), *QUICK]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 4
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    tried = [(float(row["loss"]), float(row["timeout_s"])) for row in rows]
    assert tried == [(0.1, 45), (0.1, 60), (0.2, 45), (0.2, 60)]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files["svg"].read_text()


def test_a_recommendation_names_timers_and_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--loss", "2%", "--recommend", "0.5", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "fastest with at most 0.5 false take-overs a year: interval" in said
    assert "the price:" in said


@pytest.mark.parametrize(
    "words, said",
    [
        (["--loss", "110%"], "below 100%"),
        (["--loss", "much"], "a share such as 5%"),
        (["--timeout", "fast"], "a time such as 15s"),
        (["--timeout", "20s"], "at least twice the interval"),
        (["--weeks", "0"], "a number above 0"),
        (["--plot", "sweep.gif"], ".png or .svg"),
        (["--loss", "1%,2%", "--recommend", "1"], "one line"),
        (["--csv", "no/such/folder.csv", "--weeks", "0.1", "--deaths", "1"], "no/such/folder.csv"),
    ],
)
def test_what_cannot_be_swept_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *words]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
