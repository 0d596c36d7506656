"""A suspect peer and a loss in one direction are told before they become a take-over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srmd.core import handbook
from srmd.core.events import Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import CONTROL_ADVICE, MISMATCHES, Text, system_error
from srmd.node.heartbeats import Presence
from srmd.node.hints import (
    Hint,
    Outage,
    advice,
    certificate_hint,
    control_hint,
    databases_hint,
    hints,
    is_suspect,
    outage,
    peer_outage,
    replication_hint,
)
from srmd.node.users import Picture
from srmd.wire.sample import sample_heartbeat

NORMAL = Node(
    State.NORMAL,
    Reason.NORMAL,
    contact=Contact.HEARD,
    peer=Report(State.NORMAL, Reason.NORMAL, 1),
)


def presence(silent_s: float, missed: int, left_s: float | None, *, heard: bool = True) -> Presence:
    return Presence(heard, silent_s, missed, left_s)


@pytest.mark.parametrize(
    "seen,suspect",
    [
        (presence(0.1, 0, 4.9), False),
        (presence(2.4, 1, 2.6), False),
        (presence(2.6, 2, 2.4), True),
        (presence(4.9, 7, 0.1), True),
        (presence(9.0, 15, None, heard=False), False),
        (presence(0.6, 0, 0.4), False),
        (presence(13.0, 2, 47.0), False),
        (presence(17.6, 3, 42.4), True),
    ],
)
def test_a_peer_is_suspect_from_the_third_overdue_heartbeat_or_half_of_the_timeout_on(
    seen: Presence, suspect: bool
) -> None:
    """With Cisco's timers 5 of 11 heartbeats were overdue before a word was said."""
    assert is_suspect(seen) is suspect


def test_a_suspect_peer_is_told_with_its_figures_in_both_languages() -> None:
    """`srmd status` said "All is well" a tenth of a second before a take-over."""
    (told,) = hints(NORMAL, presence(4.9, 7, 0.1), me="a", peer="b")
    assert told.key == "peer_suspect"
    assert told.text.en.startswith(
        "Node b is suspect: 7 of its heartbeats are overdue, and the last one came 4.9 s ago."
        " If none arrives within 0.1 s, node b counts as down"
    )
    assert "0.1 秒以内" in told.text.ja


def test_a_peer_that_does_not_hear_us_is_told() -> None:
    deaf = Report(State.BACKUP, Reason.PEER_DOWN, 3, hears_us=False)
    yielded = replace(NORMAL, state=State.FAILED_OVER, reason=Reason.PEER_DOWN, peer=deaf)
    (told,) = hints(yielded, presence(0.1, 0, 4.9), me="a", peer="b")
    assert told.key == "one_way"
    assert told.text.en.startswith("Node b does not receive the heartbeats of node a.")


def test_users_who_cannot_be_placed_again_are_told_in_both_languages() -> None:
    """Only the log had it: `users.displaced`."""
    (told,) = hints(NORMAL, presence(0.1, 0, 4.9), me="a", peer="b", displaced_count=50)
    assert told.key == "users_displaced"
    assert told.text.en.startswith(
        "The user database of node a places 50 users on the wrong node, so no node serves them."
        " Node a tries to place them again every 1 s."
    )
    assert "50 人" in told.text.ja


def test_a_pair_that_is_well_has_no_hint() -> None:
    assert hints(NORMAL, presence(0.1, 0, 4.9), me="a", peer="b") == ()


# ---------------------------------------------------------------------------- services

PICTURE = Picture(db_id="1", serving=(("a", "a"), ("b", "b")), assigned=(("a", 5), ("b", 3)))
PROXY = "Cisco SIP Proxy"


def of_a(
    machine: Node, *services: str, database_ok: bool = True, left_s: float | None = 80.0
) -> Outage | None:
    return outage(machine, PICTURE, "a", services=services, database_ok=database_ok, left_s=left_s)


def test_a_service_that_is_down_is_told_with_its_users_and_what_is_left_of_the_delay() -> None:
    """Row 1 said "All is well" for 90 s while no node served the users of node a."""
    down = of_a(NORMAL, PROXY)
    assert down == Outage((PROXY,), 5, 80.0)
    (told,) = hints(NORMAL, presence(0.1, 0, 4.9), me="a", peer="b", ours=down)
    assert told.key == "service_down"
    assert told.text.en.startswith(
        "Node a runs without Cisco SIP Proxy. No node serves 5 of the users. The critical service"
        " delay (`critical_service_delay_s`) is over in 80.0 s, and node a acts on it then."
    )
    assert "5 人のユーザがサービスを受けていません。" in told.text.ja
    assert "残り 80.0 秒" in told.text.ja


