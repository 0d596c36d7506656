"""What the service manager is told, and that a driver which hangs is not called alive."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd import __version__
from srmd.daemon.notify import Notify

BOUND_S = 10.0


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and how NOTIFY_SOCKET names it."""
    name = f"@srmd-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listening.settimeout(BOUND_S)
        yield listening, name


def test_the_manager_is_told_in_its_own_words(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notify = Notify(name)
    notify.status("Normal / Normal")
    notify.ready()
    notify.alive()
    notify.stopping(limit_s=20.0)
    told = [listening.recv(4096).decode() for _ in range(4)]
    assert told == [
        f"STATUS=Normal / Normal (srmd {__version__})",
        "READY=1",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000",
    ]
    notify.close()
    notify.alive()  # after the end it has no effect


def test_a_status_cannot_smuggle_in_a_word_of_its_own(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notify = Notify(name)
    notify.status("Normal\nREADY=1")
    assert listening.recv(4096) == f"STATUS=Normal READY=1 (srmd {__version__})".encode()
    notify.close()


def test_the_environment_is_read_once_and_forgotten(tmp_path: Path) -> None:
    """Or a critical service that speaks the protocol would be told to prove that it lives."""
    env = {
        "NOTIFY_SOCKET": str(tmp_path / "nobody"),
        "WATCHDOG_USEC": "6000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notify = Notify.from_env(env)
    assert notify.watchdog_s == 6.0
    assert env == {"HOME": "/"}
    notify.ready()  # a manager that is gone is no reason to fail
    notify.close()


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"WATCHDOG_USEC": "6000000"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"},
    ],
)
async def test_nobody_watches_unless_all_of_it_is_said(env: dict[str, str]) -> None:
    notify = Notify.from_env(env)
    assert notify.watchdog_s is None

    async def never() -> None:
        raise AssertionError("no proof is asked for")

    await notify.watch(never)
    notify.close()


async def test_a_sign_of_life_follows_each_proof_and_none_comes_without(
    manager: tuple[socket.socket, str],
) -> None:
    listening, name = manager
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    notify = Notify(name, watchdog_s=0.03)
    proofs = asyncio.Semaphore(2)  # the third is never given: the driver hangs
    asked_third = asyncio.Event()

    async def proof() -> None:
        if proofs.locked():
            asked_third.set()
        await proofs.acquire()

    watching = asyncio.create_task(notify.watch(proof))
    async with asyncio.timeout(BOUND_S):
        assert await loop.sock_recv(listening, 100) == b"WATCHDOG=1"
        assert await loop.sock_recv(listening, 100) == b"WATCHDOG=1"
        await asked_third.wait()
    with pytest.raises(BlockingIOError):
        listening.recv(100)
    watching.cancel()
    notify.close()
