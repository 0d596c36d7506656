"""A node as a process of its machine: signals, files, descriptors, memory."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from srmd.cli.exits import Exit
from srmd.lab.pair import LabNode, LabPair
from srmd.signals import DEFECTS, HARMLESS, STOPS, WOULD_KILL
from tests.real.conftest import records

END_LIMIT_S = 30.0
"""For the end of a process; far more than it takes."""


@pytest.fixture
def pair() -> Iterator[LabPair]:
    """Not started: these stories need node a alone."""
    pair = LabPair()
    pair.write_configs()
    yield pair
    pair.close()
    assert not pair.left_behind


@pytest.fixture
def node(pair: LabPair) -> LabNode:
    return pair.a


def logged(pair: LabPair, event: str, count: int = 1) -> None:
    pair.wait_until(
        f"{count} records of {event}", lambda: len(records(pair.a, event)) >= count, within_s=30
    )


def send(node: LabNode, number: int) -> None:
    assert node.pid is not None
    os.kill(node.pid, number)


def send_to_main_thread(node: LabNode, number: int) -> None:
    """To no other thread of the process."""
    assert node.pid is not None
    assert ctypes.CDLL(None).tgkill(node.pid, node.pid, number) == 0


def test_no_signal_ends_a_node_without_a_record(pair: LabPair, node: LabNode) -> None:
    """SIGHUP ended it at once, and systemd took that for a clean end; under systemd a burst of
    signals was a crash, as the stack on which Python answers them was full."""
    node.start()
    silent = sorted(WOULD_KILL - {*STOPS, signal.SIGPWR})
    assert signal.SIGUSR1 in silent
    send(node, signal.SIGSTOP)  # so that all of them arrive in the same moment
    for number in [*silent, signal.SIGPIPE]:
        send_to_main_thread(node, number)
    send(node, signal.SIGCONT)
    logged(pair, "signal.received", len(silent))
    for number in silent:
        send(node, number)
    logged(pair, "signal.received", len(silent) + 1)
    assert node.shown() is not None
    received = records(node, "signal.received")
    done = {record["signal"]: record["done"] for record in received}
    assert len(done) == len(silent)
    ignored = [record for record in received if record["done"] == "ignored"]
    assert len(ignored) == len(silent) - 1, "of those that are ignored the first is told"
    assert done.pop("SIGHUP") == (
        "the configuration is read again, and files that were moved are opened anew"
    )
    assert set(done.values()) == {"ignored"}
    send(node, signal.SIGQUIT)
    pair.wait_until("it ended", lambda: node.pid is None, within_s=END_LIMIT_S)
    assert node.terminate() == 0  # how it ended
    assert records(node, "signal.received")[-1]["signal"] == "SIGQUIT"
    assert len(records(node, "node.stopped")) == 1


def test_every_signal_is_decided() -> None:
    assert not WOULD_KILL & DEFECTS
    assert not WOULD_KILL & HARMLESS
    never = {signal.SIGKILL, signal.SIGSTOP}
    assert WOULD_KILL | DEFECTS | HARMLESS | never == signal.valid_signals()


def test_logs_that_were_moved_are_opened_anew_at_a_sighup(pair: LabPair, node: LabNode) -> None:
    """As logrotate does it: move, then signal."""
    file = node.folder / "own.log"
    node.overrides["log"] = {"file": str(file)}
    pair.write_configs()
    node.start()
    file.rename(node.folder / "own.log.old")
    send(node, signal.SIGHUP)
    pair.wait_until("the log is there again", file.exists)
    pair.wait_until("the new log says so", lambda: "signal.received" in file.read_text())
    status = node.status()["counters"]
    assert (status["log_dropped"], status["journal_dropped"]) == (0, 0)


def test_a_closed_terminal_stops_a_node_in_good_order(pair: LabPair, node: LabNode) -> None:
    node.vacate()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "srmd", "run", "--config", str(node.config_file)]
    with node.log_file.open("wb") as log, open(theirs, "rb", closefd=False) as terminal:
        process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )
    os.close(theirs)
    try:
        pair.wait_until("it answers", lambda: node.shown() is not None, within_s=30)
        os.close(ours)
        assert process.wait(END_LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
    (received,) = records(node, "signal.received")
    assert (received["signal"], received["done"]) == ("SIGHUP", "stopped")
    assert len(records(node, "node.stopped")) == 1


LAST_MOMENTS = """
import os, signal
from srmd.log import Log
close = Log.close
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid, number=signal.SIGTERM):
        kill(pid(), number)
def closes(self, *rest):
    os.kill(os.getpid(), signal.SIGTERM)
    ended = close(self, *rest)
    os.kill(os.getpid(), signal.SIGTERM)
    os.environ.last = Last()
    return ended
