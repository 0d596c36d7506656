"""Ends the processes of a lab when the process that holds the lab is gone, however it went.

    python -I -S leash.py MARK FOLDER

A program of its own, standard library only: a process that is killed with -9 cannot clean up.  It
waits until its standard input ends, which only the holder keeps open.  Then it kills every process
that has the lab's mark in its environment (nodes, proxies, what they started, frozen ones too) and
removes the lab's folder.  Where the holder has done so itself, there is nothing left to do.

The way of `daemon/guard.py`, to be their parent, would put a process between the lab and each node
that it stops, freezes and waits for.  PR_SET_PDEATHSIG is sent when the thread ends that started
the process, and labs are used from threads.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "LAB_PAIR"
"""The environment variable by which the processes of a lab, grandchildren too, are found again."""
LIMIT_S = 10.0
"""Time that processes have to end after SIGKILL."""
PAUSE_S = 0.05


class Leash:
    """The process, from the side of the holder."""

    def __init__(self, mark: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, mark, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a signal to the holder's group is not for it
        )

    def close(self) -> None:
        """To be called when the lab has been cleaned up.  Safe to call twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(2 * LIMIT_S)


def processes_of(mark: str) -> dict[int, str]:
    """Pid and command of every process that a lab has started, directly or not.

    Found by their environment, where /proc shows it (Linux); elsewhere none is found.
    """
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace").strip()
        except OSError:
            pass  # it has just ended, or is not ours to look at
    return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it went by itself after all


def main(mark: str, folder: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    give_up_s = time.monotonic() + LIMIT_S
    while (left := processes_of(mark)) and time.monotonic() < give_up_s:
        for pid in left:
            kill(pid)
        time.sleep(PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
