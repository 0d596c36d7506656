from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.core.events import Report
from srmd.core.states import Health, Reason, State
from srmd.wire.codec import MalformedMessage, dump_json
from srmd.wire.heartbeat import (
    MAX_DATAGRAM_BYTES,
    DatagramTooLong,
    Heartbeat,
    Summary,
    cut_services,
    decode,
    encode,
    from_json,
    to_json,
)
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark
from srmd.wire.sample import sample_heartbeat

SECRET = bytes(range(32))
RING = Keyring({"k1": SECRET}, "k1", AuthMode.REQUIRE)
ACCEPTING = Keyring({"k1": SECRET}, "k1", AuthMode.ACCEPT)
OPEN = Keyring({}, "", AuthMode.OFF)
NOTHING_HEARD = Mark()

# What `sample_heartbeat()` is on the wire, and the digest over it.
SAMPLE_HEADER = "53524d6801016b3100000000000000000000000000000000000000000007" + "0000000000000001"
SAMPLE_BODY = (
    '{"sender":"a","group":"group-1","boot_id":"0b7c3d1e-8f52-4a7e-9b60-5d2f1c4e7a90",'
    '"leaving":false,"hears_incarnation":5,"hears_seq":4711,'
    '"report":{"state":4,"reason":"critical_service_down","op":42,"stage":"begun",'
    '"start":"restart","settled":true,"hears_us":true,"health":"service_down","lasting":false,'
    '"ha":true,"ha_stamp":3},'
    '"summary":{"assigned":12500,"served":25000,'
    '"services_down":["Cisco XCP Router","Cisco Presence Engine"],"database":true,'
    '"db_id":"4d0f9a62-13c5-4b8e-a7d1-6e2b90c8f354","users_revision":25017,"placement_op":42,'
    '"relogin":[120,537]}}'
)
SAMPLE_DIGEST = "bd4f255d9f9f2a17b6b35aec8dda13a85bbe3b6d5e376cf274c2ea9b8b5890ba"


def receive(
    data: bytes,
    keyring: Keyring = RING,
    *,
    group: str = "group-1",
    peer: str = "a",
    mark: Mark = NOTHING_HEARD,
) -> tuple[Heartbeat, Mark]:
    return decode(data, keyring, group=group, peer=peer, mark=mark)


