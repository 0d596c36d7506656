"""One service of a node: a real process, its health, and the orders it is given.

1. The process decides: when it ends, by whatever cause, the service is STOPPED and the note says
   how.  Nobody restarts it here: SRM or an administrator does.
2. Orders are serialized, and the last one wins: a start that a stop overtakes is given up.
3. Every order ends, within its bound, in STARTED or STOPPED, also when it is cancelled.
4. STARTED means that it answers: its health command, or the built-in program, has said so once.  A
   command that cannot be asked is STARTED when it has lived for a moment.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srmd.config import slug
from srmd.core.services import COMMANDED_OUT_OF_SERVICE, ServiceState, ServiceStatus
from srmd.daemon.guarded import KILL_S, GuardedProcess, SpawnFailed, python
from srmd.daemon.service_program import EXIT_BLOCKED
from srmd.descriptors import is_shortage

PROGRAM = Path(__file__).with_name("service_program.py")
BLOCKED = "blocked"
"""Folder of the run directory; a file in it keeps the service of that name from starting."""
PAUSE_MIN_S = 0.005
PAUSE_MAX_S = 0.25
"""Between two questions to a starting service whether it answers: doubled from the first on."""
SETTLE_S = 0.1
"""A command that nobody can ask counts as started when it has lived for this long."""
FAILURES_MIN = 2
"""Failed health checks before a service counts as hung: one may fail because we were suspended."""
LOOKS = 10
"""Looks for the answer to a health check.  The loop makes each of them itself, so while it stands
(a flood at the ports, a suspended process) the time of the service does not run out."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What the configuration says of one service."""

    name: str
    command: tuple[str, ...] | None = None
    """None: the built-in program.  A relative path is relative to the run directory."""
    critical: bool = True
    enabled: bool = True
    """Activated on this node; a service that is not is never started."""
    health_command: tuple[str, ...] | None = None
    """Exit code 0 means well.  Without one, a command is well as long as it runs."""
    health_interval_s: float | None = None
    health_s: float | None = None
    """None: as `Limits` has it for all services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for every service of the node.  Ours."""

    start_s: float
    """Until a started service has to answer."""
    stop_s: float
    """Between SIGTERM and SIGKILL."""
    health_interval_s: float
    health_s: float
    """How long a running service may fail to answer until it counts as hung and is killed."""


class OrderFailed(Exception):
    """Services did not do as ordered.  `notes` says of each why."""

    verb = "obey"

    def __init__(self, notes: Mapping[str, str], logs: Path | None = None) -> None:
        """`logs`: the log of the service, or the folder that has those of several."""
        self.notes = dict(notes)
        texts = "; ".join(f"{name} did not {self.verb}: {note}" for name, note in notes.items())
        super().__init__(f"{texts}; see {logs}" if logs is not None else texts)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.notes)


class StartFailed(OrderFailed):
    """Services do not run."""

    verb = "start"


class StopFailed(OrderFailed):
    """Services still run, or run again."""

    verb = "stop"


class NotRunning(Exception):
    """The order needs a running service."""


