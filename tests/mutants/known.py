"""The survivors that somebody looked at, and why each of them may live: docs/mutants.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs" / "mutants.md"
BEGIN: Final = "## Survivors"
LINE: Final = re.compile(r"^- `` ?(?P<name>.+?) ?``$")


class Unexplained(Exception):
    """The list of survivors cannot be read."""


def survivors(file: Path = DOCS) -> frozenset[str]:
    """The names of the mutants that are explained.  Raises Unexplained."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as broken:
        raise Unexplained(f"{file}: {broken.strerror}; it has to explain the survivors") from broken
    lines = text.partition(f"\n{BEGIN}\n")[2].splitlines()
    names = []
    for number, line in enumerate(lines):
        if (found := LINE.match(line)) is None:
            continue
        names.append(found["name"])
        if not "".join(lines[number + 1 : number + 2]).startswith("  "):
            raise Unexplained(f"{file}: {found['name']}: an indented line has to say why it lives")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Unexplained(f"{file}: {', '.join(sorted(twice))}: listed twice")
    return frozenset(names)