Log.close = closes
"""
"""Loaded by Python itself when a node starts (`sitecustomize`): it gets SIGTERM again when its loop
has closed, and when the interpreter is taken apart."""


def test_a_second_sigterm_in_the_last_moments_changes_no_exit_code(
    node: LabNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LAST_MOMENTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node.start()
    assert node.terminate() == 0


def test_a_signal_to_all_processes_of_a_unit_ends_no_service(pair: LabPair, node: LabNode) -> None:
    """`systemctl kill --signal=HUP` reaches guards and services too."""
    node.start()

    def running() -> dict[str, int]:
        rows = node.status()["services"]
        return {r["name"]: r["pid"] for r in rows if r["pid"] and r["state"] == "STARTED"}

    pair.wait_until("the services run", lambda: len(running()) > 2, within_s=30)
    services = running()
    for pid in services.values():
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN):
            os.kill(parent, number)
            os.kill(pid, number)
    until_s = time.monotonic() + 1.0  # several health checks
    pair.wait_until("the health of all was asked", lambda: time.monotonic() >= until_s)
    assert running() == services


OUT_OF_MEMORY = """
import pathlib
from srmd.daemon import driver
step = driver.step
def fails(node, event):
    if pathlib.Path("out-of-memory").exists():
        raise MemoryError
    return step(node, event)
driver.step = fails
"""
"""Loaded by Python itself when a node starts (`sitecustomize`)."""


def test_srm_that_ran_out_of_memory_starts_again_and_the_watchdog_is_not_fed_meanwhile(
    pair: LabPair, node: LabNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed dead while the service manager was told that all is well."""
    (tmp_path / "sitecustomize.py").write_text(OUT_OF_MEMORY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        node.start()

        def told_until(word: str) -> list[str]:
            told: list[str] = []
            while not told or word not in told[-1]:
                told.append(manager.recv(4096).decode())
            return told

        told_until("WATCHDOG=1")
        (node.folder / "out-of-memory").touch()
        told_until("it starts again in 1 s")
        told = told_until("it starts again in 2 s")
        assert told.count("WATCHDOG=1") <= 1  # as it began again
        row = node.status()["services"][-1]
        assert (row["name"], row["state"]) == ("Cisco Server Recovery Manager", "STOPPED")
        assert "MemoryError" in row["note"]
        (node.folder / "out-of-memory").unlink()
        told_until("STATUS=Initializing")
        told_until("WATCHDOG=1")
    assert [record["restart_s"] for record in records(node, "srm.failed")] == [1.0, 2.0]
    assert node.shown() is not None


@pytest.mark.parametrize(
    "number, word", [(signal.SIGSEGV, "Segmentation fault"), (signal.SIGABRT, "Aborted")]
)
def test_a_crash_below_python_tells_where_the_node_was(
    node: LabNode, number: signal.Signals, word: str
) -> None:
    node.start()
    assert node.pid is not None
    os.kill(node.pid, number)
    assert node.terminate() == -number
    said = node.log_file.read_text(encoding="utf-8")
    assert f"Fatal Python error: {word}" in said
    assert "srmd/daemon/main.py" in said


BODIES = 60
SEND_S = 20.0
"""Limit of one body on a slow machine; the node itself ends it after 10 s."""
SHORT_OF_MEMORY_S = 5.0
ENDS_RETRIED = {1, Exit.DISK_REFUSES, Exit.INTERNAL, -signal.SIGABRT, -signal.SIGSEGV}
"""After which systemd starts a node again.  By the signals Python itself ends where it cannot even
raise MemoryError."""
BODY = b"user_id,home_node\n" + b"anna,a\n" * 1_100_000


@contextmanager
def bodies_under_way(node: LabNode) -> Iterator[None]:
    """Of imports, by their count more than the node can hold within its limit."""
    host, _, port = node.control.partition(":")
    assert node.client.token is not None
    head = (
        "POST /api/v1/users/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        f"Authorization: Bearer {node.client.token.text()}\r\n"
        f"Content-Length: {len(BODY) + 1}\r\n\r\n"
    )
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            with suppress(OSError), socket.create_connection((host, int(port)), SEND_S) as stream:
                stream.sendall(head.encode() + BODY)
                ended.wait(5.0)

    senders = [threading.Thread(target=send) for _ in range(BODIES)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        ended.set()
        for sender in senders:
            sender.join()


def test_a_node_whose_address_space_is_full_ends_or_comes_back(
    pair: LabPair, node: LabNode
) -> None:
    """The kernel refuses it memory in truth, as under `prlimit --as`: what fails, fails at random.
    It must not stay without SRM when there is memory again."""
    node.start()
    pid = node.pid
    assert pid is not None
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), unlimited[1]))
    with bodies_under_way(node):
        pair.wait_until(
            "memory ran out",
            lambda: node.pid is None or "MemoryError" in node.log_file.read_text(),
            within_s=120,
        )
        until_s = time.monotonic() + SHORT_OF_MEMORY_S
        pair.wait_until(
            "SRM felt it, or withstood it for a while",
            lambda: (
                node.pid is None or bool(records(node, "srm.failed")) or time.monotonic() >= until_s
            ),
        )
    with suppress(ProcessLookupError):  # it has ended
        resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    beats: list[int] = []

    def goes_on() -> bool:
        """Its SRM runs, and has sent some heartbeats since that was seen first."""
        if node.shown() is None:
            return False
        beats.append(int(node.status()["counters"]["heartbeats_sent"]))
        return beats[-1] > min(beats) + 5

    pair.wait_until(
        "it ended, or goes on", lambda: node.pid is None or goes_on(), within_s=100
    )  # an end takes its time, so no single look tells which of both it is
    if node.pid is not None:
        assert node.terminate() == 0
        return
    code = node.terminate()
    assert code in ENDS_RETRIED
    assert code < 0 or "MemoryError" in node.log_file.read_text()


