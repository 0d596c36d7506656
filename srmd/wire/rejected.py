"""Why a datagram or a control request was dropped, in one word and in a sentence."""

from __future__ import annotations

from enum import Enum

from srmd.core.texts import Text


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
    ECHO = "echo"
    """A heartbeat of ours that came back to us."""
    CLONE = "clone"
    """Another node has our id."""


class Rejected(Exception):
    """It was not accepted; nothing may be concluded from it but what `authentic` allows.

    `authentic` means that it passed the authentication that our mode asks for: then a `version`,
    `group`, `sender` or `receiver` that differs is a misconfigured peer (R11), not a stranger.
    A node's own datagram can be sent back to it: a `sender` that is ourselves proves nothing by
    itself, see `srmd.node.heartbeats`.
    `detail` is a Text where an operator reads it as the reason of a mismatch.
    """

    def __init__(
        self,
        trigger: Trigger,
        detail: str | Text,
        *,
        authentic: bool = False,
        sender: str | None = None,
    ) -> None:
        text = Text(detail, detail) if isinstance(detail, str) else detail
        super().__init__(f"{trigger.value}: {text.en}")
        self.trigger = trigger
        self.text = text
        self.detail = text.en
        self.authentic = authentic
        self.sender = sender
