"""What any text for operators has to be; shared by the tests of the catalogue and the handbook."""

from __future__ import annotations

import re
import string

from srmd.core.texts import Text

JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
"""Hiragana, Katakana, Kanji."""


def places(text: Text) -> set[str]:
    """The names that the text has places for."""
    return _places(text.en) | _places(text.ja)


def assert_speaks_both_languages(text: Text) -> None:
    for words in (text.en, text.ja):
        assert words
        assert words == words.strip()
        assert "  " not in words, f"two spaces: {words!r}"
    assert text.en.isascii(), f"not plain English: {text.en!r}"
    assert JAPANESE.search(text.ja), f"not Japanese: {text.ja!r}"
    assert _places(text.en) == _places(text.ja), f"places differ: {text}"
    assert _commands(text.en) == _commands(text.ja), f"commands differ: {text}"
    assert text.en.count("\n") == text.ja.count("\n"), f"steps differ: {text}"


def _places(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}


def _commands(words: str) -> list[str]:
    return sorted(re.findall(r"`([^`]*)`", words))
