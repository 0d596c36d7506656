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
from collections.abc import Callable, Sequence
from functools import partial

from srmd.config import Address, Config
from srmd.core.events import PeerDown
from srmd.core.node import Node
from srmd.core.texts import Text
from srmd.daemon.alarm import Alarm
from srmd.daemon.listening import (
    SocketAddress,
    bound,
    cannot_listen,
    is_dual,
    mapped,
    plain_host,
)
from srmd.descriptors import is_exhausted
from srmd.node.heartbeats import TICK_MAX_S, Heartbeats, Presence
from srmd.node.punctuality import Punctuality
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, encode
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected

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
Found = tuple[
    socket.AddressFamily,
    socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]
"""One address as the resolver gives it."""


class Events:
    """What the heartbeats tell the node."""

    def heard(self, heartbeat: Heartbeat) -> None: ...
    def sent(self, seq: int, at_s: float) -> None:
        """A heartbeat of ours was handed to the network at a monotonic second."""

    def peer_down(self, deadline_s: float) -> None: ...
    def mismatched(self, what: Text) -> None: ...
    def rejected(self, error: Rejected, source: str, count: int) -> None: ...
    def send_failed(self, error: Exception | None) -> None:
        """An error that is new; None: sending works again."""

    def was_late(self, late_s: float) -> None: ...

    @property
    def may_speak(self) -> bool:
        """This run has decided what it says of itself; before that no heartbeat leaves."""
        raise NotImplementedError

    def compose(self, seq: int) -> Heartbeat:
        raise NotImplementedError


