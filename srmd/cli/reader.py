"""A command that runs for minutes ends when its output loses its reader, as by Ctrl-C.

`srmd prove | head -1`: without this it would notice at its next line, which may be its last.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import tempfile
import threading
from collections.abc import Callable
from types import FrameType

from srmd.cli.exits import Exit
from srmd.cli.streams import ReaderGone

STDOUT_FD = 1
READER_GONE = signal.SIGURG
"""Ours for that: no program sends it, and it is harmless where it has no handler."""
LOOK_S = 0.5
"""Interval of the looks whether the command has ended, while the reader is there."""


def until_reader_goes(work: Callable[[], int]) -> int:
    """Do long work, to its end or until the output has no reader."""
    if threading.current_thread() is not threading.main_thread() or not _has_reader():
        return work()
    tempfile.gettempdir()  # the first time it tries out a file, which an interruption would leave
    gone, ended = threading.Event(), threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not ended.is_set():
            raise ReaderGone

    before = signal.signal(READER_GONE, interrupt)
    main_thread = threading.main_thread().ident
    assert main_thread is not None, "it runs"
    watch = threading.Thread(
        target=_watch, args=(gone, ended, main_thread), name="reader", daemon=True
    )
    try:
        watch.start()
        code = work()
    except (KeyboardInterrupt, BrokenPipeError):
        if not gone.is_set():
            raise
        code = Exit.BROKEN_PIPE
    finally:
        ended.set()
        signal.signal(READER_GONE, before)
    return Exit.BROKEN_PIPE if gone.is_set() else code


def _watch(gone: threading.Event, ended: threading.Event, main_thread: int) -> None:
    poll = select.poll()
    poll.register(STDOUT_FD, 0)  # errors are told always: that the other end of a pipe is closed
    while not ended.is_set():
        if any(
            events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(LOOK_S * 1000)
        ):
            gone.set()
            signal.pthread_kill(main_thread, READER_GONE)
            return


def _has_reader() -> bool:
    try:
        mode = os.fstat(STDOUT_FD).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