def rejected(data: bytes, keyring: Keyring = RING, **settings: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        receive(data, keyring, **settings)
    return caught.value


def signed(message: bytes, keyring: Keyring = RING) -> bytes:
    return message + keyring.digest(message, key_id="k1")


def with_body(body: bytes, *, seq: int = 1) -> bytes:
    """A datagram with a good digest and this body."""
    return signed(struct.pack(">4sBB16sQQ", b"SRMh", 1, 1, b"k1", 7, seq) + body)


small = st.text(min_size=1, max_size=8)
users = st.integers(0, 9_999_999)
counts = st.integers(0, 2**63 - 1)
grown = st.integers(0, 2**48)
"""What is believed without a digest too."""
summaries = st.builds(
    Summary,
    assigned=users,
    served=users,
    services_down=st.lists(small, max_size=4).map(tuple),
    db_id=st.text(max_size=8),
    users_revision=counts,
    placement_op=counts,
    relogin=st.tuples(users, users),
)
reports = st.builds(
    Report,
    state=st.sampled_from([state for state in State if state is not State.DOWN]),
    op=grown,
    settled=st.booleans(),
    ha_stamp=grown,
)
heartbeats = st.builds(
    lambda heard, **parts: Heartbeat(hears_incarnation=heard[0], hears_seq=heard[1], **parts),
    heard=st.one_of(st.just((0, 0)), st.tuples(st.integers(1, 2**48), st.integers(1, 99))),
    sender=small,
    group=small,
    boot_id=small,
    incarnation=st.integers(1, 2**63 - 1),
    seq=st.integers(1, 2**63 - 1),
    leaving=st.booleans(),
    report=reports,
    summary=summaries,
)


def test_the_layout_and_the_digest_are_pinned() -> None:
    assert encode(sample_heartbeat(), RING) == (
        bytes.fromhex(SAMPLE_HEADER) + SAMPLE_BODY.encode() + bytes.fromhex(SAMPLE_DIGEST)
    )


def test_without_authentication_there_is_neither_key_id_nor_digest() -> None:
    assert encode(sample_heartbeat(), OPEN) == (
        bytes.fromhex("53524d680100" + "00" * 16 + "0000000000000007" + "0000000000000001")
        + SAMPLE_BODY.encode()
    )


@given(heartbeat=heartbeats, keyring=st.sampled_from([RING, ACCEPTING, OPEN]))
def test_what_is_sent_is_what_arrives(heartbeat: Heartbeat, keyring: Keyring) -> None:
    arrived, mark = receive(
        encode(heartbeat, keyring), keyring, group=heartbeat.group, peer=heartbeat.sender
    )
    if not keyring.signs:
        heartbeat = replace(heartbeat, hears_incarnation=0, hears_seq=0)
    assert arrived == heartbeat
    assert mark == Mark(heartbeat.incarnation, heartbeat.seq)


@pytest.mark.parametrize("keyring", [ACCEPTING, OPEN], ids=["accept", "off"])
def test_without_a_digest_a_heartbeat_acknowledges_nothing(keyring: Keyring) -> None:
    """One unsigned heartbeat acknowledged incarnation 2^63-1: its receiver started SRM above it,
    could not put 2^63 into a heartbeat, and was mute for good, also when digests were required."""
    made = replace(sample_heartbeat(), hears_incarnation=2**48, hears_seq=1)
    arrived, _ = receive(encode(made, OPEN), keyring)
    assert (arrived.hears_incarnation, arrived.hears_seq) == (0, 0)


@pytest.mark.parametrize("field", ["hears_incarnation", "report.op", "report.ha_stamp"])
def test_a_number_from_which_a_node_counts_on_leaves_room_above_it(field: str) -> None:
    """With a digest or without: what is heard is counted on from, and has to fit the wire then."""

    def with_number(number: int) -> Heartbeat:
        sample = sample_heartbeat()
        return {
            "hears_incarnation": replace(sample, hears_incarnation=number),
            "report.op": replace(sample, report=replace(sample.report, op=number)),
            "report.ha_stamp": replace(sample, report=replace(sample.report, ha_stamp=number)),
        }[field]

    receive(encode(with_number(2**62), RING))
    proved = rejected(encode(with_number(2**62 + 1), RING))
    assert proved.trigger is Trigger.MALFORMED
    assert proved.detail == (
        f"{field}: 4611686018427387905 is more than 4611686018427387904, "
        "the highest that is believed"
    )
    receive(encode(with_number(2**48), OPEN), OPEN)
    unproved = rejected(encode(with_number(2**48 + 1), OPEN), OPEN)
    assert unproved.trigger is Trigger.MALFORMED
    assert unproved.detail.endswith("without a digest: set auth.mode to require on both nodes")
    receive(encode(with_number(2**48 + 1), RING))


@given(heartbeat=heartbeats)
def test_the_control_channel_carries_the_same_heartbeat(heartbeat: Heartbeat) -> None:
    assert from_json(to_json(heartbeat)) == heartbeat


@pytest.mark.parametrize("keyring", [RING, ACCEPTING], ids=["require", "accept"])
def test_no_bit_of_a_signed_datagram_can_change(keyring: Keyring) -> None:
    good = encode(sample_heartbeat(), RING)
    for position in range(8 * len(good)):
        changed = bytearray(good)
        changed[position // 8] ^= 1 << position % 8
        refusal = rejected(bytes(changed), keyring)
        # In mode accept a datagram that lost its digest flag counts as one without a digest.
        assert keyring is ACCEPTING or not refusal.authentic, position


@given(good=heartbeats.map(lambda one: encode(one, RING)), cut=st.integers(1, 1200))
def test_no_part_of_a_datagram_passes_for_the_whole(good: bytes, cut: int) -> None:
    rejected(good[:-cut])
    rejected(good[cut:])
    rejected(good + good[:cut])


@given(data=st.binary(max_size=1300), keyring=st.sampled_from([RING, ACCEPTING, OPEN]))
def test_any_bytes_are_rejected_and_nothing_else_happens(data: bytes, keyring: Keyring) -> None:
    rejected(data, keyring)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    heartbeat=heartbeats,
    path=st.sampled_from([(), ("report",), ("summary",)]),
    which=st.integers(0, 20),
    value=json_values,
)
def test_any_value_in_any_field_is_a_heartbeat_or_a_typed_refusal(
    heartbeat: Heartbeat, path: tuple[str, ...], which: int, value: object
) -> None:
    raw: dict[str, Any] = to_json(heartbeat)
    inner = raw
    for name in path:
        inner = inner[name]
    inner[sorted(inner)[which % len(inner)]] = value
    with suppress(MalformedMessage):
        assert from_json(raw).sender


@pytest.mark.parametrize(
    "body, says",
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        (b"[" * 1100, "message: "),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "sender: is missing"),
        (b"[]", "the body is not an object"),
        (b"NaN", "NaN is not a JSON number"),
        (b"-Infinity", "-Infinity is not a JSON number"),
        (b'{"sender":"a","sender":"b"}', "the key 'sender' is there twice"),
        (SAMPLE_BODY.replace("12500", "NaN").encode(), "NaN is not a JSON number"),
        (SAMPLE_BODY.replace("12500", "12500.0").encode(), "summary.assigned: 12500.0 is not"),
        (
            SAMPLE_BODY.replace("12500", "9" * 500).encode(),
            "assigned: a number of 1661 bits is not",
        ),
        (SAMPLE_BODY.replace("4711", "true").encode(), "hears_seq: True is not a whole number"),
        (SAMPLE_BODY.replace("4711", "0").encode(), "hears_seq: 0 does not go with"),
        (SAMPLE_BODY.replace('"state":4', '"state":true').encode(), "report.state: True is not"),
        (SAMPLE_BODY.replace('"state":4', '"state":12').encode(), "report.state: 12 (Down State)"),
        (SAMPLE_BODY.replace('"state":4', '"state":99').encode(), "report.state: 99 is not one of"),
        (SAMPLE_BODY.replace('"op":42', '"op":-1').encode(), "report.op: -1 is not"),
        (SAMPLE_BODY.replace('"group-1"', '"\\ud800"').encode(), "group: '\\ud800' is not well-f"),
        (SAMPLE_BODY.replace('"a"', '""').encode(), "sender: '' is not text of 1 to 64"),
        (SAMPLE_BODY.replace("537", "537,1").encode(), "summary.relogin: a list of 3 is not"),
        (SAMPLE_BODY.replace('["Cisco XCP Router"', "[1").encode(), "services_down[0]: 1 is not"),
        (SAMPLE_BODY.replace('"leaving"', '"incarnation":7,"leaving"').encode(), "the header"),
        (SAMPLE_BODY.replace('"leaving"', '"extra":7,"leaving"').encode(), "key 'extra' is not kn"),
        (SAMPLE_BODY.replace('"ha":true,', "").encode(), "report.ha: is missing"),
    ],
)
def test_a_bad_body_is_refused_by_field_and_value(body: bytes, says: str) -> None:
    refusal = rejected(with_body(body))
    assert refusal.trigger is Trigger.MALFORMED
    assert says in refusal.detail


