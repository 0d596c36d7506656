"""Signals of a process that is to run for weeks: each does something that is written down.

deploy/README.md has the table.  asyncio's own handlers are not enough: they go with their loop,
and a second SIGTERM in the last moments of a process would end it with -15.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping

DEFECTS = frozenset(
    {
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)
"""Of the kernel for a defect, and of a watchdog: they end the process, and a manager sees why."""
HARMLESS = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGPIPE,  # Python ignores it, and the other one: the call that failed tells
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGXFSZ,
    }
)
"""They do not end a process of ours."""
WOULD_KILL = (
    frozenset(signal.valid_signals()) - DEFECTS - HARMLESS - {signal.SIGKILL, signal.SIGSTOP}
)
"""A process without a handler for one of these ends by it at once, without a record."""
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""They say: stop in good order."""
WAKEUP_BYTES = 4096

Handler = Callable[[int], None]


class Signals:
    """Hands signals to callbacks in the running event loop, and keeps them until the very end."""

    def __init__(self, handlers: Mapping[int, Handler]) -> None:
        """`handlers` are called with the number, in the loop.  To be made in the main thread."""
        self._handlers = dict(handlers)
        self._loop = asyncio.get_running_loop()
        self._read_fd, self._write_fd = os.pipe()
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)
        self._loop.add_reader(self._read_fd, self._arrived)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._handlers:
            signal.signal(number, lambda *_: None)  # the descriptor carries its number

    def close(self) -> None:
        """Ignore them for the rest of the process: it ends already."""
        for number in self._handlers:
            # Children are waited for as before; ignored, their ends would be lost.
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _arrived(self) -> None:
        for number in os.read(self._read_fd, WAKEUP_BYTES):
            handler = self._handlers.get(number)
            if handler is not None:
                handler(number)


def has_terminal() -> bool:
    """A SIGHUP means that our terminal is gone.

    To be asked at the start: a terminal that hangs up belongs to no process any more.  A parent
    that ignored SIGHUP (nohup) wants us to go on without it.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def name_of(number: int) -> str:
    """SIGHUP, or signal 40 for one of the real-time signals that have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
