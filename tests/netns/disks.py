"""A small disk of a node's own: a tmpfs in a mount namespace that goes with its thread.

    with small_disk(folder) as disk:
        disk.do(node.spawn)
        with disk.filled():
            ...

No mount is seen outside.  The kernel removes the namespace as soon as its thread and the processes
that were started there have ended.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SIZE_BYTES = 2 << 20
COMMAND_LIMIT_S = 10.0
CLONE_NEWNS = 0x00020000
CLONE_FS = 0x00000200
FILLER = "filler"
BLOCK_BYTES = 4096


class SmallDisk:
    """Mounted on `folder`, for what is done in its thread and for every process started there."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError when this process may not have a mount namespace."""
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        try:
            self.do(_leave_mounts)
            self._mount("-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs")
        except BaseException:
            self.close()
            raise

    def do(self, work: Callable[[], T]) -> T:
        """The work is done where the disk is; it has to be bounded itself."""
        return self._thread.submit(work).result()

    def close(self) -> None:
        self._thread.shutdown()

    @contextmanager
    def filled(self) -> Iterator[None]:
        """No block is free, until the end of the context."""
        filler = self._folder / FILLER

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(BLOCK_BYTES))
                except OSError:
                    return

        self.do(fill)
        try:
            yield
        finally:
            self.do(filler.unlink)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """The file system takes no change; no process may have a file open for writing."""
        self._mount("-o", "remount,ro")
        try:
            yield
        finally:
            self._mount("-o", "remount,rw")

    def _mount(self, *words: str) -> None:
        command = ["mount", *words, str(self._folder)]
        self.do(
            lambda: subprocess.run(
                command, check=True, capture_output=True, timeout=COMMAND_LIMIT_S
            )
        )


def _leave_mounts() -> None:
    """The mounts of this thread are its own from here on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_FS | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(
        ["mount", "--make-rprivate", "/"], check=True, capture_output=True, timeout=COMMAND_LIMIT_S
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    folder.mkdir(parents=True, exist_ok=True)
    disk = SmallDisk(folder)
    try:
        yield disk
    finally:
        disk.close()
