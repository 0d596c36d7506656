"""Pools of processes that calculate for this one, and end with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes.  When the block is left by an exception, such as Ctrl-C, they end at once,
    whatever they are at."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=begin)
    try:
        yield executor
    except BaseException:
        for process in [*(executor._processes or {}).values()]:  # noqa: SLF001 # no other way
            process.kill()
        # Not waited for: the interruption may have come before its thread was started.
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


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
