"""One datagram of a stranger who can reach the heartbeat port, on a pair of real daemons."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from srmd.core.states import Health, Reason, State
from srmd.lab.pair import LabNode, LabPair
from srmd.wire.heartbeat import Heartbeat, encode
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.sample import sample_heartbeat

UNSIGNED = Keyring({}, "", AuthMode.OFF)
WITHIN_S = 40.0
TAKEN_OVER = {
    "high number": (State.BACKUP, Reason.PEER_DOWN),
    "goodbye": (State.BACKUP, Reason.PEER_REBOOT),
}


def forged(pair: LabPair, what: str) -> Heartbeat:
    """A heartbeat that node b could have sent next, but for its number or its goodbye."""
    status = pair.a.status()
    shown = sample_heartbeat(2**50, sender="b", group="lab")
    op = status["peer"]["op"]
    return replace(
        shown,
        incarnation=status["peer"]["incarnation"] + 1,
        leaving=what == "goodbye",
        report=replace(
            shown.report,
            state=State.NORMAL,
            reason=Reason.NORMAL,
            op=op,
            health=Health.OK,
            ha_stamp=0,
        ),
    )


def send(heartbeat: Heartbeat, to: LabNode) -> None:
    host, _, port = to.heartbeat.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(encode(heartbeat, UNSIGNED), (host, int(port)))


@pytest.mark.parametrize("what", TAKEN_OVER)
@pytest.mark.parametrize("mode", ["accept", "off"])
def test_where_no_digest_is_needed_one_datagram_costs_one_take_over_and_nothing_more(
    mode: str, what: str
) -> None:
    """The datagram counts as the newest heartbeat of node b, so those that node b sends are old
    until the timeout has passed; or it says that node b goes down.

    A node that is late at the deadline may find a heartbeat of node b first, which is believed by
    then: no take-over is needed.
    """
    with LabPair({"auth": {"mode": mode}}) as pair:
        real = incarnation_of_b(pair)
        send(forged(pair, what), pair.a)

        def is_taken_over() -> bool:
            return pair.look()["a"] == TAKEN_OVER[what]

        believed: list[int] = []

        def believes_b_again() -> bool:
            """For some heartbeats: a take-over that was decided just before would show."""
            counters = pair.a.status()["counters"]
            if counters["heartbeats_rejected"].get("stale") and incarnation_of_b(pair) == real:
                believed.append(counters["heartbeats_received"])
            return bool(believed) and believed[-1] > believed[0] + 10

        pair.wait_until(
            "node a has taken over, or needs not",
            lambda: is_taken_over() or (what == "high number" and believes_b_again()),
            within_s=WITHIN_S,
        )
        if pair.look()["a"] != (State.NORMAL, Reason.NORMAL):
            pair.b.fallback()
        pair.wait_for(a="Normal/Normal", b="Normal/Normal", within_s=WITHIN_S)
        pair.wait_until("node a believes node b", lambda: incarnation_of_b(pair) == real)
        pair.a.client.srm("restart")
        pair.wait_for(a="Normal/Normal", b="Normal/Normal", within_s=WITHIN_S)


def incarnation_of_b(pair: LabPair) -> int:
    return int(pair.a.status()["peer"]["incarnation"])


@pytest.mark.parametrize("what", TAKEN_OVER)
def test_where_a_digest_is_required_such_a_datagram_changes_nothing(what: str) -> None:
    with LabPair({"auth": {"mode": "require"}}) as pair:
        before = pair.a.status()["counters"]
        send(forged(pair, what), pair.a)
        pair.wait_until(
            "it is refused",
            lambda: pair.a.status()["counters"]["heartbeats_rejected"].get("no_digest") == 1,
        )
        received = before["heartbeats_received"]
        pair.wait_until(
            "node b is heard for longer than the timeout",
            lambda: pair.a.status()["counters"]["heartbeats_received"] > received + 50,
            within_s=WITHIN_S,
        )
        assert pair.a.status()["counters"]["transitions"] == before["transitions"]
        pair.wait_for(a="Normal/Normal", b="Normal/Normal")
