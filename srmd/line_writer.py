"""Lines that a thread writes, so that a slow or sleeping reader never stops the daemon.

Whoever writes only puts a line into a bounded queue.  When the queue is full the line is dropped
and counted, and as soon as there is room again the loss itself is written down.  Closing waits for
the thread, but not for ever.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

CLOSE_LIMIT_S = 2.0
"""How long closing waits until everything is written."""
NO_MEMORY_PAUSE_S = 0.1
"""Before the thread looks for lines again."""


class Outlet(Protocol):
    """Where lines end up."""

    def write(self, line: bytes) -> bool:
        """Writes a whole line, however long that takes.  False: it is lost, go on without it."""
        ...

    def close(self) -> None: ...


class Descriptor:
    """An open file descriptor that belongs to somebody else, such as standard output.

    It is written to directly: a buffered stream would hold a lock for as long as the reader sleeps,
    and the interpreter could not end.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, line: bytes) -> bool:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody made it non-blocking; then waiting is our work
                select.select([], [self._fd], [])
            except OSError:  # the reader is gone, or the disk is full
                return False
        return True

    def close(self) -> None:
        """Leaves it open, for its owner."""


class RotatedFile:
    """A file that is appended to, and moved to `<name>.1` when it holds half of `max_bytes`.

    So the newest half at least is kept, and both files together stay within the bound.  Another
    program may move, remove or shorten the file: each line goes to the file that has the name then,
    and a new one is made where none has it.
    Raises OSError when the file cannot be opened, or is a device or pipe, which cannot be moved.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._half_bytes = max_bytes // 2
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()
        self._torn = self._ends_torn()

    def write(self, line: bytes) -> bool:
        try:
            size_bytes = self._followed_bytes()
            if self._torn:  # a crash left half a line, which must not swallow the next one
                line = b"\n" + line
            if len(line) > self._half_bytes:
                return False
            if size_bytes + len(line) > self._half_bytes:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._reopen()
                line = line.removeprefix(b"\n")
            written = os.write(self._fd, line)
        except OSError:
            return False
        self._torn = written < len(line)  # the disk is full
        return not self._torn

    def close(self) -> None:
        os.close(self._fd)

    def _followed_bytes(self) -> int:
        """The size of the file that has the name now, which is the open one from here on.

        One look at the name for each line: about a microsecond, in the writing thread.  A look now
        and then would lose what is written to a removed file meanwhile, and count none of it.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            found = None
        if found is None or not os.path.samestat(found, os.fstat(self._fd)):
            self._reopen()
            return os.fstat(self._fd).st_size
        if found.st_size == 0:
            self._torn = False
        return found.st_size

    def _reopen(self) -> None:
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh
        self._torn = self._ends_torn()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o640)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", str(self._path))
        return fd

    def _ends_torn(self) -> bool:
        size_bytes = os.fstat(self._fd).st_size
        return size_bytes > 0 and os.pread(self._fd, 1, size_bytes - 1) != b"\n"


class LineWriter:
    """Puts lines into a queue of at most `capacity` and has a thread write them to the outlet.

    `lost` makes the line that stands in the place of so many dropped ones.
    `write` may be called from any thread, and never waits for the outlet.
    """

    def __init__(
        self, outlet: Outlet, *, capacity: int, name: str, lost: Callable[[int], bytes]
    ) -> None:
        self._outlet = outlet
        self._capacity = capacity
        self._lost = lost
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._untold = 0
        self._closing = False
        self._changed = threading.Condition()
        # A daemon thread: one that hangs in a write must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines lost so far: the queue was full, or the outlet failed."""
        return self._dropped

    def write(self, line: bytes) -> None:
        """Hands over a line, with its newline."""
        with self._changed:
            if self._closing or len(self._lines) >= self._capacity:
                self._drop(1)
                return
            self._tell()
            self._lines.append(line)
            self._changed.notify()

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> bool:
        """Ends the thread when all is written; False when that took longer than `limit_s`."""
        with self._changed:
            if not self._closing:
                self._tell()
            self._closing = True
            self._changed.notify()
        self._thread.join(limit_s)
        if not self._thread.is_alive():
            return True
        with self._changed:  # whenever the outlet wakes up, the thread finds nothing more to do
            self._drop(len(self._lines))
            self._lines.clear()
        return False

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._untold += count

    def _tell(self) -> None:
        """Queues the news of a loss where the lost lines would have been."""
        if self._untold:
            self._lines.append(self._lost(self._untold))
            self._untold = 0

    def _run(self) -> None:
        # Without this thread every later line would be lost, so it outlives whatever fails.
        while True:
            try:
                line = self._next()
            except MemoryError:  # waiting takes some, too
                time.sleep(NO_MEMORY_PAUSE_S)
                continue
            if line is None:
                break
            try:
                written = self._outlet.write(line)
            except Exception:  # noqa: BLE001 - as above
                written = False
            if not written:
                with self._changed:
                    self._drop(1)
        self._outlet.close()

    def _next(self) -> bytes | None:
        """Waits for a line; None when there will be no more."""
        with self._changed:
            while not self._lines and not self._closing:
                self._changed.wait()
            return self._lines.popleft() if self._lines else None
