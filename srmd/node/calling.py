"""One control call, without HTTP: the signed request, what it proves, and the signed answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from srmd.config import Config
from srmd.wire.control import (
    CommandMessage,
    Message,
    PlacementMessage,
    ReportMessage,
    UsersRequest,
    decode_message,
    encode_message,
)
from srmd.wire.keys import Keyring
from srmd.wire.rejected import Rejected, Trigger
from srmd.wire.replay import Mark
from srmd.wire.signing import (
    Verified,
    request_digest,
    sign_request,
    sign_response,
    verify_request,
    verify_response,
)

METHOD = "POST"
OPERATIONS_REMEMBERED = 256
"""Answers to commands of the peer that are kept, so that one that comes twice acts once."""


@dataclass(frozen=True, slots=True)
class Request:
    """What goes to the peer."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: status, signed headers, JSON body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


NOT_RUNNING = Answer(503, {}, b'{"error": "SRM does not run on this node"}')
MALFORMED = Answer(400, {}, b'{"error": "malformed control message"}')


def path_of(message: Message) -> str:
    match message:
        case ReportMessage():
            return "/control/v1/report"
        case CommandMessage():
            return "/control/v1/command"
        case PlacementMessage():
            return "/control/v1/placement"
        case UsersRequest():
            return "/control/v1/users"
        case _:
            raise AssertionError(f"{type(message).__name__} is an answer, not a request")


def request_of(
    message: Message, config: Config, keyring: Keyring, *, incarnation: int, seq: int
) -> Request:
    """Raises ValueError for a name or a number of ours that the wire cannot carry."""
    path, body = path_of(message), encode_message(message)
    headers = sign_request(
        keyring,
        method=METHOD,
        path=path,
        sender=config.node.id,
        receiver=config.peer.id,
        group=config.group.name,
        incarnation=incarnation,
        seq=seq,
        body=body,
        version=config.heartbeat.protocol_version,
    )
    return Request(path, headers, body)


def verified(request: Request, config: Config, keyring: Keyring, mark: Mark) -> Verified:
    """A request of our peer, and the mark it leaves; for any other raises Rejected."""
    found = verify_request(
        keyring,
        request.headers,
        method=METHOD,
        path=request.path,
        receiver=config.node.id,
        group=config.group.name,
        body=request.body,
        mark=mark,
        version=config.heartbeat.protocol_version,
    )
    # An empty sender is possible only where the mode asks for no digest.
    if found.sender not in {config.peer.id, ""}:
        raise Rejected(
            Trigger.SENDER,
            f"node.id is {found.sender!r} there and peer.id is {config.peer.id!r} here",
            authentic=True,
            sender=found.sender,
        )
    return found


def answer_of(message: Message, request: Request, keyring: Keyring) -> Answer:
    body = encode_message(message)
    digest = request_digest(request.headers)
    return Answer(200, sign_response(keyring, request_digest=digest, status=200, body=body), body)


def rejection_of(error: Rejected) -> Answer:
    return Answer(403, {}, f'{{"error": "rejected: {error.trigger.value}"}}'.encode())


def believed(answer: Answer, request: Request, keyring: Keyring) -> Message:
    """What the peer says.  Raises Rejected and MalformedMessage."""
    proved = verify_response(
        keyring,
        answer.headers,
        request_digest=request_digest(request.headers),
        status=answer.status,
        body=answer.body,
    )
    return decode_message(answer.body, proved=proved)
