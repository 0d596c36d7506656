"""What a run leaves: text, JSON, one picture; and what the command says when it cannot begin."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest

from srmd.cli import main
from srmd.cli import soak as command
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.soak import running
from srmd.lab.soak.judging import Finding, Still
from srmd.lab.soak.plot import draw
from srmd.lab.soak.report import as_json, as_text
from srmd.lab.soak.running import Endurance, Told
from srmd.lab.soak.sampling import CONTROL, Sample

KEPT = Finding("rise of threads", "a", 0.25, 2.0, "", "in 60 s; worst of 1 of 1 lives")
BROKEN = Finding("lateness of the latest beat", "b", 150.0, 100.0, "ms")
NOT_JUDGED = Finding("rise of threads", "b", None, 2.0, "", required=False)


def endurance(*findings: Finding, why: str = "") -> Endurance:
    samples = [
        Sample(float(second), node, node, "1", second % 3 > 0, {"0.002": 9 * second}, 0.0015)
        for second in range(1, 20)
        for node in ("a", "b", CONTROL)
    ]
    story = Told(1, ("freeze node a", "heal"), 4.0, 6.0, 9.5)
    still = (Still("a", 4.0, 9.5),)
    return Endurance(7, 0.1, 120.0, (story,), tuple(samples), still, findings, why)


def test_the_text_has_each_figure_beside_its_bound_and_the_verdict() -> None:
    text = as_text(endurance(KEPT, NOT_JUDGED))
    assert "ok   a     rise of threads                             0.25         2" in text
    assert "ok   b     rise of threads                                -         2" in text
    assert text.endswith("passed: 1 stories with 2 faults in 2.0 min, seed 7, 57 samples")


def test_a_bound_that_is_not_kept_fails_the_run() -> None:
    text = as_text(endurance(KEPT, BROKEN))
    assert "NOT  b     lateness of the latest beat" in text
    assert "failed: 1 stories" in text


def test_a_process_that_the_pair_left_behind_fails_the_run() -> None:
    run = running.with_left_behind(endurance(KEPT), ["123 python service_program"])
    assert "left behind: 123 python service_program" in as_text(run)
    assert not run.passed
    assert running.with_left_behind(endurance(KEPT), []).passed


def test_a_pair_that_does_not_come_home_fails_the_run_with_its_story() -> None:
    text = as_text(endurance(KEPT, why="story 1 of seed 7: not at home within 90 s"))
    assert "story 1 of seed 7: not at home within 90 s" in text
    assert "failed: 1 stories" in text


def test_the_json_holds_everything_and_no_infinity() -> None:
    beyond = Finding("lateness of 99% of the beats", "b", math.inf, 10.0, "ms", "9 beats")
    report = json.loads(as_json(endurance(KEPT, beyond)))
    assert report["verdict"] == "failed"
    assert [one["kept"] for one in report["findings"]] == [True, False]
    assert report["findings"][1]["note"] == "beyond the last class; 9 beats"
    assert len(report["samples"]) == 57
    assert report["stories"][0]["did"] == ["freeze node a", "heal"]


def test_the_picture_is_one_png_and_one_svg(tmp_path: Path) -> None:
    png, svg = draw(endurance(KEPT, BROKEN), tmp_path)
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = svg.read_text()
    assert "<svg" in text
    assert draw(endurance(KEPT, BROKEN), tmp_path)[1].read_text() == text, "the same run, the same"


def played(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(running, "soak", lambda *_: endurance(*findings))


def test_the_command_leaves_the_report_and_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "new" / "report"
    played(monkeypatch, KEPT)
    assert main(["lab", "soak", "--minutes", "2", "--seed", "7", "--report", str(report)]) == 0
    assert {file.name for file in report.iterdir()} == set(command.FILES)
    played(monkeypatch, BROKEN)
    assert main(["lab", "soak", "--seed", "7", "--report", str(report), "--no-plot"]) == 1
    assert {file.name for file in report.iterdir()} == {"soak.json", "soak.txt"}
    assert "--seed 7 draws them again" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (("--minutes", "1"), "--minutes: 1: a number of minutes from 2 to 480 is needed"),
        (("--minutes", "nan"), "nan: a number of minutes from 2 to 480 is needed"),
        (("--seed", "0"), "0: a whole number from 1 to 2147483647 is needed"),
        (("--report", "/dev/null/x"), "--report /dev/null/x: Not a directory; name a folder"),
    ],
)
def test_a_wrong_option_is_said_before_minutes_have_passed(
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played(monkeypatch, KEPT)
    try:
        code = main(["lab", "soak", *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert said in capsys.readouterr().err


def test_without_matplotlib_the_way_out_is_said_before_minutes_have_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played(monkeypatch, KEPT)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert main(["lab", "soak", "--report", str(tmp_path)]) == 2
    assert command.NO_PLOT in capsys.readouterr().err
    assert main(["lab", "soak", "--report", str(tmp_path), "--no-plot"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"soak.json", "soak.txt"}


def test_an_unfit_environment_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> Endurance:
        raise StageBroken("the pair did not start: no port is free")

    monkeypatch.setattr(running, "soak", broken)
    assert main(["lab", "soak"]) == 2
    assert "the pair did not start: no port is free" in capsys.readouterr().err
