"""Work that has to go on as long as the node runs: it is begun again when it fails, and logged.

A task that died while its process goes on is worse than a process that dies: nothing restarts it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PAUSE_FIRST_S = 1.0
PAUSE_LONGEST_S = 60.0
STABLE_S = 60.0
"""Work that went on for so long begins with the first pause again when it fails."""


class Backoff:
    """Pauses between failures: doubled from the first to the longest."""

    def __init__(self, longest_s: float | None = None) -> None:
        self._longest_s = PAUSE_LONGEST_S if longest_s is None else longest_s
        self._next_s = PAUSE_FIRST_S
        self._began_s = time.monotonic()

    def begun(self) -> None:
        """The work begins now."""
        self._began_s = time.monotonic()

    def failed(self) -> float:
        """The pause before the work begins again."""
        now_s = time.monotonic()
        if now_s - self._began_s >= STABLE_S:
            self._next_s = PAUSE_FIRST_S
        self._began_s = now_s
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause_s


async def kept_up(name: str, work: Callable[[], Awaitable[None]], log: Any) -> None:
    """Do the work until it ends or is cancelled, again after each failure."""
    backoff = Backoff()
    while True:
        backoff.begun()
        try:
            await work()
        except Exception as error:  # a defect of ours, whatever it is
            pause_s = backoff.failed()
            log.error("task.failed", task=name, restart_s=pause_s, exc_info=error)
            await asyncio.sleep(pause_s)
        else:
            return
