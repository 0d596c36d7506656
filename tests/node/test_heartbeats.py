"""Heartbeats without a socket: the order at the deadline, and what a datagram proves."""

from __future__ import annotations

from pathlib import Path

from srmd.config import Address, AuthConfig, Config, GroupConfig, NodeConfig, PeerConfig
from srmd.core.events import PeerDown, PeerMismatched
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.node.heartbeats import Dropped, Heartbeats
from srmd.secret import Secret
from srmd.wire.heartbeat import Heartbeat, encode
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Trigger
from srmd.wire.replay import Mark
from srmd.wire.sample import sample_heartbeat

KEY = b"sixteen bytes or more"
RING = Keyring({"k": KEY}, "k", AuthMode.REQUIRE)
CONFIG = Config(
    node=NodeConfig(id="b", state_dir=Path("unused")),
    group=GroupConfig(name="group-1"),
    peer=PeerConfig(id="a", heartbeat=Address("peer", 1), control="x"),
    auth=AuthConfig(active="k", keys={"k": Secret(KEY)}),
)
NORMAL = Node(state=State.NORMAL, contact=Contact.HEARD)


def listening(now_s: float = 0.0) -> Heartbeats:
    """In operation, with Cisco's timers, a beat heard and the clock looked at just now."""
    beats = Heartbeats(CONFIG, RING, Mark(), now_s)
    assert isinstance(beats.receive(datagram(1), now_s), Heartbeat)
    beats.follow(NORMAL, NORMAL, now_s)
    return beats


def datagram(seq: int, ring: Keyring = RING) -> bytes:
    return encode(sample_heartbeat(seq), ring)


def awake_until(beats: Heartbeats, until_s: int) -> None:
    for now_s in range(1, until_s + 1):
        beats.awake(float(now_s))


def test_a_beat_that_is_received_at_the_deadline_counts() -> None:
    beats = listening()
    assert beats.deadline_s == 60.0
    awake_until(beats, 60)
    beats.receive(datagram(2), 60.0)
    assert beats.judge(60.0) is None
    assert beats.deadline_s == 120.0


def test_without_one_the_peer_is_down_at_the_deadline_and_not_before() -> None:
    beats = listening()
    awake_until(beats, 59)
    assert beats.judge(59.999) is None
    beats.awake(60.0)
    assert beats.judge(60.0) == PeerDown()
    assert beats.deadline_s is None
    assert not beats.presence(60.0).heard
    assert beats.judge(61.0) is None, "it is said once"


def test_who_stood_still_does_not_blame_the_peer() -> None:
    beats = listening()
    awake_until(beats, 10)
    assert beats.awake(70.0) == 60.0
    assert beats.judge(70.0) is None
    assert beats.deadline_s == 85.0


def test_beats_are_not_made_up_for() -> None:
    beats = listening()
    assert beats.take_turn(0.0)
    assert not beats.take_turn(14.9)
    assert beats.take_turn(15.0)
    assert beats.take_turn(100.0)
    assert beats.next_beat_s == 115.0


def test_a_wrong_key_is_a_mismatch_only_while_initializing() -> None:
    stranger = Keyring({"k": b"another key, long enough"}, "k", AuthMode.REQUIRE)
    beats = Heartbeats(CONFIG, RING, Mark(), 0.0)
    awake_until(beats, 119)
    dropped = beats.receive(datagram(1, stranger), 119.0)
    assert isinstance(dropped, Dropped)
    assert (dropped.error.trigger, dropped.count, dropped.mismatch) == (Trigger.BAD_DIGEST, 1, None)
    beats.awake(120.0)
    verdict = beats.judge(120.0)
    assert isinstance(verdict, PeerMismatched)
    assert beats.deadline_s == 240.0, "the silence is counted afresh"


def test_a_datagram_of_our_own_proves_nothing() -> None:
    """Somebody sends our own datagrams back to us."""
    reflected = Heartbeats(CONFIG, RING, Mark(), 0.0)
    own = encode(sample_heartbeat(1, sender="b"), RING)
    dropped = reflected.receive(own, 0.0)
    assert isinstance(dropped, Dropped)
    assert dropped.mismatch is None
