"""A child process that cannot outlive us.  Our side of `guard.py`; see there for how and why."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

GUARD = Path(__file__).with_name("guard.py")
LOG_BYTES_MAX = 256 * 1024
"""Size of a service's log; one older file of the same size is kept beside it."""
KILL_S = 6.0
"""How long SIGKILL and the sweep of descendants may take; longer than `guard.SWEEP_S`."""


class Children:
    """The guards of this process: other waits for children leave these alone."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self._starting_count = 0

    @property
    def are_known(self) -> bool:
        """No child is just being started, whose number is not known yet."""
        return not self._starting_count

    @contextmanager
    def starting(self) -> Iterator[None]:
        self._starting_count += 1
        try:
            yield
        finally:
            self._starting_count -= 1


children: Final = Children()
"""Of the process, as the operating system has them."""


class SpawnFailed(Exception):
    """The command cannot be executed."""


class GuardedProcess:
    """One running command.  Make it with `spawn`.

    What belongs to the command ends with it: its descendants, in whatever session they are.
    """

    def __init__(
        self,
        guard: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.ended: asyncio.Future[str] = loop.create_future()
        """How the command ended, in words for an operator."""
        self._executed: asyncio.Future[str] = loop.create_future()
        """Why the command could not be executed; empty when it was."""
        self._guard = guard
        self._writer = writer
        self._following = asyncio.create_task(self._follow(reader))

    @classmethod
    async def spawn(
        cls, command: Sequence[str], *, run_dir: Path, log: Path, log_bytes_max: int = LOG_BYTES_MAX
    ) -> GuardedProcess:
        """Execute the command, with `run_dir` as its working directory.

        Raises SpawnFailed when it cannot be executed.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise SpawnFailed(f"the guard of {command[0]}: {error.strerror}") from error
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            with theirs, children.starting():
                fd = theirs.fileno()
                guard = await asyncio.create_subprocess_exec(
                    *python(GUARD, str(fd), str(log), str(log_bytes_max), *command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    cwd=run_dir,
                    env=_environment(),
                    pass_fds=[fd],
                    start_new_session=True,  # Ctrl-C is for the daemon
                )
                children.pids.add(guard.pid)
        except OSError as error:
            writer.close()
            raise SpawnFailed(f"the guard of {command[0]}: {error.strerror}") from error
        except BaseException:
            writer.close()  # which a guard takes as an order to leave nothing behind
            raise
        process = cls(guard, reader, writer)
        try:
            await asyncio.wait({process._executed})  # the guard executes at once, or ends
        except asyncio.CancelledError:
            process.kill()
            await process.gone_within(KILL_S)
            raise
        problem = process._executed.result()
        if problem:
            await process.gone_within(KILL_S)
            raise SpawnFailed(problem)
        return process

    def terminate(self) -> None:
        """Ask the command to end (SIGTERM to its process group)."""
        self._order(b"T")

    def kill(self) -> None:
        self._order(b"K")

    def freeze(self) -> None:
        """Suspend the command (SIGSTOP): it lives and does not answer."""
        self._order(b"F")

    async def ends_within(self, bound_s: float) -> bool:
        """Wait for the end of the command itself."""
        await asyncio.wait({self.ended}, timeout=bound_s)
        return self.ended.done()

    async def gone_within(self, bound_s: float) -> bool:
        """Wait for the end of the command and of all that it started."""
        await asyncio.wait({self._following}, timeout=bound_s)
        return self._following.done()

    def _order(self, order: bytes) -> None:
        # The guard signals, since only the parent can know that a pid is still its child.
        if not self._writer.is_closing():
            self._writer.write(order)

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        """Learn from the guard what becomes of the command, until nothing of it is left."""
        try:
            word, _, rest = await _line(reader)
            if word == "pid":
                self.pid = int(rest)
                self._executed.set_result("")
                word, _, rest = await _line(reader)
            if word in {"exited", "killed"}:
                self.ended.set_result(_in_words(word, int(rest)))
            elif self._executed.done():
                self._kill_without_guard()
                self.ended.set_result("its guard was killed")
            else:
                self._executed.set_result(rest or "its guard was killed")
            await reader.read()  # ends when the last descendant is gone
        except OSError:
            pass  # A guard was killed after its last word.
        except Exception as error:  # noqa: BLE001 - a command that is not followed must not seem to run
            lost = f"lost by an internal error: {error!r}"
            for told in (self._executed, self.ended):
                if not told.done():
                    told.set_result(lost)
        self._writer.close()  # which a guard takes as an order to leave nothing behind
        await self._guard.wait()
        children.pids.discard(self._guard.pid)

    def _kill_without_guard(self) -> None:
        """The kernel has killed the command with its guard; its group is left to us."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # Nothing is left of it.


async def _line(reader: asyncio.StreamReader) -> tuple[str, str, str]:
    """A line of the guard: the first word, a space, the rest.  Empty when it was killed."""
    try:
        return (await reader.readline()).decode().strip().partition(" ")
    except OSError:
        return ("", "", "")  # It left an order unread.


def python(program: Path, *arguments: str) -> tuple[str, ...]:
    """The command for a program of ours: isolated, without site packages, for a fast start."""
    return (sys.executable, "-I", "-S", str(program), *arguments)


def _environment() -> dict[str, str]:
    """Ours, without what is meant for the daemon and its commands only.

    Secrets under other names have left our environment: see `own_secrets`.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("SRMD_")}


def _in_words(verb: str, number: int) -> str:
    if verb == "exited":
        return f"exited with code {number}"
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"
