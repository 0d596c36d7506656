"""Which sequence numbers of the peer were seen, so that nothing counts twice.

The sender's incarnation grows with each start of its SRM, its sequence with each message; both
begin at 1.  A higher incarnation starts over, a lower one is stale.  Within one incarnation a
window of the last `width` numbers is remembered, as IPsec does (RFC 4303, 3.4.3): each may come
once, in any order; what lies before the window is stale.  Width 1: strictly increasing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from srmd.wire.codec import codec

HEARTBEAT_WIDTH = 1
"""A heartbeat that was overtaken says nothing new."""
CONTROL_WIDTH = 64
"""Control requests may be under way side by side."""
MAX_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest sequence number seen, and which of those just before it.

    Bit i of `window` is set when `seq - 1 - i` was seen.  `Mark()`: nothing was.
    """

    incarnation: int = 0
    seq: int = 0
    window: int = 0


def is_stale(mark: Mark, *, incarnation: int, seq: int, width: int) -> bool:
    """The number was seen, or is too old to tell."""
    assert 1 <= width <= MAX_WIDTH
    if incarnation < 1 or seq < 1 or incarnation < mark.incarnation:
        return True
    if incarnation > mark.incarnation or seq > mark.seq:
        return False
    behind = mark.seq - seq
    return behind == 0 or behind >= width or bool(mark.window >> (behind - 1) & 1)


def seen(mark: Mark, *, incarnation: int, seq: int, width: int) -> Mark:
    """The mark once this number is accepted.  It must not be stale."""
    assert not is_stale(mark, incarnation=incarnation, seq=seq, width=width)
    if incarnation > mark.incarnation:
        return Mark(incarnation, seq)
    kept = (1 << (width - 1)) - 1
    if seq < mark.seq:
        return Mark(incarnation, mark.seq, (mark.window | 1 << (mark.seq - seq - 1)) & kept)
    ahead = seq - mark.seq
    if ahead >= width:
        return Mark(incarnation, seq)
    # The old highest number becomes a bit; seq 0 (nothing seen) is never asked for.
    return Mark(incarnation, seq, ((mark.window << 1 | 1) << (ahead - 1)) & kept)


def mark_to_json(mark: Mark) -> dict[str, object]:
    """A plain JSON object, for a durable store."""
    return cast("dict[str, object]", codec(Mark).write(mark))


def mark_from_json(raw: object) -> Mark:
    """The mark again.  Raises MalformedMessage that names the field."""
    return cast("Mark", codec(Mark).read(raw))
