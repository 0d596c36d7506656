"""The standard streams of a command: closed, full, or without a reader.

- An answer that cannot be written ends the command with Exit.BROKEN_PIPE, whatever it did.
- What cannot be written to standard error is lost, and changes nothing.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from srmd import descriptors
from srmd.cli.exits import Exit

STDOUT_FD, STDERR_FD = 1, 2


class _Answer(io.TextIOWrapper):
    """Standard output, which remembers that it failed: its writer may make another error of it,
    or none."""

    failure: OSError | None = None

    def write(self, text: str) -> int:
        with self._noted():
            return super().write(text)

    def flush(self) -> None:
        with self._noted():
            super().flush()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as failed:
            self.failure = failed
            raise


class _Lossy(io.TextIOWrapper):
    """Standard error, which never fails."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


class ReaderGone(KeyboardInterrupt):
    """Our output has lost its reader."""


def begin() -> None:
    """Make the standard streams such that a command can use them.

    What stands in the place of one already, as in tests, is left.
    """
    descriptors.reserve_standard()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the process
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        raw = io.FileIO(STDOUT_FD, "w", closefd=False)
        sys.stdout = _Answer(
            io.BufferedWriter(raw), _encoding(sys.stdout), line_buffering=raw.isatty()
        )
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        raw = io.FileIO(STDERR_FD, "w", closefd=False)
        sys.stderr = _Lossy(io.BufferedWriter(raw), _encoding(sys.stderr), line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # Japanese at a terminal without it


def _encoding(stream: TextIO | None) -> str | None:
    return stream.encoding if stream is not None else None


def end(code: int) -> int:
    """Write what is left of the answer.  The exit code: that of the command, if it was written."""
    try:
        sys.stdout.flush()
    except OSError as failed:
        failure: OSError | None = failed
    else:
        failure = _failure()
    if failure is None:
        return code
    if failure.errno != errno.EPIPE:  # a reader that went away has seen enough
        why = "it is closed" if failure.errno == errno.EBADF else failure.strerror
        print(f"srmd: the answer cannot be written to standard output: {why}", file=sys.stderr)
    with suppress(OSError, ValueError):  # Python would complain again while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.BROKEN_PIPE


def is_broken() -> bool:
    """The answer could not be written: whatever went wrong then is no defect."""
    return _failure() is not None


def _failure() -> OSError | None:
    return sys.stdout.failure if isinstance(sys.stdout, _Answer) else None
