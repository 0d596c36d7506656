from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark
from srmd.wire.signing import (
    request_digest,
    sign_request,
    sign_response,
    software_of,
    verify_request,
    verify_response,
)

SECRET = bytes(range(32))
RING = Keyring({"k1": SECRET}, "k1", AuthMode.REQUIRE)
ACCEPTING = Keyring({"k1": SECRET}, "k1", AuthMode.ACCEPT)
OPEN = Keyring({}, "", AuthMode.OFF)
NOTHING_HEARD = Mark()
BODY = b'{"type":"Accepted","op":"1","detail":""}'


def sign(keyring: Keyring = RING, *, seq: int = 1, **changed: Any) -> dict[str, str]:
    parts: dict[str, Any] = {
        "method": "POST",
        "path": "/peer/command",
        "sender": "a",
        "receiver": "b",
        "group": "group-1",
        "incarnation": 7,
        "body": BODY,
    }
    return sign_request(keyring, seq=seq, **{**parts, **changed})


def receive(
    headers: dict[str, str], keyring: Keyring = RING, *, mark: Mark = NOTHING_HEARD, **changed: Any
) -> tuple[str, Mark]:
    parts: dict[str, Any] = {
        "method": "POST",
        "path": "/peer/command",
        "receiver": "b",
        "group": "group-1",
        "body": BODY,
    }
    found = verify_request(keyring, headers, mark=mark, **{**parts, **changed})
    return found.sender, found.mark


def rejected(headers: dict[str, str], keyring: Keyring = RING, **changed: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        receive(headers, keyring, **changed)
    return caught.value


def answer_rejected(headers: dict[str, str], keyring: Keyring = RING, **changed: Any) -> Trigger:
    parts: dict[str, Any] = {"request_digest": "r" * 64, "status": 200, "body": BODY}
    with pytest.raises(Rejected) as caught:
        verify_response(keyring, headers, **{**parts, **changed})
    return caught.value.trigger


@pytest.mark.parametrize(
    "told, shown",
    [
        ({"x-srm-software": "0.1.0"}, "0.1.0"),
        ({"X-SRM-Software": "1.2.0rc1+local"}, "1.2.0rc1+local"),
        ({"X-SRM-Software": "1\x1b[31m"}, None),
        ({"X-SRM-Software": "1" * 33}, None),
        ({"X-SRM-Software": ""}, None),
        ({"X-SRM-Software": "1", "x-srm-software": "2"}, None),
        ({}, None),
    ],
)
def test_the_version_of_the_program_is_shown_only_where_it_reads_as_one(
    told: dict[str, str], shown: str | None
) -> None:
    assert software_of(told) == shown


def test_the_version_of_the_program_is_no_part_of_what_a_digest_proves() -> None:
    """A node that tells none and one that tells it understand each other."""
    assert receive({**sign(), "X-SRM-Software": "9.9"})[0] == "a"
    assert receive(sign())[0] == "a"


def test_the_headers_and_their_digests_are_pinned() -> None:
    headers = sign()
    assert headers == {
        "X-SRM-Version": "1",
        "X-SRM-Sender": "a",
        "X-SRM-Receiver": "b",
        "X-SRM-Group": "group-1",
        "X-SRM-Incarnation": "7",
        "X-SRM-Seq": "1",
        "X-SRM-Key": "k1",
        "X-SRM-Digest": "1065f55ee8e3d6f98e365ac68e090cb966288d28d088a2d785f58f9d3dd266b5",
    }
    assert sign_response(RING, request_digest=request_digest(headers), status=200, body=BODY) == {
        "X-SRM-Key": "k1",
        "X-SRM-Digest": "b6bb04d88494ce2f3aa4554b5ef51693ff8480762f35795d30e6949ea0437a05",
    }


def test_a_request_tells_its_sender_and_moves_the_mark() -> None:
    sender, mark = receive(sign(seq=5))
    assert (sender, mark) == ("a", Mark(7, 5))
    assert receive(sign(seq=4), mark=mark) == ("a", Mark(7, 5, window=1))


def test_requests_may_overtake_each_other_but_none_counts_twice() -> None:
    _, mark = receive(sign(seq=5))
    _, mark = receive(sign(seq=4), mark=mark)
    for seq in (4, 5):
        assert rejected(sign(seq=seq), mark=mark).trigger is Trigger.STALE


def test_a_stale_request_is_dropped_before_any_digest_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = sign(seq=5)

    def no_digest(*_: object, **__: object) -> bytes:
        raise AssertionError("a digest was computed for a stale request")

    monkeypatch.setattr(Keyring, "digest", no_digest)
    assert rejected(headers, mark=Mark(7, 5)).trigger is Trigger.STALE
    with pytest.raises(AssertionError, match="a digest was computed"):
        receive(headers)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"path": "/peer/command?force=1"},
        {"body": BODY + b" "},
        {"body": b""},
    ],
)
def test_what_the_digest_covers_cannot_change(changed: dict[str, Any]) -> None:
    assert rejected(sign(), **changed).trigger is Trigger.BAD_DIGEST


