"""Pools of processes that calculate for this one, and end with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

PR_SET_PDEATHSIG = 1
INTERRUPTIONS = (signal.SIGINT, signal.SIGURG)
"""Ctrl-C, and the command's own signal that nobody reads its output any more."""


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes.  When the block is left by an exception, such as Ctrl-C, they end at once,
    whatever they are at."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=begin)
    try:
        with undisturbed():
            executor._launch_processes()  # type: ignore[attr-defined]  # noqa: SLF001 # all of them now
        yield executor
    except BaseException:
        for process in [*(executor._processes or {}).values()]:  # noqa: SLF001 # no other way
            process.kill()
        # Not waited for: the interruption may have come before its thread was started.
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


@contextmanager
def undisturbed() -> Iterator[None]:
    """An interruption waits until the block has ended; a process that starts in it hears none.

    A process that is interrupted while it starts, or whose parent is, complains with a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    resource_tracker.ensure_running()  # it would let signals through
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: held.append(number))
        for number in INTERRUPTIONS
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if held:
        signal.raise_signal(held[0])


def begin() -> None:
    """The first work of a process of a pool.

    Ctrl-C is for the parent, which ends its workers.  A parent that was killed with -9 cannot: the
    kernel does it then (on Linux), or its workers would calculate on for minutes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if sys.platform != "linux" or parent is None:
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent.pid:
        os._exit(1)  # it was gone before the kernel knew what to do about it
