"""The memory that a disk does not take: said once, and saved again until it does."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.daemon import upkeep
from srmd.daemon.main import _refuse_log
from srmd.daemon.saving import Saving
from srmd.log import LogError
from srmd.node.memory import Boot, wake
from srmd.store import disk, nodestate
from srmd.store.disk import DiskFault
from srmd.store.nodestate import NodeMemory
from tests.daemon.nodes import Records, config_of

BOUND_S = 15.0


class Disk:
    """Takes what it is given, or refuses it."""

    def __init__(self, tmp_path: Path) -> None:
        self.refuses: int | None = None
        self.saved: list[int] = []
        """Operation numbers."""
        self.log = Records()
        boot = Boot("boot", "os boot", "2026-01-01")
        self.memory = wake(None, config_of("a", tmp_path), boot, rebooted=False)[0]
        self.saving = Saving(tmp_path / "node.json", lambda: self.memory, self.log)

    def save(self, _path: Path, memory: NodeMemory) -> None:
        if self.refuses is not None:
            raise OSError(self.refuses, os.strerror(self.refuses))
        self.saved.append(memory.op)

    async def order(self, op: int) -> None:
        self.memory = replace(self.memory, op=op)
        try:
            await self.saving.save(self.memory)
        except OSError:
            pass

    async def durable(self) -> None:
        async with asyncio.timeout(BOUND_S):
            while self.saving.failure is not None:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.002)

    def events(self, name: str) -> list[dict[str, object]]:
        return [fields for event, fields in self.log.records if event == name]


@pytest.fixture
async def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Disk]:
    made = Disk(tmp_path)
    monkeypatch.setattr(nodestate, "save", made.save)
    monkeypatch.setattr(upkeep, "PAUSE_FIRST_S", 0.001)
    yield made
    made.saving.close()


async def test_what_a_full_disk_refused_is_saved_when_it_has_room(made: Disk) -> None:
    made.refuses = errno.ENOSPC
    await made.order(1)
    await made.order(2)
    notice = made.saving.notice("a")
    assert notice is not None
    assert notice.en.startswith("The state of node a is not stored: no space left on the disk. ")
    said = made.events("node.save_failed")
    assert [one["error"] for one in said] == [
        "no space left on the disk; free space on its file system"
    ]
    made.refuses = None
    await made.durable()
    assert made.saved[-1] == 2
    assert made.saving.notice("a") is None
    assert [one["op"] for one in made.events("node.saved")] == [2]


async def test_another_reason_is_told_too(made: Disk) -> None:
    made.refuses = errno.ENOSPC
    await made.order(1)
    made.refuses = errno.EROFS
    await made.order(2)
    errors = [str(one["error"]).partition(";")[0] for one in made.events("node.save_failed")]
    assert errors == ["no space left on the disk", "the file system is read-only"]


async def test_a_save_that_succeeds_at_once_says_nothing(made: Disk) -> None:
    await made.order(1)
    assert made.saving.failure is None
    assert made.log.records == []


@pytest.mark.parametrize(
    "number,fault",
    [
        (errno.ENOSPC, DiskFault.FULL),
        (errno.EFBIG, DiskFault.FULL),
        (errno.EDQUOT, DiskFault.QUOTA),
        (errno.EROFS, DiskFault.READ_ONLY),
        (errno.EACCES, DiskFault.PERMISSION),
        (errno.EPERM, DiskFault.PERMISSION),
        (errno.EIO, DiskFault.BROKEN),
        (errno.ENOTDIR, None),
    ],
)
def test_what_a_disk_refuses_has_words(number: int, fault: DiskFault | None) -> None:
    error = OSError(number, os.strerror(number))
    assert disk.fault_of(error) is fault
    assert "Errno" not in disk.in_words(error)
    assert disk.WORDS.keys() == disk.WAYS_OUT.keys() == set(DiskFault)
    assert disk.fault_of(TimeoutError()) is DiskFault.SLOW


@pytest.mark.parametrize(
    "number,code", [(errno.ENOSPC, 14), (errno.EDQUOT, 14), (errno.EACCES, 10), (errno.EISDIR, 10)]
)
def test_a_log_without_room_is_tried_again_and_a_wrong_name_is_not(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = LogError("log.file: /var/log/a.log: why; name a file that can be written")
    error.__cause__ = OSError(number, os.strerror(number))
    assert _refuse_log(error) == code
    assert "log.file: /var/log/a.log" in capsys.readouterr().err