@pytest.mark.parametrize(
    "header", ["Sender", "Receiver", "Group", "Incarnation", "Seq", "Version", "Key", "Digest"]
)
def test_no_header_can_change_or_go(header: str) -> None:
    headers = sign()
    name = f"X-SRM-{header}"
    other = "2" if headers[name].isdigit() else "k2"
    assert not rejected({**headers, name: other}).authentic
    del headers[name]
    assert not rejected(headers).authentic


def test_a_request_for_another_node_or_group_is_a_misconfigured_peer() -> None:
    """The digest binds the receiver, so a node's own request sent back to it is refused as well."""
    receiver = rejected(sign(), receiver="a")
    assert (receiver.trigger, receiver.authentic, receiver.sender) == (
        Trigger.RECEIVER,
        True,
        "a",
    )
    group = rejected(sign(), group="group-2")
    assert (group.trigger, group.authentic) == (Trigger.GROUP, True)


def test_names_in_any_script_travel_in_ascii_headers() -> None:
    headers = sign(sender="ノード a", group="グループ", receiver="b/1%")
    assert all(value.isascii() for value in headers.values())
    sender, _ = receive(headers, group="グループ", receiver="b/1%")
    assert sender == "ノード a"


def test_header_names_may_arrive_in_any_case_but_once() -> None:
    headers = sign()
    assert receive({name.lower(): value for name, value in headers.items()})[0] == "a"
    twice = rejected({**headers, "x-srm-sender": "b"})
    assert (twice.trigger, twice.detail) == (Trigger.MALFORMED, "X-SRM-Sender: is there twice")


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("X-SRM-Seq", "-1", "X-SRM-Seq: '-1' is not a number from 1 to 9223372036854775807"),
        ("X-SRM-Seq", "01", "X-SRM-Seq: '01' is not a number"),
        ("X-SRM-Seq", "9" * 19, "is not a number"),
        ("X-SRM-Incarnation", "٣", "X-SRM-Incarnation: '\\u0663' is not printable ASCII"),
        ("X-SRM-Sender", "%ff", "X-SRM-Sender: '%ff' is not percent-encoded UTF-8"),
        ("X-SRM-Group", "x" * 1001, "is not printable ASCII"),
        ("X-SRM-Digest", "abc", "X-SRM-Digest: 'abc' is not 64 hex digits"),
    ],
)
def test_a_bad_header_is_refused_by_name_and_value(name: str, value: str, says: str) -> None:
    refusal = rejected({**sign(), name: value})
    assert refusal.trigger is Trigger.MALFORMED
    assert says in refusal.detail


@given(
    headers=st.dictionaries(
        st.sampled_from(sorted(sign())), st.text(max_size=9) | st.sampled_from(["1", "a", "k1"])
    )
)
def test_any_headers_are_rejected_and_nothing_else_happens(headers: dict[str, str]) -> None:
    rejected(headers)
    if headers:
        try:
            receive(headers, OPEN, receiver="1", group="1")
        except Rejected:
            pass


