from __future__ import annotations

import pytest

from srmd.wire.keys import AuthMode, Keyring, KeyringError
from srmd.wire.rejected import Rejected, Trigger

OLD = b"the old secret, 24 bytes"
NEW = b"the new secret, 24 bytes"


def ring(mode: AuthMode = AuthMode.REQUIRE, active: str = "k1") -> Keyring:
    return Keyring({"k1": OLD, "k2": NEW}, active, mode)


def trigger_of(keyring: Keyring, *, key_id: str, digest: bytes | None) -> Trigger | None:
    try:
        keyring.check(b"message", key_id=key_id, digest=digest)
    except Rejected as rejected:
        return rejected.trigger
    return None


def test_the_digest_is_hmac_sha256() -> None:
    # RFC 4231, test case 3 has a key of 20 bytes.
    keyring = Keyring({"rfc": b"\xaa" * 20}, "rfc", AuthMode.REQUIRE)
    assert keyring.digest(b"\xdd" * 50, key_id="rfc").hex() == (
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    )


@pytest.mark.parametrize(
    "mode, without, good, wrong, unknown",
    [
        (AuthMode.OFF, None, None, None, None),
        (AuthMode.ACCEPT, None, None, Trigger.BAD_DIGEST, Trigger.UNKNOWN_KEY),
        (AuthMode.REQUIRE, Trigger.NO_DIGEST, None, Trigger.BAD_DIGEST, Trigger.UNKNOWN_KEY),
    ],
)
def test_what_each_mode_asks_for(
    mode: AuthMode,
    without: Trigger | None,
    good: Trigger | None,
    wrong: Trigger | None,
    unknown: Trigger | None,
) -> None:
    keyring = ring(mode)
    digest = keyring.digest(b"message", key_id="k1")
    assert trigger_of(keyring, key_id="", digest=None) is without
    assert trigger_of(keyring, key_id="k1", digest=digest) is good
    assert trigger_of(keyring, key_id="k1", digest=bytes(32)) is wrong
    assert trigger_of(keyring, key_id="k3", digest=digest) is unknown


def test_a_digest_under_the_other_key_of_the_ring_is_wrong() -> None:
    digest = ring().digest(b"message", key_id="k2")
    assert trigger_of(ring(), key_id="k1", digest=digest) is Trigger.BAD_DIGEST
    assert trigger_of(ring(), key_id="k2", digest=digest) is None


def test_secrets_are_never_shown() -> None:
    assert repr(ring()) == "Keyring(keys=['k1', 'k2'], active='k1', mode=require)"
    assert str(ring()) == repr(ring())


@pytest.mark.parametrize(
    "keys, active, mode, message",
    [
        ({}, "k1", AuthMode.REQUIRE, "auth.active: 'k1' is not among auth.keys (none)"),
        ({"k1": OLD}, "k2", AuthMode.ACCEPT, "auth.active: 'k2' is not among auth.keys (k1)"),
        (
            {"k1": b"short secret"},
            "k1",
            AuthMode.REQUIRE,
            "auth.keys.k1: 12 bytes are too few for a secret (at least 16)",
        ),
        (
            {"a key": OLD},
            "a key",
            AuthMode.OFF,
            "auth.keys: 'a key' is not a key id (1-16 printable ASCII characters, no space)",
        ),
    ],
)
def test_unusable_keys_are_refused_with_place_value_and_way_out(
    keys: dict[str, bytes], active: str, mode: AuthMode, message: str
) -> None:
    with pytest.raises(KeyringError) as caught:
        Keyring(keys, active, mode)
    assert str(caught.value) == message


def test_mode_off_needs_no_keys() -> None:
    assert not Keyring({}, "", AuthMode.OFF).signs


def test_a_ring_does_not_change_with_the_dict_it_was_made_of() -> None:
    keys = {"k1": OLD}
    keyring = Keyring(keys, "k1", AuthMode.REQUIRE)
    keys["k2"] = NEW
    assert trigger_of(keyring, key_id="k2", digest=bytes(32)) is Trigger.UNKNOWN_KEY
