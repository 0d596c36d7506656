"""Journals and logs of a pair as files, written by hand on the real machine; nothing runs.

pair = Written(tmp_path, ahead_s=5.0)      the clock of b is 5 s ahead of that of a
pair.beat("a", 10.0)                       sent, and heard 2 ms later
pair.b.take(12.0, PeerDown())              an input, and what came of it
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from srmd.core.events import Event, PeerHeard
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.core.transitions import step
from srmd.wire.journal import (
    About,
    Beats,
    Decided,
    Entry,
    Heard,
    Known,
    Sent,
    Timers,
    entry_to_json,
)
from tests.play import a_node, a_report

DELAY_S = 0.002
WALL_S = 1_800_000_000.0
"""The wall clock at second 0 of a's clock."""
TIMERS = Timers(
    keep_alive_interval_s=1.0,
    keep_alive_timeout_s=3.5,
    initialization_keep_alive_timeout_s=10.0,
    critical_service_delay_s=5.0,
    transition_s=30.0,
    automatic_fallback_wait_s=100.0,
)


class Scribe:
    """One node's files; its moments are given on the common clock, written on its own."""

    def __init__(self, name: str, peer: str, folder: Path, ahead_s: float) -> None:
        self.name, self.peer, self.ahead_s = name, peer, ahead_s
        self.folder = folder
        (folder / "state").mkdir(parents=True)
        self.journal = folder / "state" / "journal.jsonl"
        self.log = folder / "log.jsonl"
        self.log.touch()
        self.node = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))
        self.seq = 0

    def begin(self, at_s: float, node: Node | None = None, *, boot: bool = True) -> Self:
        self.node = node or self.node
        wall = datetime.fromtimestamp(WALL_S + at_s, UTC).isoformat(timespec="microseconds")
        about = About(self.name, self.peer, "boot", 1, wall, TIMERS)
        return self.write(Known(at_s + self.ahead_s, self.node, boot, about))

    def take(self, at_s: float, event: Event) -> Self:
        self.node = step(self.node, event).node
        now = self.node
        return self.write(Decided(at_s + self.ahead_s, event, now.state, now.reason, now.op))

    def tell(self, at_s: float, event: str, **fields: object) -> Self:
        """A record of the log."""
        record = {"ts": "", "mono_s": at_s + self.ahead_s, "level": "info", "event": event}
        return self.raw(json.dumps({**record, "node": self.name, **fields}), self.log)

    def write(self, entry: Entry) -> Self:
        return self.raw(json.dumps(entry_to_json(entry)))

    def raw(self, line: str, file: Path | None = None) -> Self:
        with (file or self.journal).open("a") as out:
            out.write(line + "\n")
        return self


class Written:
    """Both nodes."""

    def __init__(self, folder: Path, ahead_s: float = 0.0) -> None:
        self.a = Scribe("a", "b", folder / "node-a", 0.0)
        self.b = Scribe("b", "a", folder / "node-b", ahead_s)

    def begin(self, at_s: float = 0.0) -> Self:
        self.a.begin(at_s)
        self.b.begin(at_s)
        return self

    def beat(
        self, sender: str, at_s: float, *, delay_s: float = DELAY_S, lost: bool = False
    ) -> Self:
        """A heartbeat that tells what the sender now is."""
        one, to = (self.a, self.b) if sender == "a" else (self.b, self.a)
        one.seq += 1
        sent_s, heard_s = at_s + one.ahead_s, at_s + delay_s + to.ahead_s
        one.write(Beats(sent_s, 1, (Sent(one.seq, sent_s),), ()))
        if not lost:
            to.write(Beats(heard_s, 1, (), (Heard(1, one.seq, heard_s),)))
            to.take(at_s + delay_s, PeerHeard(one.node.report()))
        return self
