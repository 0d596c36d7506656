"""The network between two nodes: four directed proxies, and faults as toxics on them.

Heartbeats run through a server that knows UDP, control calls through any server of Toxiproxy's API.
Only proxies of our own are touched: a server may serve others as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from srmd.lab.scenario.stage import StageBroken, VerbFailed
from srmd.lab.scenario.toxics import LINKS, Harm, Link, harms, healed_by
from srmd.lab.scenario.verbs import Channel, Direction, DropNext, Heal, NetworkFault
from srmd.lab.toxiproxy import NotFound, Proxy, Toxiproxy, ToxiproxyError

HEAL_ATTEMPTS = 3
WELL = "well"
USED_UP_POLL_S = 0.005
USED_UP_SLACK_S = 2.0
"""Beyond the time in which so many heartbeats are sent."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the nodes listen, or where one reaches them through the proxies: `host:port`."""

    heartbeat: Mapping[Direction, str]
    control: Mapping[Direction, str]


class Network:
    """Synchronous: each call talks to the servers and returns when they have done it."""

    def __init__(self, heartbeats_url: str, control_url: str, prefix: str = "") -> None:
        """`prefix` keeps our proxies apart from others of a shared server."""
        self.prefix = prefix
        self._urls = {Channel.HEARTBEATS: heartbeats_url, Channel.CONTROL: control_url}

    def open(self, nodes: Addresses) -> Addresses:
        """Create the proxies in front of the nodes: where to send now.  Raises StageBroken."""

        async def opened() -> Addresses:
            made: dict[Channel, dict[Direction, str]] = {
                Channel.HEARTBEATS: {},
                Channel.CONTROL: {},
            }
            for link in LINKS:
                async with self._client(link.channel) as client:
                    beats = link.channel is Channel.HEARTBEATS
                    upstream = (nodes.heartbeat if beats else nodes.control)[link.direction]
                    more: dict[str, Any] = {"protocol": "udp"} if beats else {}
                    proxy = await client.create(self._name(link), upstream=upstream, **more)
                    made[link.channel][link.direction] = proxy.listen
            return Addresses(made[Channel.HEARTBEATS], made[Channel.CONTROL])

        return _run(opened())

    def find(self) -> None:
        """All four proxies are there, made by somebody else.  Raises StageBroken."""

        async def found() -> None:
            for link in LINKS:
                async with self._client(link.channel) as client:
                    try:
                        await client.proxy(self._name(link))
                    except NotFound as none:
                        raise StageBroken(
                            f"{client.url} has no proxy {self._name(link)}; needed are "
                            f"{', '.join(self._name(one) for one in LINKS)}"
                        ) from none

        _run(found())

    def close(self) -> None:
        """Delete the proxies; those that are gone are fine."""

        async def closed() -> None:
            for link in LINKS:
                async with self._client(link.channel) as client:
                    try:
                        await client.delete(self._name(link))
                    except NotFound:
                        pass

        _run(closed())

    def do(self, fault: NetworkFault, timers: Mapping[str, float]) -> None:
        """Raises StageBroken.  `drop next` returns when all are dropped, or raises VerbFailed."""
        wanted = harms(fault, timers)
        _run(self._harm(wanted))
        if isinstance(fault, DropNext):
            limit_s = (fault.count + 1) * timers["keep_alive_interval"] + USED_UP_SLACK_S
            try:
                self._until(lambda: self._left(wanted) == 0, limit_s, fault.count)
            finally:
                self.lift(fault, timers)

    def lift(self, fault: NetworkFault, timers: Mapping[str, float]) -> None:
        """Take this one fault away."""

        _run(self._lifted(harms(fault, timers)))

    def heal(self, heal: Heal | None = None) -> None:
        """The links work again, and that is looked at.  None: all of them.  Raises StageBroken."""
        links = healed_by(heal or Heal(Channel.ALL, Direction.BOTH))
        for attempt in range(1, HEAL_ATTEMPTS + 1):
            try:
                return _run(self._healed(links))
            except StageBroken:
                if attempt == HEAL_ATTEMPTS:
                    raise
        return None

    def name_of(self, link: str) -> str:
        """What the proxy of a link, such as `control_a_to_b`, is called on its server."""
        return self.prefix + link

    def is_well(self) -> bool:
        """No link has a fault, and the servers answer."""
        try:
            return all(line.endswith(WELL) for line in self.shown())
        except StageBroken:
            return False

    def shown(self) -> list[str]:
        """Each link with what is wrong with it, for people."""

        async def found() -> list[str]:
            lines = []
            for link in LINKS:
                async with self._client(link.channel) as client:
                    proxy = await client.proxy(self._name(link))
                    lines.append(
                        f"{link.name}: {proxy.listen} -> {proxy.upstream}  {_harm_of(proxy)}"
                    )
            return lines

        return _run(found())

    async def _harm(self, wanted: Iterable[Harm]) -> None:
        for link, harms_of_link in _by_link(wanted).items():
            async with self._client(link.channel) as client:
                name = self._name(link)
                for harm in harms_of_link:
                    await self._without(client, harm)
                    if not harm.refuses:
                        await client.add_toxic(
                            name,
                            harm.toxic,
                            stream=harm.stream,
                            name=harm.name,
                            attributes=harm.attributes,
                        )
                if any(harm.refuses for harm in harms_of_link):
                    await client.update(name, enabled=False)

    async def _lifted(self, wanted: Iterable[Harm]) -> None:
        for link, harms_of_link in _by_link(wanted).items():
            async with self._client(link.channel) as client:
                for harm in harms_of_link:
                    await self._without(client, harm)
                if any(harm.refuses for harm in harms_of_link):
                    await client.update(self._name(link), enabled=True)

    async def _healed(self, links: Iterable[Link]) -> None:
        """What is well is left alone: its connections live on."""
        for link in links:
            async with self._client(link.channel) as client:
                name = self._name(link)
                proxy = await client.proxy(name)
                if _is_well(proxy):
                    continue
                for toxic in proxy.toxics:
                    await client.remove_toxic(name, toxic.name)
                await client.update(name, enabled=True)
                proxy = await client.proxy(name)
                if not _is_well(proxy):
                    raise StageBroken(f"{link.name} is not healed: {_harm_of(proxy)}")

    async def _without(self, client: Toxiproxy, harm: Harm) -> None:
        if harm.refuses:
            return
        try:
            await client.remove_toxic(self._name(harm.link), harm.name)
        except NotFound:
            pass  # it was healed, or never there

    def _left(self, wanted: Iterable[Harm]) -> int:
        """Heartbeats that are still to be dropped."""

        async def left() -> int:
            total = 0
            for harm in wanted:
                async with self._client(harm.link.channel) as client:
                    toxics = await client.toxics(self._name(harm.link))
                    named = [toxic for toxic in toxics if toxic.name == harm.name]
                    total += sum(int(toxic.attributes["count"]) for toxic in named)
            return total

        return _run(left())

    @staticmethod
    def _until(holds: Callable[[], bool], limit_s: float, count: int) -> None:
        give_up_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() >= give_up_s:
                raise VerbFailed(f"{count} heartbeats did not come within {limit_s:.1f} s")
            time.sleep(USED_UP_POLL_S)

    def _client(self, channel: Channel) -> Toxiproxy:
        return Toxiproxy(self._urls[channel])

    def _name(self, link: Link) -> str:
        return self.name_of(link.name)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except ToxiproxyError as failed:
        raise StageBroken(f"the fault proxy: {failed}") from failed


def _by_link(wanted: Iterable[Harm]) -> dict[Link, list[Harm]]:
    found: dict[Link, list[Harm]] = {}
    for harm in wanted:
        found.setdefault(harm.link, []).append(harm)
    return found


def _is_well(proxy: Proxy) -> bool:
    return proxy.enabled and not proxy.toxics


def _harm_of(proxy: Proxy) -> str:
    toxics = [f"{toxic.name} {dict(toxic.attributes)}" for toxic in proxy.toxics]
    return ", ".join([*([] if proxy.enabled else ["refuses"]), *toxics]) or WELL
