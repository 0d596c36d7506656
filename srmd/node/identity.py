"""Tells this node from others that use its id, at this node and at its peer.

Each heartbeat has a number, (incarnation, sequence), that its sender never gives twice, as long as
it keeps its memory.  So a number tells who we have to do with:

- Under our own id, a number that we have sent, of our own boot: an echo.  A number that we cannot
  have sent: a clone, a second node that runs on our configuration file.  A lower one of another
  boot can be either a clone or a recording, and so proves nothing.
- Acknowledged by our peer, a number that we have not sent: we have lost our memory, or were put
  back to an older state, and go on above it.  When that happens again soon after, it is not
  our memory: the peer receives another node of our id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from srmd.core.texts import MISMATCHES, Text
from srmd.wire.heartbeat import Heartbeat
from srmd.wire.rejected import Rejected, Trigger

PAUSE_S = 60.0
"""After a start above a lost number, the next one waits so long, and twice as long each time."""
PAUSE_MAX_S = 600.0

Number = tuple[int, int]
"""Incarnation and sequence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Numbers that this run of SRM can have sent."""

    boot_id: str
    newest: Number

    def has(self, heartbeat: Heartbeat) -> bool:
        """We have sent this heartbeat, in this run or an earlier one of this boot."""
        number = (heartbeat.incarnation, heartbeat.seq)
        return heartbeat.boot_id == self.boot_id and number <= self.newest

    def excludes(self, heartbeat: Heartbeat) -> bool:
        """No run of this node has sent this heartbeat: another boot had our incarnation, or it is
        ahead of us."""
        number = (heartbeat.incarnation, heartbeat.seq)
        elsewhere = heartbeat.boot_id != self.boot_id and heartbeat.incarnation == self.newest[0]
        return number > self.newest or elsewhere


def under_our_id(heartbeat: Heartbeat, sent: Sent, *, me: str, peer: str) -> Rejected:
    """Classify a good heartbeat that names us as its sender; authentic: surely a clone."""
    trigger = Trigger.ECHO if sent.has(heartbeat) else Trigger.CLONE
    text = MISMATCHES[trigger.value].naming(me=me, peer=peer)
    return Rejected(trigger, text, authentic=sent.excludes(heartbeat), sender=me)


def other_receiver(*, me: str, peer: str, pause_s: float) -> Text:
    """The peer acknowledges again what this node has not sent; `pause_s`: see Renumbering."""
    return MISMATCHES["other_receiver"].naming(me=me, peer=peer, pause_s=f"{pause_s:.0f}")


def acknowledged(heartbeat: Heartbeat) -> Number:
    """The newest number of ours that the peer can prove to have received, in any run."""
    return (heartbeat.hears_incarnation, heartbeat.hears_seq)


class Renumbering:
    """Starts of SRM above a number that was forgotten, bounded; kept over all runs of a boot.

    Two pairs whose addresses are crossed in a ring would drive each other up without an end.
    """

    def __init__(self) -> None:
        self._next_s = -math.inf
        self._pause_s = 0.0

    def begin(self, now_s: float) -> float:
        """SRM is to start above the number.  0: it may.  Else it waits, at most so many seconds."""
        if now_s < self._next_s:
            return self._pause_s
        self._pause_s = PAUSE_S if self._pause_s == 0 else min(2 * self._pause_s, PAUSE_MAX_S)
        self._next_s = now_s + self._pause_s
        return 0.0
