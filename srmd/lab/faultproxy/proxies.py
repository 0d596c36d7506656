"""The proxies of a server, and every change to them: all of it happens, or nothing.

What is wrong with a body is a BadBody or BadAttribute, everything else that is refused is Refused.
One change at a time.  A new listen address is bound before the old one is given up, so a change
that cannot be had leaves the proxy as it was (Toxiproxy leaves it stopped, with the new address).
Source of the order of checks, the statuses and the messages: Toxiproxy 2.12.0, `api.go`,
`proxy_collection.go`, `toxic_collection.go`.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from srmd.lab.faultproxy import udp
from srmd.lab.faultproxy.address import BadAddress, CannotBind, bind, resolve, shown
from srmd.lab.faultproxy.body import BadBody, Fields, items
from srmd.lab.faultproxy.catalogue import Protocol as Carried
from srmd.lab.faultproxy.catalogue import UnknownToxic, is_effective, toxic_for
from srmd.lab.faultproxy.journal import Journal
from srmd.lab.faultproxy.placement import Direction, Placement
from srmd.lab.faultproxy.tcp import TcpWire
from srmd.lab.faultproxy.toxic import BadAttribute
from srmd.lab.faultproxy.udp import UdpSettings, UdpWire

PROXIES_MAX = 1000
TOXICS_MAX = 100
"""Toxics of one proxy; ours."""
NAME = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
"""Names that every client can put into a URL; a lenient server takes others, as Toxiproxy does."""

IDLE_TIMEOUT_RANGE_MS = (10, 86_400_000)
QUEUE_LIMIT_MAX = 1_000_000

_DEFAULTS = UdpSettings()
_UDP_KEYS = ("source", "idle_timeout", "max_datagram", "queue_limit")
_PROXY_KEYS = ("name", "listen", "upstream", "enabled", "toxics", "logger", "protocol", *_UDP_KEYS)
_TOXIC_KEYS = ("name", "type", "stream", "toxicity", "attributes", "effective")


class Refused(Exception):
    """A request that cannot be carried out; the client gets the message with an HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Wire(Protocol):
    """What carries the traffic of a proxy."""

    async def start(self, listening: socket.socket, upstream: str) -> None: ...
    async def redirect(self, upstream: str) -> None: ...
    async def stop(self) -> None: ...
    def add(self, placement: Placement) -> None: ...
    def change(self, placement: Placement) -> None: ...
    def remove(self, placement: Placement) -> None: ...
    def stats(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A proxy as somebody wants it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    protocol: Carried = Carried.TCP
    settings: UdpSettings = _DEFAULTS
    toxics: tuple[Placement, ...] | None = None
    """None: nothing is said of them."""


class Proxy:
    """A proxy as it is."""

    def __init__(self, wanted: Wanted, wire: Wire) -> None:
        self.name = wanted.name
        self.listen = wanted.listen
        self.upstream = wanted.upstream
        self.protocol = wanted.protocol
        self.settings = wanted.settings
        self.enabled = False
        self.wire = wire
        self.toxics: list[Placement] = []

    def shown(self) -> dict[str, object]:
        """The proxy object of the API; what is ours comes last."""
        fields: dict[str, object] = {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},  # Toxiproxy shows it by accident; its clients have got used to it
            "toxics": [placement.shown() for placement in self.ordered()],
            "protocol": self.protocol.value,
        }
        if self.protocol is Carried.UDP:
            fields["source"] = self.settings.source
            fields["idle_timeout"] = self.settings.idle_timeout_ms
            fields["max_datagram"] = self.settings.max_datagram_bytes
            fields["queue_limit"] = self.settings.queue_limit
        return fields

    def ordered(self) -> list[Placement]:
        """Upstream first, then downstream, each in the order in which they were added."""
        return sorted(self.toxics, key=lambda each: each.direction is Direction.DOWNSTREAM)

    def toxic(self, name: str) -> Placement:
        """Raises Refused."""
        for placement in self.toxics:
            if placement.name == name:
                return placement
        raise Refused(404, "toxic not found")

    def add_toxic(self, placement: Placement) -> None:
        self.toxics.append(placement)
        self.wire.add(placement)

    def remove_toxic(self, name: str) -> None:
        placement = self.toxic(name)
        self.toxics.remove(placement)
        self.wire.remove(placement)

    def remove_toxics(self) -> None:
        for placement in self.ordered():
            self.remove_toxic(placement.name)

    async def run(self, listening: socket.socket) -> None:
        """Takes over a bound socket: from now on the proxy is enabled."""
        await self.wire.start(listening, self.upstream)
        self.listen = shown(listening.getsockname())
        self.enabled = True

    async def stop(self) -> None:
        self.enabled = False
        await self.wire.stop()


