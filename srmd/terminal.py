"""Columns of a text, width and colour of a terminal.

Nothing is cut: what is too wide goes on in the next line.  A file or a pipe has no width, so that
programs find each record on a line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO

COLUMNS_DEFAULT = 100
"""Width where the output is no terminal: a file or a pipe."""
COLUMNS_MIN = 20
"""A narrower terminal is treated as this wide."""


def columns_of(text: str) -> int:
    """The columns of a terminal that the text takes: Japanese letters take two."""
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
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return default
    return columns_at(descriptor, default)


def columns_at(descriptor: int, default: int = COLUMNS_DEFAULT) -> int:
    """The same of a descriptor."""
    try:
        columns = os.get_terminal_size(descriptor).columns
    except OSError:
        return default
    return max(columns, COLUMNS_MIN) if columns else default


BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
YELLOW: Final = "33"
CYAN: Final = "36"


def may_colour(environment: Mapping[str, str]) -> bool:
    """At a terminal: unless NO_COLOR is set (no-color.org) or the terminal knows no colours."""
    return not environment.get("NO_COLOR") and environment.get("TERM") not in {None, "", "dumb"}


def painted(text: str, *codes: str) -> str:
    """The text in these colours, its blanks at the begin left alone."""
    bare = text.lstrip(" ")
    return f"{text[: len(text) - len(bare)]}\x1b[{';'.join(codes)}m{bare}\x1b[0m" if codes else text


NO_BREAK: Final = "\xa0"
_TOKENS: Final = re.compile(
    r"[ \t\n\u3000]+"
    r"|[\u300c(]*(?:`[^`]*`|[!-~\xa0]+|.)[\u3001\u3002\u300d\u30fc\uff1a\uff1f.,:;)]*",
    re.DOTALL,
)
"""Blanks, commands in backquotes, words, and letters of Japanese, which has no blanks to break at;
a mark that closes stays with what is before it, and a blank of `unbroken` with both sides."""


def wrap(text: str, columns: int, *, indent: str = "", further: str | None = None) -> list[str]:
    """The text in lines of at most so many columns; the later ones begin with `further`.

    A word or a command that is wider has a line of its own: the terminal breaks it.
    """
    later = indent if further is None else further
    lines, line, blank = [], indent, ""
    for token in _TOKENS.findall(text):
        if token.isspace() and token != NO_BREAK:
            blank = token
            continue
        begun = bool(line.strip())
        if begun and columns_of(line) + len(blank) + columns_of(token) > columns:
            lines.append(line)
            line, begun = later, False
        line += (blank if begun else "") + token
        blank = ""
    return [one.replace(NO_BREAK, " ") for one in (*lines, line)]


def wrap_all(text: str, columns: int) -> str:
    """Each line of the text that is too wide goes on further in; 0 columns: as it is."""
    if not columns:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        lines += wrap(line.strip(), columns, indent=indent, further=indent + "  ")
    return "\n".join(lines)


def unbroken(text: str) -> str:
    """The text for `wrap`, which will not break it."""
    return text.replace(" ", NO_BREAK)


def longest(text: str) -> int:
    """The columns of the longest part that `wrap` does not break."""
    return max((columns_of(token) for token in _TOKENS.findall(text)), default=0)


def complain(text: str) -> None:
    """To stderr, within the width of its terminal."""
    sys.stderr.write(wrap_all(text, width_of(sys.stderr, default=0)) + "\n")
