"""The clocks of the hosts against each other, from the heartbeats themselves.

Each beat that one node sent and the other heard gives a difference of two clocks: the offset and
the delay on the way.  A delay is never negative, so the smallest difference of each direction
bounds the offset from one side; the middle of the two bounds is the estimate, half of their
distance what it may be wrong by (as NTP does it; exact when both directions are equally fast at
their best).

Clocks that no beat joins are laid side by side by their wall clocks, and it is said so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from srmd.core.texts import Text
from srmd.wire.journal import Beats

PAIRS_MIN = 1


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the clock of one node is ahead of the other's."""

    node: str
    of: str
    offset_s: float
    uncertainty_s: float | None
    """None: by wall clocks, nobody knows."""
    beats_count: int

    def told(self) -> Text:
        """For people."""
        if self.uncertainty_s is None:
            return Text(
                f"clock of {self.node} against {self.of}: laid side by side by their wall clocks;"
                " no heartbeat of both directions joins them",
                f"{self.node} と {self.of} の時計: 双方向のハートビートがないため、"
                "実時刻で並べています",
            )
        ahead, about = f"{self.offset_s * 1000:+.3f} ms", f"+-{self.uncertainty_s * 1000:.3f} ms"
        return Text(
            f"clock of {self.node} minus clock of {self.of}: {ahead}, {about},"
            f" from {self.beats_count} heartbeats",
            f"{self.node} の時計 - {self.of} の時計: {ahead}、{about}"
            f" (ハートビート {self.beats_count} 個による)",
        )


@dataclass(frozen=True, slots=True)
class Flight:
    """A heartbeat, each moment on the clock of the node that has noted it."""

    sender: str
    incarnation: int
    seq: int
    sent_s: float | None
    heard_s: float | None


def flights(sender: str, sent_by: Iterable[Beats], heard_by: Iterable[Beats]) -> list[Flight]:
    """The beats of one direction, as far as either side has noted them, in the order of sending."""
    sent = {(beats.incarnation, one.seq): one.at_s for beats in sent_by for one in beats.sent}
    heard = {(one.incarnation, one.seq): one.at_s for beats in heard_by for one in beats.heard}
    return [
        Flight(sender, *key, sent.get(key), heard.get(key)) for key in sorted(sent.keys() | heard)
    ]


def offset(node: str, of: str, to_node: Iterable[Flight], back: Iterable[Flight]) -> Offset | None:
    """How far the clock of `node` is ahead of that of `of`; None when a direction has no beat.

    `to_node` are the beats of `of` that `node` heard, `back` those the other way.
    """
    towards = [_difference_s(one) for one in to_node if _is_whole(one)]
    backwards = [_difference_s(one) for one in back if _is_whole(one)]
    if len(towards) < PAIRS_MIN or len(backwards) < PAIRS_MIN:
        return None
    most_s, least_s = min(towards), -min(backwards)
    return Offset(
        node,
        of,
        (most_s + least_s) / 2,
        abs(most_s - least_s) / 2,
        len(towards) + len(backwards),
    )


def _is_whole(flight: Flight) -> bool:
    return flight.sent_s is not None and flight.heard_s is not None


def _difference_s(flight: Flight) -> float:
    assert flight.sent_s is not None
    assert flight.heard_s is not None
    return flight.heard_s - flight.sent_s
