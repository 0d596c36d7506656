"""Heartbeats without a socket: the order at the deadline, and what a datagram proves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srmd.config import Address, AuthConfig, Config, GroupConfig, NodeConfig, PeerConfig
from srmd.core.events import PeerDown
from srmd.core.node import Node
from srmd.core.states import Contact, State
from srmd.core.texts import Text
from srmd.node.heartbeats import Dropped, Heartbeats
from srmd.node.memory import Boot, wake
from srmd.secret import Secret
from srmd.wire.heartbeat import Heartbeat, encode
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Trigger
from srmd.wire.replay import Mark, mark_to_json
from srmd.wire.sample import sample_heartbeat

KEY = b"sixteen bytes or more"
RING = Keyring({"k": KEY}, "k", AuthMode.REQUIRE)
OPEN = Keyring({}, "", AuthMode.OFF)
NOTHING_HEARD = Mark()
CONFIG = Config(
    node=NodeConfig(id="b", state_dir=Path("unused")),
    group=GroupConfig(name="group-1"),
    peer=PeerConfig(id="a", heartbeat=Address("peer", 1), control="x"),
    auth=AuthConfig(active="k", keys={"k": Secret(KEY)}),
)
NORMAL = Node(state=State.NORMAL, contact=Contact.HEARD)


def beats_of(
    *,
    ring: Keyring = RING,
    now_s: float = 0.0,
    incarnation: int = 1,
    heard: Mark = NOTHING_HEARD,
) -> Heartbeats:
    """Of a node that starts, and remembers what it heard of its peer."""
    memory, _ = wake(None, CONFIG, Boot("boot", "os", ""), rebooted=False)
    memory = replace(memory, incarnation=incarnation, peer_heartbeat_mark=mark_to_json(heard))
    return Heartbeats(CONFIG, ring, memory, now_s)


def listening(now_s: float = 0.0, *, incarnation: int = 1) -> Heartbeats:
    """In operation, with Cisco's timers, a beat heard and the clock looked at just now."""
    beats = beats_of(now_s=now_s, incarnation=incarnation)
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
    beats = beats_of()
    awake_until(beats, 119)
    dropped = beats.receive(datagram(1, stranger), 119.0)
    assert isinstance(dropped, Dropped)
    assert (dropped.error.trigger, dropped.count, dropped.mismatch) == (Trigger.BAD_DIGEST, 1, None)
    beats.awake(120.0)
    verdict = beats.judge(120.0)
    assert isinstance(verdict, Text)
    assert "different secrets" in verdict.en
    assert "秘密が両ノードで異なります" in verdict.ja
    assert beats.deadline_s == 240.0, "the silence is counted afresh"


# ---------------------------------------------------------------------------- what we acknowledge


def test_the_durable_mark_is_acknowledged_before_the_peer_is_heard() -> None:
    """A peer that had lost its incarnation was never heard again when we had restarted meanwhile:
    we dropped its heartbeats as stale, and told it (0, 0) instead of what it had to go above."""
    beats = beats_of(heard=Mark(7, 100))
    assert beats.acknowledged(Mark()) == (7, 100)
    dropped = beats.receive(datagram(100), 0.0)
    assert isinstance(dropped, Dropped)
    assert dropped.error.trigger is Trigger.STALE


def test_an_incarnation_that_only_called_us_is_acknowledged_too() -> None:
    """Its heartbeats were lost, its control messages were not: those of a lower one are stale."""
    assert beats_of(heard=Mark(7, 100)).acknowledged(Mark(8, 3)) == (8, 1)
    assert beats_of(heard=Mark(8, 100)).acknowledged(Mark(8, 300)) == (8, 100)
    assert beats_of().acknowledged(Mark()) == (0, 0)


