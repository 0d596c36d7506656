"""The heartbeat: one UDP datagram, in which a node says all that its peer needs to decide.

    offset  bytes
         0      4  magic `SRMh`
         4      1  protocol version
         5      1  flags: 1 = a digest follows the body; the others are 0
         6     16  key id, ASCII, filled with zeros; all zeros without a digest
        22      8  incarnation of the sender, big-endian
        30      8  sequence number, big-endian
        38         body: compact JSON
       -32     32  HMAC-SHA256 of all before it

Header and digest stay as they are in all versions, so that a version that differs can still be told
from a forgery.  Nothing of a datagram is believed before its digest is checked, and no digest is
computed for one that is stale: a flood of repeats costs little.  The mark moves only with a good
digest and a well-formed body.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Annotated, cast

from srmd.core.events import Report
from srmd.core.states import State
from srmd.core.texts import MISMATCHES
from srmd.wire.codec import (
    MAX_NUMBER,
    MalformedMessage,
    Span,
    check_believable,
    codec,
    dump_json,
    parse_json,
)
from srmd.wire.keys import DIGEST_BYTES, MAX_KEY_ID_BYTES, Keyring, is_key_id
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import HEARTBEAT_WIDTH, Mark, is_stale, seen

MAGIC = b"SRMh"
PROTOCOL_VERSION = 1
MAX_DATAGRAM_BYTES = 1200
"""Fits one packet on every path in use, so that a heartbeat is never lost by halves (ours)."""
MAX_SERVICES_DOWN = 16
MAX_SERVICES_DOWN_BYTES = 350

HEADER = struct.Struct(f">4sBB{MAX_KEY_ID_BYTES}sQQ")
HAS_DIGEST = 1

Name = Annotated[str, Span(1, 64)]
"""Of a node, a group or a service."""
Identity = Annotated[str, Span(1, 40)]
"""Of a boot or a database: a UUID or the like."""
Users = Annotated[int, Span(0, 9_999_999)]
Seconds = Annotated[int, Span(0, 9_999_999)]
Positive = Annotated[int, Span(1, MAX_NUMBER)]


class DatagramTooLong(ValueError):
    """A heartbeat would not fit one datagram."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a node shows of its services and its database, for the eyes at its peer."""

    assigned: Users
    """Users whose home it is."""
    served: Users
    services_down: Annotated[tuple[Name, ...], Span(0, MAX_SERVICES_DOWN)]
    """Critical services that do not run; see `cut_services`."""
    database: bool
    """The database answers."""
    db_id: Annotated[str, Span(0, 40)]
    """Which database; empty while none is open."""
    users_revision: int
    placement_op: int
    relogin: tuple[Seconds, Seconds]
    """Client Re-Login Lower and Upper Limit, seconds."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat.  MalformedMessage when its parts contradict each other."""

    sender: Name
    group: Name
    boot_id: Identity
    incarnation: Positive
    """Grows with each start of the sender's SRM."""
    seq: Positive
    """Grows with each heartbeat of this incarnation."""
    leaving: bool
    """The node is about to go down: shutdown or reboot."""
    hears_incarnation: int
    hears_seq: int
    """The newest number under which the sender ever accepted a message of its peer, and can prove
    that it was the peer's; 0, 0 for none.  A peer that never sent it has lost its memory."""
    report: Report
    summary: Summary

    def __post_init__(self) -> None:
        if self.report.state is State.DOWN:
            raise MalformedMessage("12 (Down State) is never a node's own state", "report.state")
        if (self.hears_incarnation == 0) != (self.hears_seq == 0):
            raise MalformedMessage(
                f"{self.hears_seq} does not go with hears_incarnation {self.hears_incarnation}: "
                "both are 0, or none",
                "hears_seq",
            )


