"""Last words of a process that crashes below Python: what each thread did, on standard error.

faulthandler answers a crash on a stack of its own, and CPython answers every signal there.  The one
that faulthandler makes has room for a few signals at a time: a burst of them was a crash itself.
"""

from __future__ import annotations

import ctypes
import faulthandler
from contextlib import suppress

STACK_BYTES = 1 << 20
"""Room for all signals of Linux at a time: 64, of which each takes up to 11 KB where the registers
are large (AMX)."""

_stack = ctypes.create_string_buffer(STACK_BYTES)


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (
        ("sp", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def enable() -> None:
    """To be called in the main thread, which is the one that signals of a process reach."""
    with suppress(OSError, RuntimeError, ValueError):  # no standard error to write to
        faulthandler.enable()
    with suppress(OSError, AttributeError):  # a C library without it
        sigaltstack = ctypes.CDLL(None).sigaltstack
        sigaltstack(ctypes.byref(_Stack(ctypes.addressof(_stack), 0, STACK_BYTES)), None)
