"""A pair of real nodes with proxies between them, ready for a scenario; it leaves no trace."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from srmd.lab.pair import FAST, LabNode, LabPair, Sections, Value
from srmd.lab.real import clocks
from srmd.lab.real.network import Addresses, Network
from srmd.lab.real.servers import find_toxiproxy, start_fault_proxy, start_toxiproxy
from srmd.lab.scenario.configured import KEYS, move_rate_per_s
from srmd.lab.scenario.stage import StageBroken, VerbFailed
from srmd.lab.scenario.story import Settings
from srmd.lab.scenario.verbs import Direction, NodeName

SEED_MAX = 2**31
LAB: Final[Mapping[str, Mapping[str, Value]]] = {
    "group": {"automatic_fallback_wait_s": 0.5},
}
"""What differs from `pair.FAST`."""


def lab_timers() -> dict[str, float]:
    """The timers of a pair whose scenario does not change them, in seconds."""
    found = {}
    for name, (section, key) in KEYS.items():
        value = LAB.get(section, {}).get(key, FAST[section].get(key))
        assert isinstance(value, (int, float)), name
        found[name] = float(value)
    return found


class WiredPair:
    """Servers, network and pair, begun in this order and ended in the other."""

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int | None = None,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Raises LabError or StageBroken when it cannot be begun; then nothing is left."""
        self.settings = settings
        self.timers = settings.timers_of(lab_timers())
        self.seed = random.randrange(1, SEED_MAX) if seed is None else seed
        self.urls: dict[str, str] = {}
        """Of the proxies' servers, by what they carry."""
        self.left_behind: list[str] = []
        self._tell = tell
        self._ended = ExitStack()
        self.pair = LabPair(_overrides(self.timers, settings))
        self._ended.callback(self._close_pair)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def nodes(self) -> dict[NodeName, LabNode]:
        return {NodeName.A: self.pair.a, NodeName.B: self.pair.b}

    def close(self) -> None:
        """Everything ends, whatever of it has begun.  Safe to call twice."""
        self._ended.close()

    def keys_written(self) -> None:
        """Both nodes know both keys, as they were made."""
        for node in self.pair.nodes:
            for name, text in self._keys.items():
                file = node.folder / name
                file.touch(0o600)
                file.write_text(text)

    def spoil_key(self, node: NodeName) -> None:
        (self.nodes[node].folder / "k1.key").write_text(secrets.token_hex(32))

    def right_key(self, node: NodeName) -> None:
        (self.nodes[node].folder / "k1.key").write_text(self._keys["k1.key"])

    def clone(self, node: NodeName, *, active: bool) -> None:
        """The other node's file names the ids of this one, or its own again."""
        original, host = self.nodes[node], self.nodes[node.other]
        me, peer = (original.id, host.id) if active else (host.id, original.id)
        host.overrides.setdefault("node", {})["id"] = me
        host.overrides.setdefault("peer", {})["id"] = peer
        self.pair.write_configs()

    def as_begun(self) -> bool:
        """No configuration and no key differs from what the pair was begun with."""
        return self._files() == self._files_begun

    def _begin(self) -> None:
        folder, mark = self.pair.folder, self.pair.mark
        if self.settings.clocks:
            self._give_clocks()
        server, heartbeats_url, said = start_fault_proxy(mark, folder, self.seed)
        self._ended.callback(server.close)
        self._tell(said)
        control_url = self._control(heartbeats_url, folder, mark)
        self.urls = {"heartbeats": heartbeats_url, "control": control_url}
        self.network = Network(heartbeats_url, control_url, prefix=f"lab_{mark[:8]}_")
        self._wire()
        self._ended.callback(self._close_network)
        self._keys = {
            "k1.key": (self.pair.a.folder / "k1.key").read_text(),
            "k2.key": secrets.token_hex(32),
        }
        self.keys_written()
        self.pair.start()
        self._files_begun = self._files()
        users = self.settings.users
        self.pair.a.client.generate_users(users.count, users.mode.value, "user")

    def put_clock(self, node: NodeName, ahead_s: float) -> None:
        """The node's time of day is so far ahead of the true time.  Raises VerbFailed."""
        if not self.settings.clocks:
            raise VerbFailed(
                "the nodes have no clocks of their own; start the pair with them: "
                "srmd lab up --clocks, or Settings(clocks=True)"
            )
        clocks.put(self.nodes[node].folder / clocks.FILE, ahead_s)

    def _give_clocks(self) -> None:
        """Raises StageBroken."""
        why = clocks.missing()
        if why is not None:
            raise StageBroken(why)
        library = clocks.build(self.pair.folder)
        for node in self.pair.nodes:
            file = node.folder / clocks.FILE
            clocks.put(file, 0)
            node.environment |= clocks.environment(library, file)

    def _control(self, fallback_url: str, folder: Path, mark: str) -> str:
        """The URL of the server for control calls: a real Toxiproxy where there is one."""
        found = find_toxiproxy()
        if found is None:
            self._tell("control calls run through our own fault proxy: no Toxiproxy found")
            return fallback_url
        if found.startswith(("http://", "https://")):
            self._tell(f"control calls run through Toxiproxy at {found}")
            return found
        server, url = start_toxiproxy(found, mark, folder)
        self._ended.callback(server.close)
        self._tell(f"control calls run through Toxiproxy ({Path(found).name}) at {url}")
        return url

    def _wire(self) -> None:
        """Each node's peer is where the proxy listens."""
        a, b = self.pair.nodes
        to = {Direction.A_TO_B: b, Direction.B_TO_A: a}
        proxied = self.network.open(
            Addresses(
                heartbeat={way: node.heartbeat for way, node in to.items()},
                control={way: node.control for way, node in to.items()},
            )
        )
        for sender, way in ((a, Direction.A_TO_B), (b, Direction.B_TO_A)):
            sender.overrides.setdefault("peer", {}).update(
                heartbeat=proxied.heartbeat[way], control=f"http://{proxied.control[way]}"
            )
            sender.overrides.setdefault("auth.keys", {})["k2.file"] = "k2.key"

    def _files(self) -> dict[str, str]:
        files = [
            file
            for node in self.pair.nodes
            for file in (node.config_file, *sorted(node.folder.glob("*.key")))
        ]
        return {str(file): file.read_text() for file in files}

    def _close_network(self) -> None:
        """A server that does not answer keeps nothing: its process ends next, if it is ours."""
        try:
            self.network.close()
        except StageBroken as failed:
            self._tell(f"proxies may be left: {failed}")

    def _close_pair(self) -> None:
        self.pair.close()
        self.left_behind += self.pair.left_behind


def _overrides(timers: Mapping[str, float], settings: Settings) -> Sections:
    made: Sections = {section: dict(keys) for section, keys in LAB.items()}
    for name, (section, key) in KEYS.items():
        made.setdefault(section, {})[key] = timers[name]
    made["group"] |= {
        "automatic_fallback": settings.group.automatic_fallback,
        "split_brain": settings.group.split_brain.value,
    }
    made.setdefault("users", {})["move_rate_per_s"] = move_rate_per_s(settings.users.count)
    return made
