"""What strangers can send, as functions of bytes: each ends, or raises what nobody expects.

The first byte of an input says what becomes of the rest: taken as it is, or signed with the good
key, so that what lies behind the digest is reached too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from srmd.node.calling import Answer, Request, believed
from srmd.wire.codec import MalformedMessage, parse_json
from srmd.wire.control import (
    Accepted,
    Action,
    CommandMessage,
    Message,
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
from srmd.wire.heartbeat import Heartbeat, decode, encode
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Rejected
from srmd.wire.replay import Mark
from srmd.wire.sample import sample_heartbeat
from srmd.wire.signing import sign_request, verify_request

KEY_ID: Final = "k1"
RING: Final = Keyring({KEY_ID: bytes(range(32))}, KEY_ID, AuthMode.REQUIRE)
OPEN: Final = Keyring({}, "", AuthMode.OFF)
GROUP, PEER = "group-1", "a"
PATH = "/control/v1/report"
HEADERS_MAX = 20


def heartbeat(data: bytes) -> None:
    """A datagram at the heartbeat port."""
    how, datagram = data[:1], data[1:]
    if how == b"s":
        datagram += RING.digest(datagram, key_id=KEY_ID)
    for ring in (RING, OPEN):
        try:
            found, _ = decode(datagram, ring, group=GROUP, peer=PEER, mark=Mark())
        except Rejected:
            continue
        assert isinstance(found, Heartbeat)
        assert found.sender == PEER


def control(data: bytes) -> None:
    """The body of a control message, whose signature was good."""
    try:
        message = decode_message(data, proved=True)
    except MalformedMessage:
        return
    assert decode_message(encode_message(message), proved=True) == message


def headers(data: bytes) -> None:
    """The headers of a control message: lines of `name: value`, over those of a good one."""
    body = b"{}"
    given: dict[str, str] = {}
    if data[:1] == b"s":
        given = sign_request(
            RING,
            method="POST",
            path=PATH,
            sender=PEER,
            receiver="b",
            group=GROUP,
            incarnation=1,
            seq=1,
            body=body,
        )
    for line in data[1:].decode("latin-1").splitlines()[:HEADERS_MAX]:
        name, colon, value = line.partition(":")
        if colon:
            given[name] = value.strip()
    for ring in (RING, OPEN):
        try:
            found = verify_request(
                ring,
                given,
                method="POST",
                path=PATH,
                receiver="b",
                group=GROUP,
                body=body,
                mark=Mark(),
            )
        except Rejected:
            continue
        assert isinstance(found.sender, str)


def answer(data: bytes) -> None:
    """What comes back for a control message of ours."""
    request = Request(PATH, {}, b"{}")
    for ring in (RING, OPEN):
        try:
            believed(Answer(200, {}, data), request, ring)
        except (Rejected, MalformedMessage):
            continue


def body(data: bytes) -> None:
    """The body of an administrator's request, as JSON."""
    try:
        value = parse_json(data)
    except MalformedMessage:
        return
    assert json.loads(data) == value


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target for target in (heartbeat, control, headers, answer, body)
}


def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Good inputs to begin with."""
    datagram = encode(sample_heartbeat(), RING)
    unsigned = datagram[: -len(RING.digest(b"", key_id=KEY_ID))]
    messages: tuple[Message, ...] = (
        ReportMessage("o", sample_heartbeat()),
        CommandMessage("o", Action.FAILOVER, "a"),
        PlacementMessage("o", (PlacementRow("a", "b", 7, "a"),)),
        UsersRequest("o", "d", 0, 100),
        UsersPage("o", "d", 9, (UserRow("alice", "a", 1, "d", False),), False, 1, 2**61),
        Accepted("o", ""),
        Refused("o", "no", "Normal"),
    )
    bodies = tuple(encode_message(message) for message in messages)
    return {
        "heartbeat": (b"r" + datagram, b"s" + unsigned, b"r" + encode(sample_heartbeat(), OPEN)),
        "control": bodies,
        "headers": (b"s", b"sX-SRM-Seq: 2\nX-SRM-Group: %C3%A4", b"rX-SRM-Key: k1"),
        "answer": bodies,
        "body": (b'{"node": "a"}', b'{"count": 5, "mode": "none"}'),
    }


def words(name: str) -> frozenset[bytes]:
    """The words of the good inputs: coverage cannot look into the native code that reads JSON."""
    return frozenset(
        word for seed in seeds()[name] for word in re.findall(rb'"[\w -]{1,40}"|[\w-]{1,40}', seed)
    )
