"""Who is who: pairs in a ring, a stranger's numbers, and heartbeats that come back."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from srmd.client import Json
from srmd.lab.pair import LabNode, LabPair, Value
from srmd.wire.heartbeat import encode
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.sample import sample_heartbeat

WITHIN_S = 40.0
OPEN = Keyring({}, "", AuthMode.OFF)


def start_without_waiting(*pairs: LabPair) -> None:
    """Such pairs do not come to row 1."""
    nodes = [node for pair in pairs for node in pair.nodes]
    for pair in pairs:
        pair.write_configs()
    for node in nodes:
        node.spawn()
    for node in nodes:
        node.wait_for_answer()


@contextmanager
def two_pairs_of_one_key() -> Iterator[tuple[LabPair, LabPair]]:
    """As a copy of a pair is: the same ids, group and key, other addresses."""
    one, two = LabPair(), LabPair()
    try:
        for node in two.nodes:
            (node.folder / "k1.key").write_text((one.a.folder / "k1.key").read_text())
        yield one, two
    finally:
        one.close()
        two.close()
    assert not one.left_behind
    assert not two.left_behind


def sends_to(node: LabNode, address: str, *, key: str = "heartbeat") -> None:
    peer: dict[str, Value] = {key: address}
    node.overrides["peer"] = peer


def calls(node: LabNode, peer: LabNode) -> None:
    sends_to(node, f"http://{peer.control}", key="control")


def beats_to(node: LabNode, peer: LabNode) -> None:
    sends_to(node, peer.heartbeat)


@pytest.mark.parametrize("turn", [beats_to, calls])
def test_two_pairs_in_a_ring_say_so_and_restart_no_more_than_a_few_times(
    turn: Callable[[LabNode, LabNode], None],
) -> None:
    """Node a of each pair sends to node b of the other one, so each learns from its peer a number
    that it never had, and went above it: SRM restarted three times a second on all four.

    With only the control channels crossed, neither pair was told of it.  Where the numbers of both
    happen to fit, the databases tell."""
    with two_pairs_of_one_key() as (one, two):
        turn(one.a, two.b)
        turn(two.a, one.b)
        start_without_waiting(one, two)
        one.a.client.srm("restart")
        nodes = (*one.nodes, *two.nodes)
        tell: list[LabNode] = []

        def one_tells() -> bool:
            tell.extend(node for node in nodes if tells(node))
            return bool(tell)

        one.wait_until("a node tells that another answers or sends", one_tells)
        told = tell[0]
        heard = told.status()["counters"]["heartbeats_received"]
        one.wait_until(
            "and hears that for another 50 heartbeats",
            lambda: told.status()["counters"]["heartbeats_received"] > heard + 50,
            within_s=WITHIN_S,
        )
        one.wait_until(
            "and still tells it, in row 24 where it is a mismatch",
            lambda: any(
                answers_for_another(node) or (says(node) and node.status()["handbook"]["row"] == 24)
                for node in nodes
            ),
        )
        assert [node.status()["local"]["incarnation"] < 8 for node in nodes] == [True] * 4

        turn(one.a, one.b)
        turn(two.a, two.b)
        for pair in (one, two):
            pair.write_configs()
            for node in pair.nodes:
                node.client.srm("restart")
        one.wait_until(
            "each pair finds together", lambda: all(map(shows_mine, nodes)), within_s=WITHIN_S
        )


def test_a_control_channel_that_leads_to_another_pair_is_told_steadily() -> None:
    """The other node answers reports, and is refused for its users: the status was one and the
    other in turn, and each change a line of the log, eight of them a second.

    SRM may restart a few times, since each pair learns numbers of the other."""
    with two_pairs_of_one_key() as (one, two):
        calls(one.a, two.b)
        calls(two.a, one.b)
        start_without_waiting(one, two)
        one.wait_until("it is told", lambda: not reaches(one.a))
        heard = one.a.status()["counters"]["heartbeats_received"]
        seen = [False]

        def has_heard_on() -> bool:
            seen.append(reaches(one.a))
            return bool(one.a.status()["counters"]["heartbeats_received"] > heard + 50)

        one.wait_until("it hears another 50 heartbeats", has_heard_on, within_s=WITHIN_S)
        assert sum(before != now for before, now in pairwise(seen)) <= 4
        log = one.a.log_file.read_text()
        assert 1 <= log.count('"control.call_failed"') + log.count('"control.restored"') <= 8


def reaches(node: LabNode) -> bool:
    return node.status()["peer"]["control_reachable"] is not False


def says(node: LabNode) -> bool:
    return "that this node has not sent" in (node.status()["mismatch"] or "")


def test_a_memory_that_is_lost_twice_is_told_beside_a_second_node_and_can_be_helped_at_once() -> (
    None
):
    """Both nodes lost their memory, and node b was then put back to an older copy.  For up to a
    minute node a said that another node with its id sends to node b, and nothing else."""
    patient = {"keep_alive_timeout_s": 20.0, "initialization_keep_alive_timeout_s": 40.0}
    with LabPair({"heartbeat": patient}) as pair:  # no users move while a node starts again
        for _ in range(2):
            pair.a.client.srm("restart")
            pair.wait_for(a="Normal/Normal", b="Normal/Normal")
        incarnation = incarnation_of(pair.a)
        pair.wait_until(
            "node b has stored what it heard",
            lambda: stored_incarnation_of_peer(pair.b) == incarnation,
        )
        older = {file.name: file.read_bytes() for file in memory_of(pair.b)}
        for node in pair.nodes:
            node.kill()
            lose_memory(node)
        start_without_waiting(pair)
        pair.wait_until("node b hears many heartbeats", lambda: received(pair.b) > 40)
        pair.a.kill()
        lose_memory(pair.a)
        pair.a.start()  # goes above what node b has just received
        pair.wait_until(
            "they hear each other",
            lambda: incarnation_of(pair.a) == 2 and all(map(shows_mine, pair.nodes)),
        )
        assert incarnation > 2

        pair.b.kill()
        lose_memory(pair.b)
        for name, content in older.items():
            (pair.b.folder / "state" / name).write_bytes(content)
        pair.b.start()
        pair.wait_until("node a tells of it", lambda: says(pair.a), within_s=WITHIN_S)
        pair.wait_until("row 24", lambda: pair.a.status()["handbook"]["row"] == 24)
        for cause in ("another node a sends to node b", "lost its memory", "within 60 s"):
            assert cause in pair.a.status()["mismatch"]
        pair.a.client.srm("restart")
        pair.wait_until(
            "the advice helps", lambda: all(map(shows_mine, pair.nodes)), within_s=WITHIN_S
        )
        assert incarnation_of(pair.a) > incarnation


def memory_of(node: LabNode) -> list[Path]:
    return list((node.folder / "state").glob("node.json*"))


def incarnation_of(node: LabNode) -> int:
    number: int = node.status()["local"]["incarnation"]
    return number


def received(node: LabNode) -> int:
    count: int = node.status()["counters"]["heartbeats_received"]
    return count


def stored_incarnation_of_peer(node: LabNode) -> int:
    stored = (node.folder / "state" / "node.json").read_text()
    found = re.search(r'"peer_heartbeat_mark":\s*{[^}]*"incarnation":\s*(\d+)', stored)
    return int(found[1]) if found else 0


def lose_memory(node: LabNode) -> None:
    for file in memory_of(node):
        file.unlink()


def answers_for_another(node: LabNode) -> bool:
    return "check that peer.control leads to node" in node.status()["peer"]["control_error"]


def tells(node: LabNode) -> bool:
    return says(node) or answers_for_another(node)


def shows_mine(node: LabNode) -> bool:
    status = node.status()
    return status["peer"]["hears_us"] is True and status["mismatch"] is None


@pytest.mark.parametrize("number", [2**40, 2**63 - 1])
def test_an_unsigned_heartbeat_makes_no_node_mute(number: int) -> None:
    """In mode accept one such datagram had node a start SRM above the highest number, which no
    heartbeat can carry: it was mute for good, also when digests were required."""
    with LabPair({"auth": {"mode": "accept"}}) as pair:
        before = pair.a.status()
        forged = replace(
            sample_heartbeat(2**30, sender="b", group="lab"),
            incarnation=before["peer"]["incarnation"],
            hears_incarnation=number,
            hears_seq=number,
        )
        host, _, port = pair.a.heartbeat.rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(encode(forged, OPEN), (host, int(port)))
        pair.wait_until("the datagram is taken or refused", lambda: arrived(pair.a))
        for node in pair.nodes:
            node.overrides["auth"] = {"mode": "require"}
        pair.write_configs()
        for node in pair.nodes:
            node.client.srm("restart")
        pair.wait_until("they hear each other", lambda: all(map(shows_mine, pair.nodes)))
        assert pair.a.status()["local"]["incarnation"] == before["local"]["incarnation"] + 1
        assert pair.a.status()["counters"]["send_error"] is None


def arrived(node: LabNode) -> bool:
    """It was refused, or taken: then the peer's own have lower numbers, for a while."""
    counters: Json = node.status()["counters"]
    rejected = counters["heartbeats_rejected"]
    return bool(rejected.get("malformed") or rejected.get("stale"))


