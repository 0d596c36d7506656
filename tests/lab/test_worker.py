"""Pools of processes end with the one that they work for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from srmd.lab.worker import pool, undisturbed

LIMIT_S = 60.0
PROGRAM = """
import os, sys, time
from srmd.lab.worker import pool, undisturbed

def work(seconds):
    os.write(1, f"works {os.getpid()}\\n".encode())  # in one piece, whatever the other writes
    time.sleep(seconds)

if __name__ == "__main__":
    with pool(2) as executor:
        for future in [executor.submit(work, 600) for _ in range(9)]:
            future.result()
"""


def is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and PR_SET_PDEATHSIG")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_the_workers_of_a_process_that_ends_end_with_it(
    tmp_path: Path, ending: signal.Signals
) -> None:
    """They calculated on for minutes, found by no command."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        workers = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        os.kill(process.pid, ending)
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    give_up_s = time.monotonic() + LIMIT_S
    while any(map(is_there, workers)):
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def test_an_interruption_while_the_pool_starts_is_the_one_that_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread of the pool was waited for, which had not been started: another error was told."""

    def interrupted(_thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), pool(1) as executor:
        executor.submit(abs, -1)


@pytest.mark.parametrize("thread", ["main", "another"])
def test_an_interruption_waits_for_the_end_of_what_must_not_be_disturbed(thread: str) -> None:
    """A worker that was being started when the reader went away complained with a traceback.  A
    signal to the process may reach any of its threads."""
    order = []
    due = threading.Event()

    def interrupt() -> None:
        assert due.wait(LIMIT_S)
        signal.raise_signal(signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()  # before: it has a mask of its own then

    def work() -> None:
        with undisturbed():
            due.set()
            if thread == "main":
                interrupt()
            other.join()
            order.append("done")
        order.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert order == ["done"]


def test_a_worker_is_interrupted_by_nobody() -> None:
    """Ctrl-C goes to all processes of a terminal."""
    with pool(1) as executor:
        mask = executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result(LIMIT_S)
    assert signal.SIGINT in mask