@pytest.mark.parametrize("incarnation", [0, 2**63, 2**64 - 1])
def test_a_header_number_out_of_bounds_is_no_heartbeat(incarnation: int) -> None:
    header = struct.pack(">4sBB16sQQ", b"SRMh", 1, 1, b"k1", incarnation, 1)
    refusal = rejected(signed(header + SAMPLE_BODY.encode()))
    assert refusal.trigger in (Trigger.STALE, Trigger.MALFORMED)


def test_unknown_flags_and_odd_key_ids_are_malformed() -> None:
    flags = struct.pack(">4sBB16sQQ", b"SRMh", 1, 3, b"k1", 7, 1)
    assert rejected(signed(flags + SAMPLE_BODY.encode())).trigger is Trigger.MALFORMED
    stray = struct.pack(">4sBB16sQQ", b"SRMh", 1, 0, b"k1", 7, 1)
    assert rejected(stray + SAMPLE_BODY.encode(), ACCEPTING).trigger is Trigger.MALFORMED


@pytest.mark.parametrize(
    "data, trigger",
    [
        (b"", Trigger.TOO_SHORT),
        (b"SRMh" + bytes(33), Trigger.TOO_SHORT),
        (b"SRMh\x01\x01" + bytes(50), Trigger.TOO_SHORT),
        (bytes(1201), Trigger.TOO_LONG),
        (b"GET / HTTP/1.1\r\nHost: node-a.example\r\n\r\n", Trigger.NOT_SRMD),
    ],
)
def test_what_is_not_ours_is_told_by_its_first_bytes(data: bytes, trigger: Trigger) -> None:
    assert rejected(data).trigger is trigger


