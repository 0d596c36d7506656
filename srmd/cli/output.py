"""Tables for people, JSON for programs.  Plain text, no dependency."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

LINE_WIDTH = 100
GAP = "  "
INDENT = "  "


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell.  None prints as `-`; numbers stand to the right."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(columns_of, column)) for column in zip(head, *cells, strict=True)]
    numeric = [_is_numeric(column) for column in zip(*cells, strict=True)] or [False] * len(head)
    lines = []
    for row in (head, *cells):
        padded = [
            _padded(cell, width, right)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes: Japanese letters take two."""
    if text.isascii():
        return len(text)
    import unicodedata  # late: most tables are English

    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _is_numeric(column: Sequence[str]) -> bool:
    known = [cell.replace(".", "") for cell in column if cell != "-"]
    return bool(known) and all(cell.isdigit() for cell in known)


def _padded(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - columns_of(cell))
    return blanks + cell if right else cell + blanks


def labelled(label: str, text: str) -> str:
    """`Label: text`, wrapped; a text of several lines, such as steps, stands below its label."""
    lines = text.splitlines() or [""]
    if len(lines) == 1:
        return "\n".join(wrapped(f"{label}: {text}"))
    steps = [piece for line in lines for piece in wrapped(line, INDENT)]
    return "\n".join([f"{label}:", *steps])


def wrapped(line: str, indent: str = "") -> list[str]:
    """The line in pieces that fit LINE_WIDTH; its other pieces stand further in than the first."""
    # Japanese has no blanks to break at; the terminal does that well by itself.
    if columns_of(line) != len(line):
        return [indent + line]
    if len(indent + line) <= LINE_WIDTH:
        return [indent + line]
    import re  # late: few lines are so long
    import textwrap

    # A command in backquotes stays on one line, to be copied.
    kept = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\xa0"), line)
    pieces = textwrap.wrap(
        kept,
        LINE_WIDTH,
        break_on_hyphens=False,
        initial_indent=indent,
        subsequent_indent=indent + INDENT,
    )
    return [piece.replace("\xa0", " ") for piece in pieces]


def as_json(answer: object, *, on_one_line: bool = False) -> str:
    return json.dumps(answer, ensure_ascii=False, indent=None if on_one_line else 2)


def services_table(services: Iterable[Mapping[str, Any]], say: Callable[[str], str] = str) -> str:
    """`say` translates its words; as they are they are English."""
    rows = [
        (s["name"], s["state"], say("yes" if s.get("critical") else "no"), s.get("note") or "")
        for s in services
    ]
    return table([say(word) for word in ("SERVICE", "STATE", "CRITICAL", "NOTE")], rows)
