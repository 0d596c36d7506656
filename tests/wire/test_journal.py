from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.core.events import EVENTS, Event, OperationFailed, Order, PeerDown, PeerHeard, Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, SplitBrain, State
from srmd.wire.codec import MalformedMessage, codec
from srmd.wire.journal import (
    About,
    Beats,
    Decided,
    Dropped,
    Entry,
    Heard,
    Known,
    Sent,
    Timers,
    entry_from_json,
    entry_to_json,
    event_from_json,
    event_to_json,
    is_entry,
    node_from_json,
    node_to_json,
)

counts = st.integers(0, 2**63 - 1)
st.register_type_strategy(Report, st.builds(Report, op=counts, ha_stamp=counts))


def through_a_file(raw: dict[str, object]) -> Any:
    return json.loads(json.dumps(raw))


def anything_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    numbers = {name: counts for name in ("op", "stamp") if name in kind.__dataclass_fields__}
    return st.builds(kind, **numbers)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_from_the_journal(kind: type[Event]) -> None:
    @given(event=anything_of(kind))
    def comes_back(event: Event) -> None:
        assert event_from_json(through_a_file(event_to_json(event))) == event

    comes_back()


@given(
    node=st.builds(
        Node,
        op=counts,
        ha_stamp=counts,
        peer=st.none() | st.builds(Report, op=counts, ha_stamp=counts),
    )
)
def test_every_node_comes_back_from_the_journal(node: Node) -> None:
    assert node_from_json(through_a_file(node_to_json(node))) == node


def test_an_event_in_the_journal() -> None:
    assert event_to_json(OperationFailed(op=7, order=Order.MOVE_USERS)) == {
        "type": "OperationFailed",
        "op": 7,
        "order": "move_users",
    }


def test_enums_come_back_as_themselves() -> None:
    report = Report(state=State.BACKUP, reason=Reason.PEER_DOWN, op=3)
    event = event_from_json(event_to_json(PeerHeard(report)))
    assert isinstance(event, PeerHeard)
    assert event.report.state is State.BACKUP
    assert event.report.reason is Reason.PEER_DOWN


