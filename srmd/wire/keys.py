"""The secrets a pair shares, and what their use is worth in each mode.

A rotation without an outage: add the new key on both nodes, make it the active one on both, remove
the old one on both.  An unkeyed pair becomes keyed likewise: off, accept, require.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from srmd.core.texts import MISMATCHES
from srmd.wire.rejected import Rejected, Trigger

DIGEST_BYTES = 32
MAX_KEY_ID_BYTES = 16
MIN_SECRET_BYTES = 16


class AuthMode(Enum):
    """How much authentication is asked for."""

    OFF = "off"
    """No digest is sent or checked."""
    ACCEPT = "accept"
    """A digest is sent; messages without one are accepted too, those with a wrong one never."""
    REQUIRE = "require"
    """A good digest is needed."""


class KeyringError(ValueError):
    """The keys cannot be used as configured.  Never shows a secret."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Keyring:
    """Signs with the active key, accepts every key it holds.  HMAC-SHA256.

    Key ids are 1 to 16 printable ASCII characters.  Raises KeyringError.
    """

    keys: Mapping[str, bytes]
    active: str
    mode: AuthMode

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", dict(self.keys))
        for key_id, secret in self.keys.items():
            if not is_key_id(key_id):
                raise KeyringError(
                    f"auth.keys: {key_id!r} is not a key id "
                    f"(1-{MAX_KEY_ID_BYTES} printable ASCII characters, no space)"
                )
            if len(secret) < MIN_SECRET_BYTES:
                raise KeyringError(
                    f"auth.keys.{key_id}: {len(secret)} bytes are too few for a secret "
                    f"(at least {MIN_SECRET_BYTES})"
                )
        if self.signs and self.active not in self.keys:
            known = ", ".join(self.keys) or "none"
            raise KeyringError(f"auth.active: {self.active!r} is not among auth.keys ({known})")

    def __repr__(self) -> str:
        return f"Keyring(keys={sorted(self.keys)}, active={self.active!r}, mode={self.mode.value})"

    @property
    def proves(self) -> bool:
        """Nothing is accepted without a proof: what was accepted may be remembered."""
        return self.mode is AuthMode.REQUIRE

    @property
    def signs(self) -> bool:
        """Messages are sent with a digest."""
        return self.mode is not AuthMode.OFF

    def digest(self, message: bytes, *, key_id: str) -> bytes:
        """HMAC-SHA256 under a key of the ring."""
        return hmac.digest(self.keys[key_id], message, "sha256")

    def check(self, message: bytes, *, key_id: str, digest: bytes | None) -> bool:
        """The message is as good as the mode asks for, or Rejected says why not.

        A `digest` of None: the message came without one.  True when a digest proves the message;
        False when the mode lets it pass without a proof, so that anyone may have made it.
        """
        if self.mode is AuthMode.OFF:
            return False
        if digest is None:
            if self.mode is AuthMode.REQUIRE:
                raise Rejected(Trigger.NO_DIGEST, MISMATCHES["no_digest"])
            return False
        if key_id not in self.keys:
            known = ", ".join(self.keys)
            text = MISMATCHES["unknown_key"].naming(key=repr(key_id), known=known)
            raise Rejected(Trigger.UNKNOWN_KEY, text)
        if not hmac.compare_digest(self.digest(message, key_id=key_id), digest):
            text = MISMATCHES["bad_digest"].naming(key=repr(key_id))
            raise Rejected(Trigger.BAD_DIGEST, text)
        return True


def is_key_id(text: str) -> bool:
    """The text can name a key in a header: 1 to 16 printable ASCII characters, no space."""
    return 1 <= len(text) <= MAX_KEY_ID_BYTES and all("!" <= char <= "~" for char in text)
