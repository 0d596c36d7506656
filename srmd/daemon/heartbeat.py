"""Heartbeats: one UDP socket, one beat per interval, one deadline.

Sending knows nothing of receiving: a beat goes out on its tick whatever else is slow, and an error
of the network stack (a link that is down, a firewall) is counted and the next tick tries again.
Names resolve in a thread, beside the path of the beats; the last address that worked is used.

At the deadline the socket is drained once more before anything is decided, so a beat that has
arrived counts (R13).  Source of the figures behind this: docs of `srmd.daemon.alarm`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from srmd.config import Address, Config
from srmd.core.detector import Detector
from srmd.core.node import Node
from srmd.core.states import Contact
from srmd.daemon.alarm import Alarm
from srmd.daemon.driver import is_initializing
from srmd.wire.heartbeat import Heartbeat, decode, encode
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark

DRAIN_DATAGRAMS = 64
"""Datagrams read per wake-up, so that a flood cannot keep the loop from its other work."""
DRAIN_LAST_DATAGRAMS = 4096
"""Datagrams read before the peer is called down: more than a socket holds, so that its heartbeat
counts, whatever else was sent to the port before it."""
RECEIVE_BYTES = 65_536
RESOLVE_INTERVAL_S = 30.0
"""How often the peer's name is looked up again."""
RESOLVE_RETRY_S = 1.0
"""How soon it is looked up again while it has never been found."""
RESOLVE_LIMIT_S = 10.0
TICK_MAX_S = 1.0
"""The longest time between two looks at whether we were asleep."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]

MISCONFIGURED = frozenset(
    {Trigger.UNKNOWN_KEY, Trigger.NO_DIGEST, Trigger.BAD_DIGEST, Trigger.VERSION}
)
"""Rejections that can mean a peer with other settings.  Anyone can provoke them, so they count only
while Initializing (ours; see docs/state-machine.md)."""


class PortBusy(Exception):
    """The heartbeat port cannot be had."""


class Events:
    """What the heartbeats tell the node."""

    def heard(self, heartbeat: Heartbeat) -> None: ...
    def sent(self, seq: int, at_s: float) -> None:
        """A heartbeat of ours was handed to the network at a monotonic second."""

    def peer_down(self, deadline_s: float) -> None: ...
    def mismatched(self, what: str) -> None: ...
    def rejected(self, error: Rejected, source: str, count: int) -> None: ...
    def send_failed(self, error: Exception | None) -> None:
        """An error that is new; None: sending works again."""

    def was_late(self, late_s: float) -> None: ...
    def compose(self, seq: int, hears: tuple[int, int]) -> Heartbeat:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Presence:
    """The peer's presence, for people: how long it has been silent and what follows."""

    heard: bool
    silent_s: float
    beats_missed: int
    seconds_to_peer_down: float | None
    """None when no deadline runs: the peer is down already."""


