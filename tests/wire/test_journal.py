from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.core.events import EVENTS, Event, OperationFailed, Order, PeerHeard, Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, SplitBrain, State
from srmd.wire.codec import MalformedMessage, codec
from srmd.wire.journal import event_from_json, event_to_json, node_from_json, node_to_json

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