def test_a_stale_datagram_is_dropped_before_any_digest_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = encode(sample_heartbeat(seq=5), RING)

    def no_digest(*_: object, **__: object) -> bytes:
        raise AssertionError("a digest was computed for a stale datagram")

    monkeypatch.setattr(Keyring, "digest", no_digest)
    for mark in (Mark(7, 5), Mark(7, 6), Mark(8, 1)):
        assert rejected(good, mark=mark).trigger is Trigger.STALE
    with pytest.raises(AssertionError, match="a digest was computed"):
        receive(good, mark=Mark(7, 4))


def test_a_repeat_is_stale_and_a_forgery_moves_nothing() -> None:
    _, mark = receive(encode(sample_heartbeat(seq=5), RING))
    assert mark == Mark(7, 5)
    assert rejected(encode(sample_heartbeat(seq=5), RING), mark=mark).trigger is Trigger.STALE
    forged = encode(sample_heartbeat(seq=900), Keyring({"k1": bytes(16)}, "k1", AuthMode.REQUIRE))
    assert rejected(forged, mark=mark).trigger is Trigger.BAD_DIGEST
    assert receive(encode(sample_heartbeat(seq=6), RING), mark=mark)[1] == Mark(7, 6)


def test_a_misconfigured_peer_is_told_from_a_stranger() -> None:
    good = encode(sample_heartbeat(), RING)
    group = rejected(good, group="group-2")
    assert (group.trigger, group.authentic, group.sender) == (Trigger.GROUP, True, "a")
    assert group.detail == "group.name is 'group-1' there and 'group-2' here"
    sender = rejected(good, peer="b")
    assert (sender.trigger, sender.authentic, sender.sender) == (Trigger.SENDER, True, "a")
    stranger = Keyring({"k1": bytes(16)}, "k1", AuthMode.REQUIRE)
    assert not rejected(encode(sample_heartbeat(), stranger), group="group-2").authentic


def test_a_node_that_rehearses_an_upgrade_is_understood_by_its_like_alone() -> None:
    newer = encode(sample_heartbeat(), RING, version=2)
    told = decode(newer, RING, group="group-1", peer="a", mark=Mark(), version=2)
    assert told[0] == sample_heartbeat()
    assert "protocol version 2, and we speak 1" in rejected(newer).detail
    with pytest.raises(Rejected, match="protocol version 1, and we speak 2"):
        decode(
            encode(sample_heartbeat(), RING),
            RING,
            group="group-1",
            peer="a",
            mark=Mark(),
            version=2,
        )


def test_another_version_is_a_misconfiguration_only_when_signed_and_fresh() -> None:
    """A recording from before an upgrade must not stop the pair."""
    header = struct.pack(">4sBB16sQQ", b"SRMh", 2, 1, b"k1", 7, 5)
    other = signed(header + b"\x00 whatever version 2 says")
    fresh = rejected(other)
    assert (fresh.trigger, fresh.authentic) == (Trigger.VERSION, True)
    forged = rejected(other[:-1] + bytes([other[-1] ^ 1]))
    assert (forged.trigger, forged.authentic) == (Trigger.VERSION, False)
    recorded = rejected(other, mark=Mark(7, 5))
    assert (recorded.trigger, recorded.authentic) == (Trigger.VERSION, False)