@pytest.mark.parametrize("mode", [AuthMode.OFF, AuthMode.ACCEPT])
def test_what_anyone_can_have_sent_is_not_acknowledged(mode: AuthMode) -> None:
    """Signed by us, the number of an unsigned heartbeat would be believed."""
    ring = Keyring({"k": KEY}, "k", mode)
    beats = beats_of(ring=ring, heard=Mark(7, 100))
    assert isinstance(beats.receive(datagram(1, OPEN), 0.0), Heartbeat)
    assert beats.acknowledged(Mark(9, 9)) == (0, 0)


@pytest.mark.parametrize("mode", [AuthMode.OFF, AuthMode.ACCEPT])
def test_a_made_up_number_shuts_the_peer_out_for_no_longer_than_the_timeout(mode: AuthMode) -> None:
    """One unsigned heartbeat of the highest incarnation made all of the peer's stale until SRM was
    restarted."""
    beats = beats_of(ring=Keyring({"k": KEY}, "k", mode))
    highest = replace(sample_heartbeat(2**63 - 1), incarnation=2**63 - 1)
    assert isinstance(beats.receive(encode(highest, OPEN), 0.0), Heartbeat)
    assert isinstance(beats.receive(datagram(1, OPEN), 59.9), Dropped)
    assert isinstance(beats.receive(datagram(2, OPEN), 60.0), Heartbeat)
    repeated = beats.receive(datagram(2, OPEN), 60.1)
    assert isinstance(repeated, Dropped), "what the network repeats is still told apart"


# ---------------------------------------------------------------------------- our own id


def own(seq: int, *, incarnation: int = 5, boot_id: str = "boot", ring: Keyring = RING) -> bytes:
    """A heartbeat under the id of the node that listens."""
    sample = sample_heartbeat(seq, sender="b")
    return encode(replace(sample, incarnation=incarnation, boot_id=boot_id), ring)


def of_our_id(data: bytes, *, heard: Mark = NOTHING_HEARD) -> Dropped:
    """What a node of incarnation 5 makes of it that has sent 3 heartbeats."""
    beats = beats_of(incarnation=5, heard=heard)
    for _ in range(3):
        beats.numbered()
    dropped = beats.receive(data, 0.0)
    assert isinstance(dropped, Dropped)
    return dropped


@pytest.mark.parametrize("incarnation, seq", [(5, 3), (5, 1), (4, 9999)])
def test_a_datagram_of_our_own_proves_nothing(incarnation: int, seq: int) -> None:
    """It comes back through a proxy, or somebody sends it."""
    dropped = of_our_id(own(seq, incarnation=incarnation))
    assert (dropped.error.trigger, dropped.mismatch) == (Trigger.ECHO, None)


@pytest.mark.parametrize(
    "incarnation, seq, boot_id",
    [
        pytest.param(5, 1, "another", id="another boot has our incarnation"),
        pytest.param(6, 1, "another", id="it is ahead of us"),
        pytest.param(5, 4, "boot", id="a copy of our state runs on, and is ahead of us"),
    ],
)
def test_a_number_that_we_cannot_have_sent_is_a_clone(
    incarnation: int, seq: int, boot_id: str
) -> None:
    """Two hosts started from one configuration file took each other for a reflection: both ran in
    backup mode, without a word."""
    dropped = of_our_id(own(seq, incarnation=incarnation, boot_id=boot_id))
    assert dropped.error.trigger is Trigger.CLONE
    assert dropped.mismatch is not None
    assert dropped.mismatch.en.startswith("both nodes have node.id b: one configuration file")
    assert dropped.mismatch.ja.startswith("両ノードの node.id が b です。")


def test_a_lower_number_of_another_boot_can_be_a_recording_and_so_decides_nothing() -> None:
    dropped = of_our_id(own(7, incarnation=4, boot_id="another"))
    assert (dropped.error.trigger, dropped.mismatch) == (Trigger.CLONE, None)


def test_a_clone_whose_numbers_are_below_the_mark_of_the_peer_is_found_too() -> None:
    """The peer's host was set up anew from our configuration file: its numbers begin at 1, and we
    remember those of the peer that it was."""
    dropped = of_our_id(own(4, boot_id="another"), heard=Mark(9, 1))
    assert dropped.error.trigger is Trigger.CLONE
    assert dropped.mismatch is not None


