"""The files of a node, lost, copied and put back, as an administrator would do it.

The memory is copied as files.  The database goes through SQLite's backup, as `.backup` and
`.restore` of its shell: whole also while the node runs, and written into the file that is there, so
that the file keeps its inode as it does with `cp`.  The journal stays: it is the lab's evidence.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from srmd.lab.scenario.stage import VerbFailed
from srmd.lab.scenario.verbs import FileAction, Files
from srmd.store.epochs import EPOCH_FILE
from srmd.store.nodestate import NODE_FILE
from srmd.store.sqlite import DATABASE_FILE

MEMORY: Final = (f"{NODE_FILE}*", EPOCH_FILE)
BUSY_LIMIT_S: Final = 5.0
"""Limit of a wait for a node that uses its database."""


def do(action: FileAction, what: Files, state: Path, copies: Path) -> None:
    """`state` is the node's directory, `copies` where its copies lie.  Raises VerbFailed."""
    match action:
        case FileAction.LOSE:
            _remove(what, state)
        case FileAction.COPY:
            copies.mkdir(exist_ok=True)
            _copy(what, state, copies)
        case FileAction.RESTORE:
            _must_be_there(what, copies)
            state.mkdir(mode=0o700, exist_ok=True)
            _copy(what, copies, state)


def _copy(what: Files, source: Path, target: Path) -> None:
    if what.memory:
        _remove(Files.MEMORY, target)
        for pattern in MEMORY:
            for file in source.glob(pattern):
                shutil.copy2(file, target)
    if what.database:
        try:
            _copy_database(source / DATABASE_FILE, target / DATABASE_FILE)
        except sqlite3.Error as error:
            raise VerbFailed(f"{source / DATABASE_FILE} cannot be copied: {error}") from error


def _copy_database(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as kept,
        closing(sqlite3.connect(target, timeout=BUSY_LIMIT_S)) as written,
    ):
        kept.backup(written)


def _remove(what: Files, folder: Path) -> None:
    patterns = MEMORY * what.memory + (f"{DATABASE_FILE}*",) * what.database
    for pattern in patterns:
        for file in folder.glob(pattern):
            file.unlink()


def _must_be_there(what: Files, copies: Path) -> None:
    needed = (NODE_FILE,) * what.memory + (DATABASE_FILE,) * what.database
    if not all((copies / name).exists() for name in needed):
        raise VerbFailed(f"no copy of the {what.value} was made: `copy {what.value}` comes first")
