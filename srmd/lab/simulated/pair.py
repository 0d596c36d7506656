"""Two simulated nodes and the network between them: what searches, sweeps and stories run on.

pair = Pair(config_of_pair(), seed=1)
pair.start()
pair.run_until(3600.0)
pair.look()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from srmd.config import AuthConfig, Config, PeerConfig, load, shipped
from srmd.core import handbook
from srmd.core.events import Event
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario.stage import Look, View
from srmd.lab.scenario.verbs import Direction, NodeName
from srmd.lab.simulated.moments import Moments
from srmd.lab.simulated.network import Network
from srmd.lab.simulated.node import Costs, SimulatedNode, World
from srmd.node.commands import shown_peer
from srmd.secret import Secret
from srmd.wire.heartbeat import Heartbeat

SECRET_BYTES: Final = 32
PHASE_STEPS_PER_S: Final = 1024
"""Both nodes begin within one interval, at a moment that a sum of moments meets again exactly."""
KEYS: Final = ("k1", "k2")


@dataclass(frozen=True, slots=True)
class Stepped:
    """A node has decided on an event; nothing is done about it yet."""

    at_s: float
    node: NodeName
    before: Node
    event: Event
    result: Step

    @property
    def changes_state(self) -> bool:
        before, after = self.before, self.result.node
        return (before.state, before.reason) != (after.state, after.reason)


@dataclass(frozen=True, slots=True)
class Beat:
    """A node has sent a heartbeat, or heard one of its peer."""

    at_s: float
    node: NodeName
    sent: bool
    incarnation: int
    """Of the sender, as `seq`."""
    seq: int


Watcher = Callable[[Stepped], None]
BeatWatcher = Callable[[Beat], None]


@cache
def cisco_defaults() -> Config:
    """The configuration of node a with Cisco's own timers."""
    return load(shipped() / "cisco-defaults" / "node-a.toml", env={}).config


def secret(seed: int, *names: str | int) -> Secret:
    """A key that nobody needs to keep."""
    return Secret(substream(seed, "key", *names).randbytes(SECRET_BYTES))


