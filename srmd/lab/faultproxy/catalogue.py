"""Which toxics exist for which protocol, under the names of the API."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from srmd.lab.faultproxy import datagrams, streams
from srmd.lab.faultproxy.toxic import Toxic


class Protocol(Enum):
    """What a proxy carries."""

    TCP = "tcp"
    UDP = "udp"


class UnknownToxic(Exception):
    """No toxic of this name exists for the protocol.  The message says what there is."""


DATAGRAM_TOXICS: Mapping[str, type[datagrams.DatagramToxic]] = {
    kind.TYPE: kind
    for kind in (
        datagrams.DatagramToxic,
        datagrams.Latency,
        datagrams.PacketLoss,
        datagrams.Duplicate,
        datagrams.Reorder,
        datagrams.Corrupt,
        datagrams.Truncate,
        datagrams.Bandwidth,
        datagrams.Timeout,
        datagrams.LimitData,
        datagrams.Hold,
        datagrams.Flap,
        datagrams.DropNext,
        datagrams.Replay,
    )
}

STREAM_TOXICS: Mapping[str, type[streams.StreamToxic]] = {
    kind.TYPE: kind
    for kind in (
        streams.StreamToxic,
        streams.Latency,
        streams.Bandwidth,
        streams.Timeout,
        streams.ResetPeer,
        streams.SlowClose,
        streams.LimitData,
        streams.Slicer,
        streams.PacketLoss,
    )
}


def toxic_for(protocol: Protocol, type_name: str, *, strict: bool) -> Toxic:
    """A new toxic with default attributes.

    A lenient server takes a toxic for streams on a UDP proxy and lets it do nothing.
    Raises UnknownToxic.
    """
    ours, theirs = DATAGRAM_TOXICS, STREAM_TOXICS
    kinds: Mapping[str, type[Toxic]] = ours if protocol is Protocol.UDP else theirs
    if type_name in kinds:
        return kinds[type_name]()
    if type_name in theirs:
        if not strict:
            return theirs[type_name]()
        raise UnknownToxic(
            f"{type_name} works on streams and means nothing for udp; use one of {_names(ours)}"
        )
    if type_name in ours:
        raise UnknownToxic(
            f"{type_name} works on datagrams and means nothing for tcp; use one of {_names(theirs)}"
        )
    # The exact words of Toxiproxy, which clients compare.
    raise UnknownToxic("invalid toxic type")


def is_effective(protocol: Protocol, toxic: Toxic) -> bool:
    """False for a toxic that a lenient server only shows."""
    return protocol is Protocol.TCP or isinstance(toxic, datagrams.DatagramToxic)


def _names(kinds: Mapping[str, type[Toxic]]) -> str:
    return ", ".join(sorted(kinds))
