"""What SRM leaves in the journal: its inputs, its heartbeats, and from time to time itself.

A heartbeat heard is an input and has its line; when it was sent, and that it was the one with this
number, stands in lines of their own, many beats in each.  They are written before a transition, so
that the journal always tells which beats came before it; and where nothing else is written, at
every second beat, so that the journal of a node that receives nothing shows that it runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from srmd import __version__
from srmd.config import Config
from srmd.core.events import Event
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.store.nodestate import NodeMemory
from srmd.wire.journal import About, Beats, Decided, Heard, Known, Sent, Timers, entry_to_json

BEATS_A_LINE = 32
"""Sent and heard together: at two beats an interval, a line in 16 intervals."""
QUIET_INTERVALS = 1.5
"""After so many without a line, the beats that wait are written."""
CHECKPOINT_INPUTS = 256
"""Inputs between two lines with the whole node, so that a rotated journal can be taken up."""


class Lines(Protocol):
    def write(self, entry: Mapping[str, object]) -> None: ...


class Recorder:
    """Writes the journal of one run of SRM."""

    def __init__(self, journal: Lines, config: Config, memory: NodeMemory, node: Node) -> None:
        """Begins with the node as SRM starts with it."""
        self._journal = journal
        self._config = config
        self._memory = memory
        self._sent: list[Sent] = []
        self._heard: list[Heard] = []
        self._inputs_count = 0
        self._written_s = math.inf
        """The moment of the last line; from the first decision on."""
        self._write_node(time.monotonic(), node, boot=True)

    def sent(self, seq: int, at_s: float) -> None:
        self._sent.append(Sent(seq, at_s))
        self._flush_if_due(at_s)

    def heard(self, incarnation: int, seq: int, at_s: float) -> None:
        self._heard.append(Heard(incarnation, seq, at_s))
        self._flush_if_due(at_s)

    def decided(self, before: Node, event: Event, result: Step, at_s: float) -> None:
        after = result.node
        if before.op != after.op or before.contact is not after.contact:
            self.flush()
        entry = Decided(at_s, event, after.state, after.reason, after.op)
        self._journal.write(entry_to_json(entry))
        self._written_s = at_s
        self._inputs_count += 1
        if self._inputs_count % CHECKPOINT_INPUTS == 0:
            self._write_node(at_s, after, boot=False)

    def flush(self) -> None:
        """Write the beats that wait for a line."""
        if self._sent or self._heard:
            entry = Beats(
                time.monotonic(), self._memory.incarnation, tuple(self._sent), tuple(self._heard)
            )
            self._sent.clear()
            self._heard.clear()
            self._journal.write(entry_to_json(entry))

    def _flush_if_due(self, at_s: float) -> None:
        is_full = len(self._sent) + len(self._heard) >= BEATS_A_LINE
        quiet_s = QUIET_INTERVALS * self._config.heartbeat.keep_alive_interval_s
        is_quiet = at_s - self._written_s > quiet_s
        if is_full or is_quiet:
            self.flush()
            self._written_s = at_s

    def _write_node(self, at_s: float, node: Node, *, boot: bool) -> None:
        heartbeat = self._config.heartbeat
        about = About(
            node=self._config.node.id,
            peer=self._config.peer.id,
            boot_id=self._memory.boot_id,
            incarnation=self._memory.incarnation,
            wall=datetime.now(UTC).isoformat(timespec="microseconds"),
            timers=Timers(
                heartbeat.keep_alive_interval_s,
                heartbeat.keep_alive_timeout_s,
                heartbeat.initialization_keep_alive_timeout_s,
                self._config.services.critical_service_delay_s,
                self._config.limits.transition_s,
                self._config.group.automatic_fallback_wait_s,
            ),
            version=__version__,
        )
        self._journal.write(entry_to_json(Known(at_s, node, boot, about)))
