"""What a run of many scenarios leaves: verdicts, journals, JUnit XML, coverage, exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from srmd.cli import lab as cli
from srmd.cli import main
from srmd.core.texts import Text
from srmd.lab.coverage import BadJournal, of_journals
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.running import Result, Verdict
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.scenario.story import Scenario, Settings, Step, Users
from srmd.lab.suite import closing, junit, play_all
from tests.lab.test_scenario_running import FakeStage

TEXT = Text("story", "話")
STORY = """\
shows = [1]
title = { en = "t", ja = "題" }
story = { en = "s", ja = "話" }
[[step]]
do = "heal"
"""


@dataclass
class FakeSuite(FakeStage):
    prepared: list[Settings] = field(default_factory=list)
    unfit_for: Mapping[int, str] = field(default_factory=dict)
    broken_for: Mapping[int, str] = field(default_factory=dict)

    def unfit(self, settings: Settings) -> str | None:
        return self.unfit_for.get(settings.users.count)

    def prepare(self, settings: Settings) -> None:
        if why := self.broken_for.get(settings.users.count):
            raise StageBroken(why)
        self.prepared.append(settings)

    def evidence(self) -> dict[str, str]:
        return {"node-a-log.jsonl": "the log"}


def scenario(name: str, users: int = 20, **timers: str) -> Scenario:
    changed = tuple((timer, duration(text)) for timer, text in timers.items())
    settings = Settings(users=Users(users), timers=changed)
    return Scenario(Path(f"{name}.toml"), TEXT, TEXT, (1,), (Step(1),), settings)


def result(name: str, verdict: Verdict, why: str = "") -> Result:
    journal = ({"at_s": 1.0, "kind": "do", "text": "bell \a rings"},)
    return Result(name, scenario(name), verdict, why, 1.5, (1,), journal, 7)


def test_scenarios_of_equal_settings_follow_each_other() -> None:
    stage = FakeSuite()
    results = play_all(
        [scenario("one"), scenario("two", 40), scenario("three")], stage, lambda _line: None
    )
    assert [one.name for one in results] == ["one", "three", "two"]
    assert [settings.users.count for settings in stage.prepared] == [20, 20, 40]


def test_what_does_not_fit_is_skipped_and_what_breaks_is_an_error_and_the_rest_goes_on() -> None:
    stage = FakeSuite(unfit_for={30: "not here"}, broken_for={40: "no port"})
    results = play_all(
        [scenario("a", 30), scenario("b", 40), scenario("c")], stage, lambda _line: None
    )
    assert [(one.name, one.verdict, one.why) for one in results] == [
        ("a", Verdict.SKIPPED, "not here"),
        ("b", Verdict.ERROR, "no port"),
        ("c", Verdict.PASSED, ""),
    ]
    assert "1 passed, 1 error, 1 skipped" in closing(results)


def test_each_play_leaves_a_journal_and_its_logs(tmp_path: Path) -> None:
    stage = FakeSuite(broken_for={40: "no port"})
    play_all([scenario("good"), scenario("bad", 40)], stage, lambda _line: None, tmp_path)
    good = json.loads((tmp_path / "good.json").read_text())
    assert (good["verdict"], good["rows"], good["file"]) == ("passed", [1, 1], "good.toml")
    assert good["journal"][-1]["kind"] == "verdict"
    assert (tmp_path / "bad" / "node-a-log.jsonl").read_text() == "the log"
    assert (tmp_path / "good" / "node-a-log.jsonl").read_text() == "the log"
    assert of_journals(tmp_path).reached == {1: ("good",)}


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(BadJournal, match=r"x\.json"):
        of_journals(tmp_path)


def test_junit_counts_and_escapes() -> None:
    text = junit(
        [
            result("good", Verdict.PASSED),
            result("bad", Verdict.FAILED, 'a "<b>" \x00'),
            result("odd", Verdict.ERROR, "broken"),
            result("out", Verdict.SKIPPED, "not here"),
        ]
    )
    suite = ET.fromstring(text.encode())
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["4", "1", "1", "1"]
    failure = suite.find("testcase[@name='bad']/failure")
    assert failure is not None
    assert failure.get("message") == 'a "<b>" ?'
    assert "bell ? rings" in (suite.findtext("testcase[@name='good']/system-out") or "")


@pytest.mark.parametrize(
    "verdicts,code",
    [
        ({"passed"}, 0),
        ({"passed", "skipped"}, 0),
        ({"passed", "failed", "error"}, 1),
        ({"passed", "error"}, 2),
        ({"skipped"}, 2),
    ],
)
def test_the_exit_code_tells_passed_failed_and_error_apart(verdicts: set[str], code: int) -> None:
    assert cli._code(verdicts) == code


def test_a_malformed_file_ends_a_run_with_2_and_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "story.toml"
    file.write_text(STORY.replace("heal", "heel"), encoding="utf-8")
    assert main(["lab", "run", str(file)]) == 2
    assert "line 5: step 1.do: 'heel'" in capsys.readouterr().err


def test_list_and_coverage_need_no_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "story.toml").write_text(STORY, encoding="utf-8")
    assert main(["lab", "list", "--lang", "ja", str(tmp_path)]) == 0
    assert "題" in capsys.readouterr().out
    assert main(["lab", "coverage", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "1 of 24 documented rows" in said.out
    assert "no scenario reaches row 2, 3, 4" in said.err
    assert main(["lab", "coverage"]) == 0


def test_a_folder_without_scenarios_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "run", str(tmp_path)]) == 2
    assert "no scenario in" in capsys.readouterr().err
