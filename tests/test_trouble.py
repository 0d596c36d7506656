"""The pages by symptom quote what srmd prints, and tell the same in both languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from srmd.cli.exits import Exit
from srmd.log import EVENTS

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = {"en": ROOT / "docs/trouble.md", "ja": ROOT / "docs/trouble.ja.md"}
EVENT: Final = re.compile(r"`([a-z_]+\.[a-z_]+)`")
CODE: Final = re.compile(r"`([^`]+)`")
EXIT: Final = {"en": re.compile(r"exit code (\d+)"), "ja": re.compile(r"終了コード (\d+)")}
QUOTE: Final = {"en": re.compile(r'"([^"]+)"'), "ja": re.compile(r'"([^"]+)"|「([^」]+)」')}
COVERED: Final = {
    Exit.USAGE,
    Exit.UNREACHABLE,
    Exit.UNAUTHORIZED,
    Exit.CONFIG_BAD,
    Exit.PORT_BUSY,
    Exit.STATE_LOCKED,
    Exit.STATE_DAMAGED,
    Exit.DISK_REFUSES,
    Exit.INTERNAL,
}


def rows(language: str) -> list[list[str]]:
    """The cells of all symptoms, in their order."""
    lines = PAGES[language].read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] not in {"you see", "表示"}]


def printed() -> str:
    """All texts in the sources of srmd."""
    return "\n".join(
        node.value
        for file in (ROOT / "srmd").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


PRINTED: Final = printed()


@pytest.mark.parametrize("language", PAGES)
def test_what_is_quoted_is_printed_in_these_words(language: str) -> None:
    quotes = [
        quote
        for cells in rows(language)
        for found in QUOTE[language].finditer(cells[0])
        if (quote := next(filter(None, found.groups())))
    ]
    assert len(quotes) > 25
    assert [quote for quote in quotes if quote not in PRINTED] == []


@pytest.mark.parametrize("language", PAGES)
def test_events_and_exit_codes_exist(language: str) -> None:
    symptoms = "\n".join(cells[0] for cells in rows(language))
    events = {name for name in EVENT.findall(symptoms) if not name.endswith(".md")}
    assert len(events) > 10
    assert events <= EVENTS.keys()
    codes = {Exit(int(code)) for code in EXIT[language].findall(symptoms)}
    assert codes == COVERED


def test_both_languages_have_the_same_symptoms_and_name_the_same_things() -> None:
    english, japanese = rows("en"), rows("ja")
    assert len(english) == len(japanese) > 40
    for here, there in zip(english, japanese, strict=True):
        assert len(here) == len(there) == 3, here
        for en, ja in zip(here, there, strict=True):
            assert sorted(CODE.findall(en)) == sorted(CODE.findall(ja)), (en, ja)
        said = {
            language: EXIT[language].findall(row[0])
            for language, row in (("en", here), ("ja", there))
        }
        assert said["en"] == said["ja"]