@pytest.mark.parametrize(
    "raw, says",
    [
        ({"type": "UsersMoved"}, "op: is missing"),
        ({"type": "UsersMoved", "op": "7"}, "op: '7' is not a whole number from 0 to"),
        ({"type": "PeerHeard", "beat": True, "report": {}}, "report.state: is missing"),
        ({"type": "Exploded"}, "type: 'Exploded' is not one of Booted, PeerHeard"),
        ({"op": 7}, "type: None is not one of"),
        ([], "message: a list of 0 is not an object"),
    ],
)
def test_a_bad_event_is_refused_by_field(raw: object, says: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        event_from_json(raw)
    assert str(caught.value).startswith(says)


def test_a_bad_node_is_refused_by_field() -> None:
    raw = node_to_json(Node(contact=Contact.HEARD))
    raw["policy"] = {"automatic_fallback": False, "split_brain": "share"}
    with pytest.raises(MalformedMessage) as caught:
        node_from_json(raw)
    assert str(caught.value) == "policy.split_brain: 'share' is not one of fail, home"
    assert caught.value.field == "policy.split_brain"


def test_what_is_not_the_declared_type_is_not_written() -> None:
    with pytest.raises(MalformedMessage, match=r"^order: 'move_users' is not of type Order$"):
        event_to_json(OperationFailed(op=7, order="move_users"))  # type: ignore[arg-type]


def test_a_type_without_a_codec_is_an_error_of_the_programmer() -> None:
    with pytest.raises(TypeError, match="no way to write this type as JSON"):
        codec(float)


class Lamp(Enum):
    OFF = 0
    ON = 1


@dataclass(frozen=True)
class Box:
    lamp: Lamp | None
    pair: tuple[int, str]
    split: SplitBrain | None = None


@given(raw=st.sampled_from([True, False, 0.0, 1.0, "1", [], {}]))
def test_an_enum_is_read_from_a_value_of_its_own_type_only(raw: object) -> None:
    with pytest.raises(MalformedMessage, match=r"^lamp: "):
        codec(Box).read({"lamp": raw, "pair": [1, "x"], "split": None})


def test_optional_fields_and_pairs_come_back() -> None:
    for box in (Box(None, (1, "x")), Box(Lamp.ON, (0, ""), SplitBrain.HOME)):
        assert codec(Box).read(codec(Box).write(box)) == box


ABOUT = About(
    node="a",
    peer="b",
    boot_id="boot-1",
    incarnation=3,
    wall="2026-11-22T14:00:00.000000+00:00",
    timers=Timers(15.0, 60.0, 120.0, 90.0, 30.0, 1800.0),
)


@pytest.mark.parametrize(
    "entry",
    [
        Known(1.5, Node(op=3), boot=True, about=ABOUT),
        Known(1.5, Node(op=3), boot=False, about=ABOUT),
        Known(1.5, Node(op=3), boot=True, about=None),
        Known(1.5, Node(op=3), boot=True, about=replace(ABOUT, version="0.1.0")),
        Decided(2.25, PeerDown(), State.TAKING_OVER, Reason.PEER_DOWN, 4),
        Beats(3.0, 3, (Sent(7, 2.5), Sent(8, 2.75)), (Heard(2, 9, 2.625),)),
        Dropped(12),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_every_line_comes_back_from_the_journal(entry: Entry) -> None:
    raw = through_a_file(entry_to_json(entry))
    assert is_entry(raw)
    assert entry_from_json(raw) == entry


def test_a_line_as_it_stands_in_the_journal() -> None:
    entry = Decided(2.25, PeerDown(), State.TAKING_OVER, Reason.PEER_DOWN, 4)
    assert json.dumps(entry_to_json(entry)) == (
        '{"at_s": 2.25, "event": {"type": "PeerDown"}, "then": ["TAKING_OVER", "peer_down", 4]}'
    )


@pytest.mark.parametrize(
    "raw, says",
    [
        ([], "message: not an object"),
        ({"at_s": 1.0}, "message: none of boot, node, event, beats, dropped"),
        ({"dropped": -1}, "dropped: -1 is not a whole number from 0 to"),
        ({"event": {"type": "PeerDown"}}, "at_s: not a number of seconds"),
        ({"at_s": float("nan"), "event": {}}, "at_s: not a number of seconds"),
        ({"at_s": 1, "boot": {}}, "boot.state: is missing"),
        ({"at_s": 1, "event": {"type": "Gone"}}, "event.type: 'Gone' is not one of"),
        ({"at_s": 1, "event": {"type": "PeerDown"}}, "then: not [STATE, REASON, OP]"),
        (
            {"at_s": 1, "event": {"type": "PeerDown"}, "then": ["GONE", "normal", 1]},
            "then[0]: 'GONE' is no state",
        ),
        (
            {"at_s": 1, "event": {"type": "PeerDown"}, "then": ["IDLE", "because", 1]},
            "then[1]: 'because' is no reason",
        ),
        (
            {"at_s": 1, "event": {"type": "PeerDown"}, "then": ["IDLE", ["normal"], 1]},
            "then[1]: ['normal'] is no reason",
        ),
        ({"at_s": 1, "beats": {"incarnation": 1}}, "beats.sent: not a list of at most 1000"),
        (
            {"at_s": 1, "beats": {"incarnation": 1, "sent": [[1]], "heard": []}},
            "beats.sent[0]: not a list of 2",
        ),
    ],
)
def test_a_bad_line_is_refused_by_field(raw: object, says: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        entry_from_json(raw)
    assert str(caught.value).startswith(says)


@given(
    raw=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda of: (
            st.lists(of, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["at_s", "boot", "node", "event", "then", "beats", "about", "dropped"]
                ),
                of,
            )
        ),
    )
)
def test_nothing_but_malformed_message_is_raised(raw: object) -> None:
    is_entry(raw)
    try:
        entry_from_json(raw)
    except MalformedMessage:
        pass
