"""Headers that tell who sent a control request, and that it is neither changed nor repeated.

A digest covers every part by its length, so that no two different requests read the same.  The
response's digest covers the request's: an answer to another question is not an answer.
The rules and their order are those of the heartbeat.  Names are percent-encoded, for ASCII.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from srmd.wire.codec import MAX_NUMBER
from srmd.wire.control import MAX_BODY_BYTES
from srmd.wire.heartbeat import PROTOCOL_VERSION
from srmd.wire.keys import DIGEST_BYTES, Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import CONTROL_WIDTH, Mark, is_stale, seen

VERSION = "X-SRM-Version"
SENDER = "X-SRM-Sender"
RECEIVER = "X-SRM-Receiver"
GROUP = "X-SRM-Group"
INCARNATION = "X-SRM-Incarnation"
SEQ = "X-SRM-Seq"
KEY = "X-SRM-Key"
DIGEST = "X-SRM-Digest"
SOFTWARE = "X-SRM-Software"
"""Version of the program, for the eyes of administrators.  It is outside the digest, no decision
depends on it, and a node that does not know the header passes over it."""

IDENTITY_HEADERS = (VERSION, SENDER, RECEIVER, GROUP, INCARNATION, SEQ)
MAX_HEADER_CHARS = 1000
"""A name of 64 characters needs at most 768, percent-encoded."""

_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SOFTWARE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,31}", re.ASCII)
_DIGEST = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}", re.ASCII)
_PLAIN = re.compile(rf"[!-~]{{1,{MAX_HEADER_CHARS}}}", re.ASCII)


def sign_request(
    keyring: Keyring,
    *,
    method: str,
    path: str,
    sender: str,
    receiver: str,
    group: str,
    incarnation: int,
    seq: int,
    body: bytes,
    version: int = PROTOCOL_VERSION,
) -> dict[str, str]:
    """The headers of a request.  `path` is what follows the host, with the query, as it is sent."""
    assert incarnation >= 1
    assert seq >= 1
    headers = {
        VERSION: str(version),
        SENDER: quote(sender, safe=""),
        RECEIVER: quote(receiver, safe=""),
        GROUP: quote(group, safe=""),
        INCARNATION: str(incarnation),
        SEQ: str(seq),
    }
    if keyring.signs:
        headers[KEY] = keyring.active
        message = _request_message(headers, method=method, path=path, body=body)
        headers[DIGEST] = keyring.digest(message, key_id=keyring.active).hex()
    return headers


def verify_request(
    keyring: Keyring,
    headers: Mapping[str, str],
    *,
    method: str,
    path: str,
    receiver: str,
    group: str,
    body: bytes,
    mark: Mark,
    version: int = PROTOCOL_VERSION,
) -> Verified:
    """Who sent the request, and the mark it leaves; raises Rejected.

    The mark is that of the node which may send, so the caller refuses another sender and then keeps
    the old mark.  A request without any of our headers is accepted where the mode allows it.

    Where a message may pass without a digest, numbers are no reason to refuse one, and leave no
    mark: anyone could shut the peer out with the highest number.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(Trigger.TOO_LONG, f"{len(body)} bytes of at most {MAX_BODY_BYTES}")
    ours = _ours(headers)
    if not ours:
        keyring.check(b"", key_id="", digest=None)
        return Verified("", mark, proved=False)
    request = _read_identity(ours)
    message = _request_message(ours, method=method, path=path, body=body)
    stale = keyring.proves and is_stale(
        mark, incarnation=request.incarnation, seq=request.seq, width=CONTROL_WIDTH
    )
    if request.version != version:
        raise Rejected(
            Trigger.VERSION,
            f"protocol version {request.version}, and we speak {version}: "
            "install the same release of srmd on both nodes",
            authentic=not stale and _is_authentic(keyring, ours, message),
            sender=request.sender,
        )
    if stale:
        raise Rejected(
            Trigger.STALE,
            f"incarnation {request.incarnation}, sequence {request.seq} "
            f"after {mark.incarnation}, {mark.seq}",
            sender=request.sender,
        )
    proved = _authenticate(keyring, ours, message)
    if request.group != group:
        raise Rejected(
            Trigger.GROUP,
            f"group.name is {request.group!r} there and {group!r} here",
            authentic=True,
            sender=request.sender,
        )
    if request.receiver != receiver:
        raise Rejected(
            Trigger.RECEIVER,
            f"it is for node {request.receiver!r}, and this is {receiver!r}: "
            "compare peer.id and peer.control there with node.id here",
            authentic=True,
            sender=request.sender,
        )
    if keyring.proves:
        mark = seen(mark, incarnation=request.incarnation, seq=request.seq, width=CONTROL_WIDTH)
    return Verified(request.sender, mark, proved)


def software_of(headers: Mapping[str, str]) -> str | None:
    """Version of the program that sent a message; None where it tells none that can be shown."""
    told = [value for name, value in headers.items() if name.lower() == SOFTWARE.lower()]
    return told[0] if len(told) == 1 and _SOFTWARE.fullmatch(told[0]) else None


