"""The toxics for byte streams, on one direction of one connection, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.lab.faultproxy.link import Link
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.faultproxy.streams import (
    Bandwidth,
    Ending,
    Latency,
    LimitData,
    PacketLoss,
    Piece,
    ResetPeer,
    Slicer,
    SlowClose,
    StreamToxic,
    Timeout,
)


class Connection:
    """One direction of a connection in virtual time."""

    def __init__(self, *toxics: StreamToxic) -> None:
        self.now_s = 0.0
        self.out: list[tuple[float, Piece]] = []
        self.link = Link()
        for number, toxic in enumerate(toxics):
            self.add(f"t{number}", toxic)

    def add(self, name: str, toxic: StreamToxic, toxicity: float = 1.0, seed: int = 1) -> None:
        self.link.add(self.now_s, name, toxic, toxicity, substream(seed, name))
        self._take()

    def remove(self, name: str) -> None:
        self.link.remove(self.now_s, name)
        self._take()

    def say(self, *pieces: Piece) -> None:
        for piece in pieces:
            self.link.feed(self.now_s, piece)
            self._take()

    def until(self, then_s: float) -> None:
        while (due_s := self.link.next_due_s) is not None and due_s <= then_s:
            self.now_s = max(self.now_s, due_s)
            self._take()
        self.now_s = max(self.now_s, then_s)

    def _take(self) -> None:
        self.out += [(self.now_s, piece) for piece in self.link.advance(self.now_s)]

    @property
    def heard(self) -> bytes:
        return b"".join(piece for _, piece in self.out if isinstance(piece, bytes))


def test_without_toxics_all_passes_at_once() -> None:
    connection = Connection()
    connection.say(b"ab", Ending.FINISHED)
    assert connection.out == [(0.0, b"ab"), (0.0, Ending.FINISHED)]


def test_latency_delays_and_keeps_the_order() -> None:
    connection = Connection(Latency(latency=100, jitter=100))
    connection.say(*(b"%d," % number for number in range(50)), Ending.FINISHED)
    connection.until(1)
    assert connection.heard == b"".join(b"%d," % number for number in range(50))
    assert connection.out[-1][1] is Ending.FINISHED
    assert 0 < connection.out[-1][0] <= 0.2


def test_removing_latency_releases_what_it_delays() -> None:
    connection = Connection(Latency(latency=5000))
    connection.say(b"a", b"b")
    connection.until(1)
    connection.remove("t0")
    assert connection.out == [(1.0, b"a"), (1.0, b"b")]


def test_bandwidth_hands_on_a_tenth_of_a_second_at_a_time() -> None:
    connection = Connection(Bandwidth(rate=1))
    connection.say(bytes(250))
    connection.until(9)
    assert [(round(at_s, 6), len(piece)) for at_s, piece in connection.out] == [  # type: ignore[arg-type]
        (0.1, 100),
        (0.2, 100),
        (0.25, 50),
    ]


def test_timeout_swallows_data_and_closes_after_silence() -> None:
    connection = Connection(Timeout(timeout=1000))
    connection.until(0.5)
    connection.say(b"lost")
    connection.until(9)
    assert connection.out == [(1.5, Ending.CLOSED)]


def test_a_timeout_of_zero_never_closes() -> None:
    connection = Connection(Timeout())
    connection.say(b"lost")
    connection.until(1e6)
    assert connection.out == []


def test_removing_a_timeout_closes_the_connection() -> None:
    connection = Connection(Timeout())
    connection.say(b"lost")
    connection.remove("t0")
    assert connection.out == [(0.0, Ending.CLOSED)]


def test_reset_peer_waits_for_the_first_data() -> None:
    connection = Connection(ResetPeer(timeout=300))
    connection.until(2)
    connection.say(b"lost", b"lost too")
    connection.until(9)
    assert connection.out == [(2.3, Ending.RESET)]


def test_slow_close_delays_only_the_end() -> None:
    connection = Connection(SlowClose(delay=700))
    connection.say(b"a", Ending.FINISHED)
    connection.until(9)
    assert connection.out == [(0.0, b"a"), (0.7, Ending.FINISHED)]


def test_limit_data_closes_after_so_many_bytes() -> None:
    connection = Connection(LimitData(bytes=5))
    connection.say(b"abc", b"defg", b"h")
    assert connection.out == [(0.0, b"abc"), (0.0, b"de"), (0.0, Ending.CLOSED)]


def test_the_count_of_limit_data_survives_a_change() -> None:
    connection = Connection(LimitData(bytes=5))
    connection.say(b"abc")
    connection.link.change(0.0, "t0", LimitData(bytes=4), 1.0)
    connection.say(b"defg")
    assert connection.heard == b"abcd"


def test_slicer_cuts_and_spreads_and_loses_nothing() -> None:
    connection = Connection(Slicer(average_size=10, size_variation=5, delay=1000))
    said = bytes(range(256))
    connection.say(said, Ending.FINISHED)
    connection.until(9)
    sizes = [len(piece) for _, piece in connection.out[:-2] if isinstance(piece, bytes)]
    assert all(5 <= size <= 15 for size in sizes)
    assert connection.heard == said
    moments = [at_s for at_s, _ in connection.out]
    assert moments[1] - moments[0] == pytest.approx(0.001)


def test_packet_loss_loses_pieces() -> None:
    connection = Connection(PacketLoss(loss_rate=0.5))
    connection.say(*[b"x"] * 1000)
    assert 430 <= len(connection.heard) <= 570


def test_toxicity_is_drawn_once_for_a_connection() -> None:
    heard = []
    for seed in range(200):
        connection = Connection()
        connection.add("hole", Timeout(), toxicity=0.5, seed=seed)
        connection.say(*[b"x"] * 10)
        heard.append(len(connection.heard))
    assert set(heard) == {0, 10}
    assert 70 <= heard.count(0) <= 130


def test_a_change_draws_toxicity_anew() -> None:
    connection = Connection(Timeout())
    connection.link.change(0.0, "t0", Timeout(), 0.0)
    connection.say(b"a")
    assert connection.heard == b"a"


def test_a_connection_that_is_lost_closes_behind_an_orderly_end() -> None:
    connection = Connection()
    connection.say(Ending.FINISHED, Ending.CLOSED, Ending.FINISHED, b"late")
    assert [piece for _, piece in connection.out] == [Ending.FINISHED, Ending.CLOSED]


ORDERLY = st.sampled_from(
    [
        Latency(latency=50, jitter=40),
        Bandwidth(rate=1),
        Slicer(average_size=3, size_variation=2, delay=10),
        SlowClose(delay=20),
        StreamToxic(),
    ]
)


@given(
    toxics=st.lists(ORDERLY, max_size=4),
    pieces=st.lists(st.binary(min_size=1, max_size=30), max_size=20),
    removed=st.booleans(),
)
def test_toxics_that_only_delay_keep_every_byte_in_order(
    toxics: list[StreamToxic], pieces: list[bytes], removed: bool
) -> None:
    connection = Connection(*toxics)
    for piece in pieces:
        connection.say(piece)
        connection.until(connection.now_s + 0.01)
    connection.say(Ending.FINISHED)
    if removed:
        for number in range(len(toxics)):
            connection.remove(f"t{number}")
    connection.until(1e9)
    assert connection.heard == b"".join(pieces)
    assert connection.out[-1][1] is Ending.FINISHED
    assert connection.link.waiting_bytes == 0
