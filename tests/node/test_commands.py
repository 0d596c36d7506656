"""What is offered is what would be obeyed, and a refusal names the fact that stands in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srmd.core.contact import understand
from srmd.core.events import (
    Event,
    FailoverRequested,
    FallbackRequested,
    HaSet,
    RecoverRequested,
    Report,
)
from srmd.core.node import Node
from srmd.core.states import Contact, Health, Reason, State
from srmd.core.texts import Text
from srmd.core.transitions import step
from srmd.node.commands import (
    Offer,
    ha_switch,
    needed_to_hand_on,
    offers,
    refusal_text,
    users_locked_text,
)

HEARD = Contact.HEARD
BACKUP = Report(State.BACKUP, Reason.PEER_DOWN, 5)
NORMAL = Report(State.NORMAL, Reason.NORMAL, 5)
FAILED_OVER = Node(State.FAILED_OVER, Reason.PEER_DOWN, contact=HEARD, peer=BACKUP)
IDLE = replace(FAILED_OVER, state=State.IDLE, reason=Reason.ON_ADMIN_REQUEST)


OFF = Node(State.UNKNOWN, Reason.HA_NOT_ENABLED, ha=False, contact=HEARD, peer=NORMAL)
WELL = Node(State.NORMAL, Reason.NORMAL, contact=HEARD, peer=NORMAL)


def test_a_fallback_is_offered_when_both_nodes_hear_each_other() -> None:
    assert offers(FAILED_OVER) == (Offer("fallback", here=True),)
    assert offers(IDLE) == (Offer("fallback", here=True),)


@pytest.mark.parametrize("node", [FAILED_OVER, IDLE])
def test_a_fallback_is_not_offered_beside_a_backup_that_does_not_hear_us(node: Node) -> None:
    """One-way loss: it was offered, and ended with both nodes in Running in Failed Mode."""
    deaf = replace(node, peer=replace(BACKUP, hears_us=False))
    assert offers(deaf) == ()
    refused = step(deaf, FallbackRequested())
    assert refused.refusal is not None
    assert refused.node == deaf


def test_the_backup_offers_the_fallback_of_a_peer_that_hears_it() -> None:
    peer = Report(State.FAILED_OVER, Reason.PEER_DOWN, 5)
    backup = Node(State.BACKUP, Reason.PEER_DOWN, contact=HEARD, peer=peer)
    assert offers(backup) == (Offer("fallback", here=False),)
    assert offers(replace(backup, peer=replace(peer, hears_us=False))) == ()


@pytest.mark.parametrize("settled", [True, False])
def test_no_command_is_offered_for_an_idle_peer_that_does_not_receive_us(settled: bool) -> None:
    """Node b offered the fallback of a, which then took all users from b; where the control channel
    was cut too, it was refused."""
    peer = Report(State.IDLE, Reason.ON_ADMIN_REQUEST, 5, hears_us=False, settled=settled)
    backup = Node(State.BACKUP, Reason.PEER_DOWN, contact=HEARD, peer=peer)
    assert offers(backup) == ()
    needed = needed_to_hand_on(backup)
    assert needed is not None
    text = refusal_text("fallback", backup, None, needed, me="b", peer="a")
    assert "Node a does not receive the heartbeats of node b: repair the network" in text


@pytest.mark.parametrize("enabled", [True, False])
def test_setting_what_both_nodes_are_known_to_have_changes_nothing(enabled: bool) -> None:
    reason = Reason.NORMAL if enabled else Reason.HA_NOT_ENABLED
    both = Node(
        State.NORMAL if enabled else State.UNKNOWN,
        reason,
        contact=HEARD,
        ha=enabled,
        ha_stamp=3,
        peer=replace(NORMAL, ha=enabled, ha_stamp=3),
    )
    assert ha_switch(both, enabled) is None
    assert ha_switch(both, not enabled) == HaSet(not enabled, 4)


@pytest.mark.parametrize(
    "unknown",
    [
        replace(WELL, contact=Contact.SILENT),
        replace(WELL, peer=None),
        replace(WELL, peer=replace(NORMAL, ha=False)),
        # The two configurations differ: the last report that was heard is not what the peer has.
        replace(WELL, state=State.UNKNOWN, reason=Reason.UNKNOWN),
    ],
)
def test_while_the_peers_value_is_another_or_unknown_each_command_counts(unknown: Node) -> None:
    assert ha_switch(unknown, True) == HaSet(True, 1)


def heard(mine: tuple[bool, int], theirs: tuple[bool, int]) -> list[object]:
    """The events of a report of the peer; a value and its stamp each."""
    node = replace(WELL, ha=mine[0], ha_stamp=mine[1])
    report = replace(NORMAL, ha=theirs[0], ha_stamp=theirs[1])
    return [
        event if isinstance(event, HaSet) else type(event).__name__
        for event in understand(node, report, beat=True)
    ]


def test_of_two_commands_at_once_off_wins_on_both_nodes() -> None:
    """They were a mismatch: both nodes were Unknown for good, whatever was advised."""
    assert heard((True, 3), (False, 3)) == [HaSet(False, 3), "PeerHeard"]
    assert heard((False, 3), (True, 3)) == []


def test_two_configurations_that_differ_do_not_match() -> None:
    assert heard((True, 0), (False, 0)) == ["PeerMismatched"]
    assert heard((False, 0), (True, 0)) == ["PeerMismatched"]


def test_the_later_command_wins() -> None:
    assert heard((False, 3), (True, 4)) == [HaSet(True, 4), "PeerHeard"]
    assert heard((True, 4), (False, 3)) == []
    assert heard((True, 4), (True, 3)) == ["PeerHeard"]


def refused(what: str, node: Node, mismatch: Text | None = None) -> str:
    events: dict[str, Event] = {
        "failover": FailoverRequested(),
        "fallback": FallbackRequested(),
        "recover": RecoverRequested(),
    }
    needed = step(node, events[what]).refusal
    assert needed is not None
    return refusal_text(what, node, mismatch, needed, me="a", peer="b")


@pytest.mark.parametrize("state", [State.IDLE, State.FAILED_OVER])
@pytest.mark.parametrize("hears_us", [True, False])
def test_a_fallback_of_the_wrong_node_is_refused_with_the_right_one(
    state: State, hears_us: bool
) -> None:
    peer = Report(state, Reason.ON_ADMIN_REQUEST, 5, hears_us=hears_us)
    backup = Node(State.BACKUP, Reason.ON_ADMIN_REQUEST, contact=HEARD, peer=peer)
    right = "Node b is failed over, not node a: run `srmd fallback b`."
    is_possible = Offer("fallback", here=False) in offers(backup)
    assert (right in refused("fallback", backup)) == is_possible
    if hears_us:
        assert is_possible


@pytest.mark.parametrize("what", ["failover", "fallback", "recover"])
def test_a_refusal_says_that_high_availability_is_off(what: str) -> None:
    assert "High availability is switched off: run `srmd ha enable` first." in refused(what, OFF)


@pytest.mark.parametrize(
    "what,node,fact",
    [
        (
            "fallback",
            replace(FAILED_OVER, peer=replace(BACKUP, hears_us=False)),
            "Node b does not receive the heartbeats of node a: repair the network from node a to"
            " node b first.",
        ),
        (
            "failover",
            replace(WELL, peer=replace(NORMAL, health=Health.SERVICE_DOWN)),
            "A critical service or the database of node b is down: start it first.",
        ),
        (
            "fallback",
            replace(FAILED_OVER, state=State.FAILED_OVER_SERVICES_DOWN),
            "A critical service or the database of node a is down: start it first.",
        ),
        (
            "failover",
            Node(State.BACKUP, Reason.PEER_DOWN, contact=Contact.SILENT, peer=NORMAL),
            "Node b is silent, and a fresh heartbeat of it is needed: start it or repair the"
            " network, then repeat the command.",
        ),
        (
            "failover",
            Node(State.TAKING_OVER, Reason.PEER_DOWN, contact=Contact.SILENT, peer=NORMAL),
            "Node a is in Taking Over, which ends by itself: wait for that, then repeat the"
            " command.",
        ),
    ],
)
def test_a_refusal_names_the_fact_that_stands_in_the_way(what: str, node: Node, fact: str) -> None:
    assert f". {fact} Needed: " in refused(what, node)


def test_a_refusal_names_the_setting_that_does_not_match() -> None:
    unknown = Node(State.UNKNOWN, Reason.UNKNOWN)
    told = refused("failover", unknown, Text("group.name is 'x' there", "group.name"))
    assert "do not match (group.name is 'x' there)" in told


def test_a_refusal_without_another_fact_names_the_states() -> None:
    assert refused("fallback", WELL) == (
        "fallback refused: a is in Normal and b in Normal. Needed: the home node in Idle or Failed"
        " Over and its peer in Running in Backup Mode, hearing each other"
    )


def test_users_that_cannot_be_changed_are_refused_with_both_states() -> None:
    told = users_locked_text(FAILED_OVER, None, me="a", peer="b")
    assert "node a is in Failed Over and node b in Running in Backup Mode" in told
