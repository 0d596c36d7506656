"""Process 1 of a container is the parent of every process there whose parent has ended.

A process without a wait for it stays a zombie then, with its number, until no process can be
started.  A program such as tini as process 1 would do the same, and be one more process to be
signalled.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def is_theirs() -> bool:
    """Orphans become children of this process."""
    return os.getpid() == 1


def reap(ours: Collection[int]) -> None:
    """Wait for every child that has ended, but for ours: their ends are waited for elsewhere.

    By their numbers: a wait for any child would take the exit status of one of ours.
    """
    for pid in _ended():
        if pid not in ours:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _ended() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has gone meanwhile
        if state == "Z" and int(parent) == os.getpid():
            found.append(int(folder.name))
    return found
