"""What a terminal can show: how many columns a text takes, how wide the terminal is, colour."""

from __future__ import annotations

import os
from typing import TextIO

COLUMNS_DEFAULT = 100
"""Where the output is no terminal: a file or a pipe."""
COLUMNS_MIN = 20
"""A narrower terminal is treated as this wide."""


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes: Japanese letters take two."""
    if text.isascii():
        return len(text)
    import unicodedata  # late: most output is English

    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def left_in(text: str, columns: int) -> str:
    """The text, with blanks after it up to so many columns."""
    return text + " " * (columns - columns_of(text))


def width_of(stream: TextIO, default: int = COLUMNS_DEFAULT) -> int:
    """The columns of the terminal behind this stream; the default where there is none."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return default
    return max(columns, COLUMNS_MIN) if columns else default
