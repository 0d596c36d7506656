"""Disks that are full or read-only, as file systems of the kernel and not as a patched call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal

import pytest

from srmd.lab.pair import NORMAL, LabPair
from tests.netns.disks import SmallDisk, small_disk
from tests.real.test_memory import ended

SAYS = {
    "full": "no space left on the disk; free space on its file system",
    "read-only": "the file system is read-only; make its file system writable",
}
Refusal = Literal["full", "read-only"]


@pytest.fixture
def stopped(can_have_hosts: None) -> Iterator[tuple[LabPair, SmallDisk]]:
    """The files of a pair of which no node runs; the state of a has a small disk of its own."""
    pair = LabPair()
    try:
        pair.write_configs()
        with small_disk(pair.a.folder / "state") as disk:
            yield pair, disk
            pair.a.terminate()
    finally:
        pair.close()


def refusing(disk: SmallDisk, refusal: Refusal) -> AbstractContextManager[None]:
    return disk.filled() if refusal == "full" else disk.read_only()


def started(pair: LabPair, disk: SmallDisk) -> None:
    disk.do(pair.a.spawn)
    pair.b.spawn()
    pair.wait_for(a=NORMAL, b=NORMAL)


@pytest.mark.parametrize("refusal", ["full", "read-only"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_node_is_tried_again_by_its_manager_until_the_disk_takes_its_state(
    stopped: tuple[LabPair, SmallDisk], fresh: bool, refusal: Refusal
) -> None:
    pair, disk = stopped
    if not fresh:
        started(pair, disk)
        for node in pair.nodes:
            assert node.terminate() == 0
    with refusing(disk, refusal):
        code, said = disk.do(lambda: ended(pair))
    assert (code, said.splitlines()[-1]) == (
        14,
        f"srmd: node a is not started, because its state cannot be stored in "
        f"{pair.a.folder / 'state'}: {SAYS[refusal]}",
    )
    started(pair, disk)


def test_what_a_full_disk_refused_is_stored_when_there_is_space_again(
    stopped: tuple[LabPair, SmallDisk],
) -> None:
    pair, disk = stopped
    started(pair, disk)
    with disk.filled():
        pair.a.client.set_ha(False)
        pair.wait_until("a says so", lambda: not pair.a.status()["memory"]["durable"])
        pair.b.kill()
    pair.wait_until("it is stored", lambda: pair.a.status()["memory"]["durable"])
    pair.a.kill()
    disk.do(pair.a.start)
    assert pair.a.status()["ha_enabled"] is False
