"""The journals of a simulated pair, in the words of the daemon's: for replay, why and timeline.

There is one clock, that of the simulation, and its wall clock begins in 1970: the same seed gives
the same journal, byte for byte.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

from srmd import __version__
from srmd.core.events import Booted
from srmd.core.node import Node
from srmd.lab.scenario.verbs import NodeName
from srmd.lab.simulated.pair import Beat, Pair, Stepped
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

LINES_MAX: Final = 50_000
"""Of one node; the oldest are dropped."""
CHECKPOINT_INPUTS: Final = 256
"""As the daemon's: where a journal without its begin can be taken up."""


class Journals:
    """Watches a pair; `texts` are its journals so far."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._entries: dict[NodeName, deque[Entry]] = {
            name: deque(maxlen=LINES_MAX) for name in NodeName
        }
        self._inputs_count = dict.fromkeys(NodeName, 0)
        pair.watchers.append(self._stepped)
        pair.beat_watchers.append(self._beat)

    def texts(self) -> dict[str, str]:
        """The text of each node's journal, by the name of a file."""
        return {
            f"node-{name.value}-journal.jsonl": "".join(
                f"{json.dumps(entry_to_json(entry))}\n" for entry in entries
            )
            for name, entries in self._entries.items()
        }

    def _stepped(self, stepped: Stepped) -> None:
        name, at_s, after = stepped.node, stepped.at_s, stepped.result.node
        entries = self._entries[name]
        if isinstance(stepped.event, Booted):
            entries.append(self._known(name, at_s, stepped.before, boot=True))
        entries.append(Decided(at_s, stepped.event, after.state, after.reason, after.op))
        self._inputs_count[name] += 1
        if self._inputs_count[name] % CHECKPOINT_INPUTS == 0:
            entries.append(self._known(name, at_s, after, boot=False))

    def _beat(self, beat: Beat) -> None:
        sent = (Sent(beat.seq, beat.at_s),) if beat.sent else ()
        heard = () if beat.sent else (Heard(beat.incarnation, beat.seq, beat.at_s),)
        incarnation = beat.incarnation if beat.sent else 0
        self._entries[beat.node].append(Beats(beat.at_s, incarnation, sent, heard))

    def _known(self, name: NodeName, at_s: float, node: Node, *, boot: bool) -> Known:
        simulated = self._pair.nodes[name]
        config, memory = simulated.config, simulated.memory
        wall = datetime.fromtimestamp(0, UTC) + timedelta(seconds=at_s)
        heartbeat = config.heartbeat
        about = About(
            node=config.node.id,
            peer=config.peer.id,
            boot_id="" if memory is None else memory.boot_id,
            incarnation=0 if memory is None else memory.incarnation,
            wall=wall.isoformat(timespec="microseconds"),
            timers=Timers(
                heartbeat.keep_alive_interval_s,
                heartbeat.keep_alive_timeout_s,
                heartbeat.initialization_keep_alive_timeout_s,
                config.services.critical_service_delay_s,
                config.limits.transition_s,
                config.group.automatic_fallback_wait_s,
            ),
            version=__version__,
        )
        return Known(at_s, node, boot, about)
