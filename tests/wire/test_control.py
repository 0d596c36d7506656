from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.wire.codec import BELIEVED_MAX, MAX_NUMBER, MalformedMessage
from srmd.wire.control import (
    MAX_BODY_BYTES,
    MAX_PAGE_ROWS,
    Accepted,
    Action,
    CommandMessage,
    Message,
    MessageTooLong,
    PlacementMessage,
    PlacementRow,
    Refused,
    ReportMessage,
    UserRow,
    UsersPage,
    UsersRequest,
    decode_message,
    encode_message,
)
from srmd.wire.sample import sample_heartbeat

small = st.text(min_size=1, max_size=12)
counts = st.integers(0, MAX_NUMBER)
grown = st.integers(0, BELIEVED_MAX)
messages = st.one_of(
    st.builds(ReportMessage, op=small, heartbeat=st.integers(1, 99).map(sample_heartbeat)),
    st.builds(CommandMessage, op=small, action=st.sampled_from(Action), node=small),
    st.builds(
        PlacementMessage,
        op=small,
        placements=st.lists(
            st.builds(PlacementRow, home=small, serving=small, op=grown, by=st.text(max_size=9)),
            max_size=4,
        ).map(tuple),
    ),
    st.builds(
        UsersRequest, op=small, db_id=small, since_revision=counts, limit=st.integers(1, 2000)
    ),
    st.builds(
        UsersPage,
        op=small,
        db_id=small,
        revision=counts,
        rows=st.lists(
            st.builds(
                UserRow,
                user_id=small,
                home=st.none() | small,
                stamp=grown,
                origin=small,
                deleted=st.booleans(),
            ),
            max_size=4,
        ).map(tuple),
        users_count=counts,
        digest=counts,
    ),
    st.builds(Accepted, op=small, detail=st.text(max_size=40)),
    st.builds(Refused, op=small, detail=st.text(max_size=40), needed=st.text(max_size=40)),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def refusal(body: bytes) -> str:
    with pytest.raises(MalformedMessage) as caught:
        decode_message(body, proved=True)
    return str(caught.value)


def test_a_command_on_the_wire() -> None:
    command = CommandMessage(op="a-7-1", action=Action.FAILOVER, node="a")
    body = b'{"type":"CommandMessage","op":"a-7-1","action":"failover","node":"a"}'
    assert encode_message(command) == body
    assert decode_message(body, proved=True) == command


@pytest.mark.parametrize(
    "message, field",
    [
        (PlacementMessage("1", (PlacementRow("a", "b", 2**48 + 1, "b"),)), "placements[0].op"),
        (
            UsersPage(
                "1",
                "d",
                1,
                (UserRow("u", "a", 2**48 + 1, "d", deleted=False),),
                more=False,
                users_count=1,
                digest=1,
            ),
            "rows[0].stamp",
        ),
    ],
)
def test_a_number_that_anyone_could_have_made_leaves_room_above_it(
    message: Message, field: str
) -> None:
    """Operation and stamp become durable, and the next one is counted from them."""
    body = encode_message(message)
    assert decode_message(body, proved=True) == message
    with pytest.raises(MalformedMessage) as caught:
        decode_message(body, proved=False)
    assert caught.value.field == field


@given(message=messages)
def test_what_is_sent_is_what_arrives(message: Message) -> None:
    assert decode_message(encode_message(message), proved=True) == message


@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_other_body_is_refused_and_nothing_else_happens(body: bytes) -> None:
    assert refusal(body)


@given(message=messages, which=st.integers(0, 9), value=json_values)
def test_any_value_in_any_field_is_a_message_or_a_typed_refusal(
    message: Message, which: int, value: object
) -> None:
    raw: dict[str, Any] = json.loads(encode_message(message))
    raw[sorted(raw)[which % len(raw)]] = value
    with suppress(MalformedMessage):
        decode_message(json.dumps(raw).encode(), proved=True)


@pytest.mark.parametrize(
    "body, says",
    [
        (
            b'{"type":"CommandMessage","op":"1","action":"reboot","node":"a"}',
            "action: 'reboot' is not one of failover, fallback, recover, ha_enable, ha_disable",
        ),
        (
            b'{"type":"CommandMessage","op":"1","action":"recover"}',
            "node: is missing",
        ),
        (
            b'{"type":"Accepted","op":"","detail":""}',
            "op: '' is not text of 1 to 64 characters",
        ),
        (
            b'{"type":"PlacementMessage","op":"1","placements":[{"home":"a","serving":3,"op":1,"by":""}]}',
            "placements[0].serving: 3 is not text",
        ),
        (
            b'{"type":"UsersRequest","op":"1","db_id":"d","since_revision":0,"limit":2001}',
            "limit: 2001 is not a whole number from 1 to 2000",
        ),
        (
            b'{"type":"Accepted","op":"1","detail":"' + b"x" * 2000 + b'"}',
            f"detail: '{'x' * 60}'... is not text of 0 to 1000 characters",
        ),
        (
            b'{"type":"Erase"}',
            (
                "type: 'Erase' is not one of ReportMessage, CommandMessage, PlacementMessage, "
                "UsersRequest, UsersPage, Accepted, Refused"
            ),
        ),
    ],
)
def test_a_bad_message_is_refused_by_field_and_value(body: bytes, says: str) -> None:
    assert refusal(body) == says


def test_a_report_is_held_to_the_rules_of_a_heartbeat() -> None:
    message = ReportMessage(op="1", heartbeat=sample_heartbeat())
    body = encode_message(message).replace(b'"state":4', b'"state":12')
    assert refusal(body) == ("heartbeat.report.state: 12 (Down State) is never a node's own state")


def test_a_body_beyond_the_bound_is_refused_unread() -> None:
    assert refusal(b" " * (MAX_BODY_BYTES + 1)) == (
        "message: 4194305 bytes are more than the 4194304 allowed"
    )


def test_the_deepest_nesting_that_fits_is_refused() -> None:
    assert refusal(b"[" * MAX_BODY_BYTES)
    assert refusal(b'{"a":' * (MAX_BODY_BYTES // 5))


def test_repeated_keys_are_found_in_the_time_of_reading() -> None:
    """Counting each key among all keys took minutes for a body of 4 MiB, and stopped the node."""
    keys = b",".join(b'"%d":1' % number for number in range(300_000))
    assert refusal(b"{" + keys + b',"7":2}') == "message: the key '7' is there twice"


def page(user_id: str) -> UsersPage:
    """A full page with the longest names there can be."""
    row = UserRow(
        user_id=user_id,
        home="\U0001f600" * 64,
        stamp=BELIEVED_MAX,
        origin="\U0001f600" * 64,
        deleted=False,
    )
    return UsersPage(
        op="1",
        db_id="d",
        revision=MAX_NUMBER,
        rows=(row,) * MAX_PAGE_ROWS,
        more=True,
        users_count=MAX_NUMBER,
        digest=MAX_NUMBER,
    )


def test_a_full_page_of_the_longest_names_fits_a_body() -> None:
    longest = page("\U0001f600" * 255)
    assert decode_message(encode_message(longest), proved=True) == longest


def test_a_message_that_cannot_fit_says_what_to_do() -> None:
    with pytest.raises(MessageTooLong, match=r"^UsersPage: \d+ bytes .*: send fewer rows$"):
        encode_message(page("\0" * 255))


def test_we_do_not_send_what_we_would_not_accept() -> None:
    with pytest.raises(MalformedMessage, match=r"^node: 'x+'\.\.\. is not text of 1 to 64"):
        encode_message(CommandMessage(op="1", action=Action.RECOVER, node="x" * 65))