@contextmanager
def idle_connections(node: LabNode, count: int) -> Iterator[None]:
    host, _, port = node.control.partition(":")
    with ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.socket())
            connection.settimeout(10.0)
            connection.connect((host, int(port)))
        yield


def not_records(node: LabNode) -> list[str]:
    return [line for line in node.log_file.read_text().splitlines() if not line.startswith("{")]


def test_idle_connections_leave_a_node_with_a_low_limit_what_it_needs(
    pair: LabPair, node: LabNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They took all descriptors, and the user database was told to be gone."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -n 64\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    node.start()
    monkeypatch.undo()
    (low,) = records(node, "descriptors.low")
    assert (low["limit_count"], low["wanted_count"], low["connections_max"]) == (64, 1024, 8)
    pair.wait_until("it serves", lambda: node.status()["local"]["srm_state"] == 4, within_s=30)
    with idle_connections(node, 100):
        until_s = time.monotonic() + 2.0  # several checks of the database and of each service
        pair.wait_until("all was checked", lambda: time.monotonic() >= until_s)
        status = node.status()
    assert status["local"]["srm_state"] == 4
    assert status["database"] == {**status["database"], "state": "STARTED", "note": ""}
    stopped = [r for r in status["services"] if r["state"] != "STARTED"]
    assert {row["note"] for row in stopped} <= {"not activated"}
    assert not records(node, "descriptors.exhausted")
    assert not not_records(node)


@pytest.mark.parametrize("limit_count", [6, 7, 8, 10, 11])
def test_a_node_that_lacks_descriptors_to_start_says_so(node: LabNode, limit_count: int) -> None:
    """It was told to choose another address, or left a traceback and a coroutine never awaited."""
    limited = "import os, resource, sys; n = int(sys.argv[1])"
    limited += "; resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))"
    limited += "; os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    srmd = ["-m", "srmd", "run", "--config", str(node.config_file)]
    node.vacate()
    ended = subprocess.run(
        [sys.executable, "-c", limited, str(limit_count), *srmd],
        cwd=node.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=END_LIMIT_S,
    )
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert (ended.returncode, said) == (
        14,
        [
            "srmd: node a is not started: no file descriptor is free (Too many open files); "
            "raise the limit of open files of srmd (LimitNOFILE, ulimit -n)"
        ],
    )


def test_a_node_without_descriptors_says_so_and_goes_on_when_there_are_some(
    pair: LabPair, node: LabNode
) -> None:
    """Hundreds of tracebacks a second went to standard error; a full pipe there stopped the node,
    and services that could not be asked were killed as hung."""
    node.start()
    pair.wait_until("it serves", lambda: node.status()["local"]["srm_state"] == 4, within_s=30)
    services = {row["name"]: row["pid"] for row in node.status()["services"]}
    pid = node.pid
    assert pid is not None
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_count = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_count - 4, before[1]))
    try:
        with idle_connections(node, 20):
            logged(pair, "descriptors.exhausted")
            pair.wait_until(
                "the database says why",
                lambda: any("cannot be opened" in row["note"] for row in down(node)),
                within_s=30,
            )
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    pair.wait_until("it serves again", lambda: not node.status()["database"]["note"], within_s=30)
    assert {row["name"]: row["pid"] for row in node.status()["services"]} == services
    (note,) = {row["note"].split(": ")[0] for row in down(node)}
    assert note == "user database cannot be opened"
    assert "raise the limit of open files" in down(node)[0]["note"]
    assert len(records(node, "descriptors.exhausted")) < 20
    assert not not_records(node)


