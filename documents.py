"""The documents that are installed with the wheel, in one folder, with links that lead somewhere.

The guide for two machines, the pages by symptom, and every document that one of them links.
"""

from __future__ import annotations

import re
from pathlib import Path

FIRST = ("deploy/README.md", "docs/trouble.md", "docs/trouble.ja.md")
LINK = re.compile(r"\[([^\]\n]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def installed(root: Path) -> dict[str, str]:
    """Names in share/doc/srmd with their texts, from the checkout or the sdist at `root`."""
    wanted = [(root / name).resolve() for name in FIRST]
    for file in wanted:  # it grows meanwhile
        for _, target, _ in LINK.findall(file.read_text(encoding="utf-8")):
            there = (file.parent / target).resolve()
            if there.suffix == ".md" and there.is_file() and there not in wanted:
                wanted.append(there)
    names = {file: _name(file.relative_to(root.resolve())) for file in wanted}
    assert len(set(names.values())) == len(names), names
    return {name: _relinked(file, names) for file, name in names.items()}


def _name(file: Path) -> str:
    """The guide is README.md there; another folder's README has the name of its folder."""
    if str(file) == FIRST[0] or file.name != "README.md":
        return file.name
    return f"{file.parent.name or 'srmd'}.md"


def _relinked(file: Path, names: dict[Path, str]) -> str:
    def link(found: re.Match[str]) -> str:
        label, target, place = found[1], found[2], found[3] or ""
        if "://" in target:
            return found[0]
        there = names.get((file.parent / target).resolve())
        return label if there is None else f"[{label}]({there}{place})"

    return LINK.sub(link, file.read_text(encoding="utf-8"))
