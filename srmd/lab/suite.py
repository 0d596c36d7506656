"""Plays many scenarios on one stage, and keeps what each of them leaves for the reader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

from srmd.lab.scenario.running import Play, Result, Verdict
from srmd.lab.scenario.stage import NotHome, Stage, StageBroken
from srmd.lab.scenario.story import Scenario, Settings

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
EVIDENCE_CHARACTERS_MAX = 5_000_000
"""The end of a longer log is kept."""


class SuiteStage(Stage, Protocol):
    """A stage that gets itself ready for one scenario after the other."""

    def unfit(self, settings: Settings) -> str | None:
        """Why no pair of these settings can be had; None when one can."""

    def prepare(self, settings: Settings) -> None:
        """A pair of these settings runs, in row 1.

        Raises StageBroken, and NotHome when only an administrator can bring it there.
        """

    def evidence(self) -> dict[str, str]:
        """Texts that tell what happened in the last play, by file name."""


def play_all(
    scenarios: Iterable[Scenario],
    stage: SuiteStage,
    tell: Callable[[str], None],
    journal: Path | None = None,
) -> list[Result]:
    """Plays all, those of equal settings one after the other, so that they can share a pair.

    `journal` is a folder: each play leaves a JSON file there, and beside it a folder of the same
    name with the logs and journals of its nodes and of the fault proxy, for `srmd timeline`.

    A pair that is no longer at home ends the run, for no later play could begin either.
    """
    results: list[Result] = []
    plays = _in_order(scenarios)
    for number, (name, scenario) in enumerate(plays, start=1):
        tell(f"\n== {name}: {scenario.title.en}")
        try:
            result = _played(name, scenario, stage, tell)
            left_count = 0
        except NotHome as lost:
            left_count = len(plays) - number
            why = f"{lost}; plays not begun: {left_count}" if left_count else str(lost)
            result = _ended(name, scenario, Verdict.ERROR, why, tell)
        results.append(result)
        if journal is not None:
            _keep(result, stage, journal)
        if left_count:
            break
    return results


def _in_order(scenarios: Iterable[Scenario]) -> list[tuple[str, Scenario]]:
    plays = [play for scenario in scenarios for play in scenario.plays()]
    kinds: list[Settings] = []
    for _, scenario in plays:
        if scenario.settings not in kinds:
            kinds.append(scenario.settings)
    return sorted(plays, key=lambda play: kinds.index(play[1].settings))


def _played(
    name: str, scenario: Scenario, stage: SuiteStage, tell: Callable[[str], None]
) -> Result:
    """Raises NotHome."""
    unfit = stage.unfit(scenario.settings) or next(
        (why for verb in scenario.verbs() if (why := stage.cannot(verb))), None
    )
    if unfit is not None:
        return _ended(name, scenario, Verdict.SKIPPED, unfit, tell)
    try:
        stage.prepare(scenario.settings)
    except NotHome:
        raise
    except StageBroken as broken:
        return _ended(name, scenario, Verdict.ERROR, str(broken), tell)
    return Play(name, scenario, stage, tell).run()


def _ended(
    name: str, scenario: Scenario, verdict: Verdict, why: str, tell: Callable[[str], None]
) -> Result:
    """It ended before it began."""
    tell(f"            verdict  {verdict.value}: {why}")
    return Result(name, scenario, verdict, why, took_s=0.0, rows=(), journal=(), checked_count=0)


def as_json(result: Result) -> dict[str, object]:
    """What a journal file holds."""
    scenario = result.scenario
    return {
        "name": result.name,
        "file": scenario.path.name,
        "title": {"en": scenario.title.en, "ja": scenario.title.ja},
        "verdict": result.verdict.value,
        "why": result.why,
        "began_s": round(result.began_s, 6),
        "took_s": round(result.took_s, 3),
        "shows": list(scenario.shows),
        "rows": list(result.rows),
        "invariants": [one.value for one in scenario.invariants],
        "invariants_checked_count": result.checked_count,
        "journal": list(result.journal),
    }


def _keep(result: Result, stage: SuiteStage, journal: Path) -> None:
    journal.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", result.name).strip("-")
    text = json.dumps(as_json(result), ensure_ascii=False, indent=1)
    (journal / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if result.verdict is not Verdict.SKIPPED and (evidence := stage.evidence()):
        folder = journal / name
        folder.mkdir(exist_ok=True)
        for file, content in evidence.items():
            (folder / file).write_text(content[-EVIDENCE_CHARACTERS_MAX:], encoding="utf-8")


def junit(results: Iterable[Result]) -> str:
    """The results as JUnit XML, which continuous integration shows."""
    played = list(results)
    counts = {verdict: sum(one.verdict is verdict for one in played) for verdict in Verdict}
    suite = ET.Element(
        "testsuite",
        name="srmd lab",
        tests=str(len(played)),
        failures=str(counts[Verdict.FAILED]),
        errors=str(counts[Verdict.ERROR]),
        skipped=str(counts[Verdict.SKIPPED]),
        time=f"{sum(one.took_s for one in played):.3f}",
    )
    tags = {Verdict.FAILED: "failure", Verdict.ERROR: "error", Verdict.SKIPPED: "skipped"}
    for one in played:
        case = ET.SubElement(
            suite,
            "testcase",
            classname="srmd.lab.scenarios",
            name=one.name,
            file=one.scenario.path.name,
            time=f"{one.took_s:.3f}",
        )
        if one.verdict in tags:
            ET.SubElement(case, tags[one.verdict], message=NOT_IN_XML.sub("?", one.why))
        lines = [
            f"{entry['at_s']:8.2f} s  {entry['kind']:<8} {entry['text']}" for entry in one.journal
        ]
        ET.SubElement(case, "system-out").text = NOT_IN_XML.sub("?", "\n".join(lines))
    ET.indent(suite)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"
    )


def closing(results: Iterable[Result]) -> str:
    """The last lines of a run: what did not pass, and how many did."""
    played = list(results)
    lines = [
        f"{one.verdict.value:<8} {one.name}: {one.why}"
        for one in played
        if one.verdict is not Verdict.PASSED
    ]
    counts = [
        f"{count} {verdict.value}"
        for verdict in Verdict
        if (count := sum(one.verdict is verdict for one in played))
    ]
    checked = sum(one.checked_count for one in played)
    took_s = sum(one.took_s for one in played)
    total = (
        f"{', '.join(counts) or 'nothing played'}; {checked} looks at invariants; {took_s:.0f} s"
    )
    return "\n".join([*lines, total])
