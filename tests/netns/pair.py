"""A pair of real daemons on two hosts, and the stories told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srmd.client import Client, Json
from srmd.lab.pair import LabError, LabNode, LabPair, Value
from srmd.secret import Secret
from tests.netns.hosts import Host, two_hosts
from tests.real.conftest import NORMAL, USERS, Story

HEARTBEAT, CONTROL = 22001, 20075
"""Cisco's own ports: on a host of its own a node meets nobody there."""
HALF = USERS // 2

ALONE = "Running in Backup Mode/Peer Down"
YIELDED = "Failed Over/Peer Down"
SPLIT = "Running in Failed Mode/Unknown"


class HostClient(Client):
    """Asks from the host itself, so that no fault of the network is in the way."""

    def __init__(self, url: str, token: Secret, host: Host) -> None:
        super().__init__(url, token)
        self._host = host

    def call(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        ask = super().call
        return self._host.do(lambda: ask(method, path, body, timeout_s))


class HostNode(LabNode):
    """A node whose process lives on a host of its own."""

    def __init__(self, node: str, folder: Path, mark: str, token: Secret, host: Host) -> None:
        super().__init__(node, folder, mark, token)
        self.release()  # the ports that were held for it are this machine's
        self.host = host
        self.heartbeat = f"{host.address}:{HEARTBEAT}"
        self.control = f"{host.address}:{CONTROL}"
        self.client = HostClient(f"http://{self.control}", token, host)

    def spawn(self) -> None:
        self.host.do(super().spawn)

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self.status()["counters"]
        return counters

    def op(self) -> int:
        return int(self.status()["local"]["op"])


class HostPair(LabPair):
    """Like LabPair, but what is between its nodes is a cable and not the loopback."""

    a: HostNode
    b: HostNode

    def __init__(
        self, hosts: tuple[Host, Host], overrides: Mapping[str, Mapping[str, Value]]
    ) -> None:
        self._hosts = dict(zip(("a", "b"), hosts, strict=True))
        super().__init__(overrides)

    def _made(self, node: str, token: Secret) -> HostNode:
        plain = super()._made(node, token)
        plain.release()
        return HostNode(node, plain.folder, self.mark, token, self._hosts[node])


@contextmanager
def started(overrides: Mapping[str, Mapping[str, Value]]) -> Iterator[HostPair]:
    """A pair in row 1 whose users are at home; nothing of it is left at the end."""
    with two_hosts() as hosts:
        with HostPair(hosts, overrides) as pair:
            pair.a.client.generate_users(USERS, "balanced", "user")
            pair.wait_until("users at home", lambda: pair.served() == {"a": HALF, "b": HALF})
            yield pair
        assert not pair.left_behind


@dataclass
class HostStory(Story):
    """The pair, seen from the home side, with the hosts beneath."""

    pair: HostPair
    x: HostNode
    y: HostNode

    def stays_while(self, node: HostNode, what: str, grows_by: int) -> None:
        """Neither node decides anything while a counter of `node` grows by so much."""
        before = (self.x.op(), self.y.op())
        target = node.counters()[what] + grows_by

        def grown() -> bool:
            now = (self.x.op(), self.y.op())
            if now != before:
                raise LabError(f"(x, y) decided something: op was {before}, is {now}")
            return bool(node.counters()[what] >= target)

        self.pair.wait_until(f"{what} of {node.id} grows by {grows_by}", grown, within_s=20)

    def stays_normal_for(self, beats_sent: int) -> int:
        """How many of the heartbeats that x sent meanwhile did not reach y."""
        before = self._unheard_count()
        self.stays_while(self.x, "heartbeats_sent", beats_sent)
        self.reaches(NORMAL, NORMAL)
        return self._unheard_count() - before

    def _unheard_count(self) -> int:
        sent, received = self.x.counters(), self.y.counters()
        return int(sent["heartbeats_sent"] - received["heartbeats_received"])

    def sends_again(self) -> None:
        """Neither node has an error from its network, and both hear each other."""
        for node in (self.x, self.y):
            self.pair.wait_until(f"{node.id} hears and sends", _is_well(node))


def _is_well(node: HostNode) -> Callable[[], bool]:
    def well() -> bool:
        status = node.status()
        return bool(status["peer"]["heard"] and status["counters"]["send_error"] is None)

    return well
