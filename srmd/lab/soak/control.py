"""A bare timer in a process of its own, on the schedule of the beats: the noise of this machine.

It does nothing else, so how late it is says how late the machine lets anybody be.  It
answers each line on its standard input with its counts, and ends when that is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Final, Self

from srmd.lab.scenario.stage import StageBroken
from srmd.node.punctuality import Punctuality

ANSWER_LIMIT_S: Final = 10.0
END_LIMIT_S: Final = 5.0


class Control:
    """The process, from the side of whoever started it."""

    def __init__(self, interval_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "srmd.lab.soak.control", str(interval_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=END_LIMIT_S)

    def read(self) -> dict[str, Any]:
        """{"late": counts by class, "latest_s": ...}.  Raises StageBroken."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(b"?\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_LIMIT_S)
            line = self._process.stdout.readline() if ready else b""
        except (OSError, ValueError):  # ValueError: we have ended it ourselves
            line = b""
        if not line:
            raise StageBroken(f"the control timer does not answer within {ANSWER_LIMIT_S:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer


async def _beat(interval_s: float) -> None:
    """The schedule of `daemon.heartbeat`, without a beat."""
    loop = asyncio.get_running_loop()
    punctuality = Punctuality()
    ended = loop.create_future()
    due_s = time.monotonic() + interval_s

    def tick() -> None:
        nonlocal due_s
        now_s = time.monotonic()
        if now_s >= due_s:
            punctuality.note(now_s - due_s)
            due_s = due_s + interval_s if due_s + interval_s > now_s else now_s + interval_s
        loop.call_later(due_s - now_s, tick)

    def answer() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            ended.set_result(None)
            return
        said = {"late": punctuality.counts(), "latest_s": punctuality.latest_s}
        print(json.dumps(said), flush=True)

    loop.add_reader(sys.stdin.fileno(), answer)
    loop.call_later(interval_s, tick)
    await ended


if __name__ == "__main__":
    asyncio.run(_beat(float(sys.argv[1])))