class WrongSender(Rejected):
    """A good heartbeat of a node that is not our peer."""

    def __init__(self, heartbeat: Heartbeat, peer: str) -> None:
        text = MISMATCHES["sender"].naming(there=repr(heartbeat.sender), here=repr(peer))
        super().__init__(Trigger.SENDER, text, authentic=True, sender=heartbeat.sender)
        self.heartbeat = heartbeat


def cut_services(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the names as a heartbeat has room for; the last item tells how many are left out.

    With this no heartbeat becomes too long because much is broken: silence would make it worse.
    """
    kept: list[str] = []
    room_bytes = MAX_SERVICES_DOWN_BYTES - len(dump_json(f"{len(names)} more")) - 1
    for index, name in enumerate(names):
        room_bytes -= len(dump_json(name)) + 1
        if room_bytes < 0 or len(kept) == MAX_SERVICES_DOWN - 1:
            return (*kept, f"{len(names) - index} more")
        kept.append(name)
    return tuple(kept)


def to_json(heartbeat: Heartbeat) -> dict[str, object]:
    """The whole heartbeat as a plain JSON object.  Raises MalformedMessage that names the field."""
    return cast("dict[str, object]", codec(Heartbeat).write(heartbeat))


def from_json(raw: object) -> Heartbeat:
    """The heartbeat of such an object.  Raises MalformedMessage that names the field."""
    return cast("Heartbeat", codec(Heartbeat).read(raw))


def encode(heartbeat: Heartbeat, keyring: Keyring, *, version: int = PROTOCOL_VERSION) -> bytes:
    """The datagram.  Raises MalformedMessage or DatagramTooLong."""
    body = to_json(heartbeat)
    del body["incarnation"], body["seq"]  # the header has them
    key_id = keyring.active if keyring.signs else ""
    message = HEADER.pack(
        MAGIC,
        version,
        HAS_DIGEST if keyring.signs else 0,
        key_id.encode("ascii"),
        heartbeat.incarnation,
        heartbeat.seq,
    ) + dump_json(body)
    if keyring.signs:
        message += keyring.digest(message, key_id=key_id)
    if len(message) > MAX_DATAGRAM_BYTES:
        raise DatagramTooLong(
            f"heartbeat: {len(message)} bytes are more than {MAX_DATAGRAM_BYTES}: "
            "shorten the names of the node and its group, and use cut_services"
        )
    return message


def decode(
    data: bytes,
    keyring: Keyring,
    *,
    group: str,
    peer: str,
    mark: Mark,
    version: int = PROTOCOL_VERSION,
) -> tuple[Heartbeat, Mark]:
    """The heartbeat of the peer and the mark it leaves; for anything else raises Rejected.

    A heartbeat that no digest proves acknowledges nothing: who believes it starts SRM anew.
    """
    datagram = _split(data)
    stale = is_stale(
        mark, incarnation=datagram.incarnation, seq=datagram.seq, width=HEARTBEAT_WIDTH
    )
    if datagram.version != version:
        # A stale one proves nothing: a recording from before an upgrade would stop the pair.
        raise Rejected(
            Trigger.VERSION,
            MISMATCHES["version"].naming(there=str(datagram.version), here=str(version)),
            authentic=not stale and _is_authentic(datagram, keyring),
        )
    if stale:
        raise Rejected(
            Trigger.STALE,
            f"incarnation {datagram.incarnation}, sequence {datagram.seq} "
            f"after {mark.incarnation}, {mark.seq}",
        )
    proved = _authenticate(datagram, keyring)
    try:
        heartbeat = _read_body(datagram)
        check_believable(grown(heartbeat), proved=proved)
    except MalformedMessage as error:
        raise Rejected(Trigger.MALFORMED, str(error), authentic=True) from None
    if heartbeat.group != group:
        raise Rejected(
            Trigger.GROUP,
            MISMATCHES["group"].naming(there=repr(heartbeat.group), here=repr(group)),
            authentic=True,
            sender=heartbeat.sender,
        )
    if heartbeat.sender != peer:
        raise WrongSender(heartbeat, peer)
    if not proved:
        heartbeat = replace(heartbeat, hears_incarnation=0, hears_seq=0)
    return heartbeat, seen(
        mark, incarnation=heartbeat.incarnation, seq=heartbeat.seq, width=HEARTBEAT_WIDTH
    )


def key_of(data: bytes) -> str:
    """The id of the key by which a datagram that was decoded is signed; empty where it is not."""
    datagram = _split(data)
    return _key_id(datagram) if datagram.digest is not None else ""


def look_at(data: bytes, keyring: Keyring) -> Heartbeat | None:
    """The heartbeat that a datagram would be if its numbers were new; None for what is none."""
    try:
        datagram = _split(data)
        _authenticate(datagram, keyring)
        return _read_body(datagram)
    except (Rejected, MalformedMessage):
        return None


def grown(heartbeat: Heartbeat) -> tuple[tuple[str, int], ...]:
    """The numbers of a heartbeat from which its receiver counts on, with their names."""
    return (
        ("hears_incarnation", heartbeat.hears_incarnation),
        ("report.op", heartbeat.report.op),
        ("report.ha_stamp", heartbeat.report.ha_stamp),
    )


@dataclass(frozen=True, slots=True)
class _Datagram:
    """The parts of a datagram; nothing is checked but its length and magic."""

    version: int
    flags: int
    key_field: bytes
    incarnation: int
    seq: int
    body: bytes
    signed: bytes
    digest: bytes | None


def _split(data: bytes) -> _Datagram:
    if len(data) < HEADER.size:
        raise Rejected(Trigger.TOO_SHORT, f"{len(data)} bytes, a header has {HEADER.size}")
    if len(data) > MAX_DATAGRAM_BYTES:
        raise Rejected(Trigger.TOO_LONG, f"more than {MAX_DATAGRAM_BYTES} bytes")
    magic, version, flags, key_field, incarnation, seq = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Rejected(
            Trigger.NOT_SRMD, f"begins with {magic.hex()}, a heartbeat with {MAGIC.hex()}"
        )
    end = len(data)
    if flags & HAS_DIGEST:
        end -= DIGEST_BYTES
        if end < HEADER.size:
            raise Rejected(Trigger.TOO_SHORT, f"{len(data)} bytes have no room for a digest")
    return _Datagram(
        version=version,
        flags=flags,
        key_field=key_field,
        incarnation=incarnation,
        seq=seq,
        body=data[HEADER.size : end],
        signed=data[:end],
        digest=data[end:] if flags & HAS_DIGEST else None,
    )


def _authenticate(datagram: _Datagram, keyring: Keyring) -> bool:
    """Raises Rejected; True when a digest proves the datagram."""
    return keyring.check(datagram.signed, key_id=_key_id(datagram), digest=datagram.digest)


def _key_id(datagram: _Datagram) -> str:
    # latin-1 reads any bytes; an id that is not one of ours is refused with the unknown ones.
    return datagram.key_field.rstrip(b"\0").decode("latin-1")


def _is_authentic(datagram: _Datagram, keyring: Keyring) -> bool:
    try:
        _authenticate(datagram, keyring)
    except Rejected:
        return False
    return True


def _read_body(datagram: _Datagram) -> Heartbeat:
    if datagram.flags & ~HAS_DIGEST:
        raise MalformedMessage(f"{datagram.flags:#04x} has unknown bits", "flags")
    key_id = datagram.key_field.rstrip(b"\0").decode("latin-1")
    if is_key_id(key_id) != (datagram.digest is not None):
        raise MalformedMessage(f"{key_id!r} does not go with the flags", "key id")
    body = parse_json(datagram.body)
    if not isinstance(body, dict):
        raise MalformedMessage("the body is not an object")
    for name in ("incarnation", "seq"):
        if name in body:
            raise MalformedMessage("belongs into the header, not into the body", name)
    return from_json({**body, "incarnation": datagram.incarnation, "seq": datagram.seq})