@pytest.mark.parametrize(
    "data, says",
    [
        (own(1), "the heartbeats of node b come back to it"),
        (own(7, incarnation=4, boot_id="another"), "both nodes have node.id b"),
    ],
)
def test_what_may_be_we_is_a_mismatch_only_while_initializing(data: bytes, says: str) -> None:
    beats = beats_of(incarnation=5)
    beats.numbered()
    awake_until(beats, 119)
    beats.receive(data, 119.0)
    beats.awake(120.0)
    verdict = beats.judge(120.0)
    assert isinstance(verdict, Text)
    assert verdict.en.startswith(says)

    working = listening(incarnation=5)
    working.numbered()
    awake_until(working, 59)
    working.receive(data, 59.0)
    working.awake(60.0)
    assert [text.en[: len(says)] for text in working.notices(60.0).values()] == [says]
    assert working.judge(60.0) == PeerDown()
    assert working.notices(500.0) == {}


def test_a_silent_peer_whose_numbers_are_old_is_told_of() -> None:
    """It lost its memory, and does not hear us, or it would go above."""
    beats = beats_of(heard=Mark(7, 100))
    beats.receive(datagram(1), 10.0)
    (text,) = beats.notices(11.0).values()
    assert text.en.startswith("heartbeats of node a arrive with older numbers than before")
    assert isinstance(beats.receive(datagram(101), 12.0), Heartbeat)
    assert beats.notices(12.0) == {}


def test_a_flood_of_stale_datagrams_has_one_of_them_looked_at_each_second() -> None:
    beats = beats_of(incarnation=5, heard=Mark(9, 1))
    clones = [beats.receive(own(4, boot_id="another"), at / 100) for at in range(250)]
    found = [one.error.trigger for one in clones if isinstance(one, Dropped)]
    assert found.count(Trigger.CLONE) == 3
    assert found.count(Trigger.STALE) == 247


# ---------------------------------------------------------------------------- the peer's id, twice


def copy_of_peer(seq: int, *, boot_id: str = "copy") -> bytes:
    """A heartbeat of a copy of the peer that was started with a fresh state directory."""
    return encode(replace(sample_heartbeat(seq), incarnation=1, boot_id=boot_id), RING)


def test_a_second_node_of_the_id_of_a_peer_that_is_heard_is_told_of() -> None:
    """No node named the node.id that two nodes used."""
    beats = listening()
    assert isinstance(beats.receive(datagram(29), 1.0), Heartbeat)
    beats.receive(copy_of_peer(4), 2.0, "192.0.2.9")
    assert beats.notices(2.0) == {}, "it may be a late one of a former boot"
    beats.receive(datagram(30), 6.0)
    beats.receive(copy_of_peer(5), 7.0, "192.0.2.9")
    (text,) = beats.notices(7.0).values()
    assert text.en.startswith("heartbeats with node.id a arrive from 192.0.2.9, and node a")
    assert "node.id a is used twice" in text.en
    assert "192.0.2.9 から node.id a のハートビートが届いています" in text.ja
    assert isinstance(beats.receive(datagram(31), 8.0), Heartbeat)
    assert beats.notices(8.0) == {"twice": text}, "the peer is heard all the time"
    assert beats.notices(500.0) == {}


def test_late_heartbeats_of_the_peer_itself_are_no_second_node() -> None:
    beats = listening()
    beats.receive(datagram(29), 1.0)
    for now_s, data in ((2.0, datagram(27)), (4.0, datagram(28)), (6.0, copy_of_peer(4))):
        assert isinstance(beats.receive(data, now_s), Dropped)
    assert isinstance(beats.receive(copy_of_peer(4), 8.0), Dropped), "a repeat counts no further"
    assert isinstance(beats.receive(copy_of_peer(9, boot_id="third"), 10.0), Dropped)
    assert beats.notices(10.0) == {}