def test_a_copy_of_a_node_beside_a_running_pair_is_named_by_both() -> None:
    """The copy ran in backup mode with the advice to start node b, and node b said nothing."""
    with two_pairs_of_one_key() as (one, two):
        one.start()
        for _ in range(2):
            before = one.b.status()["peer"]["incarnation"]
            one.a.client.srm("restart")
            one.wait_until(
                "b hears the next run of a",
                lambda before=before: one.b.status()["peer"]["incarnation"] > before,  # type: ignore[misc]
            )
        one.wait_for(a="Normal/Normal", b="Normal/Normal")
        two.a.overrides["peer"] = {
            "heartbeat": one.b.heartbeat,
            "control": f"http://{one.b.control}",
        }
        two.write_configs()
        two.a.spawn()
        two.a.wait_for_answer()
        one.wait_until("b tells of it", lambda: notice_of(one.b, "node.id a is used twice"))
        assert one.b.status()["handbook"]["row"] == 1
        assert one.b.status()["handbook"]["action"]["en"] == "Do what the notices say."
        one.wait_until(
            "the copy tells of it",
            lambda: notice_of(two.a, "Another node with node.id a runs"),
            within_s=WITHIN_S,
        )
        for language, advice in (
            ("en", "Do what the notices say."),
            ("ja", "「注意」の内容に従います。"),
        ):
            one.wait_until(
                "the copy does not advise to start node b",
                lambda language=language, advice=advice: (  # type: ignore[misc]
                    two.a.status()["handbook"]["action"][language] == advice
                ),
                within_s=WITHIN_S,
            )
        one.wait_for(a="Normal/Normal", b="Normal/Normal")


def notice_of(node: LabNode, words: str) -> bool:
    return any(words in notice["en"] for notice in node.status()["notices"])


def test_a_node_whose_heartbeats_come_back_to_it_says_so() -> None:
    pair = LabPair()
    try:
        port = pair.a.heartbeat.rpartition(":")[2]
        sends_to(pair.a, f"localhost:{port}")  # its own address, by a name
        start_without_waiting(pair)
        pair.wait_until(
            "node a says so",
            lambda: notice_of(pair.a, "the heartbeats of node a come back to it"),
        )
        assert any(
            notice["ja"].startswith("ノード a のハートビートが自ノードに戻っています。")
            for notice in pair.a.status()["notices"]
        )
        assert pair.a.status()["counters"]["heartbeats_rejected"]["echo"] >= 1
        pair.wait_for(b="Running in Backup Mode/Peer Down During Initialization", within_s=WITHIN_S)
    finally:
        pair.close()
    assert not pair.left_behind