def test_a_database_that_is_down_is_told_by_its_name() -> None:
    down = of_a(NORMAL, PROXY, database_ok=False)
    assert down == Outage(("A Cisco DB", PROXY), 5, 80.0)
    assert outage(NORMAL, Picture(), "a", services=(), database_ok=False, left_s=1.0) == Outage(
        ("A Cisco DB",), None, 1.0
    )


@pytest.mark.parametrize(
    "machine, left_s, says",
    [
        (NORMAL, 0.0, "The critical service delay (`critical_service_delay_s`) is over."),
        (replace(NORMAL, state=State.UNKNOWN), 5.0, "Node a is in Unknown, so no failover follows"),
    ],
)
def test_what_comes_of_it_is_said_for_the_state(machine: Node, left_s: float, says: str) -> None:
    down = of_a(machine, PROXY, left_s=left_s)
    (told,) = hints(machine, presence(0.1, 0, 4.9), me="a", peer="b", ours=down)
    assert says in told.text.en


@pytest.mark.parametrize("state", [State.IDLE, State.FAILED_OVER, State.TAKING_BACK])
def test_a_node_that_has_nobody_to_serve_has_no_outage(state: State) -> None:
    assert of_a(replace(NORMAL, state=state), PROXY) is None


def test_a_node_that_serves_has_no_outage() -> None:
    assert of_a(NORMAL) is None


def test_what_the_peer_says_of_its_services_is_told() -> None:
    well = sample_heartbeat(1).summary
    summary = replace(well, services_down=(PROXY,), database=True)
    down = peer_outage(NORMAL, PICTURE, "b", summary)
    assert down == Outage((PROXY,), 3, None)
    (told,) = hints(NORMAL, presence(0.1, 0, 4.9), me="a", peer="b", theirs=down)
    assert told.text.en.startswith(
        "Node b reports that it runs without Cisco SIP Proxy. No node serves 3 of the users."
        " Run `srmd status` on node b"
    )
    silent = replace(NORMAL, contact=Contact.SILENT)
    assert peer_outage(silent, PICTURE, "b", summary) is None
    healthy = replace(well, services_down=(), database=True)
    assert peer_outage(NORMAL, PICTURE, "b", healthy) is None
    assert peer_outage(NORMAL, PICTURE, "b", None) is None


# ---------------------------------------------------------------------------- the advice of a row

WELL = (State.NORMAL, Reason.NORMAL)
NOT_PAIRED = (State.UNKNOWN, Reason.UNKNOWN)
ALONE = (State.BACKUP, Reason.PEER_DOWN_DURING_INITIALIZATION)


def advised(
    mine: handbook.Half,
    theirs: handbook.Half | None,
    *told: Hint | None,
    mismatch: Text | None = None,
) -> tuple[str, str]:
    match = handbook.find(mine, theirs)
    notices = [hint for hint in told if hint is not None]
    cause, action = match.cause("a", "b"), match.action("a", "b")
    cause, action = advice(match.row, cause, action, mismatch, notices)
    return cause.en, action.en


REFUSED = system_error("connection refused")


def named(key: str) -> Hint:
    return Hint(key, Text("what is", "内容"))


@pytest.mark.parametrize(
    "told",
    [
        control_hint(REFUSED, "network", 3.0, me="a", peer="b"),
        replication_hint(5, 60.0, 1.0, me="a", peer="b"),
        databases_hint(5, 4, me="a", peer="b"),
        certificate_hint("peer", "2027-01-01", 3.0, me="a", peer="b"),
        certificate_hint("ca", "2026-01-01", -3.0, me="a", peer="b"),
        named("not_durable"),
    ],
)
def test_row_1_is_not_all_well_beside_any_notice(told: Hint | None) -> None:
    """It said so beside "control side not reached" and "the user databases differ"."""
    assert told is not None
    cause, action = advised(WELL, WELL, told)
    assert "All is well" not in cause
    assert "see the notices" in cause
    assert action == "Do what the notices say."


