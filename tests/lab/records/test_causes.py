"""Why a node changed its state, back to what began it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srmd.cli import Exit, main
from srmd.core.events import HealthChanged, PeerDown, PeerHeard, UsersMoved
from srmd.core.states import Health, State
from tests.lab.records.written import Written

Capture = pytest.CaptureFixture[str]


def silent_peer(folder: Path) -> Written:
    """b beats until 2 s; three beats are lost; a takes over at 5.51 s and hears b again at 8 s."""
    pair = Written(folder, ahead_s=100.0).begin()
    for at_s in (0.5, 1.0, 2.0):
        pair.beat("a", at_s).beat("b", at_s)
    for at_s in (3.0, 4.0, 5.0):
        pair.beat("b", at_s, lost=True)
    pair.a.take(5.51, PeerDown())
    pair.a.take(6.0, UsersMoved(pair.a.node.op))
    pair.beat("b", 8.0)
    return pair


def failing_service(folder: Path) -> Written:
    """A service of a dies at 10 s; the delay is over at 15 s; b takes over."""
    pair = Written(folder).begin()
    pair.beat("a", 9.0).beat("b", 9.0)
    pair.a.tell(9.9, "service.changed", service="Cisco XCP Router", state="STOPPED")
    pair.a.take(10.0, HealthChanged(Health.SERVICE_DOWN, lasting=False))
    pair.a.take(15.0, HealthChanged(Health.SERVICE_DOWN, lasting=True))
    pair.beat("a", 15.1)
    pair.b.take(16.0, UsersMoved(pair.b.node.op))
    assert pair.b.node.state is State.BACKUP
    pair.a.take(20.0, HealthChanged(Health.OK, lasting=False))
    return pair


def why(capsys: Capture, *words: str) -> str:
    assert main(["why", *words]) == Exit.OK
    return capsys.readouterr().out


def test_a_take_over_tells_what_was_missing_and_what_would_have_prevented_it(
    tmp_path: Path, capsys: Capture
) -> None:
    silent_peer(tmp_path)
    told = why(capsys, str(tmp_path), "--op", "11", "--node", "a")
    assert told.startswith("a: Normal / Normal -> Taking Over / Peer Down, op 11\n")
    assert "because: b was silent for the timeout (PeerDown)" in told
    assert "rule: take_over_from_lost_peer: The peer is gone" in told
    assert "heartbeats heard last: seq 1 +0.502 s (-5.008 s); seq 2 +1.002 s" in told
    assert "missing: 3 that b sent: seq 4-6" in told
    assert "deadline: +5.502 s: keep_alive_timeout_s = 3.5 after the last heartbeat" in told
    assert "decided 8.0 ms later" in told
    assert "the peer reported last: b Normal / Normal" in told
    assert "would have prevented it: one heartbeat of b heard before +5.502 s" in told
    assert "keep_alive_timeout_s longer by 2.500 s: it was heard again at +8.002 s" in told


def test_an_answer_leads_back_to_the_change_that_gave_the_order(
    tmp_path: Path, capsys: Capture
) -> None:
    silent_peer(tmp_path)
    told = why(capsys, str(tmp_path), "--at", "+7")
    headings = [line for line in told.splitlines() if not line.startswith(" ")]
    assert headings == [
        "a: Taking Over / Peer Down -> Running in Backup Mode / Peer Down, op 12",
        "a: Normal / Normal -> Taking Over / Peer Down, op 11",
    ]
    assert "Row of Cisco's table: 16" in told


def test_a_report_leads_to_the_change_of_the_peer_and_to_the_dead_service(
    tmp_path: Path, capsys: Capture
) -> None:
    failing_service(tmp_path)
    told = why(capsys, str(tmp_path), "--node", "b")
    headings = [line.partition(",")[0] for line in told.splitlines() if not line.startswith(" ")]
    assert headings == [
        "b: Taking Over / Critical Service Down -> Running in Backup Mode / Critical Service Down",
        "b: Normal / Normal -> Taking Over / Critical Service Down",
        "a: Normal / Normal -> Failing Over / Critical Service Down",
    ]
    assert "unhealthy since: +10.000 s" in told
    assert "Services: Cisco XCP Router STOPPED +9.900 s" in told
    assert "back before +15.000 s (critical_service_delay_s = 5)" in told
    assert "critical_service_delay_s longer by 5.000 s: it was well again at +20.000 s" in told


def test_without_the_peers_journal_the_chain_ends_with_its_report(
    tmp_path: Path, capsys: Capture
) -> None:
    pair = failing_service(tmp_path)
    told = why(capsys, str(pair.b.journal), "--op", str(pair.b.node.op))
    assert "a Failing Over / Critical Service Down" in told
    assert told.count("which came of") == 1


def test_japanese_for_those_who_read_it(tmp_path: Path, capsys: Capture) -> None:
    silent_peer(tmp_path)
    told = why(capsys, str(tmp_path), "--op", "11", "--node", "a", "--lang", "ja")
    assert told.startswith("a: 標準 / 標準 -> テイクオーバー中 / ピア ダウン, op 11\n")
    assert "避けられた条件: +5.502 s より前に b のハートビートを 1 個受信" in told
    assert "推奨処置: " in told


def test_json_for_programs(tmp_path: Path, capsys: Capture) -> None:
    silent_peer(tmp_path)
    (chain,) = json.loads(why(capsys, str(tmp_path), "--op", "12", "--json"))
    assert [link["change"].partition(":")[0] for link in chain] == ["a", "a"]
    assert {"what": "because", "said": "b was silent for the timeout (PeerDown)"} in chain[1][
        "facts"
    ]


@pytest.mark.parametrize(
    "words, says",
    [
        (
            ("--op", "99"),
            "--op 99: there is no such change of state; these records have a: op 11, 12",
        ),
        (("--at", "noon"), "--at noon: not a moment; write 2026-11-22T14:33:22.1"),
        (("--at", "+x"), "--at +x: not a moment"),
        (("--at", "+0.1"), "--at +0.1: there is no such change"),
        (("--node", "c"), "--node c: there is no journal of it, only of a, b"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    tmp_path: Path, words: tuple[str, ...], says: str, capsys: Capture
) -> None:
    silent_peer(tmp_path)
    assert main(["why", str(tmp_path), *words]) == Exit.USAGE
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "at", ["2027-01-15T08:00:05.6+00:00", "2027-01-15T08:00:05.6", "08:00:05.6"]
)
def test_the_moment_may_be_given_by_the_wall_clock(
    tmp_path: Path, at: str, capsys: Capture
) -> None:
    silent_peer(tmp_path)
    assert "op 11" in why(capsys, str(tmp_path), "--at", at).splitlines()[0]


def test_a_peer_that_has_long_been_so_is_no_cause(tmp_path: Path, capsys: Capture) -> None:
    """A report that tells nothing new only gave the node a turn; its own health decided."""
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    pair.a.take(2.0, HealthChanged(Health.SERVICE_DOWN, lasting=True))
    pair.a.take(3.0, PeerHeard(pair.b.node.report()))
    told = why(capsys, str(tmp_path), "--node", "a")
    assert "which came of" not in told


def test_the_case_that_applied_is_the_rule(tmp_path: Path, capsys: Capture) -> None:
    """It was "watches its health, steps in for a failing peer, yields to a new backup"."""
    failing_service(tmp_path)
    told = why(capsys, str(tmp_path), "--node", "a", "--op", "11")
    rule = next(line for line in told.splitlines() if line.startswith("  rule: "))
    assert rule == (
        "  rule: answer_as_normal: A failure on this node lasts longer than the critical service"
        " delay: the peer takes the users (R3, R4)."
    )


def test_rules_are_told_in_japanese_too(tmp_path: Path, capsys: Capture) -> None:
    silent_peer(tmp_path)
    assert main(["why", str(tmp_path), "--lang", "ja"]) == Exit.OK
    out, err = capsys.readouterr()
    rules = [line for line in out.splitlines() if line.startswith("  規則: ")]
    assert rules[0].startswith("  規則: hold_users: 全ユーザに")
    assert rules[1].startswith("  規則: take_over_from_lost_peer: ピアとの通信が途絶えた")
    assert "health ok" not in out
    assert "b の時計 - a の時計: +100000.000 ms" in err
    assert "破損 0 行、対象外 0 行" in err