class HeartbeatSocket:
    """Sends our heartbeats, receives the peer's, and watches the deadline."""

    def __init__(self, config: Config, keyring: Keyring, mark: Mark, events: Events) -> None:
        """Raises PortBusy with the address and the way out."""
        self._config = config
        self._keyring = keyring
        self._events = events
        self.mark = mark
        self.last: Heartbeat | None = None
        self.last_heard_s: float | None = None
        self.rejected: Counter[str] = Counter()
        self.sent_count = 0
        self.received_count = 0
        self.send_error: str | None = None
        self._seq = 0
        self._address: SocketAddress | None = None
        self._suspicion: tuple[float, str] | None = None
        self._peer_down = False
        self._initializing = True
        self._tick: asyncio.TimerHandle | None = None
        beat = config.heartbeat
        self.detector = Detector.begin(
            interval_s=beat.keep_alive_interval_s,
            timeout_s=beat.keep_alive_timeout_s,
            initialization_timeout_s=beat.initialization_keep_alive_timeout_s,
            now_s=time.monotonic(),
        )
        self._loop = asyncio.get_running_loop()
        self._socket = bind(beat.listen)
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket.fileno(), self._guarded, self._readable)
        self._alarm = Alarm(self._loop, partial(self._guarded, self._ring))
        self._next_beat_s = time.monotonic()

    async def run(self) -> None:
        """Beat and listen until cancelled; then the socket is closed.

        Raises what a callback raised: an SRM that cannot hear or beat must not seem well.
        """
        resolving = asyncio.create_task(self._resolve_forever(), name="resolve peer")
        try:
            self._guarded(self._on_tick)
            await self._failed
        finally:
            self.close()
            resolving.cancel()
            await asyncio.gather(resolving, return_exceptions=True)

    def close(self) -> None:
        """Beat and listen no more.  May be called again, and when `run` has never run."""
        if self._tick is not None:
            self._tick.cancel()
        self._alarm.close()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        """A callback of the loop: what it raises ends `run`, rather than being printed and lost."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  # a defect of ours, whatever it is
            if not self._failed.done():
                self._failed.set_exception(error)

    # -------------------------------------------------------------------- sending

    def beat(self) -> Heartbeat:
        """Send one heartbeat now, out of turn or on the tick, and return it."""
        self._seq += 1
        hears = (self.mark.incarnation, self.mark.seq) if self.last is not None else (0, 0)
        heartbeat = self._events.compose(self._seq, hears)
        if self._address is not None:
            try:
                datagram = encode(heartbeat, self._keyring)
                at_s = time.monotonic()
                self._socket.sendto(datagram, self._address)
                self.sent_count += 1
                self._events.sent(self._seq, at_s)
                self._note_sending(None)
            except (OSError, ValueError) as error:  # ValueError: names too long for a datagram
                self._note_sending(error)
        return heartbeat

    def _note_sending(self, error: Exception | None) -> None:
        text = str(error) if error is not None else None
        if text != self.send_error:
            self.send_error = text
            self._events.send_failed(error)

    def _on_tick(self) -> None:
        """The regular tick: beat when due, and notice when we slept."""
        now_s = time.monotonic()
        interval_s = self.detector.interval_s
        beat_due = now_s >= self._next_beat_s
        if beat_due:
            self._next_beat_s += interval_s
            if self._next_beat_s <= now_s:  # we were asleep: beats are not made up for
                self._next_beat_s = now_s + interval_s
        # The next tick is certain before anything in this one can fail.
        self._tick = self._loop.call_later(
            min(self._next_beat_s - now_s, TICK_MAX_S), self._guarded, self._on_tick
        )
        self._notice_sleep(now_s)
        if beat_due:
            self.beat()
        self._rearm()

    def _notice_sleep(self, now_s: float) -> None:
        before = self.detector
        self.detector = before.ticked(now_s)
        if self.detector.stalls_count != before.stalls_count:
            self._events.was_late(now_s - before.ticked_s)

    # -------------------------------------------------------------------- listening

    def watch(self) -> None:
        """Count the silence afresh: SRM started, or found out that it has to start anew."""
        self.detector = self.detector.watch(time.monotonic())
        self._peer_down = False
        self._rearm()

    def follow(self, before: Node, node: Node) -> None:
        """Heed what the node decided: which timeout applies, and whether it listens anew."""
        self._initializing = is_initializing(node)
        if node.contact is Contact.NEVER and before.contact is not Contact.NEVER:
            self.watch()
        if node.contact is Contact.LEFT:
            self._peer_down = True  # it said goodbye: its silence is no news
        self._rearm()

    def presence(self) -> Presence:
        now_s = time.monotonic()
        detector = self.detector
        return Presence(
            heard=self.last_heard_s is not None and not self._peer_down,
            silent_s=detector.silent_s(now_s),
            beats_missed=detector.beats_missed(now_s),
            seconds_to_peer_down=None
            if self._peer_down
            else detector.seconds_to_peer_down(now_s, self._initializing),
        )

    def _readable(self) -> None:
        self._drain()
        self._rearm()

    def _drain(self, datagrams_max: int = DRAIN_DATAGRAMS) -> None:
        for _ in range(datagrams_max):
            try:
                data, source = self._socket.recvfrom(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except (
                OSError
            ):  # an ICMP error that a former sendto caused; it says nothing of the peer
                continue
            self._receive(data, str(source[0]) if source else "")

    def _receive(self, data: bytes, source: str) -> None:
        config = self._config
        try:
            heartbeat, self.mark = decode(
                data, self._keyring, group=config.group.name, peer=config.peer.id, mark=self.mark
            )
        except Rejected as error:
            self._reject(error, source)
            return
        now_s = time.monotonic()
        self.received_count += 1
        self.last, self.last_heard_s = heartbeat, now_s
        self._peer_down = False
        self.detector = self.detector.heard(now_s)
        self._suspicion = None
        self._events.heard(heartbeat)

    def _reject(self, error: Rejected, source: str) -> None:
        word = error.trigger.value
        self.rejected[word] += 1
        self._events.rejected(error, source, self.rejected[word])
        if error.authentic and error.trigger is not Trigger.MALFORMED:
            reflected = error.sender == self._config.node.id
            if not reflected:
                self._events.mismatched(error.detail)
        elif error.trigger in MISCONFIGURED:
            self._suspicion = (time.monotonic(), error.detail)

    # -------------------------------------------------------------------- the deadline

    def _rearm(self) -> None:
        if self._peer_down:
            self._alarm.cancel()
        else:
            deadline_s = self.detector.deadline_s(self._initializing)
            if self._alarm.at_s != deadline_s:
                self._alarm.set(deadline_s)

    def _ring(self) -> None:
        deadline_s = self.detector.deadline_s(self._initializing)
        self._notice_sleep(time.monotonic())
        self._drain(DRAIN_LAST_DATAGRAMS)
        now_s = time.monotonic()
        if self.detector.is_down(now_s, self._initializing):
            self._peer_down = True
            suspicion = self._recent_suspicion(now_s) if self._initializing else None
            if suspicion is not None:
                self._events.mismatched(suspicion)
                self.watch()
                return
            self._events.peer_down(deadline_s)
        self._rearm()

    def _recent_suspicion(self, now_s: float) -> str | None:
        """Datagrams were rejected, within the timeout, that a misconfigured peer would send."""
        if self._suspicion is None:
            return None
        at_s, what = self._suspicion
        return what if now_s - at_s <= self.detector.initialization_timeout_s else None

    # -------------------------------------------------------------------- the peer's address

    async def _resolve_forever(self) -> None:
        while True:
            await self._resolve()
            await asyncio.sleep(RESOLVE_INTERVAL_S if self._address else RESOLVE_RETRY_S)

    async def _resolve(self) -> None:
        peer = self._config.peer.heartbeat
        try:
            async with asyncio.timeout(RESOLVE_LIMIT_S):
                found = await self._loop.getaddrinfo(
                    peer.host, peer.port, family=self._socket.family, type=socket.SOCK_DGRAM
                )
        except (OSError, UnicodeError) as error:  # UnicodeError: no name that could be looked up
            if self._address is None:
                self._note_sending(error)
            return
        self._address = found[0][4]  # type: ignore[assignment]  # an address of our own family


def bind(listen: Address) -> socket.socket:
    """The heartbeat socket.  Raises PortBusy."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.bind((listen.host, listen.port))
    except OSError as error:
        udp.close()
        raise PortBusy(
            f"heartbeat.listen: {listen}: {error.strerror}; "
            "stop what uses the port, or choose another one (and tell the peer's config)"
        ) from error
    return udp
