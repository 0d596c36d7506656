"""Each toxic for datagrams, in virtual time, with seeds: what it does, and what it never does."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.lab.faultproxy.catalogue import DATAGRAM_TOXICS, STREAM_TOXICS
from srmd.lab.faultproxy.datagrams import (
    Bandwidth,
    Corrupt,
    DatagramToxic,
    Decision,
    DropNext,
    Duplicate,
    Flap,
    Hold,
    Latency,
    LimitData,
    PacketLoss,
    Reorder,
    Replay,
    Timeout,
    Truncate,
)
from srmd.lab.faultproxy.pipeline import Happened, Pipeline, Placed, Room
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.faultproxy.toxic import BadAttribute, Toxic

FOR_EVER_S = 1e9


class Line:
    """One direction with toxics, in virtual time: what goes in when, what comes out when."""

    def __init__(self, *toxics: DatagramToxic, seed: int = 1, room: Room | None = None) -> None:
        self.now_s = 0.0
        self.told: list[Happened] = []
        self.out: list[tuple[float, bytes]] = []
        self.pipeline = Pipeline(room, self.told.append)
        for number, toxic in enumerate(toxics):
            self.add(f"t{number}", toxic, seed=seed)

    def add(self, name: str, toxic: DatagramToxic, toxicity: float = 1.0, seed: int = 1) -> None:
        rng = substream(seed, "line", name)
        self.pipeline.add(self.now_s, Placed(name, toxic, toxicity, rng))

    def remove(self, name: str) -> None:
        ready = self.pipeline.remove(self.now_s, name)
        self.out += [(self.now_s, datagram.payload) for datagram in ready]

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            ready = self.pipeline.admit(self.now_s, payload)
            self.out += [(self.now_s, datagram.payload) for datagram in ready]

    def until(self, then_s: float) -> None:
        """Time passes; what becomes due leaves at its moment."""
        while (due_s := self.pipeline.next_due_s) is not None and due_s <= then_s:
            self.now_s = max(self.now_s, due_s)
            ready = self.pipeline.take_due(self.now_s)
            self.out += [(self.now_s, datagram.payload) for datagram in ready]
        self.now_s = max(self.now_s, then_s)

    def beats(self, count: int, interval_s: float = 1.0) -> None:
        """Numbered datagrams, one per interval, the first one now."""
        for number in range(count):
            self.send(b"%d" % number)
            self.until(self.now_s + interval_s)

    @property
    def arrived(self) -> list[bytes]:
        self.until(FOR_EVER_S)
        return [payload for _, payload in self.out]


def many(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_without_toxics_all_passes_at_once() -> None:
    line = Line()
    line.send(b"a", b"b")
    assert line.out == [(0.0, b"a"), (0.0, b"b")]


def test_latency_delays_each_datagram_by_the_same_time() -> None:
    line = Line(Latency(latency=250))
    line.beats(3)
    assert [at_s for at_s, _ in line.out] == [0.25, 1.25, 2.25]


def test_jitter_stays_within_its_bounds_and_may_reorder() -> None:
    line = Line(Latency(latency=100, jitter=50))
    for number in range(200):
        line.send(b"%d" % number)
    line.until(1)
    assert all(0.05 <= at_s <= 0.15 for at_s, _ in line.out)
    assert line.arrived != many(200)
    assert sorted(line.arrived, key=int) == many(200)


def test_keep_order_keeps_the_order_under_jitter() -> None:
    line = Line(Latency(latency=100, jitter=100, keep_order=1))
    line.beats(200, interval_s=0.01)
    assert line.arrived == many(200)


def test_jitter_greater_than_latency_never_sends_into_the_past() -> None:
    line = Line(Latency(latency=1, jitter=1000))
    line.beats(100, interval_s=0.001)
    assert min(at_s for at_s, _ in line.out) >= 0


def test_loss_loses_its_share() -> None:
    line = Line(PacketLoss(loss_rate=0.3))
    line.send(*many(10_000))
    assert 6_850 <= len(line.arrived) <= 7_150
    assert line.pipeline.counts.dropped_by == {"t0": 10_000 - len(line.arrived)}


def test_correlated_loss_comes_in_bursts() -> None:
    def runs_of_loss(toxic: PacketLoss) -> float:
        line = Line(toxic)
        line.send(*many(10_000))
        lost = 10_000 - len(line.arrived)
        got = {int(payload) for payload in line.arrived}
        begins = sum(number not in got and number - 1 in got for number in range(1, 10_000))
        return lost / begins

    assert runs_of_loss(PacketLoss(loss_rate=0.1)) < 1.3
    assert runs_of_loss(PacketLoss(loss_rate=0.1, correlation=0.7)) > 3


@pytest.mark.parametrize("rate, arrived", [(0.0, 100), (1.0, 0)])
def test_certain_and_impossible_loss_are_exact(rate: float, arrived: int) -> None:
    line = Line(PacketLoss(loss_rate=rate))
    line.send(*many(100))
    assert len(line.arrived) == arrived


def test_duplicates_follow_after_their_delay() -> None:
    line = Line(Duplicate(copies=2, delay=30))
    line.send(b"a")
    line.until(1)
    assert line.out == [(0.0, b"a"), (0.03, b"a"), (0.03, b"a")]


def test_copies_meet_the_later_toxics_each_on_its_own() -> None:
    line = Line(Duplicate(copies=2), DropNext(count=1))
    line.send(b"a")
    assert line.arrived == [b"a", b"a"]


def test_reorder_by_gap_lets_exactly_so_many_overtake() -> None:
    line = Line(Reorder(gap=2))
    line.send(*many(7))
    assert line.arrived == [b"1", b"2", b"0", b"4", b"5", b"3"]


def test_a_gap_of_one_swaps_pairs() -> None:
    line = Line(Reorder())
    line.send(*many(6))
    assert line.arrived == [b"1", b"0", b"3", b"2", b"5", b"4"]


def test_reorder_by_delay_holds_some_back() -> None:
    line = Line(Reorder(probability=0.5, delay=1500))
    line.beats(20)
    assert line.arrived != many(20)
    assert sorted(line.arrived, key=int) == many(20)


def test_one_that_waits_to_be_overtaken_leaves_when_the_toxic_ends() -> None:
    line = Line(Reorder(gap=3))
    line.send(b"a", b"b")
    line.remove("t0")
    assert line.arrived == [b"b", b"a"]


def test_corrupt_flips_exactly_so_many_bits() -> None:
    line = Line(Corrupt(bits=3))
    line.send(*[bytes(40)] * 50)
    assert {sum(byte.bit_count() for byte in payload) for payload in line.arrived} == {3}


def test_corrupt_touches_only_its_window() -> None:
    line = Line(Corrupt(bits=8, offset=2, length=1))
    line.send(bytes(4))
    assert line.arrived == [b"\0\0\xff\0"]


def test_corrupt_leaves_alone_what_is_too_short() -> None:
    line = Line(Corrupt(offset=10))
    line.send(b"short", b"")
    assert line.arrived == [b"short", b""]


def test_truncate_keeps_the_beginning() -> None:
    line = Line(Truncate(bytes=3))
    line.send(b"abcdef", b"ab")
    assert line.arrived == [b"abc", b"ab"]


def test_bandwidth_sends_one_after_the_other() -> None:
    line = Line(Bandwidth(rate=1))
    line.send(bytes(500), bytes(500), bytes(1000))
    line.until(10)
    assert [at_s for at_s, _ in line.out] == [0.5, 1.0, 2.0]


def test_a_full_buffer_is_counted_apart_from_wanted_loss() -> None:
    line = Line(Bandwidth(rate=1, buffer=1000))
    line.send(*[bytes(500)] * 5)
    assert len(line.arrived) == 2
    assert line.pipeline.counts.queue_dropped == 3
    assert line.pipeline.counts.dropped_by == {}


def test_a_rate_of_zero_is_no_limit() -> None:
    line = Line(Bandwidth())
    line.send(bytes(500))
    assert line.out == [(0.0, bytes(500))]


def test_timeout_is_a_black_hole() -> None:
    line = Line(Timeout())
    line.beats(10)
    assert line.arrived == []


def test_limit_data_lets_the_first_bytes_through_and_nothing_more() -> None:
    line = Line(LimitData(bytes=10))
    line.send(b"12345", b"123456", b"1")
    assert line.arrived == [b"12345"]


def test_hold_releases_its_backlog_in_a_burst() -> None:
    line = Line(Hold())
    line.beats(5)
    assert line.out == []
    line.remove("t0")
    assert line.out == [(5.0, payload) for payload in many(5)]


def test_what_was_held_meets_the_toxics_behind() -> None:
    line = Line(Hold(), Latency(latency=100))
    line.send(b"a")
    line.until(3)
    line.remove("t0")
    line.until(4)
    assert line.out == [(3.1, b"a")]


def test_flap_is_a_square_wave_from_the_moment_it_is_added() -> None:
    line = Line()
    line.until(7.3)
    line.add("flap", Flap(up=2000, down=3000))
    line.beats(10)
    assert line.arrived == [b"0", b"1", b"5", b"6"]


def test_flap_begins_where_its_phase_says() -> None:
    line = Line(Flap(up=2000, down=3000, phase=2000))
    line.beats(6)
    assert line.arrived == [b"3", b"4"]


def test_drop_next_drops_exactly_so_many_and_shows_how_many_are_left() -> None:
    toxic = DropNext(count=3)
    line = Line(toxic)
    line.send(b"1", b"2")
    assert toxic.attributes() == {"count": 1}
    line.send(b"3", b"4")
    assert line.arrived == [b"4"]
    assert toxic.attributes() == {"count": 0}


def test_replay_sends_an_old_one_behind_the_new_one() -> None:
    line = Line(Replay(window=1))
    line.send(b"1", b"2", b"3")
    assert line.arrived == [b"1", b"2", b"1", b"3", b"2"]


def test_toxicity_is_drawn_for_each_datagram() -> None:
    line = Line()
    line.add("hole", Timeout(), toxicity=0.25)
    line.send(*many(4000))
    assert 2_880 <= len(line.arrived) <= 3_120


def test_a_full_queue_drops_the_newest_and_says_so() -> None:
    line = Line(Latency(latency=1000), room=Room(datagrams=3))
    line.send(*many(5))
    assert line.arrived == many(3)
    assert line.pipeline.counts.queue_dropped == 2


def test_parked_datagrams_take_room_in_the_queue() -> None:
    line = Line(Hold(), room=Room(datagrams=3))
    line.send(*many(5))
    assert line.pipeline.waiting == 3
    assert line.pipeline.counts.queue_dropped == 2


def test_the_queue_is_bounded_in_bytes_too() -> None:
    line = Line(Latency(latency=1000), room=Room(bytes=1000))
    line.send(*[bytes(400)] * 5)
    assert len(line.arrived) == 2


def test_parked_bytes_count_too() -> None:
    line = Line(Hold(), room=Room(bytes=1000))
    line.send(*[bytes(400)] * 5)
    assert line.pipeline.waiting == 2
    line.remove("t0")
    assert len(line.arrived) == 2


def test_a_change_does_not_touch_what_is_under_way() -> None:
    line = Line(Latency(latency=1000))
    line.send(b"slow")
    line.remove("t0")
    line.until(0.5)
    line.send(b"quick")
    line.until(2)
    assert line.out == [(0.5, b"quick"), (1.0, b"slow")]


def test_the_same_seed_makes_the_same_decisions() -> None:
    def decisions(seed: int) -> list[Happened]:
        line = Line(PacketLoss(loss_rate=0.5), Latency(jitter=500), Corrupt(), seed=seed)
        line.send(*many(200))
        return line.told

    assert decisions(7) == decisions(7)
    assert decisions(7) != decisions(8)


def test_a_further_toxic_does_not_disturb_the_randomness_of_another() -> None:
    alone, beside = Line(PacketLoss(loss_rate=0.5)), Line(PacketLoss(loss_rate=0.5))
    beside.add("jitter", Latency(jitter=100))
    for line in (alone, beside):
        line.send(*many(500))
    assert alone.arrived == sorted(beside.arrived, key=int)


def test_every_datagram_is_told_with_what_was_done_to_it() -> None:
    line = Line(DropNext(count=1), Latency(latency=100))
    line.send(b"a", b"b")
    told = [
        ([(step.toxic, step.decision) for step in each.steps], each.releases_s)
        for each in line.told
    ]
    assert told == [
        ([("t0", Decision.DROPPED)], ()),
        ([("t1", Decision.DELAYED)], (0.1,)),
    ]


def test_discarding_forgets_what_waits_and_what_is_parked() -> None:
    line = Line(Hold())
    line.send(b"a", b"b")
    line.pipeline.discard()
    line.remove("t0")
    assert line.arrived == []
    assert line.pipeline.counts.discarded == 2


KINDS = st.sampled_from(
    [
        lambda: Latency(latency=50, jitter=40),
        lambda: PacketLoss(loss_rate=0.3, correlation=0.3),
        lambda: Duplicate(probability=0.5, copies=2, delay=20),
        lambda: Reorder(probability=0.4, gap=2),
        lambda: Reorder(probability=0.4, delay=70),
        lambda: Corrupt(probability=0.5),
        lambda: Truncate(probability=0.5, bytes=2),
        lambda: Bandwidth(rate=1, buffer=200),
        Timeout,
        lambda: LimitData(bytes=100),
        Hold,
        lambda: Flap(up=30, down=30),
        lambda: DropNext(count=5),
        lambda: Replay(probability=0.5, window=3),
    ]
)


@given(kinds=st.lists(KINDS, max_size=4), seed=st.integers(1, 1000))
def test_every_datagram_is_accounted_for(kinds: list[type[DatagramToxic]], seed: int) -> None:
    """Nothing appears that nobody sent, nothing waits for ever, and time never runs backwards."""
    line = Line(*(kind() for kind in kinds), seed=seed, room=Room(datagrams=20))
    line.beats(40, interval_s=0.01)
    for number in range(len(kinds)):
        line.remove(f"t{number}")
    line.until(FOR_EVER_S)
    counts = line.pipeline.counts
    assert line.pipeline.waiting == 0
    assert counts.received == 40
    assert counts.forwarded == len(line.out)
    moments = [at_s for at_s, _ in line.out]
    assert moments == sorted(moments)
    ends_well = not counts.dropped_by and not counts.queue_dropped
    assert not ends_well or len(line.out) >= 40


@pytest.mark.parametrize("kind", [*DATAGRAM_TOXICS.values(), *STREAM_TOXICS.values()])
def test_attributes_are_taken_and_shown_under_the_names_of_the_api(kind: type[Toxic]) -> None:
    toxic = kind()
    toxic.change(toxic.attributes(), strict=False)
    assert toxic.attributes() == kind().attributes()
    toxic.change({name.upper(): None for name in toxic.attributes()}, strict=False)
    assert toxic.attributes() == kind().attributes()


@pytest.mark.parametrize(
    "toxic, given_, message",
    [
        (Latency(), {"latency": -1}, "latency.latency: -1 is not in 0 to 86400000"),
        (Latency(), {"latency": 1.0}, "latency: 1.0 is not a whole number"),
        (Latency(), {"latency": True}, "latency: True is not a whole number"),
        (Latency(), {"latancy": 1}, "latency: 'latancy' is not an attribute; did you mean latency"),
        (PacketLoss(), {"loss_rate": 1.5}, "packet_loss.loss_rate: 1.5 is not in 0 to 1"),
        (PacketLoss(), {"loss_rate": 10**400}, "loss_rate: a very long number is not a number"),
        (Latency(), {"latency": 1e400}, "latency: the number is too large"),
        (Reorder(), {"gap": 0}, "gap and delay are both 0"),
        (Flap(), {"down": 0}, "up and down must be greater than 0"),
        (Hold(), {"latency": 1}, "it has: none"),
        (Corrupt(), {"bits": 0}, "corrupt.bits: 0 is not in 1"),
    ],
)
def test_senseless_attributes_are_refused_with_a_reason(
    toxic: DatagramToxic, given_: dict[str, object], message: str
) -> None:
    before = toxic.attributes()
    with pytest.raises(BadAttribute) as refused:
        toxic.change(given_, strict=True)
    assert message in str(refused.value)
    assert toxic.attributes() == before


def test_a_change_with_one_bad_value_changes_nothing() -> None:
    toxic = Latency(latency=5)
    with pytest.raises(BadAttribute):
        toxic.change({"latency": 7, "jitter": "x"}, strict=False)
    assert toxic.attributes() == {"latency": 5, "jitter": 0, "keep_order": 0}


def test_a_lenient_toxic_takes_what_toxiproxy_takes_and_survives_it() -> None:
    line = Line(Latency(), Bandwidth(), LimitData(), PacketLoss())
    for toxic, given_ in zip(
        line.pipeline.toxics,
        (
            {"latency": -9, "jitter": -1},
            {"rate": -1, "buffer": -1},
            {"bytes": 2**60},
            {"loss_rate": -3, "nothing": 1},
        ),
        strict=True,
    ):
        toxic.change(given_, strict=False)
    line.send(b"a")
    assert line.arrived == [b"a"]


def test_virtual_time_needs_no_world() -> None:
    program = (
        "import sys, srmd.lab.faultproxy.pipeline, srmd.lab.faultproxy.link, "
        "srmd.lab.faultproxy.catalogue, srmd.lab.faultproxy.seeds; "
        "print({'asyncio', 'socket', 'aiohttp', 'threading'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "set()\n", done.stderr


def test_substreams_are_their_own() -> None:
    first = substream(1, "p", "upstream", "t").random()
    assert first == substream(1, "p", "upstream", "t").random()
    others = [(2, "p", "upstream", "t"), (1, "q", "upstream", "t"), (1, "p", "downstream", "t")]
    assert first not in {substream(*names).random() for names in others}
    assert isinstance(substream(1), Random)