class Service:
    """One service.  `Supervisor` holds them all."""

    def __init__(
        self,
        spec: ServiceSpec,
        run_dir: Path,
        limits: Limits,
        on_change: Callable[[ServiceStatus], None],
    ) -> None:
        self.spec = spec
        self.slug = slug(spec.name)
        self.status = ServiceStatus(
            name=spec.name,
            state=ServiceState.STOPPED,
            note="" if spec.enabled else "not activated",
            critical=spec.critical,
            since_s=time.monotonic(),
        )
        self._run_dir = run_dir
        self._log = run_dir / f"{self.slug}.log"
        self._limits = _limits_of(spec, limits)
        self._on_change = on_change
        self._order = asyncio.Lock()
        self._wanted = False
        self._process: GuardedProcess | None = None
        self._built_in = spec.command is None
        """What runs is the built-in program."""
        self._verdict: str | None = None
        """Why we kill the process: the note it gets, in place of how it ended."""
        self._watching: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        return self.status.state is ServiceState.STARTED

    @property
    def is_asked(self) -> bool:
        """Its health is asked for, so that a hang is noticed."""
        return self._built_in or self.spec.health_command is not None

    async def start(self) -> None:
        """Bring the service up and wait until it answers.  Raises StartFailed."""
        if not self.spec.enabled:
            raise StartFailed({self.spec.name: "it is not activated in the configuration"})
        self._wanted = True
        async with self._order:
            if self.started:
                return
            try:
                async with asyncio.timeout(self._limits.start_s):
                    await self._bring_up()
            except (TimeoutError, SpawnFailed, _GivenUp) as error:
                note = str(error) or f"no answer within {self._limits.start_s:g} s"
            except asyncio.CancelledError:
                self._give_up("its start was withdrawn")
                raise
            else:
                return
            self._give_up(note)
            await self._cleared()
        raise StartFailed({self.spec.name: note}, self._log)

    async def stop(self) -> None:
        """End the service and all that it started: SIGTERM, then SIGKILL.  Raises StopFailed."""
        self._wanted = False
        if self.status.state is ServiceState.STARTING and self._process is not None:
            self._process.terminate()  # so that the start gives up at once
        async with self._order:
            if self._wanted:
                raise StopFailed({self.spec.name: "a later order started it"})
            process = self._process
            if process is not None:
                if not process.ended.done():
                    self._become(ServiceState.STOPPING)
                await self._put_down(process)
            if self.spec.enabled:
                self._become(ServiceState.STOPPED, COMMANDED_OUT_OF_SERVICE)

    async def kill(self) -> None:
        """Crash it: SIGKILL, and see it gone, so that a start that follows finds it dead.

        Raises NotRunning.
        """
        process = self._running()
        process.kill()
        await process.gone_within(KILL_S)

    async def hang(self) -> None:
        """Make it stop answering, while its process lives.  Raises NotRunning."""
        process = self._running()
        if not self._built_in or not await self._told("hang"):
            process.freeze()

    def block(self) -> None:
        """Let no start of it succeed, over reboots of the node too.  It is not stopped."""
        self._marker.parent.mkdir(exist_ok=True)
        self._marker.touch()

    def unblock(self) -> None:
        self._marker.unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        return self._run_dir / BLOCKED / self.slug

    async def _bring_up(self) -> None:
        """Start the process and wait until it answers; the caller bounds it."""
        self._check_wanted()
        self._verdict = None
        self._become(ServiceState.STARTING)
        if not await self._cleared():
            raise _GivenUp("its former process does not end")
        self._process = None
        process = await GuardedProcess.spawn(self._command(), run_dir=self._run_dir, log=self._log)
        self._process = process
        process.ended.add_done_callback(lambda ended: self._ended(process, ended.result()))
        self._become(ServiceState.STARTING)
        pause_s = PAUSE_MIN_S
        while not await self._is_well(process) and not await process.ends_within(pause_s):
            self._check_wanted()
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        self._check_wanted()
        if process.ended.done():
            raise _GivenUp(self._in_words(process.ended.result()))
        self._become(ServiceState.STARTED)
        if self.is_asked:
            self._watching = asyncio.create_task(self._watch(process))

    def _check_wanted(self) -> None:
        if not self._wanted:
            raise _GivenUp("a later order stopped it")

    def _command(self) -> Sequence[str]:
        # The built-in program stands in for a blocked command: it refuses as a real process.
        self._built_in = self.spec.command is None or self._marker.exists()
        if self.spec.command is None or self._built_in:
            return python(PROGRAM, self.slug)
        return self.spec.command

    def _give_up(self, note: str) -> None:
        """Leave no half-started service behind."""
        if self._process is not None and not self._process.ended.done():
            self._verdict = note
            self._process.kill()
        elif self.status.state is ServiceState.STARTING:
            self._become(ServiceState.STOPPED, note)

    async def _put_down(self, process: GuardedProcess) -> None:
        process.terminate()
        try:
            await process.ends_within(self._limits.stop_s)
        finally:
            if not process.ended.done():
                process.kill()  # also when the order is withdrawn: it is never left half done
        if not await self._cleared():
            raise StopFailed({self.spec.name: f"pid {process.pid} survives SIGKILL"})

    async def _cleared(self) -> bool:
        """Wait until nothing is left of the last process, and of the check that watched it."""
        if self._watching is not None:
            await asyncio.wait({self._watching}, timeout=KILL_S)
        return self._process is None or await self._process.gone_within(KILL_S)

    def _ended(self, process: GuardedProcess, how: str) -> None:
        if process is not self._process:
            return
        if self._watching is not None:
            self._watching.cancel()
        commanded = self.status.state is ServiceState.STOPPING or not self._wanted
        note = self._verdict or (COMMANDED_OUT_OF_SERVICE if commanded else self._in_words(how))
        self._become(ServiceState.STOPPED, note)

    def _in_words(self, how: str) -> str:
        blocked = how == f"exited with code {EXIT_BLOCKED}" and self._marker.exists()
        return f"{how}: it is blocked" if blocked else how

    async def _watch(self, process: GuardedProcess) -> None:
        """Kill the service when it has not answered for too long.  Ends with the process.

        Failed checks are counted, not seconds: while we are suspended nobody asks.
        """
        interval_s = self._limits.health_interval_s
        failures_max = max(FAILURES_MIN, math.ceil(self._limits.health_s / interval_s))
        failures_count = 0
        while failures_count < failures_max:
            began_s = time.monotonic()
            is_well = await self._is_well(process)
            if is_well is not None:
                failures_count = 0 if is_well else failures_count + 1
            await asyncio.sleep(max(0.0, began_s + interval_s - time.monotonic()))
        self._verdict = "not answering"
        process.kill()

    async def _is_well(self, process: GuardedProcess) -> bool | None:
        """Ask the service whether it is well; once, for an interval of the health check at most.

        None: it could not be asked, for want of descriptors or memory of ours.
        """
        if self._built_in:
            return await self._told("ping")
        if self.spec.health_command is None:
            return not await process.ends_within(SETTLE_S)
        return await _within(
            self._limits.health_interval_s,
            self._health_command(self.spec.health_command, process),
        )

    async def _told(self, word: str) -> bool | None:
        return await _within(self._limits.health_interval_s, self._tell(word))

    async def _tell(self, word: str) -> bool:
        reader, writer = await _connect(self._run_dir, f"{self.slug}.sock")
        try:
            writer.write(word.encode() + b"\n")
            return await reader.readline() == b"ok\n"
        finally:
            writer.close()

    async def _health_command(self, command: Sequence[str], process: GuardedProcess) -> bool:
        """Run the command that tells it; no more is waited for it when the service has ended."""
        check = await GuardedProcess.spawn(
            command, run_dir=self._run_dir, log=self._run_dir / f"{self.slug}.health.log"
        )
        try:
            await asyncio.wait({check.ended, process.ended}, return_when=FIRST_COMPLETED)
            return check.ended.done() and check.ended.result() == "exited with code 0"
        finally:
            check.kill()
            await check.gone_within(KILL_S)

    def _running(self) -> GuardedProcess:
        if self._process is None or self._process.ended.done():
            raise NotRunning(
                f"service {self.spec.name}: {self.status.state.value}, and only a running one can"
                f" do this: start it first"
            )
        return self._process

    def _become(self, state: ServiceState, note: str = "") -> None:
        running = self._process is not None and not self._process.ended.done()
        pid = self._process.pid if self._process is not None and running else None
        if (state, note, pid) == (self.status.state, self.status.note, self.status.pid):
            return
        since_s = self.status.since_s if state is self.status.state else time.monotonic()
        self.status = replace(self.status, state=state, note=note, since_s=since_s, pid=pid)
        self._on_change(self.status)


def _limits_of(spec: ServiceSpec, limits: Limits) -> Limits:
    """Those of one service: its own where it has them."""
    interval_s, health_s = spec.health_interval_s, spec.health_s
    return replace(
        limits,
        health_interval_s=limits.health_interval_s if interval_s is None else interval_s,
        health_s=limits.health_s if health_s is None else health_s,
    )


class _GivenUp(Exception):
    """This start cannot succeed any more."""


async def _within(bound_s: float, question: Coroutine[Any, Any, bool]) -> bool | None:
    """The answer; False when there is none in LOOKS equal parts of the time, None when nothing
    could be asked."""
    asking = asyncio.create_task(question)
    try:
        for _ in range(LOOKS):
            if (await asyncio.wait({asking}, timeout=bound_s / LOOKS))[0]:
                return await asking
        return False
    except (OSError, SpawnFailed) as failed:
        return None if is_shortage(failed.__cause__ or failed) else False
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)  # it leaves nothing behind


async def _connect(folder: Path, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a unix socket however long the path of its folder is.

    The address of a unix socket has 108 bytes; Linux offers a short way to an open folder.
    """
    if sys.platform != "linux":
        return await asyncio.open_unix_connection(folder / name)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)