@pytest.mark.parametrize(
    "sender, receiver, trigger",
    [
        (OPEN, OPEN, None),
        (OPEN, ACCEPTING, None),
        (OPEN, RING, Trigger.NO_DIGEST),
        (ACCEPTING, OPEN, None),
        (ACCEPTING, RING, None),
        (RING, OPEN, None),
        (RING, ACCEPTING, None),
        (Keyring({"k1": bytes(16)}, "k1", AuthMode.REQUIRE), ACCEPTING, Trigger.BAD_DIGEST),
        (Keyring({"k2": SECRET}, "k2", AuthMode.REQUIRE), ACCEPTING, Trigger.UNKNOWN_KEY),
    ],
)
def test_a_rollout_by_modes(sender: Keyring, receiver: Keyring, trigger: Trigger | None) -> None:
    headers = sign(sender)
    if trigger is None:
        assert receive(headers, receiver)[0] == "a"
    else:
        assert rejected(headers, receiver).trigger is trigger


def test_a_request_without_headers_is_nobodys_and_moves_nothing() -> None:
    for keyring in (OPEN, ACCEPTING):
        assert receive({"Host": "b"}, keyring, mark=Mark(3, 4)) == ("", Mark(3, 4))
    assert rejected({"Host": "b"}).trigger is Trigger.NO_DIGEST


@pytest.mark.parametrize("keyring", [OPEN, ACCEPTING], ids=["off", "accept"])
def test_where_no_digest_is_needed_no_number_shuts_the_peer_out(keyring: Keyring) -> None:
    """A request with the highest number made all later ones of the peer stale, until SRM restarted;
    and a peer that had lost its memory was not heard again."""
    highest = sign(OPEN, seq=2**63 - 1, incarnation=2**63 - 1)
    sender, mark = receive(highest, keyring)
    assert (sender, mark) == ("a", NOTHING_HEARD)
    assert receive(sign(keyring, seq=1, incarnation=1), keyring, mark=mark)[0] == "a"
    assert receive(sign(keyring, seq=1, incarnation=1), keyring, mark=Mark(7, 9))[0] == "a"


def test_another_version_is_a_misconfiguration_only_when_signed_and_fresh() -> None:
    headers = sign(version=2)
    fresh = rejected(headers)
    assert (fresh.trigger, fresh.authentic) == (Trigger.VERSION, True)
    recorded = rejected(headers, mark=Mark(7, 1))
    assert (recorded.trigger, recorded.authentic) == (Trigger.VERSION, False)
    assert not rejected({**headers, "X-SRM-Digest": "0" * 64}).authentic


def test_a_response_answers_one_request_only() -> None:
    headers = sign_response(RING, request_digest="r" * 64, status=200, body=BODY)
    verify_response(RING, headers, request_digest="r" * 64, status=200, body=BODY)
    assert answer_rejected(headers, request_digest="q" * 64) is Trigger.BAD_DIGEST
    assert answer_rejected(headers, status=409) is Trigger.BAD_DIGEST
    assert answer_rejected(headers, body=b"{}") is Trigger.BAD_DIGEST
    assert answer_rejected({}) is Trigger.NO_DIGEST


def test_a_response_follows_the_same_modes() -> None:
    assert sign_response(OPEN, request_digest="", status=200, body=BODY) == {}
    verify_response(OPEN, {}, request_digest="", status=200, body=BODY)
    verify_response(ACCEPTING, {}, request_digest="r" * 64, status=200, body=BODY)
    wrong = {"X-SRM-Key": "k1", "X-SRM-Digest": "0" * 64}
    assert answer_rejected(wrong, ACCEPTING) is Trigger.BAD_DIGEST


def test_a_request_does_not_pass_for_a_response() -> None:
    headers = sign()
    assert answer_rejected(headers, request_digest=request_digest(headers)) is Trigger.BAD_DIGEST


def test_a_body_beyond_the_bound_is_refused_unread() -> None:
    assert rejected(sign(), body=bytes(4 * 1024 * 1024 + 1)).trigger is Trigger.TOO_LONG