class Proxies:
    """All proxies by name."""

    def __init__(self, journal: Journal, *, seed: int, strict: bool) -> None:
        self.strict = strict
        self._journal = journal
        self._seed = seed
        self._proxies: dict[str, Proxy] = {}
        self._changing = asyncio.Lock()

    def all(self) -> list[Proxy]:
        """Sorted by name."""
        return [proxy for _, proxy in sorted(self._proxies.items())]

    def get(self, name: str) -> Proxy:
        """Raises Refused."""
        if name not in self._proxies:
            raise Refused(404, "proxy not found")
        return self._proxies[name]

    async def create(self, body: object) -> Proxy:
        fields = Fields(body)
        wanted = self._wanted(fields)
        for key in ("name", "upstream"):
            if not getattr(wanted, key):
                raise Refused(400, f"missing required field: {key}")
        wanted = self._judged(fields, wanted)
        async with self._changing:
            if wanted.name in self._proxies:
                raise Refused(409, "proxy already exists")
            return await self._create(wanted)

    async def update(self, name: str, body: object) -> Proxy:
        fields = Fields(body)
        async with self._changing:
            proxy = self.get(name)
            wanted = _updated(proxy, fields)
            if self.strict:
                _refuse_unknown(fields, _PROXY_KEYS)
            same_place = proxy.listen == await _place(wanted.listen)
            if not same_place or proxy.upstream != wanted.upstream:
                await self._move(proxy, wanted, same_place=same_place)
            elif wanted.enabled and not proxy.enabled:
                await proxy.run(await _bound(proxy.protocol, proxy.listen))
            elif proxy.enabled and not wanted.enabled:
                await proxy.stop()
            self._journal.tell("proxy.changed", proxy=proxy.shown())
            return proxy

    async def delete(self, name: str) -> None:
        async with self._changing:
            proxy = self.get(name)
            del self._proxies[name]
            await proxy.stop()
            self._journal.tell("proxy.deleted", name=name)

    async def populate(self, body: object, done: list[Proxy]) -> None:
        """Creates and replaces proxies in order, and keeps those that are the same already.

        All entries are checked first.  `done` grows as they are carried out: on Refused, it holds
        what has been done, and that stays (Toxiproxy's contract).
        """
        listed = [Fields(item) for item in items(body)]
        all_wanted = [self._wanted(fields) for fields in listed]
        for number, wanted in enumerate(all_wanted, start=1):
            for key in ("name", "upstream"):
                if not getattr(wanted, key):
                    raise Refused(400, f"missing required field: {key} at proxy {number}")
        if self.strict:
            _refuse_twins([wanted.name for wanted in all_wanted])
        pairs = zip(listed, all_wanted, strict=True)
        all_wanted = [self._judged(fields, wanted) for fields, wanted in pairs]
        async with self._changing:
            for wanted in all_wanted:
                # One by one: what has been done is the answer to a failure.
                done.append(await self._create_or_keep(wanted))  # noqa: PERF401

    async def reset(self) -> None:
        """Enables every proxy and removes all toxics; or, if one cannot be bound, does nothing."""
        async with self._changing:
            sleeping = [proxy for proxy in self.all() if not proxy.enabled]
            sockets: list[socket.socket] = []
            try:
                for proxy in sleeping:  # one by one: those before a failure are closed again
                    sockets.append(await _bound(proxy.protocol, proxy.listen))  # noqa: PERF401
            except Refused:
                for each in sockets:
                    each.close()
                raise
            for proxy, listening in zip(sleeping, sockets, strict=True):
                await proxy.run(listening)
            for proxy in self.all():
                proxy.remove_toxics()
            self._journal.tell("proxies.reset")

    def add_toxic(self, name: str, body: object) -> Placement:
        proxy = self.get(name)
        placement = self._placement(proxy.name, proxy.protocol, Fields(body), proxy.toxics)
        self._add_toxic(proxy, placement)
        return placement

    def _add_toxic(self, proxy: Proxy, placement: Placement) -> None:
        proxy.add_toxic(placement)
        self._journal.tell("toxic.added", proxy=proxy.name, toxic=placement.shown())

    def _placement(
        self, proxy_name: str, protocol: Carried, fields: Fields, others: Sequence[Placement]
    ) -> Placement:
        """A toxic as a request describes it, to stand beside `others`.

        Raises Refused, BadBody and BadAttribute.
        """
        stream = fields.text("stream", Direction.DOWNSTREAM.value)
        type_name = fields.text("type", "")
        own_name = fields.text("name", "") or f"{type_name}_{stream}"
        toxicity = fields.number("toxicity", 1.0)
        attributes = fields.object("attributes")
        try:
            direction = Direction(stream.lower())
        except ValueError as bad:
            message = "stream was invalid, can be either upstream or downstream"
            raise Refused(400, message) from bad
        try:
            toxic = toxic_for(protocol, type_name, strict=self.strict)
        except UnknownToxic as bad:
            raise Refused(400, str(bad)) from bad
        if any(placement.name == own_name for placement in others):
            raise Refused(409, "toxic already exists")
        if self.strict:
            _refuse_unknown(fields, _TOXIC_KEYS)
            _judge_name(own_name)
            _judge_toxicity(toxicity)
        if len(others) >= TOXICS_MAX:
            raise Refused(400, f"{proxy_name} has {TOXICS_MAX} toxics already; remove some")
        toxic.change(attributes, strict=self.strict)
        return Placement(
            own_name,
            type_name,
            stream,
            direction,
            toxicity,
            toxic,
            effective=is_effective(protocol, toxic),
        )

    def update_toxic(self, name: str, toxic_name: str, body: object) -> Placement:
        placement = self.get(name).toxic(toxic_name)
        fields = Fields(body)
        toxicity = fields.number("toxicity", placement.toxicity)
        attributes = fields.object("attributes")
        if self.strict:
            _refuse_unknown(fields, _TOXIC_KEYS)
            _judge_toxicity(toxicity)
        placement.toxic.change(attributes, strict=self.strict)
        placement.toxicity = toxicity
        self.get(name).wire.change(placement)
        self._journal.tell("toxic.changed", proxy=name, toxic=placement.shown())
        return placement

    def remove_toxic(self, name: str, toxic_name: str) -> None:
        self.get(name).remove_toxic(toxic_name)
        self._journal.tell("toxic.removed", proxy=name, toxic=toxic_name)

    async def close(self) -> None:
        async with self._changing:
            for proxy in self.all():
                await proxy.stop()
            self._proxies.clear()

    async def _create(self, wanted: Wanted) -> Proxy:
        if len(self._proxies) >= PROXIES_MAX and wanted.name not in self._proxies:
            raise Refused(400, f"there are {PROXIES_MAX} proxies already; delete some")
        proxy = Proxy(wanted, self._wire(wanted))
        listening = await _bound(wanted.protocol, wanted.listen) if wanted.enabled else None
        for placement in wanted.toxics or ():
            proxy.add_toxic(placement)  # before the first client
        if listening:
            await proxy.run(listening)
        self._proxies[wanted.name] = proxy
        self._journal.tell("proxy.created", proxy=proxy.shown())
        for placement in wanted.toxics or ():
            self._journal.tell("toxic.added", proxy=proxy.name, toxic=placement.shown())
        return proxy

    async def _create_or_keep(self, wanted: Wanted) -> Proxy:
        old = self._proxies.get(wanted.name)
        if old is None:
            return await self._create(wanted)
        same_place = old.listen == await _place(wanted.listen)
        same_kind = (old.protocol, old.settings) == (wanted.protocol, wanted.settings)
        if same_place and same_kind and old.upstream == wanted.upstream:
            if wanted.toxics is not None:
                self._replace_toxics(old, wanted.toxics)
            return old
        if same_place and same_kind and old.enabled and wanted.enabled:
            self._replace_toxics(old, wanted.toxics or ())
            await self._move(old, wanted, same_place=True)
            return old
        # The new one is bound first: without a port for it, the old one stays.
        new = await self._create(wanted)
        await old.stop()
        return new

    def _replace_toxics(self, proxy: Proxy, wanted: Sequence[Placement]) -> None:
        """Toxics that are there already as they are wanted go on undisturbed."""
        if [each.shown() for each in proxy.toxics] == [each.shown() for each in wanted]:
            return
        for placement in proxy.ordered():
            self.remove_toxic(proxy.name, placement.name)
        for placement in wanted:
            self._add_toxic(proxy, placement)

    async def _move(self, proxy: Proxy, wanted: Wanted, *, same_place: bool) -> None:
        """Another listen address, another upstream, or both."""
        if same_place and proxy.enabled and wanted.enabled:
            proxy.upstream = wanted.upstream
            await proxy.wire.redirect(wanted.upstream)
            return
        listening = await _bound(proxy.protocol, wanted.listen) if wanted.enabled else None
        await proxy.stop()
        proxy.listen = wanted.listen
        proxy.upstream = wanted.upstream
        if listening:
            await proxy.run(listening)

    def _wire(self, wanted: Wanted) -> Wire:
        if wanted.protocol is Carried.UDP:
            return UdpWire(wanted.name, wanted.settings, self._journal, seed=self._seed)
        return TcpWire(wanted.name, self._journal, seed=self._seed)

    def _wanted(self, fields: Fields) -> Wanted:
        protocol = fields.text("protocol", Carried.TCP.value)
        if protocol not in {each.value for each in Carried}:
            raise BadBody(f"protocol: {protocol[:60]!a} is neither tcp nor udp")
        return Wanted(
            name=fields.text("name", ""),
            listen=fields.text("listen", ""),
            upstream=fields.text("upstream", ""),
            enabled=fields.flag("enabled", True),
            protocol=Carried(protocol),
            settings=_settings(fields, _DEFAULTS),
        )

    def _judged(self, fields: Fields, wanted: Wanted) -> Wanted:
        """The proxy with its toxics.  A strict server wants more of a new proxy than Toxiproxy.

        Toxiproxy, and a lenient server, take no toxics here: it ignores them.
        """
        if not self.strict:
            return wanted
        listed = fields.array("toxics")
        _judge_name(wanted.name)
        _refuse_unknown(fields, _PROXY_KEYS)
        if wanted.protocol is Carried.TCP and wanted.settings != _DEFAULTS:
            raise BadBody(f"{', '.join(_UDP_KEYS)} are for proxies of protocol udp")
        if listed is None:
            return wanted
        toxics: list[Placement] = []
        for number, item in enumerate(listed, start=1):
            place = f"toxic {number} of proxy {wanted.name}"
            try:
                found = self._placement(wanted.name, wanted.protocol, Fields(item), toxics)
            except Refused as refused:
                raise Refused(refused.status, f"{place}: {refused}") from refused
            except (BadBody, BadAttribute) as bad:
                raise BadBody(f"{place}: {bad}") from bad
            toxics.append(found)
        return replace(wanted, toxics=tuple(toxics))


