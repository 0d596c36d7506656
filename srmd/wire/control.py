"""Control messages: what the nodes order, answer and hand to each other over HTTP.

Bodies are JSON objects with a `type`.  Each message carries `op`, an id of its sender's choice: who
gets one twice answers twice and acts once.  `srmd.wire.signing` tells who sent it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Union, cast

from srmd.wire.codec import (
    MalformedMessage,
    Span,
    check_believable,
    codec,
    dump_json,
    parse_json,
)
from srmd.wire.heartbeat import Heartbeat, Name, grown

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_PAGE_ROWS = 2000
"""A page of so many rows fits a body, however long its names are."""

OperationId = Annotated[str, Span(1, 64)]
DatabaseId = Annotated[str, Span(1, 40)]
UserId = Annotated[str, Span(1, 255)]


class MessageTooLong(ValueError):
    """A message would not fit a body."""


class Action(Enum):
    """What an administrator can ask of the pair."""

    FAILOVER = "failover"
    FALLBACK = "fallback"
    RECOVER = "recover"
    HA_ENABLE = "ha_enable"
    HA_DISABLE = "ha_disable"


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """The heartbeat, told at once because something changed."""

    op: OperationId
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """An administrator's request, handed on to the node that must act."""

    op: OperationId
    action: Action
    node: Name
    """Failover: the node that fails.  Fallback: the home node.  Else the node that was asked."""


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """The users of node `home` are served by `serving`, as operation `op` of node `by` ordered."""

    home: Name
    serving: Name
    op: int
    by: Annotated[str, Span(0, 64)]
    """Empty for the placement that nobody ordered: each home serves itself."""


@dataclass(frozen=True, slots=True)
class PlacementMessage:
    """Who serves whom, as far as the sender knows."""

    op: OperationId
    placements: Annotated[tuple[PlacementRow, ...], Span(0, 64)]


@dataclass(frozen=True, slots=True)
class UsersRequest:
    """Asks for the users that changed in a database since a revision."""

    op: OperationId
    db_id: DatabaseId
    since_revision: int
    limit: Annotated[int, Span(1, MAX_PAGE_ROWS)]


@dataclass(frozen=True, slots=True)
class UserRow:
    """One user, as of `stamp` at node `origin`; of two versions the higher of these holds."""

    user_id: UserId
    home: Name | None
    stamp: int
    origin: Annotated[str, Span(0, 64)]
    deleted: bool


@dataclass(frozen=True, slots=True)
class UsersPage:
    """Users that changed, in the order of revisions, up to and including `revision`."""

    op: OperationId
    db_id: DatabaseId
    revision: int
    rows: Annotated[tuple[UserRow, ...], Span(0, MAX_PAGE_ROWS)]
    more: bool
    users_count: int
    """Of the whole database: live users."""
    digest: int
    """Of the whole database: equal where all rows are."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message was understood and is, or was already, acted upon."""

    op: OperationId
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The message was understood and nothing was done."""

    op: OperationId
    detail: str
    needed: str
    """What would have to be true, such as the state that is needed."""


Message = Union[
    ReportMessage,
    CommandMessage,
    PlacementMessage,
    UsersRequest,
    UsersPage,
    Accepted,
    Refused,
]


def encode_message(message: Message) -> bytes:
    """The body.  Raises MalformedMessage for a field out of bounds, or MessageTooLong."""
    body = dump_json(codec(Message).write(message))
    if len(body) > MAX_BODY_BYTES:
        raise MessageTooLong(
            f"{type(message).__name__}: {len(body)} bytes are more than the {MAX_BODY_BYTES} "
            "of a body: send fewer rows"
        )
    return body


def decode_message(body: bytes, *, proved: bool) -> Message:
    """The message.  Raises MalformedMessage, whatever the bytes, naming the field and its value.

    `proved`: a digest shows that it is the peer's.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MalformedMessage(f"{len(body)} bytes are more than the {MAX_BODY_BYTES} allowed")
    message = cast("Message", codec(Message).read(parse_json(body)))
    check_believable(_grown(message), proved=proved)
    return message


def _grown(message: Message) -> Iterable[tuple[str, int]]:
    """The numbers of a message from which its receiver counts on, with their names."""
    match message:
        case ReportMessage(_, heartbeat):
            return ((f"heartbeat.{name}", number) for name, number in grown(heartbeat))
        case PlacementMessage(_, rows):
            return ((f"placements[{at}].op", row.op) for at, row in enumerate(rows))
        case UsersPage(_, _, _, rows, _):
            return ((f"rows[{at}].stamp", row.stamp) for at, row in enumerate(rows))
        case _:
            return ()
