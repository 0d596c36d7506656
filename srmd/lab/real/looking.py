"""What the nodes say of themselves, as the scenarios want to see it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from srmd.client import Client, ClientError, Json
from srmd.core.states import State
from srmd.lab.scenario.stage import Look, View
from srmd.lab.scenario.verbs import NodeName
from srmd.shown import pair_of

POLL_S = 0.01
"""Between one look and the next; a look itself takes about 2 ms."""
ANSWER_LIMIT_S = 1.0
"""A node that stands still must not stop us from looking at the other for longer."""


@dataclass(slots=True)
class Looking:
    """Looks at both nodes again and again."""

    clients: Mapping[NodeName, Client]
    ids: Mapping[NodeName, str] = field(
        default_factory=lambda: {node: node.value for node in NodeName}
    )
    """How the nodes call themselves."""
    _next_s: float = 0.0

    def look(self, blind: Collection[NodeName] = ()) -> Look:
        """`blind`: nodes that are not asked, because they are known not to answer."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        views = {node: None if node in blind else self._view(node) for node in NodeName}
        now_s = time.monotonic()
        self._next_s = now_s + POLL_S
        return Look(now_s, views)

    def _view(self, node: NodeName) -> View | None:
        try:
            return view_of(self.clients[node].status(), self.ids)
        except ClientError:
            return None


def watching(client: Client) -> Client:
    """The same node, asked by somebody who has no time."""
    return Client(client.url, client.token, ANSWER_LIMIT_S)


def view_of(status: Json, ids: Mapping[NodeName, str]) -> View:
    mine, peer = pair_of(status)
    runs = status["srm"] == "STARTED"
    users, database = status["users"], status["database"]
    assigned = {one: users["assigned"][ids[one]] for one in NodeName}
    content = f"{database['users_count']} users, digest {database['digest']}"
    return View(
        half=mine.half if runs else None,
        peer_down=runs and peer.state is State.DOWN,
        row=status["handbook"]["row"] if runs else None,
        row_key=status["handbook"]["key"] if runs else "",
        served=users["served"][status["local"]["node"]],
        assigned=None if None in assigned.values() else assigned,
        op=status["local"]["op"],
        mismatch=status["mismatch"],
        content=content if database["db_id"] else None,
        control_fails=status["peer"]["control_reachable"] is False,
        able=status["local"]["outage"] is None,
    )