def _refuse_twins(names: Sequence[str]) -> None:
    """Toxiproxy, and a lenient server, let the last proxy of a name win."""
    for number, name in enumerate(names, start=1):
        first = names.index(name) + 1
        if first < number:
            raise BadBody(f"proxies {first} and {number} have one name, {name[:60]!a}; rename one")


def _updated(proxy: Proxy, fields: Fields) -> Wanted:
    """The proxy as it is, with the keys of an update."""
    wanted = Wanted(
        name=proxy.name,
        listen=fields.text("listen", proxy.listen),
        upstream=fields.text("upstream", proxy.upstream),
        enabled=fields.flag("enabled", proxy.enabled),
        protocol=proxy.protocol,
        settings=_settings(fields, proxy.settings),
    )
    fixed = (
        ["protocol"]
        if fields.text("protocol", proxy.protocol.value) != proxy.protocol.value
        else []
    )
    if wanted.settings != proxy.settings:
        fixed += _UDP_KEYS
    if fixed:
        raise BadBody(f"{', '.join(fixed)} cannot be changed; delete the proxy and create it anew")
    return wanted


def _settings(fields: Fields, now: UdpSettings) -> UdpSettings:
    return replace(
        now,
        source=fields.text("source", now.source),
        idle_timeout_ms=fields.whole("idle_timeout", now.idle_timeout_ms, *IDLE_TIMEOUT_RANGE_MS),
        max_datagram_bytes=fields.whole(
            "max_datagram", now.max_datagram_bytes, 1, udp.DATAGRAM_BYTES_MAX
        ),
        queue_limit=fields.whole("queue_limit", now.queue_limit, 1, QUEUE_LIMIT_MAX),
    )


async def _bound(protocol: Carried, listen: str) -> socket.socket:
    try:
        return await bind(protocol, listen)
    except CannotBind as failed:
        raise Refused(500, str(failed)) from failed


async def _place(listen: str) -> str:
    """The address as a bound proxy would show it.  Raises Refused."""
    try:
        return str(await resolve(listen))
    except BadAddress as bad:
        raise Refused(500, str(bad)) from bad


def _refuse_unknown(fields: Fields, known: tuple[str, ...]) -> None:
    if unknown := fields.unknown(known):
        keys = ", ".join(key for key in known if key not in {"logger", "effective"})
        raise BadBody(f"{unknown[0][:60]!a} is not known here; the keys are: {keys}")


def _judge_name(name: str) -> None:
    if not NAME.fullmatch(name):
        way_out = "use up to 100 of A-Z a-z 0-9 _ . : -"
        raise BadBody(f"name: {name[:60]!a} does not fit into a URL; {way_out}")


def _judge_toxicity(toxicity: float) -> None:
    if not 0 <= toxicity <= 1:
        raise BadBody(f"toxicity: {toxicity:g} is not in 0 to 1")