def test_row_1_without_a_notice_is_all_well() -> None:
    far = certificate_hint("node", "2028-01-01", 400.0, me="a", peer="b")
    assert advised(WELL, WELL, far)[0].startswith("All is well")


@pytest.mark.parametrize("key", ["clone", "echo", "known_newer", "old"])
def test_a_copied_node_is_not_advised_to_start_its_peer(key: str) -> None:
    """A copy of node a runs in backup mode, and node b runs and refuses it."""
    assert "srmd" in advised(ALONE, None)[1]
    assert advised(ALONE, None, named(key)) == (
        advised(ALONE, None)[0],
        "Do what the notices say.",
    )


@pytest.mark.parametrize("key", ["one_way", "twice"])
def test_what_comes_first_stands_first(key: str) -> None:
    failed_over = (State.FAILED_OVER, Reason.PEER_DOWN), (State.BACKUP, Reason.PEER_DOWN)
    steps = advised(*failed_over)[1]
    assert advised(*failed_over, named(key))[1] == f"Do what the notices say first. Then:\n{steps}"


@pytest.mark.parametrize("key", ["control", "databases", "not_replicated", "certificate_ended"])
def test_nothing_is_not_urgent_beside_a_notice_that_is(key: str) -> None:
    """Row 3 said "Nothing is urgent" beside a control channel that had failed for minutes."""
    row_3 = (State.IDLE, Reason.ON_ADMIN_REQUEST), (State.BACKUP, Reason.ON_ADMIN_REQUEST)
    assert advised(*row_3)[1].startswith("Nothing is urgent. When node a shall serve")
    action = advised(*row_3, named(key))[1]
    assert action.startswith("Do what the notices say first. Then:\nWhen node a shall serve")


@pytest.mark.parametrize("kind", CONTROL_ADVICE)
def test_a_failed_call_is_told_in_both_languages_with_the_advice_for_its_kind(kind: str) -> None:
    """The Japanese notice had the English reason, and an expired certificate was said to be a
    matter of addresses."""
    told = control_hint(REFUSED, kind, 3.0, me="a", peer="b").text
    advice = CONTROL_ADVICE[kind].naming(node="a", peer="b")
    assert told.en.endswith(f"3 s ago: connection refused. {advice.en}")
    assert told.ja.endswith(f"接続が拒否されました。{advice.ja}")
    assert "refused" not in told.ja


def test_users_that_the_peer_has_not_read_are_told_after_some_heartbeats() -> None:
    """`users generate 5` said nothing where the control channel was cut: node b did not have them,
    and served 10 of 15 users after a failover."""
    assert replication_hint(5, 2.9, 1.0, me="a", peer="b") is None
    assert replication_hint(0, 99.0, 1.0, me="a", peer="b") is None
    told = replication_hint(5, 3.0, 1.0, me="a", peer="b")
    assert told is not None
    assert told.text.en.startswith(
        "Node b has not read the last 5 changes to the users of node a, for 3 s now."
    )
    assert "変更 5 件" in told.text.ja


def test_a_mismatch_is_corrected_and_high_availability_is_not_switched() -> None:
    both = (NOT_PAIRED, NOT_PAIRED)
    clone = MISMATCHES["clone"].naming(me="a", peer="b")
    action = advised(*both, mismatch=clone)[1]
    assert action.startswith('1. Do what `srmd status` says under "Does not match the peer".')
    assert "ha enable" not in action
    assert "ha enable" in advised(*both, mismatch=MISMATCHES["ha"])[1]
    assert "ha enable" in advised(*both)[1]


def test_databases_that_differ_are_told_in_both_languages() -> None:
    told = databases_hint(5, 4, me="a", peer="b").text
    assert told.en.startswith("The user databases differ: node a holds 5 users and node b 4")
    assert "ノード a のユーザは 5 人" in told.ja


def test_a_certificate_that_ends_is_told_a_month_before() -> None:
    names = {"me": "a", "peer": "b"}
    assert certificate_hint("node", "x", 31.0, **names) is None
    soon, ended = (certificate_hint("peer", "x", days, **names) for days in (3.2, -1.0))
    assert soon is not None
    assert soon.text.en.startswith("The certificate of node b ends x, in 3 days.")
    assert ended is not None
    assert ended.text.en.startswith("The certificate of node b ended x.")
