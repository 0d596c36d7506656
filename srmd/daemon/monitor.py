"""Watches the promises of `core.promises` on each step of the live machine.

It only looks: a broken promise is logged and counted, and the node goes on as the rules say.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from srmd.core import handbook
from srmd.core.events import Event
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.promises import broken_by
from srmd.core.states import Contact

LOGGED_COUNTS = (1, 10, 100, 1000, 10_000, 100_000)
"""A promise that is broken again and again is logged at these counts."""
UNASKED = "unasked"
"""Key under which a failure of the monitor itself is counted."""


class Monitor:
    """Counts broken promises by key, for as long as the node runs."""

    def __init__(self, log: Any) -> None:
        self.broken: Counter[str] = Counter()
        self._log = log

    def look(self, before: Node, event: Event, step: Step) -> None:
        """Never raises."""
        try:
            for broken in broken_by(before, event, step):
                promise = broken.promise
                self._tell(promise.key, promise.source, promise.says, broken.what, step.node)
        except Exception as defect:  # noqa: BLE001  # whatever it is, the node must go on
            what = f"the monitor failed: {type(defect).__name__}: {defect}"
            self._tell(UNASKED, "", "promises are asked on every step", what, None)

    def _tell(self, key: str, source: str, says: str, what: str, node: Node | None) -> None:
        self.broken[key] += 1
        if self.broken[key] not in LOGGED_COUNTS:
            return
        match = None if node is None else _nearest_row(node)
        self._log.error(
            "promise.broken",
            promise=key,
            source=source,
            says=says,
            what=what,
            op=None if node is None else node.op,
            row=None if match is None else match.row.n,
            row_key=None if match is None else match.row.key,
            count=self.broken[key],
        )


def _nearest_row(node: Node) -> handbook.Match:
    heard = node.contact is Contact.HEARD and node.peer is not None
    peer = (node.peer.state, node.peer.reason) if heard and node.peer is not None else None
    return handbook.find((node.state, node.reason), peer)
