"""The scenarios that come with srmd: each can be played, is named for what it shows, and the 24
documented rows are all there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from srmd.cli.lab import main
from srmd.core import handbook
from srmd.core.handbook.row import fits
from srmd.lab.coverage import of_scenarios
from srmd.lab.scenario import Scenario, load
from srmd.lab.scenario.running import AT_HOME
from srmd.lab.scenario.story import SILENT, Picture
from srmd.lab.scenario.verbs import NodeName

FOLDER = Path(__file__).parents[2] / "configs" / "scenarios"
FILES = sorted(FOLDER.glob("*.toml"))
NUMBERS = range(1, 25)
ROW_FILE = re.compile(r"row-(\d\d)-[a-z0-9]+(-[a-z0-9]+)*")
OURS_FILE = re.compile(r"ours-[a-z0-9]+(-[a-z0-9]+)*")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
STORY_CHARACTERS_MAX = 240

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def pictures(scenario: Scenario) -> list[Picture]:
    return [step.check.picture for step in scenario.steps if step.check is not None]


def number_of(name: str) -> int | None:
    """The documented row for which the file is named."""
    found = ROW_FILE.fullmatch(name)
    return int(found[1]) if found else None


def is_shown_whole(picture: Picture, number: int) -> bool:
    """The row with both nodes, exact states and exact reasons, in one of its two orientations."""
    if picture.row != number:
        return False
    a, b = (picture.halves.get(node, ()) for node in NodeName)
    if len(a) != 1 or len(b) != 1:
        return False
    row = handbook.DOCUMENTED[number - 1]
    # Rows 16 and 17: the home node is silent; one that is cut off sees the same of its peer.
    home = row.home or (SILENT, *row.backup)
    return any(is_half(x, home) and is_half(y, row.backup) for x, y in ((a[0], b[0]), (b[0], a[0])))


def is_half(pattern: handbook.Pattern, side: handbook.Side) -> bool:
    state, reason = pattern
    if pattern == SILENT:
        return SILENT in side
    return reason is not None and fits(side, (state, reason))


@each_file
def test_a_file_can_be_read_and_is_named_for_what_it_shows(file: Path) -> None:
    scenario = load(file)
    number = number_of(scenario.name)
    if number is None:
        assert OURS_FILE.fullmatch(scenario.name)
    else:
        assert number in scenario.shows


@each_file
def test_title_and_story_are_told_in_both_languages(file: Path) -> None:
    scenario = load(file)
    for text in (scenario.title, scenario.story):
        for language in (text.en, text.ja):
            assert 0 < len(language) <= STORY_CHARACTERS_MAX
            assert "\n" not in language
        assert text.en.isascii()
        assert JAPANESE.search(text.ja)
    assert not scenario.title.en.endswith(".")
    assert scenario.story.en.endswith(".")
    assert scenario.story.ja.endswith("。")


@each_file
def test_a_pair_that_has_left_row_1_is_looked_at_on_the_way(file: Path) -> None:
    """A story that only does things and waits for the end would prove little."""
    assert [picture for picture in pictures(load(file)) if picture.halves]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_documented_row_has_files_that_show_both_nodes_exactly(number: int) -> None:
    named = [load(file) for file in FILES if number_of(file.stem) == number]
    assert named
    for scenario in named:
        shown = [*pictures(scenario), AT_HOME]
        assert any(is_shown_whole(picture, number) for picture in shown), scenario.name


def test_every_documented_row_is_covered() -> None:
    assert of_scenarios(map(load, FILES)).missing == ()


def test_titles_tell_the_stories_apart() -> None:
    scenarios = [load(file) for file in FILES]
    for titles in ([one.title.en for one in scenarios], [one.title.ja for one in scenarios]):
        assert len(set(titles)) == len(titles)


def test_all_files_are_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(FOLDER)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [file.stem for file in FILES]
