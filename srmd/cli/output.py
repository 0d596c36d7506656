"""Tables for people, JSON for programs.  Plain text, no dependency."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from srmd.terminal import COLUMNS_DEFAULT, columns_of, longest, width_of, wrap

GAP = "  "
INDENT = "  "
CELL_MIN = 12
"""A column of text is not made narrower than this; then each row is told line by line."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], columns: int | None = None) -> str:
    """Columns as wide as their widest cell.  None prints as `-`; numbers stand to the right.

    At a terminal that is too narrow for it (or in so many columns) texts go on below themselves,
    and where that does not help each row is a block of lines.
    """
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(columns_of, column)) for column in zip(head, *cells, strict=True)]
    numeric = [_is_numeric(column) for column in zip(*cells, strict=True)] or [False] * len(head)
    room = width_of(sys.stdout, default=0) if columns is None else columns
    if room and _total(widths) > room:
        least = [
            width if number else min(width, max(CELL_MIN, *map(longest, column)))
            for width, number, column in zip(
                widths, numeric, zip(head, *cells, strict=True), strict=True
            )
        ]
        widths = _narrowed(widths, least, room)
        if _total(widths) > room:
            return _blocks(head, cells, room)
    lines = []
    for row in (head, *cells):
        pieces = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for n in range(max(map(len, pieces))):
            padded = [
                _padded(piece[n] if n < len(piece) else "", width, right)
                for piece, width, right in zip(pieces, widths, numeric, strict=True)
            ]
            lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The widest columns made narrower, as far as they may."""
    made = list(widths)
    while _total(made) > room:
        wide = [n for n, width in enumerate(made) if width > least[n]]
        if not wide:
            break
        made[max(wide, key=made.__getitem__)] -= 1
    return made


def _blocks(head: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> str:
    """A row after the other, each cell on lines of its own."""
    label = max(map(columns_of, head))
    blocks = []
    for row in cells:
        lines: list[str] = []
        for word, cell in zip(head, row, strict=True):
            begin = _padded(word, label, right=False) + GAP
            lines += wrap(cell, room, indent=begin, further=" " * (label + len(GAP)))
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


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
    """The line in pieces for people to read; the later ones stand further in than the first."""
    columns = min(COLUMNS_DEFAULT, width_of(sys.stdout))
    return wrap(line, columns, indent=indent, further=indent + INDENT)


def as_json(answer: object, *, on_one_line: bool = False) -> str:
    return json.dumps(answer, ensure_ascii=False, indent=None if on_one_line else 2)


def services_table(
    services: Iterable[Mapping[str, Any]],
    say: Callable[[str], str] = str,
    *,
    state: Callable[[str], str] = str,
    note: Callable[[str], str] = str,
) -> str:
    """`say`, `state` and `note` translate its words; as they are they are English."""
    rows = [
        (
            one["name"],
            state(one["state"]),
            say("yes" if one.get("critical") else "no"),
            note(one.get("note") or ""),
        )
        for one in services
    ]
    return table([say(word) for word in ("SERVICE", "STATE", "CRITICAL", "NOTE")], rows)
