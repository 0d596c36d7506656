"""What the nodes send each other is pinned for each version of the protocol.

Two versions of srmd meet when they speak the same version of the protocol, so a change of what a
message holds needs a new number.  (Two fields came to `UsersPage` without one, before 0.1.0.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from srmd.wire.control import Message
from srmd.wire.heartbeat import PROTOCOL_VERSION, Heartbeat

PINNED = Path(__file__).parent / f"protocol-{PROTOCOL_VERSION}.txt"


def described(kind: Any) -> str:
    """A type by what is on the wire for it."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return " ".join([described(inner), *map(str, notes)])
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(described, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{', '.join('...' if one is ... else described(one) for one in get_args(kind))}]"
    return str(kind.__name__)


def lines(kind: Any, seen: set[Any]) -> Iterator[str]:
    """The fields of all dataclasses and the values of all enums that are reached from here."""
    if kind in seen:
        return
    seen.add(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        for item in fields(kind):
            yield f"{kind.__name__}.{item.name}: {described(hints[item.name])}"
        for item in fields(kind):
            yield from lines(hints[item.name], seen)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield f"{kind.__name__} = {', '.join(str(member.value) for member in kind)}"
    else:
        for inner in get_args(kind):
            yield from lines(inner, seen)


def test_what_is_sent_is_that_of_this_version_of_the_protocol() -> None:
    seen: set[Any] = set()
    now = "\n".join([*lines(Heartbeat, seen), *lines(Message, seen)]) + "\n"
    assert PINNED.is_file(), f"a new version of the protocol: write {PINNED.name}, keep the others"
    assert now == PINNED.read_text(), (
        f"messages have changed: a node of protocol {PROTOCOL_VERSION} refuses them.  Raise "
        "PROTOCOL_VERSION, and see docs/versions.md"
    )