def down(node: LabNode) -> list[dict[str, str]]:
    return records(node, "database.failed")


def test_a_secret_that_comes_from_the_environment_reaches_no_service(
    pair: LabPair, node: LabNode
) -> None:
    """Only names that begin with SRMD_ were kept from services."""
    token = node.token_file.read_text()
    node.environment |= {"MY_TOKEN": token, "MY_SETTING": "for services"}
    node.overrides["control"] = {"token.file": "", "token.env": "MY_TOKEN"}
    pair.write_configs()
    text = node.config_file.read_text().replace('token.file = ""\n', "")
    node.config_file.write_text(text)
    node.start()

    def services() -> list[int]:
        rows = node.status()["services"]
        return [row["pid"] for row in rows if row["pid"] and row["state"] == "STARTED"]

    pair.wait_until("the services run", lambda: len(services()) > 2, within_s=30)
    node.client.srm("restart")  # which reads the configuration again
    node.wait_for_answer()
    name = next(row["name"] for row in node.status()["services"] if row["pid"])
    node.client.service(name, "kill")
    node.client.service(name, "start")  # with the environment as it is now
    pair.wait_until("the services run again", lambda: len(services()) > 2, within_s=30)
    for pid in services():
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        for process in (pid, parent):
            environment = Path(f"/proc/{process}/environ").read_bytes()
            assert token.encode() not in environment
            assert b"MY_SETTING=for services" in environment


def test_a_node_with_closed_streams_gives_their_numbers_to_no_socket(
    pair: LabPair, node: LabNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard output was a socket, and what was printed went to its other end."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" <&- >&- 2>&-\n')
    python.chmod(0o700)
    node.overrides["log"] = {"file": str(tmp_path / "own.log")}
    pair.write_configs()
    monkeypatch.setattr(sys, "executable", str(python))
    node.start()
    monkeypatch.undo()
    standard = {Path(f"/proc/{node.pid}/fd/{fd}").readlink() for fd in range(3)}
    assert standard == {Path(os.devnull)}
    assert node.terminate() == 0


def can_unshare() -> bool:
    """A process may get a process namespace of its own here."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def children_of(pid: int) -> dict[int, tuple[str, str]]:
    """Name and state of each."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            head, _, rest = (folder / "stat").read_text().rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) == pid:
                found[int(folder.name)] = (head.partition("(")[2], state)
    return found


@pytest.mark.skipif(not can_unshare(), reason="NOT SHOWN: needs root and unshare of util-linux")
def test_process_1_leaves_no_zombies_and_takes_the_end_of_no_child_of_its_own(
    pair: LabPair, node: LabNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that was started beside the node in its container, and whose parent ended, stayed
    a zombie."""
    python = tmp_path / "python"
    own = "unshare --pid --fork --mount-proc --kill-child"
    python.write_text(f'#!/bin/sh\nexec {own} {sys.executable} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    node.start()
    monkeypatch.undo()
    assert node.pid is not None
    (first,) = children_of(node.pid)

    def orphaned(seconds: float) -> None:
        enter = ["nsenter", "--target", str(first), "--pid", "--mount"]
        subprocess.run([*enter, "sh", "-c", f"(exec sleep {seconds}) &"], check=True, timeout=30)

    def rows() -> list[dict[str, Any]]:
        rows = node.status()["services"]
        return [row for row in rows if row["pid"] and row["state"] == "STARTED"]

    pair.wait_until("the services run", lambda: len(rows()) > 2, within_s=30)
    for number in range(20):
        orphaned(0.05 * number)
    orphaned(600)  # it lives on, and hides no other
    name = rows()[0]["name"]
    for _ in range(5):  # guards of ours end meanwhile
        node.client.service(name, "kill")
        pair.wait_until(
            "how it ended is known",
            lambda: {"killed by SIGKILL"} <= {row["note"] for row in node.status()["services"]},
        )
        node.client.service(name, "start")
    pair.wait_until(
        "no zombie is left",
        lambda: (
            [one for one in children_of(first).values() if one[0] == "sleep"] == [("sleep", "S")]
        ),
        within_s=30,
    )
    assert "Z" not in {state for _, state in children_of(first).values()}
    os.kill(first, signal.SIGTERM)
    pair.wait_until("it ended", lambda: node.pid is None, within_s=END_LIMIT_S)
    assert node.terminate() == 0
