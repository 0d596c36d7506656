"""A refusal is told with its reason where it proves to be the peer's, and else as what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srmd.config import Config
from srmd.node.calling import (
    Answer,
    PeerRefused,
    Request,
    believed,
    malformed,
    not_running,
    rejection_of,
    request_of,
    verified,
)
from srmd.wire.control import UsersRequest
from srmd.wire.keys import AuthMode, Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark
from tests.daemon.nodes import config_of

KEY = Keyring({"k1": b"x" * 32}, "k1", AuthMode.REQUIRE)
OTHER = Keyring({"k2": b"y" * 32}, "k2", AuthMode.REQUIRE)
QUESTION = UsersRequest("op", "db", 0, 10)


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return config_of("a", tmp_path)


@pytest.fixture
def theirs(tmp_path: Path) -> Config:
    return config_of("b", tmp_path)


def asked(config: Config, keyring: Keyring = KEY, seq: int = 1) -> Request:
    return request_of(QUESTION, config, keyring, incarnation=1, seq=seq)


def told(answer: Answer, request: Request, keyring: Keyring = KEY) -> str:
    with pytest.raises(PeerRefused) as refused:
        believed(answer, request, keyring)
    return str(refused.value)


def rejected(request: Request, config: Config, keyring: Keyring, mark: Mark) -> Answer:
    with pytest.raises(Rejected) as error:
        verified(request, config, keyring, mark)
    return rejection_of(error.value, request, keyring)


def test_a_peer_whose_srm_does_not_run_says_so(ours: Config) -> None:
    """At each reboot it was told as "no_digest ... set it to accept", though both require."""
    request = asked(ours)
    assert told(not_running(request, KEY, node="b"), request) == (
        "HTTP status 503: SRM does not run on b: the node starts or goes down, or SRM is stopped"
    )


def test_a_peer_that_has_seen_the_message_says_so(ours: Config, theirs: Config) -> None:
    request = asked(ours, seq=1)
    answer = rejected(request, theirs, KEY, Mark(2, 1))
    assert told(answer, request).startswith("HTTP status 403: stale: incarnation 1, sequence 1")
    with pytest.raises(PeerRefused) as refused:
        believed(answer, request, KEY)
    assert refused.value.stale
    for other in (not_running(request, KEY, node="b"), malformed(request, KEY)):
        with pytest.raises(PeerRefused) as refused:
            believed(other, request, KEY)
        assert not refused.value.stale


def test_a_peer_of_another_group_says_which(ours: Config, theirs: Config) -> None:
    elsewhere = replace(theirs, group=replace(theirs.group, name="elsewhere"))
    request = asked(ours)
    answer = rejected(request, elsewhere, KEY, Mark(0, 0))
    assert told(answer, request) == (
        "HTTP status 403: group: group.name is 'lab' there and 'elsewhere' here"
    )


def test_a_malformed_message_is_answered_with_a_signature(ours: Config) -> None:
    request = asked(ours)
    assert told(malformed(request, KEY), request) == "HTTP status 400: malformed control message"


def test_a_stranger_is_told_a_word_and_no_reason(ours: Config, theirs: Config) -> None:
    """As in a key rotation that has reached one node only: neither can prove itself."""
    request = asked(ours, OTHER)
    answer = rejected(request, theirs, KEY, Mark(0, 0))
    assert answer == Answer(403, {}, b'{"error": "unknown_key"}')
    text = told(answer, request, OTHER)
    assert text.startswith("HTTP status 403 without a signature: the node there does not accept")
    assert "accept here" not in text
    assert "unknown_key" not in text


def test_an_unsigned_refusal_is_no_reason_to_weaken_the_keys(ours: Config) -> None:
    request = asked(ours)
    for status in (400, 403, 404, 503):
        text = told(Answer(status, {}, b'{"error": "set auth.mode to off"}'), request)
        assert "auth.mode" not in text


def test_a_refusal_that_was_changed_on_its_way_is_not_believed(ours: Config) -> None:
    request = asked(ours)
    answer = not_running(request, KEY, node="b")
    with pytest.raises(Rejected) as error:
        believed(replace(answer, body=answer.body.replace(b"b", b"c")), request, KEY)
    assert error.value.trigger is Trigger.BAD_DIGEST


def test_an_unsigned_answer_asks_for_a_signature_at_the_sender(ours: Config) -> None:
    with pytest.raises(Rejected) as error:
        believed(Answer(200, {}, b"{}"), asked(ours), KEY)
    assert "set it to require at the sender" in error.value.detail
    assert "accept" not in error.value.detail


@pytest.mark.parametrize("mode", [AuthMode.OFF, AuthMode.ACCEPT])
def test_where_no_digest_is_asked_for_the_reason_is_told_as_it_came(
    ours: Config, mode: AuthMode
) -> None:
    free = Keyring({"k1": b"x" * 32}, "k1", mode)
    request = asked(ours, free)
    assert told(Answer(503, {}, b'{"error": "SRM\\n is  off"}'), request, free) == (
        "HTTP status 503: SRM is off"
    )
    assert told(Answer(503, {}, b"<html>"), request, free) == "HTTP status 503: no reason given"
