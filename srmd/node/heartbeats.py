"""Heartbeats without a socket: when to beat, what a datagram proves, when the peer is silent.

Whoever owns it brings datagrams in and keeps to the order of the deadline (R13): `awake`, every
datagram that has arrived (`receive`), then `judge`.  Every moment is monotonic and passed in.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from srmd.config import Config
from srmd.core.detector import Detector
from srmd.core.events import PeerDown
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.core.texts import MISMATCHES, Text
from srmd.node.identity import Number, Sent, under_our_id
from srmd.node.memory import stored_mark
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, WrongSender, decode, key_of, look_at
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark

TICK_MAX_S = 1.0
"""The longest time between two looks at whether we were asleep."""
LOOK_INTERVAL_S = 1.0
"""Interval at which a stale datagram is looked at, to tell its kind."""
MISCONFIGURED = frozenset(
    {
        Trigger.UNKNOWN_KEY,
        Trigger.NO_DIGEST,
        Trigger.BAD_DIGEST,
        Trigger.VERSION,
        Trigger.ECHO,
        Trigger.CLONE,
    }
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
    mismatch: Text | None
    """What it proves of the peer's settings, in words."""


class Heartbeats:
    """Both directions of the heartbeats of one run of SRM."""

    def __init__(self, config: Config, keyring: Keyring, memory: NodeMemory, now_s: float) -> None:
        """`memory`: that of this run, with its incarnation."""
        beat = config.heartbeat
        self.mark = stored_mark(memory.peer_heartbeat_mark) if keyring.proves else Mark()
        self.last: Heartbeat | None = None
        self.last_heard_s: float | None = None
        self.peer_key = ""
        """The id of the key by which the last heartbeat of the peer was signed."""
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
        self._boot_id, self._incarnation = memory.boot_id, memory.incarnation
        self._seq = 0
        self._suspicion: tuple[float, Text] | None = None
        self._noted: dict[str, tuple[float, Text]] = {}
        """By the key of the text in MISMATCHES."""
        self._second: tuple[str, Number] | None = None
        """Boot and number of the last heartbeat that a second node of the peer's id may send."""
        self._looked_s = -math.inf
        self._before_last = self.detector
        self._peer_down = False
        self._initializing = True

    # -------------------------------------------------------------------- sending

    def numbered(self) -> int:
        """The number of the next heartbeat."""
        self._seq += 1
        return self._seq

    @property
    def sent(self) -> Sent:
        return Sent(self._boot_id, (self._incarnation, self._seq))

    def acknowledged(self, control: Mark) -> Number:
        """The newest number that the peer is known to have used; (0, 0) for none.

        `control`: the mark of its control messages, which it numbers apart.  The marks are durable,
        so they tell a peer that lost its memory what it was, also when it was not heard since we
        started.  Where anyone can move a mark, it is not acknowledged.
        """
        if not self._keyring.proves:
            return (0, 0)
        if control.incarnation > self.mark.incarnation:
            return (control.incarnation, 1)
        return (self.mark.incarnation, self.mark.seq)

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

    def take_keys(self, keyring: Keyring) -> None:
        """Check what comes from now on by these keys, in the same mode as before."""
        assert keyring.mode is self._keyring.mode, "marks of one mode prove nothing in another"
        self._keyring = keyring

    # -------------------------------------------------------------------- listening

    def receive(self, data: bytes, now_s: float, source: str = "?") -> Heartbeat | Dropped:
        """Classify a datagram.  A heartbeat of the peer ends its silence.

        `source`: the address that sent it, for people.
        """
        try:
            heartbeat, self.mark = decode(
                data,
                self._keyring,
                group=self._group,
                peer=self._peer,
                mark=self._mark_at(now_s),
                version=self._version,
            )
        except Rejected as error:
            return self._drop(self._told_apart(error, data, now_s, source), now_s)
        self.received_count += 1
        self.last, self.last_heard_s = heartbeat, now_s
        self.peer_key = key_of(data)
        self._peer_down = False
        self._before_last = self.detector
        self.detector = self.detector.heard(now_s)
        self._suspicion = None
        self._noted.pop("old", None)
        return heartbeat

    def _mark_at(self, now_s: float) -> Mark:
        """The mark that holds now.

        Where a heartbeat needs no digest, anyone could shut the peer out with the highest number,
        and a peer that lost its memory is told nothing.  There the mark holds only while the peer
        is heard: it keeps away what the network repeats, and nothing else.
        """
        keeps = self._keyring.proves or not self._is_silent(now_s)
        return self.mark if keeps else Mark()

    def _is_silent(self, now_s: float) -> bool:
        """No heartbeat was accepted for the timeout, whatever was decided on it."""
        heard_s = self.last_heard_s
        return heard_s is None or now_s - heard_s >= self.detector.timeout_s

    def _told_apart(self, error: Rejected, data: bytes, now_s: float, source: str) -> Rejected:
        """A rejected heartbeat that names us, or that is old, has a word of its own."""
        heartbeat = error.heartbeat if isinstance(error, WrongSender) else None
        if error.trigger is Trigger.STALE and self._looks(now_s):
            heartbeat = look_at(data, self._keyring)
        if heartbeat is None or heartbeat.group != self._group:
            return error
        if heartbeat.sender == self._id:
            return under_our_id(heartbeat, self.sent, me=self._id, peer=self._peer)
        if heartbeat.sender == self._peer and self._is_silent(now_s):
            text = MISMATCHES["old"].naming(me=self._id, peer=self._peer)
            self._noted["old"] = (now_s, text)
        elif heartbeat.sender == self._peer and self._is_second(heartbeat):
            text = MISMATCHES["twice"].naming(peer=self._peer, source=source)
            self._noted["twice"] = (now_s, text)
        return error

    def _is_second(self, heartbeat: Heartbeat) -> bool:
        """A second node has the peer's id: another boot than that of the peer goes on counting.

        One such heartbeat can be a late one of the peer's former boot.
        """
        if self.last is None or heartbeat.boot_id == self.last.boot_id:
            return False
        before, number = self._second, (heartbeat.incarnation, heartbeat.seq)
        self._second = (heartbeat.boot_id, number)
        return before is not None and before[0] == heartbeat.boot_id and before[1] < number

    def _looks(self, now_s: float) -> bool:
        """A stale datagram is looked at: rarely, since its digest has to be computed."""
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return False
        self._looked_s = now_s
        return True

    def doubt(self, what: Text, now_s: float) -> None:
        """The heartbeat just received counts for nothing: the silence goes on, and this is why."""
        self.detector = self._before_last
        self._suspicion = (now_s, what)

    def _drop(self, error: Rejected, now_s: float) -> Dropped:
        word = error.trigger.value
        self.rejected[word] += 1
        mismatch = None
        if error.authentic and error.trigger is not Trigger.MALFORMED:
            mismatch = error.text
        elif error.trigger in MISCONFIGURED:
            self._suspicion = (now_s, error.text)
            if error.sender == self._id:
                self._noted[error.trigger.value] = self._suspicion
        return Dropped(error, self.rejected[word], mismatch)

    # -------------------------------------------------------------------- the deadline

    @property
    def deadline_s(self) -> float | None:
        """When to ask `judge`; None while the peer is down already."""
        return None if self._peer_down else self.detector.deadline_s(self._initializing)

    def judge(self, now_s: float) -> PeerDown | Text | None:
        """What the silence means, asked when all that has arrived was received.

        Silence while datagrams come that a misconfigured peer would send is a mismatch, told by its
        Text, as long as we are Initializing; it is then counted afresh.
        """
        if self._peer_down or not self.detector.is_down(now_s, self._initializing):
            return None
        suspicion = self._recent(self._suspicion, now_s) if self._initializing else None
        if suspicion is not None:
            self.watch(now_s)
            return suspicion
        self._peer_down = True
        return PeerDown()

    def _recent(self, noted: tuple[float, Text] | None, now_s: float) -> Text | None:
        """The noted text, if it was noted within the longer timeout."""
        if noted is None:
            return None
        at_s, what = noted
        return what if now_s - at_s <= self.detector.initialization_timeout_s else None

    def notices(self, now_s: float) -> dict[str, Text]:
        """By their keys in MISMATCHES: texts on datagrams that arrive and do not count.

        They decide nothing: anyone could have recorded and sent them.
        """
        recent = {key: self._recent(noted, now_s) for key, noted in self._noted.items()}
        return {key: text for key, text in recent.items() if text is not None}

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
