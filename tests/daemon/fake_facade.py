"""A node that only writes down what it is asked, and answers what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srmd import __version__
from srmd.config import Address, Config, ControlConfig, GroupConfig, NodeConfig, PeerConfig
from srmd.daemon.facade import (
    Action,
    Done,
    Facade,
    Fault,
    Outcome,
    PowerAction,
    Refused,
    ServiceAction,
    SrmAction,
)
from srmd.node.calling import Answer
from srmd.secret import Secret

TOKEN = "a-token-for-tests-only"

SERVICES = [
    {"name": "A Cisco DB", "state": "STARTED", "note": "", "critical": True},
    {
        "name": "Cisco Presence Engine",
        "state": "STOPPED",
        "note": "Commanded out of service",
        "critical": True,
    },
]

STATUS: dict[str, Any] = {
    "group": "lab",
    "ha_enabled": True,
    "local": {
        "node": "a",
        "state": "Idle",
        "srm_state": 2,
        "reason": "On Admin Request",
        "version": __version__,
        "since": "2026-01-02T03:04:05+00:00",
        "op": 7,
    },
    "peer": {
        "node": "b",
        "state": "Down State",
        "srm_state": 12,
        "reason": "Unknown",
        "since": None,
        "op": None,
        "heard": False,
        "silent_s": None,
        "suspect": False,
        "beats_missed": 0,
        "seconds_to_peer_down": None,
        "hears_us": False,
    },
    "services": SERVICES,
    "database": {
        "state": "STARTED",
        "db_id": "5e1f",
        "users_revision": 2,
        "placement_op": 7,
        "users_count": 501,
        "digest": "00000000000000ff",
        "agrees_with_peer": True,
        "peer_users_count": 501,
    },
    "memory": {"durable": True, "fault": None},
    "users": {
        "assigned": {"a": 250, "b": 250},
        "served": {"a": 0, "b": 500},
        "unassigned": 1,
        "placement": {"a": "b", "b": "b"},
    },
    "handbook": {
        "row": None,
        "key": "idle-alone",
        "cause": {"en": "The peer is silent.", "ja": "ピアが沈黙しています。"},
        "action": {"en": "srmd fallback a", "ja": "srmd fallback a"},
    },
    "actions": [{"action": "fallback", "node": "a"}],
    "counters": {"heartbeats_sent": 12},
}

RESULTS: dict[str, dict[str, Any]] = {
    "users": {
        "users": [
            {"user_id": "alice", "home_node": "a", "serving_node": "b"},
            {"user_id": "bob", "home_node": None, "serving_node": None},
        ],
        "next": "bob",
    },
    "import_users": {"added": 2, "unchanged": 0},
    "generate_users": {"added": 500},
    "assign_users": {"changed": 1},
    "unassign_users": {"changed": 1},
    "delete_users": {"deleted": 1},
    "reload": {
        "taken": ["auth.keys.k2"],
        "refused": [],
        "needs": [{"key": "users.move_limit_s", "command": "srmd node reboot"}],
    },
    "topology": {
        "nodes": {"a": {"assigned": 250, "served": 0}, "b": {"assigned": 250, "served": None}},
        "unassigned": 1,
        "total": 501,
        "placement": {"a": "b", "b": "b"},
    },
}


class FakeFacade:
    def __init__(self, *, token: str | None = TOKEN) -> None:
        self.settings = Config(
            node=NodeConfig(id="a", state_dir=Path("state")),
            group=GroupConfig(name="lab"),
            peer=PeerConfig(
                id="b", heartbeat=Address("127.0.0.1", 22002), control="http://127.0.0.1:20076"
            ),
            control=ControlConfig(token=Secret(token) if token else None),
        )
        self.asked: list[tuple[Any, ...]] = []
        self.outcome: Outcome | None = None
        """The answer to whatever can be refused; None: done."""
        self.crash: Exception | None = None
        self.hold: asyncio.Event | None = None
        """Whatever can be refused waits for this."""
        self.holding = asyncio.Event()
        self.served_here = 0
        """Users that this node serves."""

    @property
    def config(self) -> Config:
        if self.crash is not None:
            raise self.crash
        return self.settings

    @property
    def host_names(self) -> frozenset[str]:
        return frozenset({"srmd.example"})

    def status(self) -> dict[str, Any]:
        users = {**STATUS["users"], "served": {"a": self.served_here, "b": 500}}
        return {**STATUS, "users": users}

    async def act(self, action: Action, node: str) -> Outcome:
        return await self._answer("act", action, node)

    async def set_ha(self, enabled: bool) -> Outcome:
        return await self._answer("set_ha", enabled)

    def services(self) -> list[dict[str, Any]]:
        return SERVICES

    async def service(self, name: str, action: ServiceAction) -> Outcome:
        return await self._answer("service", name, action)

    async def reload(self, by: str) -> Outcome:
        return await self._answer("reload", by)

    async def order_srm(self, action: SrmAction) -> Outcome:
        return await self._answer("order_srm", action)

    async def power(self, action: PowerAction) -> Outcome:
        return await self._answer("power", action)

    async def users(self, after: str, limit: int, home: str | None, serving: str | None) -> Outcome:
        return await self._answer("users", after, limit, home, serving)

    async def import_users(self, csv: bytes) -> Outcome:
        return await self._answer("import_users", csv)

    async def generate_users(self, count: int, mode: str, prefix: str) -> Outcome:
        return await self._answer("generate_users", count, mode, prefix)

    async def assign_users(self, mode: str | None, user: str | None, home: str | None) -> Outcome:
        return await self._answer("assign_users", mode, user, home)

    async def unassign_users(self, user: str | None) -> Outcome:
        return await self._answer("unassign_users", user)

    async def delete_users(self, user: str | None) -> Outcome:
        return await self._answer("delete_users", user)

    async def export_users(self) -> bytes | Refused:
        outcome = await self._answer("export_users")
        return outcome if isinstance(outcome, Refused) else b"user_id,home_node\nalice,a\n"

    async def topology(self) -> Outcome:
        return await self._answer("topology")

    async def fault(self, fault: Fault, active: bool) -> Outcome:
        return await self._answer("fault", fault, active)

    def refuse_certificate(self, detail: str) -> None:
        self.asked.append(("refuse_certificate", detail))

    async def control(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self.crash is not None:
            raise self.crash
        self.asked.append(("control", path, dict(headers), body))
        return Answer(409, {"X-SRM-Digest": "d1"}, b'{"type": "refused"}')

    async def _answer(self, *asked: Any) -> Outcome:
        self.asked.append(asked)
        if self.hold is not None:
            self.holding.set()
            await self.hold.wait()
        done = Done(f"{asked[0]} is taken up", op=8, result=RESULTS.get(asked[0], {}))
        return self.outcome or done


_FITS: type[Facade] = FakeFacade
