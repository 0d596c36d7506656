"""Heartbeats without a socket: when to beat, what a datagram proves, when the peer is silent.

Whoever owns it brings datagrams in and keeps to the order of the deadline (R13): `awake`, every
datagram that has arrived (`receive`), then `judge`.  Every moment is monotonic and passed in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from srmd.config import Config
from srmd.core.detector import Detector
from srmd.core.events import PeerDown, PeerMismatched
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.wire.heartbeat import Heartbeat, decode
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark

TICK_MAX_S = 1.0
"""The longest time between two looks at whether we were asleep."""
MISCONFIGURED = frozenset(
    {Trigger.UNKNOWN_KEY, Trigger.NO_DIGEST, Trigger.BAD_DIGEST, Trigger.VERSION}
)
"""Rejections that can mean a peer with other settings.  Anyone can provoke them, so they count only
while Initializing (ours; see docs/state-machine.md)."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The peer's presence, for people: how long it has been silent and what follows."""

    heard: bool
    silent_s: float
    beats_missed: int
    seconds_to_peer_down: float | None
    """None when no deadline runs: the peer is down already."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A datagram that is no heartbeat of our peer."""

    error: Rejected
    count: int
    """How many of this kind there were."""
    mismatch: str | None
    """What it proves of the peer's settings, in words."""


class Heartbeats:
    """Both directions of the heartbeats of one run of SRM."""

    def __init__(self, config: Config, keyring: Keyring, mark: Mark, now_s: float) -> None:
        beat = config.heartbeat
        self.mark = mark
        self.last: Heartbeat | None = None
        self.last_heard_s: float | None = None
        self.rejected: Counter[str] = Counter()
        self.received_count = 0
        self.next_beat_s = now_s
        self.detector = Detector.begin(
            interval_s=beat.keep_alive_interval_s,
            timeout_s=beat.keep_alive_timeout_s,
            initialization_timeout_s=beat.initialization_keep_alive_timeout_s,
            now_s=now_s,
        )
        self._id, self._peer, self._group = config.node.id, config.peer.id, config.group.name
        self._version = beat.protocol_version
        self._keyring = keyring
        self._seq = 0
        self._suspicion: tuple[float, str] | None = None
        self._before_last = self.detector
        self._peer_down = False
        self._initializing = True

    # -------------------------------------------------------------------- sending

    def numbered(self) -> tuple[int, tuple[int, int]]:
        """The number of the next heartbeat, and which of the peer's it acknowledges."""
        self._seq += 1
        hears = (self.mark.incarnation, self.mark.seq) if self.last is not None else (0, 0)
        return self._seq, hears

    def take_turn(self, now_s: float) -> bool:
        """Whether a beat is due, in which case the next one is due an interval later."""
        if now_s < self.next_beat_s:
            return False
        self.next_beat_s += self.detector.interval_s
        if self.next_beat_s <= now_s:  # we were asleep: beats are not made up for
            self.next_beat_s = now_s + self.detector.interval_s
        return True

    def awake(self, now_s: float) -> float | None:
        """We are awake.  How long we were not, when that prolongs the peer's silence."""
        before = self.detector
        self.detector = before.ticked(now_s)
        stalled = self.detector.stalls_count != before.stalls_count
        return now_s - before.ticked_s if stalled else None

    # -------------------------------------------------------------------- listening

    def receive(self, data: bytes, now_s: float) -> Heartbeat | Dropped:
        """What a datagram is.  A heartbeat of the peer ends its silence."""
        try:
            heartbeat, self.mark = decode(
                data,
                self._keyring,
                group=self._group,
                peer=self._peer,
                mark=self.mark,
                version=self._version,
            )
        except Rejected as error:
            return self._drop(error, now_s)
        self.received_count += 1
        self.last, self.last_heard_s = heartbeat, now_s
        self._peer_down = False
        self._before_last = self.detector
        self.detector = self.detector.heard(now_s)
        self._suspicion = None
        return heartbeat

    def doubt(self, what: str, now_s: float) -> None:
        """The heartbeat just received counts for nothing: the silence goes on, and this is why."""
        self.detector = self._before_last
        self._suspicion = (now_s, what)

    def _drop(self, error: Rejected, now_s: float) -> Dropped:
        word = error.trigger.value
        self.rejected[word] += 1
        mismatch = None
        if error.authentic and error.trigger is not Trigger.MALFORMED:
            reflected = error.sender == self._id
            mismatch = None if reflected else error.detail
        elif error.trigger in MISCONFIGURED:
            self._suspicion = (now_s, error.detail)
        return Dropped(error, self.rejected[word], mismatch)

    # -------------------------------------------------------------------- the deadline

    @property
    def deadline_s(self) -> float | None:
        """When to ask `judge`; None while the peer is down already."""
        return None if self._peer_down else self.detector.deadline_s(self._initializing)

    def judge(self, now_s: float) -> PeerDown | PeerMismatched | None:
        """What the silence means, asked when all that has arrived was received.

        Silence while datagrams come that a misconfigured peer would send is a mismatch, as long as
        we are Initializing; it is then counted afresh.
        """
        if self._peer_down or not self.detector.is_down(now_s, self._initializing):
            return None
        suspicion = self._recent_suspicion(now_s) if self._initializing else None
        if suspicion is not None:
            self.watch(now_s)
            return PeerMismatched(suspicion)
        self._peer_down = True
        return PeerDown()

    def _recent_suspicion(self, now_s: float) -> str | None:
        """Datagrams were rejected, within the timeout, that a misconfigured peer would send."""
        if self._suspicion is None:
            return None
        at_s, what = self._suspicion
        return what if now_s - at_s <= self.detector.initialization_timeout_s else None

    def watch(self, now_s: float) -> None:
        """Count the silence afresh: SRM started, or found out that it has to start anew."""
        self.detector = self.detector.watch(now_s)
        self._peer_down = False

    def follow(self, before: Node, node: Node, now_s: float) -> None:
        """Heed what the node decided: which timeout applies, and whether it listens anew."""
        self._initializing = node.state is State.INITIALIZING  # the longer timeout applies
        if node.contact is Contact.NEVER and before.contact is not Contact.NEVER:
            self.watch(now_s)
        if node.contact is Contact.LEFT:
            self._peer_down = True  # it said goodbye: its silence is no news

    def presence(self, now_s: float) -> Presence:
        detector = self.detector
        return Presence(
            heard=self.last_heard_s is not None and not self._peer_down,
            silent_s=detector.silent_s(now_s),
            beats_missed=detector.beats_missed(now_s),
            seconds_to_peer_down=None
            if self._peer_down
            else detector.seconds_to_peer_down(now_s, self._initializing),
        )