def is_authentic(
    keyring: Keyring, headers: Mapping[str, str], *, method: str, path: str, body: bytes
) -> bool:
    """The request has a digest that fits one of our keys, whatever else is wrong with it.

    Such an asker may be told in a signed answer what that is.
    """
    try:
        ours = _ours(headers)
        _read_identity(ours)
    except Rejected:
        return False
    if DIGEST not in ours or len(body) > MAX_BODY_BYTES:
        return False
    return _is_authentic(keyring, ours, _request_message(ours, method=method, path=path, body=body))


def request_digest(headers: Mapping[str, str]) -> str:
    """The digest to which the response is bound; "" for a request that has none."""
    return _ours(headers).get(DIGEST, "")


def sign_response(
    keyring: Keyring, *, request_digest: str, status: int, body: bytes
) -> dict[str, str]:
    """The headers of a response; none in mode off."""
    if not keyring.signs:
        return {}
    message = _response_message(keyring.active, request_digest, status, body)
    return {KEY: keyring.active, DIGEST: keyring.digest(message, key_id=keyring.active).hex()}


def verify_response(
    keyring: Keyring,
    headers: Mapping[str, str],
    *,
    request_digest: str,
    status: int,
    body: bytes,
) -> bool:
    """The response answers our request and is unchanged, or Rejected says why not.

    True when a digest proves it.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(Trigger.TOO_LONG, f"{len(body)} bytes of at most {MAX_BODY_BYTES}")
    ours = _ours(headers)
    message = _response_message(ours.get(KEY, ""), request_digest, status, body)
    return _authenticate(keyring, ours, message)


@dataclass(frozen=True, slots=True)
class Verified:
    """The sender of a request, as far as the mode asks."""

    sender: str
    """Empty for a request that has none of our headers."""
    mark: Mark
    """The mark after the request; the old one where no digest is required."""
    proved: bool
    """A digest shows that the sender made it."""


@dataclass(frozen=True, slots=True)
class _Identity:
    version: int
    sender: str
    receiver: str
    group: str
    incarnation: int
    seq: int


def _ours(headers: Mapping[str, str]) -> dict[str, str]:
    """Our headers under the names as we write them; HTTP does not care about their case."""
    known = {name.lower(): name for name in (*IDENTITY_HEADERS, KEY, DIGEST)}
    found: dict[str, str] = {}
    for given, value in headers.items():
        name = known.get(given.lower())
        if name is None:
            continue
        if name in found:
            raise Rejected(Trigger.MALFORMED, f"{name}: is there twice")
        if not _PLAIN.fullmatch(value):
            raise Rejected(Trigger.MALFORMED, f"{name}: {value[:60]!a} is not printable ASCII")
        found[name] = value
    return found


def _read_identity(ours: Mapping[str, str]) -> _Identity:
    for name in IDENTITY_HEADERS:
        if name not in ours:
            raise Rejected(Trigger.MALFORMED, f"{name}: is missing")
    return _Identity(
        version=_number(ours, VERSION),
        sender=_name(ours, SENDER),
        receiver=_name(ours, RECEIVER),
        group=_name(ours, GROUP),
        incarnation=_number(ours, INCARNATION),
        seq=_number(ours, SEQ),
    )


def _number(ours: Mapping[str, str], name: str) -> int:
    if not _NUMBER.fullmatch(ours[name]) or int(ours[name]) > MAX_NUMBER:
        raise Rejected(
            Trigger.MALFORMED, f"{name}: {ours[name][:60]!r} is not a number from 1 to {MAX_NUMBER}"
        )
    return int(ours[name])


def _name(ours: Mapping[str, str], name: str) -> str:
    try:
        return unquote(ours[name], errors="strict")
    except UnicodeDecodeError:
        raise Rejected(
            Trigger.MALFORMED, f"{name}: {ours[name][:60]!r} is not percent-encoded UTF-8"
        ) from None


def _authenticate(keyring: Keyring, ours: Mapping[str, str], message: bytes) -> bool:
    """Raises Rejected; True when a digest proves the message."""
    digest = ours.get(DIGEST)
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise Rejected(
            Trigger.MALFORMED, f"{DIGEST}: {digest[:70]!r} is not {2 * DIGEST_BYTES} hex digits"
        )
    return keyring.check(
        message,
        key_id=ours.get(KEY, ""),
        digest=None if digest is None else bytes.fromhex(digest),
    )


def _is_authentic(keyring: Keyring, ours: Mapping[str, str], message: bytes) -> bool:
    try:
        _authenticate(keyring, ours, message)
    except Rejected:
        return False
    return True


def _request_message(headers: Mapping[str, str], *, method: str, path: str, body: bytes) -> bytes:
    return _joined(
        "srmd request",
        method,
        path,
        *(headers[name] for name in IDENTITY_HEADERS),
        headers.get(KEY, ""),
        hashlib.sha256(body).hexdigest(),
    )


def _response_message(key_id: str, request_digest: str, status: int, body: bytes) -> bytes:
    return _joined(
        "srmd response",
        str(PROTOCOL_VERSION),
        key_id,
        request_digest,
        str(status),
        hashlib.sha256(body).hexdigest(),
    )


def _joined(*parts: str) -> bytes:
    """The parts, each after its length, so that none can pass for another."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
