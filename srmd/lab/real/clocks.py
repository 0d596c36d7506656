"""A clock of its own for a node: a few lines of C before the C library, and a file that puts it.

Only the time of day jumps (`clock.c`).  Monotonic time stays that of the machine, so what a node
does when its clock jumps is the node's own doing.

Tried first, and no use: libfaketime 0.9.10 moves a timerfd's monotonic deadline along with the time
of day, so a node would ring an hour late; it also makes `time.sleep` fail, threads spin while they
wait for the interpreter, and leaves files in shared memory when a process is killed.
"""

from __future__ import annotations

import http.client
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from srmd.lab.scenario.stage import StageBroken

COMPILER: Final = "cc"
SOURCE: Final = Path(__file__).with_name("clock.c")
LIBRARY: Final = "clock.so"
FILE: Final = "clock"
"""In a node's folder."""
BUILD_LIMIT_S: Final = 60.0
ASK_LIMIT_S: Final = 2.0
SHOWN_LIMIT_S: Final = 10.0
POLL_S: Final = 0.02
SHOWN_TOLERANCE_S: Final = 2.0
"""A node tells whole seconds, and the answer takes its time."""


def missing() -> str | None:
    """Why no clock can be made here, and the way out; None when one can."""
    if sys.platform != "linux":
        return "clocks of nodes can be put on Linux only"
    if shutil.which(COMPILER) is None:
        return f"no C compiler ({COMPILER}) on PATH to make clocks with; on Debian: gcc, libc6-dev"
    return None


def build(folder: Path) -> Path:
    """The library, made in this folder.  Raises StageBroken with what the compiler says."""
    library = folder / LIBRARY
    command = [COMPILER, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise StageBroken(f"{COMPILER} did not make the clocks: {failed}") from failed
    if done.returncode != 0:
        raise StageBroken(f"{COMPILER} did not make the clocks: {done.stderr.strip()[-500:]}")
    return library


def environment(library: Path, file: Path) -> Mapping[str, str]:
    """Of a process whose clock the file puts, and of all that it starts."""
    return {"LD_PRELOAD": str(library), "LAB_CLOCK": str(file)}


def put(file: Path, ahead_s: float) -> None:
    """The clock is so far ahead of the true time from now on; below 0 behind it."""
    raw = struct.pack("=q", round(ahead_s * 1e9))
    if not file.exists():
        file.write_bytes(raw)
        return
    with file.open("r+b") as clock:  # in its place: the node looks at this very file
        clock.write(raw)


def shows(url: str, ahead_s: float) -> bool:
    """Within a bound, the node at this address tells the time that its clock was put to.

    Asked over HTTP, because a library that is not preloaded after all puts nothing.
    """
    give_up_s = time.monotonic() + SHOWN_LIMIT_S
    while True:
        told_s = _told_s(url)
        if told_s is not None and abs(told_s - time.time() - ahead_s) <= SHOWN_TOLERANCE_S:
            return True
        if time.monotonic() >= give_up_s:
            return False
        time.sleep(POLL_S)


def _told_s(url: str) -> float | None:
    """The time of day that the node writes on its answers."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(
        address.hostname or "", address.port, timeout=ASK_LIMIT_S
    )
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
