"""The simulated links: refused, reset, cut, slow, held and healed, as through the fault proxy."""

from __future__ import annotations

import pytest

from srmd.lab.scenario.phrases import verb
from srmd.lab.scenario.verbs import NETWORK_FAULTS, Channel, Direction, Heal
from srmd.lab.simulated.flows import Outcome
from srmd.lab.simulated.moments import Moments
from srmd.lab.simulated.network import Broken, Network
from srmd.node.calling import Answer, Request

LATENCY_S = 0.25
WAY = Direction.A_TO_B
REQUEST = Request("/control/v1/report", {"X-SRM-Seq": "1"}, b"{}")
ANSWER = Answer(200, {}, b'{"type": "accepted"}')
TIMERS = {"keep_alive_interval": 15.0}


class Line:
    """One network, with somebody who listens at the end of a->b."""

    def __init__(self) -> None:
        self.moments = Moments()
        self.network = Network(self.moments, 1, LATENCY_S)
        self.beats: list[tuple[float, bytes]] = []
        self.served: list[float] = []
        self.network.beats[WAY].receive = lambda data: self.beats.append((self.moments.now_s, data))
        self.network.calls[WAY].serve = self._serve

    def _serve(self, request: Request, answer: Outcome[Answer]) -> None:
        assert request == REQUEST
        self.served.append(self.moments.now_s)
        answer.succeed(ANSWER)

    def do(self, text: str) -> None:
        fault = verb(text)
        assert isinstance(fault, NETWORK_FAULTS)
        self.network.do(fault, TIMERS)

    def call(self, for_s: float = 5.0) -> Outcome[Answer]:
        outcome = self.network.calls[WAY].call(REQUEST)
        self.moments.run_until(self.moments.now_s + for_s)
        return outcome

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.network.beats[WAY].send(payload)
        self.moments.run_until(self.moments.now_s + 1.0)


def test_a_call_takes_the_latency_both_ways() -> None:
    line = Line()
    outcome = line.call()
    assert line.served == [LATENCY_S]
    assert outcome.result() == ANSWER


@pytest.mark.parametrize(
    "fault, why",
    [
        ("refuse control", "connection refused"),
        ("reset control", "connection reset"),
    ],
)
def test_a_broken_call_says_how(fault: str, why: str) -> None:
    line = Line()
    line.do(fault)
    with pytest.raises(Broken, match=why):
        line.call().result()
    assert line.served == []
    line.network.heal()
    assert line.call().result() == ANSWER


def test_a_cut_call_hangs_until_the_cut_is_healed() -> None:
    """Toxiproxy closes the connections that its `timeout` has held."""
    line = Line()
    line.do("cut control")
    outcome = line.call(for_s=100.0)
    assert not outcome.done
    line.network.heal(Heal(Channel.CONTROL, Direction.BOTH))
    with pytest.raises(Broken, match="connection closed"):
        outcome.result()


def test_a_delay_reaches_calls_under_way_and_both_directions() -> None:
    line = Line()
    line.do("delay control by 2s")
    outcome = line.call(for_s=1.0)
    assert not outcome.done
    line.moments.run_until(10.0)
    assert line.served == [2.0 + LATENCY_S]
    assert outcome.result() == ANSWER


def test_nobody_listens_so_the_call_is_refused() -> None:
    network = Line().network
    other = Direction.B_TO_A
    outcome = network.calls[other].call(REQUEST)
    network.beats[other].send(b"lost")
    network.beats[other]._moments.run_until(5.0)
    with pytest.raises(Broken, match="connection refused"):
        outcome.result()


def test_heartbeats_are_lost_held_and_released() -> None:
    line = Line()
    line.do("drop next 2 heartbeats a->b")
    line.send(b"1", b"2", b"3")
    assert line.beats == [(LATENCY_S, b"3")]
    line.network.heal()
    line.do("hold heartbeats a->b")
    line.send(b"4", b"5")
    assert len(line.beats) == 1
    line.network.heal()
    line.moments.run_until(10.0)
    assert [data for _, data in line.beats] == [b"3", b"4", b"5"]
    assert line.beats[-1][0] == 2.0 + LATENCY_S


def test_one_fault_is_lifted_and_the_others_stay() -> None:
    line = Line()
    line.do("delay heartbeats by 1s a->b")
    line.do("cut heartbeats a->b")
    line.send(b"1")
    cut = verb("cut heartbeats a->b")
    assert isinstance(cut, NETWORK_FAULTS)
    line.network.lift(cut, TIMERS)
    line.send(b"2")
    line.moments.run_until(10.0)
    assert line.beats == [(2.0 + LATENCY_S, b"2")]


def test_the_chance_of_a_link_is_its_own() -> None:
    """More traffic on one link changes nothing for another."""

    def arrived(others: int) -> list[bytes]:
        line = Line()
        line.do("lose 50% of heartbeats")
        line.network.beats[Direction.B_TO_A].send(b"x" * others)
        for number in range(40):
            line.network.beats[WAY].send(str(number).encode())
            for _ in range(others):
                line.network.beats[Direction.B_TO_A].send(b"x")
        line.moments.run_until(10.0)
        return [data for _, data in line.beats]

    assert 5 < len(arrived(0)) < 35
    assert arrived(3) == arrived(0)
