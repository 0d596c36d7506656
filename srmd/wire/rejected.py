"""Why a datagram or a control request was dropped, in one word and in a sentence."""

from __future__ import annotations

from enum import Enum


class Trigger(Enum):
    """What made us drop it.  The value is the word in logs and counters."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_SRMD = "not_srmd"
    """It does not begin as ours do: another program sent it."""
    VERSION = "version"
    STALE = "stale"
    """Seen before, or older than what was seen: a repeat, a late arrival or a replay."""
    UNKNOWN_KEY = "unknown_key"
    NO_DIGEST = "no_digest"
    BAD_DIGEST = "bad_digest"
    MALFORMED = "malformed"
    GROUP = "group"
    SENDER = "sender"
    RECEIVER = "receiver"


class Rejected(Exception):
    """It was not accepted; nothing may be concluded from it but what `authentic` allows.

    `authentic` means that it passed the authentication that our mode asks for: then a `version`,
    `group`, `sender` or `receiver` that differs is a misconfigured peer (R11), not a stranger.
    A node's own datagram can be sent back to it: a `sender` that is ourselves proves nothing.
    """

    def __init__(
        self, trigger: Trigger, detail: str, *, authentic: bool = False, sender: str | None = None
    ) -> None:
        super().__init__(f"{trigger.value}: {detail}")
        self.trigger = trigger
        self.detail = detail
        self.authentic = authentic
        self.sender = sender
