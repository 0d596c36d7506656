"""The guide as a program: which commands stand in which section, and where each is to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from tests.machines.debian import PROJECT

GUIDE: Final = PROJECT / "deploy" / "README.md"
CONTINUED: Final = re.compile(r"\n(?! )")
"""Between two commands; an indented line belongs to the one before."""
Where = Literal["a", "b", "both"]
BLOCK: Final = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that are run one after the other in one place."""

    where: Where
    commands: tuple[str, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        return ("a", "b") if self.where == "both" else (self.where,)


@dataclass(frozen=True, slots=True)
class Guide:
    """All of it.  A block that says nothing of where it is run is a mistake (ValueError)."""

    variables: str
    sections: dict[str, tuple[Block, ...]]


def read(text: str | None = None) -> Guide:
    """The guide of this checkout, or a text."""
    whole = GUIDE.read_text(encoding="utf-8") if text is None else text
    variables, sections = "", {}
    for section in re.split(r"^## ", whole, flags=re.MULTILINE):
        title = section.partition("\n")[0]
        blocks = []
        for found in BLOCK.finditer(section):
            kind, commands = found["kind"], tuple(CONTINUED.split(found["text"].rstrip("\n")))
            if kind == "sh variables":
                variables = found["text"]
            else:
                blocks.append(Block(_where(kind, title), commands))
        if blocks:
            sections[title] = tuple(blocks)
    return Guide(variables, sections)


def _where(kind: str, title: str) -> Where:
    match kind.split():
        case ["sh", "a"]:
            return "a"
        case ["sh", "b"]:
            return "b"
        case ["sh", "both"]:
            return "both"
        case _:
            text = f"{title}: a block of {kind!r} says not where it is run: a, b or both"
            raise ValueError(text)
