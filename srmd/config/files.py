"""The files that a configuration names, and where they are read: in place, or as copies (srmd).

Every file is read through `Files`, which notes it.  So the files that are copied for a service,
that `srmd config check` judges and that `srmd run` reads are the same ones, whatever the
configuration names.  Messages name a file as the configuration does, never its copy.

The copies of a configuration are a set: a folder that holds each file at its absolute path, and
which nothing changes afterwards.  Another set takes its place at once, by one link.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CURRENT: Final = "current"
"""The link, in the folder of the copies, to the set that is read."""


@dataclass(frozen=True, slots=True)
class Files:
    """Names the files of one configuration, and notes each."""

    folder: Path
    """The folder of the configuration file, from which relative names go out."""
    copies: Path | None = None
    """A set of copies that is read in their place."""
    noted: dict[Path, str] = field(default_factory=dict)
    """Each file that was named, with the first key that did."""

    def name(self, key: str, text: str) -> Path:
        """The file that the configuration names so; from now on it is one of its files."""
        path = absolute(self.folder, text)
        self.noted.setdefault(path, key)
        return path

    def at(self, path: Path) -> Path:
        """The path at which the file is read."""
        return path if self.copies is None else copy_of(path, self.copies)


def absolute(folder: Path, text: str) -> Path:
    """Absolute and without "..", links kept as they are written."""
    return Path(os.path.abspath(folder / text))  # noqa: PTH100 - resolve() would follow links


def copy_of(path: Path, copies: Path) -> Path:
    """The path of this file, whose own is absolute, in a set of copies."""
    return copies / path.relative_to(path.anchor)


def current(folder: Path | None) -> Path | None:
    """The set of copies that is in place in this folder; None: there is none."""
    if folder is None:
        return None
    try:
        return folder / (folder / CURRENT).readlink()
    except OSError:
        return None
