"""A one-shot alarm for the moments at which a node decides.

The selector loop rounds its wait up to whole milliseconds, and the kernel lets a poll slip by 0.1 %
of its length: 3 ms of 3 s, 60 ms of 60 s.  A timerfd has neither fault, its overshoot is below a
millisecond at every length.  Where there is none (macOS) the loop's own timer has to do.

The alarm knows nothing of sockets.  Who decides on it drains them first.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol


class _Timer(Protocol):
    exact: bool

    def arm(self, at_s: float) -> None: ...
    def disarm(self) -> None: ...
    def close(self) -> None: ...


class Alarm:
    """Calls `callback` once, at an absolute monotonic second, from the event loop.

    Never early; never from within `set`, not even when the moment has passed already.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._closed = False
        self.at_s: float | None = None
        """The moment it is set to; None when it is not set."""
        self._timer: _Timer
        try:
            self._timer = _TimerFd(loop, self._ring)
        except (AttributeError, OSError):  # the C library, or the kernel, has none
            self._timer = _LoopTimer(loop, self._ring)

    @property
    def exact(self) -> bool:
        """A timerfd counts, so that the overshoot does not grow with the wait."""
        return self._timer.exact

    def set(self, at_s: float) -> None:
        """Set the alarm, in place of what it was set to.  `at_s` as in `time.monotonic()`."""
        assert not self._closed, "the alarm is closed"
        assert math.isfinite(at_s), f"{at_s} is not a moment"
        self.at_s = at_s
        self._timer.arm(at_s)

    def cancel(self) -> None:
        if self.at_s is not None:
            self.at_s = None
            self._timer.disarm()

    def close(self) -> None:
        """Cancel it for good and give back its descriptor.  May be called again."""
        if not self._closed:
            self.cancel()
            self._closed = True
            self._timer.close()

    def _ring(self) -> None:
        if self.at_s is None:
            return
        if time.monotonic() < self.at_s:
            # A loop may run its timers up to its clock's resolution early.
            self._timer.arm(self.at_s)
            return
        self.at_s = None
        self._callback()


class _LoopTimer:
    exact = False

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at_s: float) -> None:
        self.disarm()
        # The loop's clock may differ from the monotonic one by a constant.
        delay_s = max(0.0, at_s - time.monotonic())
        self._handle = self._loop.call_later(delay_s, self._ring)

    def disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        self.disarm()


class _TimerFd:
    exact = True

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._fd = _timerfd_create()
        try:
            loop.add_reader(self._fd, self._expired)
        except BaseException:
            os.close(self._fd)
            raise

    def arm(self, at_s: float) -> None:
        # Zero would disarm; rounding up keeps the promise never to be early.
        _timerfd_settime(self._fd, max(1, math.ceil(at_s * 1e9)))

    def disarm(self) -> None:
        _timerfd_settime(self._fd, 0)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # It was set anew, or cancelled, after the loop had seen it expire.
        self._ring()


if sys.version_info >= (3, 13):

    def _timerfd_create() -> int:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _timerfd_settime(fd: int, at_ns: int) -> None:
        os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)

else:
    _TFD_TIMER_ABSTIME = 1

    class _Timespec(ctypes.Structure):
        _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))

    class _Itimerspec(ctypes.Structure):
        _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))

    _libc = ctypes.CDLL(None, use_errno=True)

    def _timerfd_create() -> int:
        # TFD_NONBLOCK and TFD_CLOEXEC are defined as O_NONBLOCK and O_CLOEXEC.
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        fd: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        return fd

    def _timerfd_settime(fd: int, at_ns: int) -> None:
        spec = _Itimerspec(it_value=_Timespec(*divmod(at_ns, 1_000_000_000)))
        if _libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