class HeartbeatSocket:
    """Sends our heartbeats, receives the peer's, and watches the deadline."""

    def __init__(
        self, config: Config, keyring: Keyring, memory: NodeMemory, events: Events
    ) -> None:
        """Raises CannotListen with the address and the way out."""
        self._config = config
        self._keyring = keyring
        self._events = events
        self.beats = Heartbeats(config, keyring, memory, time.monotonic())
        self.punctuality = Punctuality()
        self.sent_count = 0
        self.send_error: str | None = None
        self._address: SocketAddress | None = None
        self._owed = False
        self._tick: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = bind(config.heartbeat.listen)
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket.fileno(), self.guarded, self._readable)
        self._alarm = Alarm(self._loop, partial(self.guarded, self._ring))

    def take_keys(self, keyring: Keyring) -> None:
        """Sign and check by these keys from the next datagram on, in the same mode as before."""
        self.beats.take_keys(keyring)
        self._keyring = keyring

    async def run(self) -> None:
        """Beat and listen until cancelled; then the socket is closed.

        Raises what a callback raised: an SRM that cannot hear or beat must not seem well.
        """
        resolving = asyncio.create_task(self._resolve_forever(), name="resolve peer")
        resolving.add_done_callback(self._resolving_ended)
        try:
            self.guarded(self._on_tick)
            await self._failed
        finally:
            self.close()
            resolving.cancel()
            await asyncio.gather(resolving, return_exceptions=True)

    def _resolving_ended(self, resolving: asyncio.Task[None]) -> None:
        """It never ends by itself: an address that is not looked up would silence us."""
        if not resolving.cancelled():
            self._fail(resolving.exception())

    def close(self) -> None:
        """Beat and listen no more.  May be called again, and when `run` has never run."""
        if self._tick is not None:
            self._tick.cancel()
        self._alarm.close()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def guarded(self, work: Callable[[], None]) -> None:
        """A callback of the loop: what it raises ends `run`, rather than being printed and lost."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  # a defect of ours, whatever it is
            self._fail(error)

    def _fail(self, error: BaseException | None) -> None:
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    # -------------------------------------------------------------------- sending

    def beat(self) -> Heartbeat:
        """Send one heartbeat now, out of turn, and return it.

        While the peer's name is not found yet it is owed: the next tick may be far.
        """
        self._owed = self._address is None
        return self._send()

    def _send(self) -> Heartbeat:
        heartbeat = self._events.compose(self.beats.numbered())
        if self._address is not None:
            try:
                version = self._config.heartbeat.protocol_version
                datagram = encode(heartbeat, self._keyring, version=version)
                at_s = time.monotonic()
                self._socket.sendto(datagram, self._address)
                self.sent_count += 1
                self._events.sent(heartbeat.seq, at_s)
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
        due_s = self.beats.next_beat_s
        begun = self._tick is not None  # the first beat begins the schedule: it cannot be late
        beat_due = self.beats.take_turn(now_s)
        # The next tick is certain before anything in this one can fail.
        self._tick = self._loop.call_later(
            min(self.beats.next_beat_s - now_s, TICK_MAX_S), self.guarded, self._on_tick
        )
        self._notice_sleep(now_s)
        if beat_due and self._events.may_speak:
            self._send()
            if begun:
                self.punctuality.note(time.monotonic() - due_s)
        self._rearm()

    def _notice_sleep(self, now_s: float) -> None:
        late_s = self.beats.awake(now_s)
        if late_s is not None:
            self._events.was_late(late_s)

    # -------------------------------------------------------------------- listening

    def follow(self, before: Node, node: Node) -> None:
        """Heed what the node decided: which timeout applies, and whether it listens anew."""
        self.beats.follow(before, node, time.monotonic())
        self._rearm()

    def presence(self) -> Presence:
        return self.beats.presence(time.monotonic())

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
            self._receive(data, plain_host(str(source[0])) if source else "")

    def _receive(self, data: bytes, source: str) -> None:
        result = self.beats.receive(data, time.monotonic(), source)
        if isinstance(result, Heartbeat):
            self._events.heard(result)
            return
        self._events.rejected(result.error, source, result.count)
        if result.mismatch is not None:
            self._events.mismatched(result.mismatch)

    # -------------------------------------------------------------------- the deadline

    def _rearm(self) -> None:
        deadline_s = self.beats.deadline_s
        if deadline_s is None:
            self._alarm.cancel()
        elif self._alarm.at_s != deadline_s:
            self._alarm.set(deadline_s)

    def _ring(self) -> None:
        deadline_s = self.beats.deadline_s
        self._notice_sleep(time.monotonic())
        self._drain(DRAIN_LAST_DATAGRAMS)
        match self.beats.judge(time.monotonic()):
            case PeerDown():
                assert deadline_s is not None, "the alarm rang, so there was a deadline"
                self._events.peer_down(deadline_s)
            case Text() as what:
                self._events.mismatched(what)
            case None:
                pass
        self._rearm()

    # -------------------------------------------------------------------- the peer's address

    async def _resolve_forever(self) -> None:
        while True:
            await self._resolve()
            await asyncio.sleep(RESOLVE_INTERVAL_S if self._address else RESOLVE_RETRY_S)

    async def _resolve(self) -> None:
        dual = is_dual(self._socket)
        family = socket.AF_UNSPEC if dual else self._socket.family
        try:
            async with asyncio.timeout(RESOLVE_LIMIT_S):
                found = await self._look_up(family)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name that could be looked up
            if self._address is None:
                self._note_sending(error)
            return
        address = found[0][4]
        assert not isinstance(address[0], int)  # that form is for a Python without IPv6
        self._address = mapped(address) if dual else address
        if self._owed:
            self.guarded(self._pay)

    async def _look_up(self, family: int) -> Sequence[Found]:
        """The addresses of the peer.  Raises OSError and UnicodeError.

        An address of the other version of IP is not named by the resolver's own words: it asks the
        next name server, and says in the end that resolution failed for now.
        """
        listen, peer = self._config.heartbeat.listen, self._config.peer.heartbeat
        ask = partial(self._loop.getaddrinfo, peer.host, peer.port, type=socket.SOCK_DGRAM)
        try:
            return await ask(family=family)
        except socket.gaierror as error:
            if family == socket.AF_UNSPEC:
                raise
            try:
                await ask(family=socket.AF_UNSPEC)
            except OSError:
                raise error from None
            version = 6 if family == socket.AF_INET6 else 4
            raise OSError(
                f"{peer.host} has no IPv{version} address, and heartbeat.listen ({listen}) sends to"
                f" no other; [::]:{listen.port} sends to both versions"
            ) from error

    def _pay(self) -> None:
        self.beat()


def bind(listen: Address) -> socket.socket:
    """The heartbeat socket.  Raises CannotListen; OSError when no descriptor is free."""
    try:
        return bound(listen, socket.SOCK_DGRAM)
    except OSError as error:
        if is_exhausted(error):  # the address is well
            raise
        raise cannot_listen("heartbeat.listen", listen, socket.SOCK_DGRAM, error) from error
