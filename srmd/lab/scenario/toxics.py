"""Faults of the network as toxics on the four directed proxies between a pair.

Pure: a fault becomes values, whoever owns the proxies applies them, over Toxiproxy's API on real
processes, directly in virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from srmd.lab.scenario.durations import Duration
from srmd.lab.scenario.verbs import (
    Channel,
    Cut,
    Delay,
    Direction,
    Disturb,
    Disturbance,
    DropNext,
    Flap,
    Heal,
    Hold,
    HoldUntilDeadline,
    Limit,
    Lose,
    NetworkFault,
    Reset,
)

BURST_CORRELATION: Final = 0.5
"""What the loss of one heartbeat adds to the probability for the next; ours."""
CORRUPT_BITS: Final = 8
TRUNCATED_BYTES: Final = 24
"""What is left of a truncated heartbeat: less than its signature."""
REPLAY_WINDOW: Final = 1000
"""Old heartbeats to choose from: so many that those of an older incarnation are among them."""
REORDER_GAP: Final = 2
"""So many later heartbeats overtake one."""

UPSTREAM: Final = "upstream"
DOWNSTREAM: Final = "downstream"


@dataclass(frozen=True, slots=True)
class Link:
    """One directed proxy: heartbeats, or control calls, of one node to the other."""

    channel: Channel
    direction: Direction

    @property
    def name(self) -> str:
        """`heartbeats_a_to_b`, as the proxies are called."""
        return f"{self.channel.value}_{self.direction.value.replace('->', '_to_')}"


LINKS: Final = tuple(
    Link(channel, direction)
    for channel in (Channel.HEARTBEATS, Channel.CONTROL)
    for direction in (Direction.A_TO_B, Direction.B_TO_A)
)


@dataclass(frozen=True, slots=True)
class Harm:
    """What one fault does to one link.  Without a toxic: the link refuses."""

    link: Link
    kind: str
    """Names the harm on its link; a new one replaces an older of the same kind."""
    toxic: str = ""
    stream: str = UPSTREAM
    attributes: Mapping[str, float] = field(default_factory=dict)

    @property
    def refuses(self) -> bool:
        return not self.toxic

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.stream}"


def links_of(channel: Channel, direction: Direction) -> tuple[Link, ...]:
    """TCP needs both directions: a one-way cut of everything takes control both ways with it."""
    if channel is Channel.ALL:
        return (
            *links_of(Channel.HEARTBEATS, direction),
            *links_of(Channel.CONTROL, Direction.BOTH),
        )
    return tuple(Link(channel, way) for way in direction.ways)


def healed_by(heal: Heal) -> tuple[Link, ...]:
    """The links that `heal` is about: with a direction, only those of this direction."""
    channels = (
        (Channel.HEARTBEATS, Channel.CONTROL) if heal.channel is Channel.ALL else (heal.channel,)
    )
    return tuple(Link(channel, way) for channel in channels for way in heal.direction.ways)


def harms(fault: NetworkFault, timers: Mapping[str, float]) -> tuple[Harm, ...]:
    """What the fault does, link by link."""

    def ms(length: Duration) -> int:
        return round(length.seconds(timers) * 1000)

    def beats(kind: str, toxic: str, **attributes: float) -> tuple[Harm, ...]:
        links = links_of(Channel.HEARTBEATS, fault.direction)
        return tuple(Harm(link, kind, toxic, attributes=attributes) for link in links)

    def all_streams(kind: str, toxic: str, **attributes: float) -> tuple[Harm, ...]:
        assert isinstance(fault, (Delay, Limit))
        return tuple(
            Harm(link, kind, toxic, stream, attributes)
            for link in links_of(fault.channel, fault.direction)
            for stream in _streams(link)
        )

    match fault:
        case Cut(channel=channel, direction=direction, refuse=refuse):
            return tuple(
                harm
                for link in links_of(channel, direction)
                for harm in ([Harm(link, "refuse")] if refuse else _silence(link))
            )
        case Lose():
            return beats(
                "lose",
                "packet_loss",
                loss_rate=fault.percent / 100,
                correlation=BURST_CORRELATION if fault.bursts else 0.0,
            )
        case DropNext():
            return beats("drop_next", "drop_next", count=fault.count)
        case Disturb():
            attributes = _DISTURBANCES[fault.how]
            return beats(
                fault.how.value, fault.how.value, probability=fault.percent / 100, **attributes
            )
        case Delay():
            jitter_ms = 0 if fault.jitter is None else ms(fault.jitter)
            return all_streams("delay", "latency", latency=ms(fault.by), jitter=jitter_ms)
        case Limit():
            return all_streams("limit", "bandwidth", rate=fault.kilobytes_per_s)
        case Hold() | HoldUntilDeadline():
            return beats("hold", "hold")
        case Flap():
            return beats("flap", "flap", up=ms(fault.up), down=ms(fault.down))
        case Reset():
            return tuple(
                Harm(link, "reset", "reset_peer", attributes={"timeout": 0})
                for link in links_of(Channel.CONTROL, fault.direction)
            )


_DISTURBANCES: Final[Mapping[Disturbance, Mapping[str, int]]] = {
    Disturbance.DUPLICATE: {"copies": 1},
    Disturbance.REORDER: {"gap": REORDER_GAP},
    Disturbance.REPLAY: {"window": REPLAY_WINDOW},
    Disturbance.CORRUPT: {"bits": CORRUPT_BITS},
    Disturbance.TRUNCATE: {"bytes": TRUNCATED_BYTES},
}


def _silence(link: Link) -> list[Harm]:
    return [Harm(link, "cut", "timeout", stream, {"timeout": 0}) for stream in _streams(link)]


def _streams(link: Link) -> tuple[str, ...]:
    """Heartbeats are not answered; a call is a request and its response."""
    return (UPSTREAM,) if link.channel is Channel.HEARTBEATS else (UPSTREAM, DOWNSTREAM)
