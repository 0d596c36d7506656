"""Arithmetic on silence: when may a node say that its peer is down?

1. Every moment is passed in, in monotonic seconds of this process.  Nothing here reads a clock.
2. The peer is down at the deadline: the timeout after its last heartbeat, never earlier.
3. A heartbeat that arrives at the deadline counts: the shell drains its socket before it asks.
4. Silence proves nothing while we were not listening.  The shell ticks at least once an interval,
   and before it asks; a tick that comes too late tells that we were stopped (SIGSTOP, a frozen
   virtual machine, a stalled loop), and the deadline is then not before one interval from now.
5. That indulgence is bounded: a node that stalls without end would never see a dead peer.

On waking at the deadline: `ticked`, drain the socket (`heard` for each heartbeat), `is_down`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

LATENESS_MIN_S = 0.05
"""Lateness of a tick that never counts as a stall.  Ours: a loaded machine runs a periodic timer up
to 40 ms late at the 99th percentile, and what arrived meanwhile waits in the socket."""

STALLS_FORGIVEN_MAX = 3
"""How often one silence of the peer may be prolonged because we stalled.  Ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """The silence of the peer.  A value: `watch`, `heard` and `ticked` give the next one.

    Source: HA guide, "Keep Alive (Heartbeat) Timeout" and "Initialization Keep Alive (Heartbeat)
    Timeout"; ours: points 3 to 5 of this file.
    """

    interval_s: float
    timeout_s: float
    initialization_timeout_s: float
    since_s: float
    """Last heartbeat of the peer, or when we began to listen."""
    ticked_s: float
    not_before_s: float = -math.inf
    """The end of the interval for which we listen after a stall."""
    stalls_count: int = 0
    """Stalls that have prolonged this silence."""

    def __post_init__(self) -> None:
        assert 0 < self.interval_s <= self.timeout_s <= self.initialization_timeout_s, self

    @classmethod
    def begin(
        cls,
        *,
        interval_s: float,
        timeout_s: float,
        initialization_timeout_s: float,
        now_s: float,
    ) -> Detector:
        """The detector of an SRM that starts now."""
        return cls(
            interval_s=interval_s,
            timeout_s=timeout_s,
            initialization_timeout_s=initialization_timeout_s,
            since_s=now_s,
            ticked_s=now_s,
        )

    def watch(self, now_s: float) -> Detector:
        """The silence is counted afresh: our SRM started again."""
        return replace(self, since_s=now_s, ticked_s=now_s, not_before_s=-math.inf, stalls_count=0)

    def heard(self, now_s: float) -> Detector:
        """A valid heartbeat was received."""
        return replace(
            self, since_s=max(self.since_s, now_s), not_before_s=-math.inf, stalls_count=0
        )

    def ticked(self, now_s: float) -> Detector:
        """We are awake.  To be told at least once an interval, and before `is_down`."""
        prolonged_s = now_s + self.interval_s
        blameless = (
            self._stalled(now_s)
            and prolonged_s > self.since_s + self.timeout_s
            and self.stalls_count < STALLS_FORGIVEN_MAX
        )
        if not blameless:
            return replace(self, ticked_s=now_s)
        return replace(
            self, ticked_s=now_s, not_before_s=prolonged_s, stalls_count=self.stalls_count + 1
        )

    def deadline_s(self, initializing: bool) -> float:
        """When the peer counts as down, if it stays silent and we stay awake."""
        timeout_s = self.initialization_timeout_s if initializing else self.timeout_s
        return max(self.since_s + timeout_s, self.not_before_s)

    def is_down(self, now_s: float, initializing: bool) -> bool:
        """The peer has been silent for the timeout, and we were awake to hear it.

        False also when the last tick is too old: who has not ticked cannot know that it listened.
        """
        return now_s >= self.deadline_s(initializing) and not self._stalled(now_s)

    def silent_s(self, now_s: float) -> float:
        return max(0.0, now_s - self.since_s)

    def beats_missed(self, now_s: float) -> int:
        """How many heartbeats are overdue.

        Ours: one is overdue when it is half an interval late, so that jitter does not show; at a
        timeout of four intervals three are missed, and the fourth is the one that may yet come.
        """
        return max(0, math.floor(self.silent_s(now_s) / self.interval_s - 0.5))

    def seconds_to_peer_down(self, now_s: float, initializing: bool) -> float:
        return max(0.0, self.deadline_s(initializing) - now_s)

    def _stalled(self, now_s: float) -> bool:
        """Half an interval of lateness may hide a heartbeat; less cannot hide two in a row."""
        lateness_s = now_s - self.ticked_s - self.interval_s
        return lateness_s > max(self.interval_s / 2, LATENESS_MIN_S)
