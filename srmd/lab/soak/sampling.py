"""What the nodes use, read once a second: from outside (/proc, their files), from their status."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from srmd.client import Client, ClientError, Json
from srmd.lab.pair import LabNode
from srmd.lab.scenario.stage import StageBroken
from srmd.lab.soak.control import Control

SAMPLE_INTERVAL_S: Final = 1.0
STATUS_LIMIT_S: Final = 0.5
"""A node that stands still is left out of the sample."""
END_LIMIT_S: Final = 30.0
PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Sample:
    """One node at one moment, or the control timer (its resources are 0)."""

    at_s: float
    """From the begin of the run."""
    node: str
    life: str
    """Of the process: its pid."""
    run: str
    """Of SRM in it, whose beats `late` counts."""
    resting: bool
    """Between two stories: the pair is at home, and nothing is being done to it."""
    late: Mapping[str, int]
    latest_s: float
    rss_bytes: int = 0
    descriptors: int = 0
    threads: int = 0
    tasks: int = 0
    database_bytes: int = 0
    wal_bytes: int = 0
    """SQLite's write-ahead log beside the database: it grows to a mark and is used again."""
    log_bytes: int = 0
    journal_bytes: int = 0
    defects: int = 0
    """Broken promises, and records that were dropped."""


CONTROL: Final = "control"


@dataclass
class Sampler:
    """A thread that takes samples until the block ends."""

    nodes: tuple[LabNode, ...]
    control: Control
    resting: Callable[[], bool]
    began_s: float
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._failed: Exception | None = None
        self._clients = {
            node.id: Client(node.client.url, node.client.token, STATUS_LIMIT_S)
            for node in self.nodes
        }
        self._thread = threading.Thread(target=self._run, name="soak-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(END_LIMIT_S)

    def check(self) -> None:
        """Raises StageBroken when sampling has failed: what is not measured proves nothing."""
        if self._failed is not None:
            raise StageBroken(f"sampling failed: {self._failed!r}") from self._failed

    def _run(self) -> None:
        try:
            while not self._ended.wait(SAMPLE_INTERVAL_S):
                resting = self.resting()
                found = [self._control(), *(self._node(node, resting) for node in self.nodes)]
                self.samples += [one for one in found if one is not None]
        except Exception as failed:  # noqa: BLE001  # told by `check`, in the thread of the run
            self._failed = failed

    def _control(self) -> Sample:
        said = self.control.read()
        at_s = time.monotonic() - self.began_s
        return Sample(at_s, CONTROL, CONTROL, CONTROL, False, said["late"], said["latest_s"])

    def _node(self, node: LabNode, resting: bool) -> Sample | None:
        """None while the node does not answer."""
        pid = node.pid
        if pid is None:
            return None
        try:
            status = self._clients[node.id].status()
            used = _used(pid)
        except (ClientError, OSError):
            return None
        at_s = time.monotonic() - self.began_s
        counters, run = status["counters"], f"{pid}.{status['local']['incarnation']}"
        return Sample(
            at_s=at_s,
            node=node.id,
            life=str(pid),
            run=run,
            resting=resting and self.resting(),
            late=counters["heartbeats_late"],
            latest_s=counters["heartbeats_latest_s"],
            tasks=status["process"]["tasks"],
            defects=_defects(counters),
            log_bytes=_size(node.folder, "log.jsonl"),
            journal_bytes=_size(node.folder, "state/journal.jsonl*"),
            database_bytes=_size(node.folder, "state/users.sqlite3"),
            wal_bytes=_size(node.folder, "state/users.sqlite3-wal"),
            **used,
        )


def _used(pid: int) -> dict[str, int]:
    """Raises OSError when the process has ended."""
    text = (PROC / str(pid) / "status").read_text()
    fields = dict(re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE))
    return {
        "rss_bytes": int(fields.get("VmRSS", 0)) * 1024,
        "threads": int(fields["Threads"]),
        "descriptors": len(list((PROC / str(pid) / "fd").iterdir())),
    }


def _size(folder: Path, pattern: str) -> int:
    total = 0
    for file in folder.glob(pattern):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            pass  # the database's own files come and go
    return total


def _defects(counters: Json) -> int:
    dropped = counters["log_dropped"] + counters["journal_dropped"]
    return int(dropped + sum(counters["promises_broken"].values()))
