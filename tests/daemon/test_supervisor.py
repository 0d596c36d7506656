"""Services as real processes: started, stopped, broken, and never left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.config import slug
from srmd.core.services import CRITICAL_SERVICES, DATABASE_SERVICE, ServiceState, ServiceStatus
from srmd.daemon import guarded, supervisor
from srmd.daemon.guarded import GuardedProcess, SpawnFailed, python
from srmd.daemon.service import PROGRAM
from srmd.daemon.supervisor import (
    Limits,
    NotRunning,
    ServiceSpec,
    StartFailed,
    StopFailed,
    Supervisor,
    UnknownService,
)

STARTED, STARTING, STOPPED, STOPPING = (
    ServiceState.STARTED,
    ServiceState.STARTING,
    ServiceState.STOPPED,
    ServiceState.STOPPING,
)
ROUTER, ENGINE, PROXY = CRITICAL_SERVICES
BOUND_S = 20.0
"""For what must happen; far more than it takes."""
LIMITS = Limits(start_s=15.0, stop_s=10.0, health_interval_s=0.5, health_s=1.0)

DAEMON = """
import asyncio, pathlib, sys
from srmd.daemon.supervisor import *
async def main():
    specs = [ServiceSpec("Built In"), ServiceSpec("Parent", tuple(sys.argv[2:]))]
    limits = Limits(start_s=15, stop_s=1, health_interval_s=1, health_s=5)
    node = Supervisor(specs, pathlib.Path(sys.argv[1]), limits, lambda status: None)
    await node.start_all()
    print(*(status.pid for status in node.statuses()), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

PARENT = """
import os, pathlib, signal, subprocess, sys, time
child = "import os, pathlib, signal; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN);\
 pathlib.Path('grandchild.new').write_text(str(os.getpid()));\
 os.rename('grandchild.new', 'grandchild'); signal.pause()"
middle = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
subprocess.run([sys.executable, "-c", middle], check=True)  # the grandchild is an orphan now
signal.pause()
"""
"""A service with a descendant that does what it can to escape: orphan, session of its own, deaf."""


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def py(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


async def until(claim: Callable[[], bool]) -> None:
    """Wait until it is true, at most BOUND_S."""
    async with asyncio.timeout(BOUND_S):
        while not claim():  # noqa: ASYNC110 - what other processes do sets no event
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """A process of that pid runs: a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_fds_count() -> int:
    return len(names(Path("/proc/self/fd")))


def children() -> set[int]:
    """Of this process, zombies too; fixtures of other tests may have some."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


class Node:
    """A supervisor, with a memory of what it reported."""

    def __init__(self, run_dir: Path, *specs: ServiceSpec, limits: Limits = LIMITS) -> None:
        self.run_dir = run_dir
        self.seen: list[ServiceStatus] = []
        self.services = Supervisor(specs, run_dir, limits, self.seen.append)

    def status(self, name: str) -> ServiceStatus:
        return next(status for status in self.services.statuses() if status.name == name)

    def serves(self) -> bool:
        return self.services.critical_ok

    def pid(self, name: str) -> int:
        pid = self.status(name).pid
        assert pid is not None
        return pid

    async def answers(self, name: str) -> bool:
        return bool(await self.services._named(name)._told("ping"))

    def socket_path(self, name: str) -> str:
        return os.path.relpath(self.run_dir / f"{slug(name)}.sock")

    def story(self, name: str) -> list[tuple[ServiceState, str]]:
        """The states and notes it went through, without repetitions."""
        told: list[tuple[ServiceState, str]] = []
        for status in self.seen:
            if status.name == name and told[-1:] != [(status.state, status.note)]:
                told.append((status.state, status.note))
        return told

    async def becomes(self, name: str, state: ServiceState, note: str) -> None:
        await until(lambda: (self.status(name).state, self.status(name).note) == (state, note))


Make = Callable[..., Node]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes nodes in this test's directory, and closes them."""
    nodes: list[Node] = []

    def make(*specs: ServiceSpec, run_dir: Path = tmp_path, limits: Limits = LIMITS) -> Node:
        nodes.append(Node(run_dir, *specs, limits=limits))
        return nodes[-1]

    yield make
    for node in nodes:
        await node.services.close()


# Starting and stopping


async def test_services_are_started_answer_and_are_stopped(make: Make) -> None:
    node = make(*(ServiceSpec(name) for name in CRITICAL_SERVICES))
    assert not node.serves()
    await node.services.start_all()
    assert node.serves()
    pids = [node.pid(name) for name in CRITICAL_SERVICES]
    assert all(alive(pid) for pid in pids)
    await node.services.stop_all()
    assert not node.serves()
    assert not any(alive(pid) for pid in pids)
    for name in CRITICAL_SERVICES:
        assert node.story(name) == [
            (STARTING, ""),
            (STARTED, ""),
            (STOPPING, ""),
            (STOPPED, "Commanded out of service"),
        ]


async def test_a_start_ends_only_when_the_service_answers(make: Make) -> None:
    late = py(
        "import pathlib, time; time.sleep(0.3); pathlib.Path('well').touch(); time.sleep(600)"
    )
    node = make(ServiceSpec(ROUTER, late, health_command=("test", "-e", "well")))
    await node.services.start(ROUTER)
    assert (node.run_dir / "well").exists()


async def test_a_start_of_a_running_service_leaves_it_alone(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    await node.services.start_all()
    assert node.pid(ROUTER) == pid


async def test_a_restart_gives_a_new_process(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    await node.services.restart(ROUTER)
    assert node.pid(ROUTER) != pid
    assert not alive(pid)


async def test_a_stop_of_a_stopped_service_is_remembered_as_commanded(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.stop(ROUTER)
    assert node.story(ROUTER) == [(STOPPED, "Commanded out of service")]


async def test_a_stop_kills_what_does_not_listen(make: Make) -> None:
    deaf = py(
        "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\n"
        "while True: signal.pause()"
    )
    limits = Limits(start_s=15, stop_s=0.2, health_interval_s=1, health_s=5)
    node = make(ServiceSpec(ROUTER, deaf), limits=limits)
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    log = node.run_dir / f"{slug(ROUTER)}.log"
    await until(lambda: log.exists() and log.read_text() == "deaf\n")
    began_s = time.monotonic()
    await node.services.stop_all()
    assert time.monotonic() - began_s >= 0.2
    assert not alive(pid)
    assert node.status(ROUTER).note == "Commanded out of service"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who belongs to a service")
async def test_a_stopped_service_leaves_no_descendant(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, py(PARENT)))
    await node.services.start(ROUTER)
    await until((node.run_dir / "grandchild").exists)
    grandchild = int((node.run_dir / "grandchild").read_text())
    assert alive(grandchild)
    await node.services.stop(ROUTER)
    assert not alive(grandchild)


# Failing to start


async def test_start_all_names_the_services_that_fail_and_starts_the_others(make: Make) -> None:
    node = make(
        ServiceSpec(ROUTER),
        ServiceSpec(ENGINE, sh("exit 3")),
        ServiceSpec(PROXY, ("no-such-program",)),
    )
    with pytest.raises(StartFailed) as failure:
        await node.services.start_all()
    assert failure.value.names == (ENGINE, PROXY)
    assert failure.value.notes[PROXY] == "no-such-program: No such file or directory"
    assert str(failure.value).endswith(f"; see {node.run_dir}")
    assert node.status(ROUTER).state is STARTED
    assert node.status(PROXY).state is STOPPED
    assert not node.serves()


async def test_a_command_that_ends_before_it_is_well_has_not_started(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, sh("echo no; exit 3"), health_command=("false",)))
    with pytest.raises(StartFailed) as failure:
        await node.services.start(ROUTER)
    assert failure.value.notes == {ROUTER: "exited with code 3"}
    log = node.run_dir / f"{slug(ROUTER)}.log"
    assert str(failure.value).endswith(f"did not start: exited with code 3; see {log}")
    assert log.read_text() == "no\n"
    assert node.story(ROUTER) == [(STARTING, ""), (STOPPED, "exited with code 3")]


async def test_a_service_that_never_answers_is_killed_when_the_bound_passes(make: Make) -> None:
    limits = Limits(start_s=0.5, stop_s=1, health_interval_s=0.2, health_s=1)
    node = make(ServiceSpec(ROUTER, sh("sleep 600"), health_command=("false",)), limits=limits)
    with pytest.raises(
        StartFailed, match=r"Cisco XCP Router did not start: no answer within 0\.5 s"
    ):
        await node.services.start(ROUTER)
    assert node.story(ROUTER) == [(STARTING, ""), (STOPPED, "no answer within 0.5 s")]
    pids = {status.pid for status in node.seen if status.pid is not None}
    assert pids
    assert not any(alive(pid) for pid in pids)


async def test_a_health_command_that_hangs_is_no_answer(make: Make) -> None:
    limits = Limits(start_s=0.6, stop_s=1, health_interval_s=0.2, health_s=1)
    check = "echo $$ > check.new; mv check.new check; sleep 600"
    node = make(ServiceSpec(ROUTER, sh("sleep 600"), health_command=sh(check)), limits=limits)
    for _ in range(10):  # a busy machine may not come to the check before the bound passes
        with pytest.raises(StartFailed, match="no answer"):
            await node.services.start(ROUTER)
        if (node.run_dir / "check").exists():
            break
    pid = int((node.run_dir / "check").read_text())
    await until(lambda: not alive(pid))


@pytest.mark.parametrize("command", [None, ("sleep", "600")])
async def test_a_blocked_service_refuses_to_start_until_unblocked(
    make: Make, command: tuple[str, ...] | None
) -> None:
    before_the_reboot = make(ServiceSpec(ROUTER, command))
    before_the_reboot.services.block(ROUTER)
    await before_the_reboot.services.close()
    node = make(ServiceSpec(ROUTER, command), ServiceSpec(ENGINE))
    with pytest.raises(StartFailed) as failure:
        await node.services.start_all()
    assert failure.value.notes == {ROUTER: "exited with code 78: it is blocked"}
    assert node.status(ROUTER).note == "exited with code 78: it is blocked"
    node.services.unblock(ROUTER)
    node.services.unblock(ROUTER)
    await node.services.start_all()
    assert node.serves()


async def test_a_running_service_that_is_blocked_runs_on(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    node.services.block(ROUTER)
    await node.services.start(ROUTER)
    assert node.status(ROUTER).state is STARTED


# Breaking


async def test_a_crash_is_noticed_and_nobody_restarts_the_service(make: Make) -> None:
    node = make(ServiceSpec(ROUTER), ServiceSpec(ENGINE))
    await node.services.start_all()
    await node.services.kill(ROUTER)
    await node.becomes(ROUTER, STOPPED, "killed by SIGKILL")
    assert not node.serves()
    assert node.status(ROUTER).pid is None
    with pytest.raises(NotRunning, match=f"service {ROUTER}: STOPPED"):
        await node.services.kill(ROUTER)
    await node.services.start_all()
    assert node.serves()
    assert node.story(ENGINE) == [(STARTING, ""), (STARTED, "")]


@pytest.mark.parametrize(
    "command,number,note",
    [
        (None, signal.SIGTERM, "exited with code 0"),
        (("sleep", "600"), signal.SIGSEGV, "killed by SIGSEGV"),
        (("sleep", "600"), signal.SIGTERM, "killed by SIGTERM"),
    ],
)
async def test_the_note_tells_how_a_service_ended(
    make: Make, command: tuple[str, ...] | None, number: int, note: str
) -> None:
    node = make(ServiceSpec(ROUTER, command))
    await node.services.start(ROUTER)
    os.kill(node.pid(ROUTER), number)
    await node.becomes(ROUTER, STOPPED, note)


async def test_the_built_in_program_crashes_on_order(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(node.socket_path(ROUTER))
        client.sendall(b"crash\n")
        await node.becomes(ROUTER, STOPPED, "exited with code 70")


async def test_a_loop_that_stands_is_not_the_failure_of_a_service(make: Make) -> None:
    """A flood at the control port held the loop up, the answers of the services waited to be read,
    and all services were killed as not answering: the peer took over from a node that was well."""
    node = make(ServiceSpec(ROUTER), limits=replace(LIMITS, health_interval_s=0.2, health_s=0.4))
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    for _ in range(8):
        time.sleep(0.5)  # noqa: ASYNC251 - the loop stands
        await asyncio.sleep(0)
    assert await node.answers(ROUTER)
    assert node.pid(ROUTER) == pid
    assert node.story(ROUTER) == [(STARTING, ""), (STARTED, "")]


async def test_a_client_that_says_nothing_does_not_make_the_built_in_program_hang(
    make: Make,
) -> None:
    limits = Limits(start_s=15, stop_s=10, health_interval_s=2.0, health_s=6.0)
    node = make(ServiceSpec(ROUTER), limits=limits)
    await node.services.start(ROUTER)
    with socket.socket(socket.AF_UNIX) as mute, socket.socket(socket.AF_UNIX) as client:
        mute.connect(node.socket_path(ROUTER))
        client.connect(node.socket_path(ROUTER))
        client.sendall(b"ping\n")
        client.settimeout(BOUND_S)
        assert await asyncio.to_thread(client.recv, 8) == b"ok\n"


async def test_a_hung_service_is_killed_and_counts_as_down(make: Make) -> None:
    limits = Limits(start_s=15, stop_s=10, health_interval_s=0.2, health_s=0.4)
    node = make(ServiceSpec(ROUTER), limits=limits)
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    await node.services.hang(ROUTER)
    assert alive(pid)
    await node.becomes(ROUTER, STOPPED, "not answering")
    await until(lambda: not alive(pid))


async def test_a_frozen_command_fails_its_health_command_and_is_killed(make: Make) -> None:
    limits = Limits(start_s=60, stop_s=10, health_interval_s=4, health_s=8)
    ticking = py("import os, time\nwhile True: os.close(os.open('tick', 65)); time.sleep(0.02)")
    check = py(
        "import os, time; os.unlink('tick')\n"  # until the service makes it again
        "while not os.path.exists('tick'): time.sleep(0.02)"
    )
    node = make(ServiceSpec(ROUTER, ticking, health_command=check), limits=limits)
    await node.services.start(ROUTER)
    await node.services.hang(ROUTER)
    await node.becomes(ROUTER, STOPPED, "not answering")


async def test_a_service_may_have_an_interval_and_a_limit_of_its_own(make: Make) -> None:
    limits = Limits(start_s=60, stop_s=10, health_interval_s=600, health_s=600)
    check = py("import os; os.stat('well')")
    (own, shared) = (
        ServiceSpec(
            ROUTER, ("sleep", "600"), health_command=check, health_interval_s=4, health_s=8
        ),
        ServiceSpec(PROXY, ("sleep", "600"), health_command=check),
    )
    node = make(own, shared, limits=limits)
    (node.run_dir / "well").touch()
    await node.services.start_all()
    (node.run_dir / "well").unlink()
    await node.becomes(ROUTER, STOPPED, "not answering")
    assert node.status(PROXY).state is STARTED


async def test_a_service_that_ends_while_its_first_check_hangs_has_not_started(
    make: Make,
) -> None:
    """The check may take as long as its interval; a service that is gone is not waited for."""
    limits = Limits(start_s=600, stop_s=10, health_interval_s=600, health_s=600)
    check = "echo $$ > check.new; mv check.new check; sleep 600"
    ends = "while ! [ -e check ]; do sleep 0.02; done; exit 3"
    node = make(ServiceSpec(ROUTER, sh(ends), health_command=sh(check)), limits=limits)
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(StartFailed, match="exited with code 3"):
            await node.services.start(ROUTER)
    pid = int((node.run_dir / "check").read_text())
    await until(lambda: not alive(pid))


async def test_a_command_without_a_health_command_hangs_unnoticed(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, ("sleep", "600")), ServiceSpec(PROXY))
    await node.services.start_all()
    assert not node.services.notices_hangs(ROUTER)
    assert node.services.notices_hangs(PROXY)
    await node.services.hang(ROUTER)
    await asyncio.sleep(3 * LIMITS.health_s)
    assert node.status(ROUTER).state is STARTED


async def test_a_frozen_command_can_still_be_stopped_in_order(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, ("sleep", "600")))
    await node.services.start(ROUTER)
    await node.services.hang(ROUTER)
    await node.services.stop(ROUTER)
    assert node.status(ROUTER).note == "Commanded out of service"


async def test_a_service_that_was_suspended_shortly_is_not_killed(make: Make) -> None:
    node = make(
        ServiceSpec(ROUTER),
        limits=Limits(start_s=15, stop_s=10, health_interval_s=0.3, health_s=30),
    )
    await node.services.start(ROUTER)
    pid = node.pid(ROUTER)
    os.kill(pid, signal.SIGSTOP)
    assert not await node.answers(ROUTER)
    os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(BOUND_S):
        while not await node.answers(ROUTER):
            pass  # each question waits for an answer, or an interval
    assert node.story(ROUTER) == [(STARTING, ""), (STARTED, "")]


# Orders that cross


async def test_a_stop_overtakes_a_start(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, ("sleep", "600"), health_command=("false",)))
    start = asyncio.create_task(node.services.start(ROUTER))
    await until(lambda: node.status(ROUTER).pid is not None)
    await node.services.stop(ROUTER)
    with pytest.raises(StartFailed, match="a later order stopped it"):
        await start
    assert node.status(ROUTER).state is STOPPED
    assert node.status(ROUTER).note == "Commanded out of service"


async def test_of_many_orders_the_last_one_wins(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    orders = (node.services.start, node.services.stop) * 5
    await asyncio.gather(*(order(ROUTER) for order in orders), return_exceptions=True)
    assert node.status(ROUTER).state is STOPPED
    orders = (node.services.stop, node.services.start) * 5
    await asyncio.gather(*(order(ROUTER) for order in orders), return_exceptions=True)
    assert node.status(ROUTER).state is STARTED
    running = [status.pid for status in node.seen if status.pid and alive(status.pid)]
    assert set(running) == {node.pid(ROUTER)}


async def test_a_start_overtakes_a_stop_that_waits(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    first, stop, start = (
        asyncio.create_task(order(ROUTER))
        for order in (node.services.start, node.services.stop, node.services.start)
    )
    await asyncio.gather(first, start)
    with pytest.raises(StopFailed, match="a later order started it"):
        await stop
    assert node.status(ROUTER).state is STARTED


async def test_a_start_that_is_cancelled_leaves_nothing_running(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, ("sleep", "600"), health_command=("false",)))
    start = asyncio.create_task(node.services.start_all())
    await until(lambda: node.status(ROUTER).pid is not None)
    pid = node.pid(ROUTER)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await node.becomes(ROUTER, STOPPED, "its start was withdrawn")
    await until(lambda: not alive(pid))


async def test_a_stop_that_is_cancelled_stops_all_the_same(make: Make) -> None:
    deaf = py("import signal; signal.signal(15, signal.SIG_IGN); open('deaf', 'w'); signal.pause()")
    node = make(ServiceSpec(ROUTER, deaf, health_command=("test", "-e", "deaf")))
    await node.services.start(ROUTER)
    stop = asyncio.create_task(node.services.stop(ROUTER))
    await until(lambda: node.status(ROUTER).state is STOPPING)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    await node.becomes(ROUTER, STOPPED, "Commanded out of service")


async def test_after_close_nothing_runs_and_nothing_starts(make: Make) -> None:
    node = make(ServiceSpec(ROUTER), ServiceSpec("Extra", critical=False))
    await node.services.start_all()
    pids = [node.pid(ROUTER), node.pid("Extra")]
    await node.services.close()
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(StartFailed, match="closed"):
        await node.services.start(ROUTER)
    await node.services.close()


# Which services count


async def test_a_service_that_is_not_critical_fails_alone(make: Make) -> None:
    node = make(
        ServiceSpec(ROUTER),
        ServiceSpec("Extra", sh("exit 1"), critical=False, health_command=("false",)),
    )
    await node.services.start_all()
    assert node.serves()
    assert node.status("Extra").note == "exited with code 1"


async def test_stopping_all_critical_services_leaves_the_others_running(make: Make) -> None:
    node = make(ServiceSpec(ROUTER), ServiceSpec("Extra", critical=False))
    await node.services.start_all()
    await node.services.stop_all()
    assert node.status(ROUTER).state is STOPPED
    assert node.status("Extra").state is STARTED


async def test_a_service_that_is_not_activated_is_never_started_and_not_missed(make: Make) -> None:
    node = make(ServiceSpec(ROUTER), ServiceSpec(ENGINE, enabled=False))
    await node.services.start_all()
    assert node.serves()
    assert node.status(ENGINE).note == "not activated"
    with pytest.raises(StartFailed, match="not activated"):
        await node.services.start(ENGINE)


async def test_an_unknown_service_is_refused_with_the_names_that_exist(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    with pytest.raises(UnknownService, match=f"service Nosuch: unknown; this node has {ROUTER}"):
        await node.services.stop("Nosuch")


def test_the_database_is_no_process_of_the_supervisor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="A Cisco DB: the node runs it itself"):
        Node(tmp_path, ServiceSpec(DATABASE_SERVICE))


@pytest.mark.parametrize("other", [ROUTER, "cisco.xcp.router"])
def test_two_services_cannot_share_their_files(tmp_path: Path, other: str) -> None:
    with pytest.raises(ValueError, match="rename one"):
        Node(tmp_path, ServiceSpec(ROUTER), ServiceSpec(other))


@pytest.mark.parametrize(
    "name,expected",
    [("Cisco XCP Router", "cisco-xcp-router"), ("../etc", "etc"), ("プレゼンス", "b2fa3cec")],
)
def test_a_slug_is_a_harmless_file_name(name: str, expected: str) -> None:
    assert slug(name) == expected
    assert len(slug(name * 50)) <= 60


# What the children get


async def test_a_child_sees_no_secret_of_the_daemon(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRMD_KEY", "secret")
    monkeypatch.setenv("LANG", "C")
    node = make(ServiceSpec(ROUTER, sh("env > env.new; mv env.new env; exec sleep 600")))
    await node.services.start(ROUTER)
    await until((node.run_dir / "env").exists)
    environment = (node.run_dir / "env").read_text()
    assert "LANG=C\n" in environment
    assert "SRMD_" not in environment
    for pid in (node.pid(ROUTER), parent_of(node.pid(ROUTER))):
        assert b"SRMD_" not in environ(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_a_child_has_default_signals_and_no_descriptor_but_the_standard_ones(
    make: Make,
) -> None:
    node = make(ServiceSpec(ROUTER, ("sleep", "600")))
    await node.services.start(ROUTER)
    process = Path(f"/proc/{node.pid(ROUTER)}")
    assert names(process / "fd") == ["0", "1", "2"]
    ignored = re.search(r"SigIgn:\t([0-9a-f]+)", (process / "status").read_text())
    assert ignored is not None
    # Signals 32 and 33 belong to the C library; GNU make starts its children with both ignored.
    assert int(ignored[1], 16) & ~(0b11 << 31) == 0


async def test_the_log_keeps_the_last_output_within_its_bound(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo error >&2"
    log = tmp_path / "log"
    process = await GuardedProcess.spawn(sh(script), run_dir=tmp_path, log=log, log_bytes_max=4096)
    assert await process.gone_within(BOUND_S)
    assert process.ended.result() == "exited with code 0"
    assert log.read_text().endswith("line 1999\nerror\n")
    assert log.stat().st_size <= 4096
    assert (tmp_path / "log.1").stat().st_size <= 4096
    assert names(tmp_path) == ["log", "log.1"]


async def test_the_log_of_a_service_goes_to_the_file_that_has_the_name(tmp_path: Path) -> None:
    """Another program's rotation moved it, and the guard wrote on into the moved file."""
    log, moved = tmp_path / "log", tmp_path / "log-20260101"
    script = "echo before; while [ ! -e go ]; do sleep 0.01; done; echo after"
    process = await GuardedProcess.spawn(sh(script), run_dir=tmp_path, log=log)
    await until(lambda: log.exists() and log.read_text() == "before\n")
    log.rename(moved)
    (tmp_path / "go").touch()
    assert await process.gone_within(BOUND_S)
    assert (moved.read_text(), log.read_text()) == ("before\n", "after\n")


async def test_a_flood_of_output_does_not_keep_the_guard_from_its_orders(make: Make) -> None:
    node = make(ServiceSpec(ROUTER, ("yes",)))
    await node.services.start(ROUTER)
    await node.services.stop(ROUTER)
    logs = [path for path in node.run_dir.iterdir() if path.suffix in {".log", ".1"}]
    assert 0 < sum(path.stat().st_size for path in logs) <= 2 * guarded.LOG_BYTES_MAX


async def test_a_run_directory_with_a_long_path_is_no_obstacle(make: Make, tmp_path: Path) -> None:
    run_dir = tmp_path / ("a" * 100) / ("b" * 100)
    node = make(ServiceSpec(ROUTER), run_dir=run_dir)
    await node.services.start(ROUTER)
    assert node.serves()


async def test_a_stale_socket_is_replaced(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    await node.services.kill(ROUTER)
    await node.becomes(ROUTER, STOPPED, "killed by SIGKILL")
    assert (node.run_dir / f"{slug(ROUTER)}.sock").exists()
    await node.services.start(ROUTER)


# Never orphans


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who belongs to a service")
@pytest.mark.parametrize("guards_too", [False, True], ids=["daemon", "daemon_and_guards"])
async def test_when_the_daemon_is_killed_every_service_dies_with_all_its_descendants(
    tmp_path: Path, guards_too: bool
) -> None:
    """With its guards killed as well, only the services: their descendants are known to nobody."""
    daemon = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DAEMON,
        str(tmp_path),
        *py(PARENT),
        stdout=subprocess.PIPE,
        cwd=Path(supervisor.__file__).parents[2],
    )
    assert daemon.stdout is not None
    async with asyncio.timeout(BOUND_S):
        pids = [int(pid) for pid in (await daemon.stdout.readline()).split()]
    assert len(pids) == 2
    guards = [parent_of(pid) for pid in pids]
    await until((tmp_path / "grandchild").exists)
    grandchild = int((tmp_path / "grandchild").read_text())
    everyone = [*pids, *guards, grandchild]
    assert all(alive(pid) for pid in everyone)
    doomed = [*pids, *guards] if guards_too else everyone
    try:
        if guards_too:
            daemon.send_signal(signal.SIGSTOP)  # it must not have the time to clean up
            for guard in guards:
                os.kill(guard, signal.SIGKILL)
        daemon.kill()
        await daemon.wait()
        await until(lambda: not any(alive(pid) for pid in doomed))
    finally:
        for pid in everyone:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
async def test_when_a_guard_is_killed_its_service_dies_and_the_note_says_so(make: Make) -> None:
    node = make(ServiceSpec(ROUTER), ServiceSpec(ENGINE))
    await node.services.start_all()
    pid = node.pid(ROUTER)
    os.kill(parent_of(pid), signal.SIGKILL)
    await node.becomes(ROUTER, STOPPED, "its guard was killed")
    await until(lambda: not alive(pid))
    assert node.status(ENGINE).state is STARTED
    await node.services.start_all()
    assert node.serves()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_starts_and_stops_leave_no_descriptor_and_no_zombie(make: Make) -> None:
    node = make(ServiceSpec(ROUTER))
    await node.services.restart(ROUTER)
    await node.services.stop(ROUTER)
    before_count, before = open_fds_count(), children()
    for _ in range(3):
        await node.services.start(ROUTER)
        await node.services.stop(ROUTER)
        node.services.block(ROUTER)
        with pytest.raises(StartFailed):
            await node.services.start(ROUTER)
        node.services.unblock(ROUTER)
    await until(lambda: open_fds_count() == before_count)
    assert children() <= before


async def test_a_command_that_cannot_be_executed_is_reported_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SpawnFailed, match="no-such-program: No such file"):
        await GuardedProcess.spawn(["no-such-program"], run_dir=tmp_path, log=tmp_path / "log")


def test_the_built_in_program_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "x").touch()
    done = subprocess.run(
        python(PROGRAM, "x"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )
    assert (done.returncode, done.stdout) == (78, "refused to start: blocked/x exists\n")


async def test_a_start_after_a_kill_finds_it_dead_and_starts_it(make: Make) -> None:
    """Once the start came before the death was noticed, and was taken for done."""
    node = make(ServiceSpec(ROUTER))
    await node.services.start(ROUTER)
    before = node.pid(ROUTER)
    await node.services.kill(ROUTER)
    await node.services.start(ROUTER)
    assert node.pid(ROUTER) != before
    assert node.services.critical_ok
