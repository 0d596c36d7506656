"""File descriptors: how many this process may have, and what it is to be short of them."""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})
WAY_OUT: Final = "raise the limit of open files of srmd (LimitNOFILE, ulimit -n)"
SHORTAGE: Final = EXHAUSTED | {errno.ENOMEM, errno.ENOBUFS}
"""Calls with one of these errors failed for want of ours, not by a fault of the other side."""


def reserve_standard() -> None:
    """If standard input, output or error is closed, its number is kept from sockets and files.

    Whatever is read or written there fails as before: the null device is opened the wrong way
    round, but for standard error, whose failures cannot be told.
    """
    for fd, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            taken = os.open(os.devnull, flags)  # the lowest number that is free
            assert taken == fd, f"{taken} instead of {fd}"


def raised(wanted_count: int) -> int:
    """Raise the limit of this process to what is wanted, as far as it may; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted_count:
        return wanted_count if soft == resource.RLIM_INFINITY else soft
    most = wanted_count if hard == resource.RLIM_INFINITY else min(wanted_count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def is_exhausted(error: BaseException | None) -> bool:
    """The process, or the machine, has no free descriptor."""
    return isinstance(error, OSError) and error.errno in EXHAUSTED


def is_shortage(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in SHORTAGE