def test_a_key_is_rotated_without_losing_a_heartbeat() -> None:
    old, new = b"the old secret, 24 bytes", b"the new secret, 24 bytes"
    before = Keyring({"k1": old}, "k1", AuthMode.REQUIRE)
    both_old = Keyring({"k1": old, "k2": new}, "k1", AuthMode.REQUIRE)
    both_new = Keyring({"k1": old, "k2": new}, "k2", AuthMode.REQUIRE)
    after = Keyring({"k2": new}, "k2", AuthMode.REQUIRE)
    rollout = [before, both_old, both_new, after]
    for step, sender in enumerate(rollout):
        for receiver in rollout[max(0, step - 1) : step + 2]:
            receive(encode(sample_heartbeat(), sender), receiver)
    assert rejected(encode(sample_heartbeat(), before), after).trigger is Trigger.UNKNOWN_KEY


def test_authentication_is_rolled_out_without_losing_a_heartbeat() -> None:
    rollout = [OPEN, ACCEPTING, RING]
    for step, sender in enumerate(rollout):
        for receiver in rollout[max(0, step - 1) : step + 2]:
            if (sender, receiver) != (OPEN, RING):
                receive(encode(sample_heartbeat(), sender), receiver)
    assert rejected(encode(sample_heartbeat(), OPEN), RING).trigger is Trigger.NO_DIGEST


def test_without_authentication_a_misconfiguration_is_believed_like_all_else() -> None:
    assert rejected(encode(sample_heartbeat(), OPEN), OPEN, group="group-2").authentic


LARGEST = 2**63 - 1
WORST = Heartbeat(
    sender="s" * 64,
    group="g" * 64,
    boot_id="b" * 40,
    incarnation=LARGEST,
    seq=LARGEST,
    leaving=False,
    hears_incarnation=LARGEST,
    hears_seq=LARGEST,
    report=Report(
        state=State.FAILED_MODE,
        reason=max(Reason, key=lambda reason: len(reason.value)),
        op=LARGEST,
        settled=False,
        hears_us=False,
        health=Health.DATABASE_DOWN,
        ha=False,
        ha_stamp=LARGEST,
    ),
    summary=Summary(
        assigned=9_999_999,
        served=9_999_999,
        services_down=(),
        database=False,
        db_id="d" * 40,
        users_revision=LARGEST,
        placement_op=LARGEST,
        relogin=(9_999_999, 9_999_999),
    ),
)


@given(names=st.lists(st.text("abc", min_size=1, max_size=64), max_size=40))
def test_however_much_is_broken_the_heartbeat_fits_its_datagram(names: list[str]) -> None:
    down = cut_services(tuple(names))
    summary = replace(WORST.summary, services_down=down)
    assert len(encode(replace(WORST, summary=summary), RING)) <= MAX_DATAGRAM_BYTES
    assert len(dump_json(list(down))) <= 352


def test_the_services_that_do_not_fit_are_counted() -> None:
    assert cut_services(("Cisco XCP Router",)) == ("Cisco XCP Router",)
    assert cut_services(tuple("abcdefghijklmnop")) == (*"abcdefghijklmno", "1 more")
    assert cut_services(("x" * 64,) * 9) == (*("x" * 64,) * 5, "4 more")


def test_a_heartbeat_that_cannot_fit_says_what_to_do() -> None:
    names = tuple("x" * 64 for _ in range(12))
    summary = replace(WORST.summary, services_down=names)
    with pytest.raises(DatagramTooLong, match=r"more than 1200: shorten the names"):
        encode(replace(WORST, summary=summary), RING)


def test_we_do_not_send_what_we_would_not_accept() -> None:
    with pytest.raises(MalformedMessage, match=r"^seq: 0 is not a whole number from 1 to"):
        encode(replace(sample_heartbeat(), seq=0), RING)