class Pair:
    """Nothing happens but by `run_until` and `advance`."""

    def __init__(
        self, config: Config | None = None, *, seed: int, costs: Costs | None = None
    ) -> None:
        """`config` is that of node a; node b has the same but for the names.

        With `auth.mode` off nothing is signed, which saves most of the time of a beat.
        """
        self.moments = Moments()
        self.seed = seed
        self.costs = costs or Costs()
        self.network = Network(self.moments, seed, self.costs.latency_s)
        self.watchers: list[Watcher] = []
        """Hear of each decision, as it is made."""
        self.beat_watchers: list[BeatWatcher] = []
        """Hear of each heartbeat that is sent, and of each that is heard."""
        self.on_change: list[Callable[[], None]] = []
        """Called when what is seen of a node may have changed."""
        self._changes = 0
        self._seen: dict[NodeName, tuple[int, View | None]] = {}
        given = _named(config or cisco_defaults(), NodeName.A, seed)
        self.nodes: Mapping[NodeName, SimulatedNode] = {
            NodeName.A: self._made(NodeName.A, given, Direction.A_TO_B),
            NodeName.B: self._made(NodeName.B, _named(given, NodeName.B, seed), Direction.B_TO_A),
        }
        for name, way in ((NodeName.A, Direction.B_TO_A), (NodeName.B, Direction.A_TO_B)):
            self.network.beats[way].receive = self.nodes[name].receive
            self.network.calls[way].serve = self.nodes[name].serve

    @property
    def now_s(self) -> float:
        return self.moments.now_s

    @property
    def a(self) -> SimulatedNode:
        return self.nodes[NodeName.A]

    @property
    def b(self) -> SimulatedNode:
        return self.nodes[NodeName.B]

    def start(self) -> None:
        """Both nodes start, b after a by less than an interval, as the seed has it."""
        steps = int(self.a.config.heartbeat.keep_alive_interval_s * PHASE_STEPS_PER_S)
        phase_s = substream(self.seed, "phase").randrange(max(1, steps)) / PHASE_STEPS_PER_S
        self.a.start()
        self.moments.run_until(self.now_s + phase_s)
        self.b.start()

    def run_until(self, until_s: float) -> None:
        """All that happens up to this moment, and at it."""
        self.moments.run_until(until_s)

    def advance(self, until_s: float) -> None:
        """Up to the next moment at which something changes that is seen, at most to this one."""
        moments, changes = self.moments, self._changes
        while moments.next_s <= until_s:
            moments.run_until(moments.next_s)
            if self._changes != changes:
                return
        moments.run_until(until_s)

    def look(self) -> Look:
        return Look(self.now_s, {name: self._view(name) for name in NodeName})

    def _view(self, name: NodeName) -> View | None:
        """Made anew only when something has changed."""
        changes, view = self._seen.get(name, (-1, None))
        if changes != self._changes:
            view = view_of(self.nodes[name])
            self._seen[name] = (self._changes, view)
        return view

    def _made(self, name: NodeName, config: Config, way: Direction) -> SimulatedNode:
        world = World(
            moments=self.moments,
            costs=self.costs,
            send_beat=self.network.beats[way].send,
            send_call=self.network.calls[way].call,
            sent=lambda heartbeat: self._beat(name, heartbeat, sent=True),
            heard=lambda heartbeat: self._beat(name, heartbeat, sent=False),
            stepped=lambda before, event, result: self._stepped(name, before, event, result),
            changed=self._changed,
        )
        return SimulatedNode(name, config, world)

    def _beat(self, name: NodeName, heartbeat: Heartbeat, *, sent: bool) -> None:
        if self.beat_watchers:
            beat = Beat(self.now_s, name, sent, heartbeat.incarnation, heartbeat.seq)
            for watcher in self.beat_watchers:
                watcher(beat)

    def _stepped(self, name: NodeName, before: Node, event: Event, result: Step) -> None:
        if self.watchers:
            stepped = Stepped(self.now_s, name, before, event, result)
            for watcher in self.watchers:
                watcher(stepped)

    def _changed(self) -> None:
        self._changes += 1
        for heed in self.on_change:
            heed()


def view_of(node: SimulatedNode) -> View | None:
    """What the node would answer when asked for its status; None when it would not."""
    boot = node.boot
    if boot is None or node.frozen:
        return None
    machine, runs = boot.shown, boot.srm is not None
    heard = shown_peer(machine, boot.mismatch) if runs else None
    lost = runs and heard is None and machine.contact in {Contact.SILENT, Contact.LEFT}
    mine = (machine.state, machine.reason) if runs else (State.UNKNOWN, Reason.UNKNOWN)
    row = handbook.find(mine, heard).row
    picture = boot.database.picture
    ids = dict(zip(NodeName, boot.nodes, strict=True))
    return View(
        half=mine if runs else None,
        peer_down=lost,
        row=row.n if runs else None,
        row_key=row.key if runs else "",
        served=boot.served_count(),
        assigned={name: picture.assigned_to(ids[name]) for name in NodeName}
        if picture.is_known
        else None,
        op=machine.op,
        mismatch=boot.mismatch.en if boot.mismatch is not None else None,
        content=str(picture.content) if picture.is_known else None,
        control_fails=boot.srm is not None and boot.srm.calls.reachable is False,
        able=boot.services.critical_ok and boot.database.ok,
    )


def _named(config: Config, name: NodeName, seed: int) -> Config:
    """The configuration of this node: it is called a or b, and both have the same keys."""
    here, there = name.value, name.other.value
    keys = {key: secret(seed, key) for key in KEYS}
    auth = AuthConfig(mode=config.auth.mode, active=KEYS[0], keys=keys)
    return dataclasses.replace(
        config,
        node=dataclasses.replace(config.node, id=here),
        peer=PeerConfig(id=there, heartbeat=config.peer.heartbeat, control=config.peer.control),
        auth=auth,
    )
