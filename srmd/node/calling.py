"""One control call, without HTTP: the signed request, what it proves, and the signed answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from srmd import __version__
from srmd.config import Config
from srmd.core.texts import CALL_FAILURES, Text
from srmd.wire.codec import MalformedMessage
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
    SOFTWARE,
    Verified,
    is_authentic,
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


SPEAKS_TLS = "X-SRMD-Speaks-TLS"
"""Header by which the control port of a node with [tls] answers plain HTTP."""
REASON_CHARS_MAX = 300
"""So much of the peer's reason is shown."""


class PeerRefused(Exception):
    """The peer answered that it does not take the call; the message says what is known of why."""

    def __init__(self, why: Text, *, stale: bool = False, encrypted: bool = False) -> None:
        """`stale`: it has received newer messages under our id.

        `encrypted`: the port says that it speaks TLS, and this node has called it by plain HTTP.
        """
        super().__init__(why.en)
        self.text = why
        self.stale = stale
        self.encrypted = encrypted


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
    return Request(path, {**headers, SOFTWARE: __version__}, body)


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
    headers = sign_response(keyring, request_digest=digest, status=200, body=body)
    return Answer(200, {**headers, SOFTWARE: __version__}, body)


def why_not(failed: PeerRefused | Rejected | MalformedMessage) -> Text:
    """The failure of a call whose answer is refused or not believed, in words."""
    if isinstance(failed, PeerRefused):
        return failed.text
    if isinstance(failed, MalformedMessage):
        return CALL_FAILURES["malformed"].naming(detail=str(failed))
    return CALL_FAILURES["not_believed"].naming(detail=failed.text)


def not_running(request: Request, keyring: Keyring, *, node: str) -> Answer:
    """SRM does not run: the node starts, goes down, or SRM was stopped."""
    why = f"SRM does not run on {node}: the node starts or goes down, or SRM is stopped"
    return _failure(503, why, request, keyring)


def malformed(request: Request, keyring: Keyring) -> Answer:
    return _failure(400, "malformed control message", request, keyring)


def rejection_of(error: Rejected, request: Request, keyring: Keyring) -> Answer:
    """Tell an asker that proved to have our key what does not match; a stranger only the word."""
    if not _is_authentic(request, keyring):
        return _failure(403, error.trigger.value, request, keyring)
    return _failure(403, str(error), request, keyring, trigger=error.trigger.value)


def _failure(status: int, why: str, request: Request, keyring: Keyring, **more: str) -> Answer:
    """An answer that nothing is done: signed, if the asker is authentic."""
    body = json.dumps({"error": why, **more}).encode()
    headers: Mapping[str, str] = {}
    if _is_authentic(request, keyring):
        digest = request_digest(request.headers)
        headers = sign_response(keyring, request_digest=digest, status=status, body=body)
    return Answer(status, headers, body)


def _is_authentic(request: Request, keyring: Keyring) -> bool:
    return is_authentic(
        keyring, request.headers, method=METHOD, path=request.path, body=request.body
    )


def believed(answer: Answer, request: Request, keyring: Keyring) -> Message:
    """The message of the peer.  Raises PeerRefused, Rejected and MalformedMessage."""
    try:
        proved = verify_response(
            keyring,
            answer.headers,
            request_digest=request_digest(request.headers),
            status=answer.status,
            body=answer.body,
        )
    except Rejected as error:
        if answer.status == 200 or error.trigger is not Trigger.NO_DIGEST:
            raise
        # The program that answers need not be our peer: the reason that is given proves nothing.
        if answer.status == 400 and SPEAKS_TLS in answer.headers:
            raise PeerRefused(CALL_FAILURES["encrypted"], encrypted=True) from error
        status = str(answer.status)
        raise PeerRefused(CALL_FAILURES["unsigned"].naming(status=status)) from error
    if answer.status != 200:
        said = _said(answer.body)
        stale = said.get("trigger") == Trigger.STALE.value
        why = CALL_FAILURES["refused"].naming(status=str(answer.status), reason=_reason(said))
        raise PeerRefused(why, stale=stale)
    return decode_message(answer.body, proved=proved)


def _said(body: bytes) -> dict[str, object]:
    """The fields of a refusal; none where it is no JSON object."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _reason(said: Mapping[str, object]) -> str:
    """The text of a signed refusal, in one bounded line."""
    if "error" not in said:
        return "no reason given"
    return " ".join(str(said["error"]).split())[:REASON_CHARS_MAX]
