"""A small file that is whole or absent, whatever happens and at whatever point the process dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes, *, before: Callable[[], None] = lambda: None) -> None:
    """The file has this content: when this returns it survives kill -9 and loss of power.

    Written beside, synced, renamed over, the directory synced; `before` runs before the rename.
    Raises OSError as it comes; the file then has its old content or the new one.
    """
    fresh = path.with_name(path.name + ".tmp")
    try:
        with open(fresh, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        before()
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    _sync_directory(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
