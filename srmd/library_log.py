"""Complaints of asyncio, aiohttp and Python itself, bounded, for a log that never blocks.

By default it goes to standard error: hundreds of tracebacks a second when descriptors run out, and
the event loop stands still as soon as it has no reader.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

INTERVAL_S = 10.0
"""Complaints of one kind are told at most once in this time, with how many were left out."""
KINDS_MAX = 100
"""Kinds that are told apart; all further ones are one kind."""
OTHER = ("other", "")


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint."""

    logger: str
    text: str
    """Its first line; the others are details of one occurrence."""
    is_error: bool
    error: BaseException | None
    left_out_count: int
    """Complaints of the same kind that were not told since the last one that was."""


class LibraryLog(logging.Handler):
    """Takes the records of all libraries, and hands on what is to be told."""

    def __init__(
        self, tell: Callable[[Complaint], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """The last moment of each kind, and the number left out since."""

    def emit(self, record: logging.LogRecord) -> None:
        text = str(record.msg).partition("\n")[0]
        kind = (record.name, text)
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            kind = OTHER
        now_s = self._clock()
        told_s, left_out_count = self._kinds.get(kind, (now_s - INTERVAL_S, 0))
        if now_s - told_s < INTERVAL_S:
            self._kinds[kind] = (told_s, left_out_count + 1)
            return
        self._kinds[kind] = (now_s, 0)
        error = record.exc_info[1] if record.exc_info else None
        is_error = record.levelno >= logging.ERROR
        try:
            text = record.getMessage().partition("\n")[0]
        except (TypeError, ValueError):
            pass  # the library's mistake; the text without its arguments has to do
        self._tell(Complaint(record.name, text, is_error, error, left_out_count))


def take_over(handler: LibraryLog) -> None:
    """From now on all complaints of libraries and of Python itself go to this handler alone."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a handler that fails must not write to standard error
    log = logging.getLogger("python")

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        log.error(found.err_msg or "an exception was ignored", exc_info=found.exc_value)

    def thread_failed(found: threading.ExceptHookArgs) -> None:
        log.error("a thread ended by an exception", exc_info=found.exc_value)

    sys.unraisablehook = unraisable
    threading.excepthook = thread_failed
