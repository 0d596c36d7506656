"""A backup of a node's state: its memory and its users, taken while the node runs.

One file: `node.json`, which is whole at any time, and `users.sqlite3`, copied by SQLite itself.
The copy is in an epoch that no node knows (`epochs.py`), so that a node which finds it in the place
of its database takes it for what it is, also when nothing was opened meanwhile: it gets a new
identity, and both nodes read all users of each other.  `users.epoch` is therefore left out.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex

from srmd.store import nodestate
from srmd.store.epochs import EPOCH_BYTES
from srmd.store.nodestate import NODE_FILE
from srmd.store.sqlite import DATABASE_FILE

SUFFIX = ".srmd.tgz"
BUSY_LIMIT_S = 30.0
"""Limit of a wait for a node that writes its database."""


class NothingToCopy(Exception):
    """There is no state that could be put back; the message says which part of it is wrong."""


def write(state_dir: Path, folder: Path, name: str, keep: int) -> Path:
    """The backup `folder/name.srmd.tgz`; of all backups there the newest `keep` stay.

    The names of later backups follow those of earlier ones in the order of text.
    Raises NothingToCopy, and OSError as it comes; no part of a backup stays then.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _fresh(folder) as fresh:
        memory = _memory(state_dir)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            database = Path(aside, DATABASE_FILE)
            _copy_database(state_dir / DATABASE_FILE, database)
            with tarfile.open(fresh, "w:gz") as archive:
                for file, inside in ((memory, NODE_FILE), (database, DATABASE_FILE)):
                    archive.add(file, inside)
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        made = folder / f"{name}{SUFFIX}"
        fresh.replace(made)
    for old in sorted(folder.glob(f"*{SUFFIX}"))[:-keep]:
        old.unlink()
    return made


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty file that only its owner reads, gone at the end unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".backup-")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _memory(state_dir: Path) -> Path:
    """The file of the memory, which is a good one."""
    try:
        loaded = nodestate.load(state_dir / NODE_FILE)
    except nodestate.DamagedMemory as damaged:
        raise NothingToCopy(str(damaged)) from damaged
    if loaded is None:
        raise NothingToCopy(f"{state_dir / NODE_FILE}: no node has stored its state there")
    newest = state_dir / NODE_FILE
    return newest if loaded.note is None else nodestate.previous_of(newest)


def _copy_database(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as kept,
            closing(sqlite3.connect(target, timeout=BUSY_LIMIT_S)) as copy,
        ):
            kept.execute(f"PRAGMA busy_timeout = {int(BUSY_LIMIT_S * 1000)}")
            kept.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise NothingToCopy(f"{source}: {found}")
            with copy:
                copy.execute(
                    "UPDATE meta SET value = ? WHERE key = 'epoch'",
                    (f"copy-{token_hex(EPOCH_BYTES)}",),
                )
    except sqlite3.Error as error:
        raise NothingToCopy(f"{source}: {error}") from error
