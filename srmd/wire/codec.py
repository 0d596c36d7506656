"""Frozen dataclasses to JSON and back, strictly: what is not exactly right is refused by name.

The types are the schema.  An object has the fields of its dataclass, all of them, no others, none
twice.  An enum is its value, a tuple a list; in a union of dataclasses the key `type` says which.
Whole numbers are counts, stamps, identifiers: 0 to 2^63-1, which a database column also holds.
Text is well-formed Unicode.  Everything has a bound, which `Annotated[..., Span(least, most)]`
replaces.  The same checks run in both directions: we never send what we would not accept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

MAX_NUMBER = 2**63 - 1
MAX_TEXT_CHARS = 1000
MAX_ITEMS = 1000
SHOWN_CHARS = 60
"""How much of a bad value an error shows."""


@dataclass(frozen=True, slots=True)
class Span:
    """The bounds of a field: of the number itself, or of how many characters or items it has."""

    least: int
    most: int

    def __contains__(self, size: int) -> bool:
        return self.least <= size <= self.most

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


ANY_NUMBER = Span(0, MAX_NUMBER)
ANY_TEXT = Span(0, MAX_TEXT_CHARS)
ANY_ITEMS = Span(0, MAX_ITEMS)


BELIEVED_MAX = 2**62
"""The highest number that a node takes over from its peer to count on from it.  Half of all numbers
are above it, so counting never reaches the end of the wire's numbers."""
BELIEVED_UNPROVED_MAX = 2**48
"""The same for a message that no digest proves.  What such a message makes a node say is then far
below `BELIEVED_MAX`, and a peer that asks for proofs goes on believing it."""


class MalformedMessage(ValueError):
    """A value does not fit its type.  `field` is where, as `rows[3].home`; empty for the whole."""

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field or 'message'}: {problem}")
        self.problem = problem
        self.field = field

    def inside(self, outer: str) -> MalformedMessage:
        """The same problem, seen from the object or list that holds the value."""
        dot = "" if not self.field or self.field.startswith("[") else "."
        return MalformedMessage(self.problem, f"{outer}{dot}{self.field}")


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are written as plain JSON values, and read."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@cache
def codec(kind: Any, span: Span | None = None) -> Codec:
    """The codec of a type annotation.  TypeError for one that this module does not know."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return codec(inner, next((note for note in notes if isinstance(note, Span)), None))
    if kind is bool:
        return _checked(_is_bool)
    if kind is int:
        return _checked(_number_in(span or ANY_NUMBER))
    if kind is str:
        return _checked(_text_of(span or ANY_TEXT))
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), span or ANY_ITEMS)
    if get_origin(kind) in (Union, UnionType):
        return _union(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _object(kind)
    raise TypeError(f"{kind!r}: no way to write this type as JSON is known; see srmd/wire/codec.py")


def is_believable(number: int, *, proved: bool) -> bool:
    """A node may count on from it; `proved`: the messages of the pair have digests."""
    return number <= (BELIEVED_MAX if proved else BELIEVED_UNPROVED_MAX)


def check_believable(numbers: Iterable[tuple[str, int]], *, proved: bool) -> None:
    """Raises MalformedMessage for a number, given with its name, that no node has counted to."""
    most = BELIEVED_MAX if proved else BELIEVED_UNPROVED_MAX
    for name, number in numbers:
        if not is_believable(number, proved=proved):
            problem = f"{number} is more than {most}, the highest that is believed"
            if not proved:
                problem += " without a digest: set auth.mode to require on both nodes"
            raise MalformedMessage(problem, name)


def dump_json(value: object) -> bytes:
    """Compact UTF-8 JSON of a plain value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def parse_json(data: bytes) -> object:
    """Strict JSON: UTF-8, no repeated keys, no NaN.  Raises nothing but MalformedMessage."""
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except MalformedMessage:
        raise
    except RecursionError:
        raise MalformedMessage("nested too deeply") from None
    except ValueError as error:
        # Also what Python says to an integer of more than 4300 digits.
        raise MalformedMessage(f"not JSON in UTF-8: {str(error)[:SHOWN_CHARS]}") from None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise MalformedMessage(f"the key {_shown(key)} is there twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    """JSON has no infinity, and 1e400 would be one."""
    number = float(text)
    if math.isinf(number):
        raise MalformedMessage(f"{text[:SHOWN_CHARS]} is too large a number")
    return number


def _refuse_constant(name: str) -> object:
    raise MalformedMessage(f"{name} is not a JSON number")


def _shown(value: object) -> str:
    # A long integer is cut before it is printed: printing it could be refused, or take long.
    if type(value) is int and not -MAX_NUMBER <= value <= MAX_NUMBER:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, str) and len(value) > SHOWN_CHARS:
        return f"{value[:SHOWN_CHARS]!a}..."
    return ascii(value)


def _expected(what: str, value: object) -> MalformedMessage:
    return MalformedMessage(f"{_shown(value)} is not {what}")


def _checked(check: Callable[[Any], Any]) -> Codec:
    return Codec(write=check, read=check)


def _is_bool(value: object) -> bool:
    if type(value) is not bool:
        raise _expected("true or false", value)
    return value


def _number_in(span: Span) -> Callable[[object], int]:
    def check(value: object) -> int:
        if type(value) is not int or value not in span:
            raise _expected(f"a whole number from {span}", value)
        return value

    return check


def _text_of(span: Span) -> Callable[[object], str]:
    def check(value: object) -> str:
        if type(value) is not str:
            raise _expected("text", value)
        if len(value) not in span:
            raise _expected(f"text of {span} characters", value)
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise _expected("well-formed Unicode", value)
        return value

    return check


def _enum(kind: type[Enum]) -> Codec:
    # Keyed by type as well: in Python True == 1 == 1.0.
    members = {(type(member.value), member.value): member for member in kind}
    choices = ", ".join(str(member.value) for member in kind)

    def write(value: object) -> object:
        if not isinstance(value, kind):
            raise _expected(f"of type {kind.__name__}", value)
        return value.value

    def read(raw: object) -> Enum:
        if type(raw) not in (str, int) or (type(raw), raw) not in members:
            raise _expected(f"one of {choices}", raw)
        return members[type(raw), raw]

    return Codec(write, read)


def _tuple(items: tuple[Any, ...], span: Span) -> Codec:
    if len(items) == 2 and items[1] is Ellipsis:
        return _list_of(codec(items[0]), span)
    return _fixed_list(tuple(codec(item) for item in items))


def _list_of(item: Codec, span: Span) -> Codec:
    def each(convert: Callable[[Any], Any], values: Any) -> list[Any]:
        if len(values) not in span:
            raise MalformedMessage(f"{len(values)} items, where {span} are allowed")
        return [_at(index, convert, value) for index, value in enumerate(values)]

    def write(value: object) -> list[Any]:
        if type(value) is not tuple:
            raise _expected("a tuple", value)
        return each(item.write, value)

    def read(raw: object) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise _expected("a list", raw)
        return tuple(each(item.read, raw))

    return Codec(write, read)


def _fixed_list(items: tuple[Codec, ...]) -> Codec:
    def write(value: object) -> list[Any]:
        if type(value) is not tuple or len(value) != len(items):
            raise _expected(f"a tuple of {len(items)}", value)
        return [_at(i, items[i].write, one) for i, one in enumerate(value)]

    def read(raw: object) -> tuple[Any, ...]:
        if type(raw) is not list or len(raw) != len(items):
            raise _expected(f"a list of {len(items)}", raw)
        return tuple(_at(i, items[i].read, one) for i, one in enumerate(raw))

    return Codec(write, read)


def _at(index: int, convert: Callable[[Any], Any], value: object) -> Any:
    try:
        return convert(value)
    except MalformedMessage as error:
        raise error.inside(f"[{index}]") from None


def _object(kind: type[Any]) -> Codec:
    hints = get_type_hints(kind, include_extras=True)
    members: dict[str, Codec] = {item.name: codec(hints[item.name]) for item in fields(kind)}

    def write(value: object) -> dict[str, Any]:
        if type(value) is not kind:
            raise _expected(f"of type {kind.__name__}", value)
        return {name: _of(name, item.write, getattr(value, name)) for name, item in members.items()}

    def read(raw: object) -> Any:
        if type(raw) is not dict:
            raise _expected("an object", raw)
        _same_keys(raw, members)
        found = {name: _of(name, item.read, raw[name]) for name, item in members.items()}
        return kind(**found)

    return Codec(write, read)


def _of(name: str, convert: Callable[[Any], Any], value: object) -> Any:
    try:
        return convert(value)
    except MalformedMessage as error:
        raise error.inside(name) from None


def _same_keys(raw: dict[str, object], members: dict[str, Codec]) -> None:
    if raw.keys() == members.keys():
        return
    for name in members:
        if name not in raw:
            raise MalformedMessage("is missing", name)
    unknown = next(name for name in raw if name not in members)
    raise MalformedMessage(f"the key {_shown(unknown)} is not known; known: {', '.join(members)}")


def _union(kinds: tuple[Any, ...]) -> Codec:
    others = tuple(kind for kind in kinds if kind is not NoneType)
    item = codec(others[0]) if len(others) == 1 else _tagged(others)
    if len(others) == len(kinds):
        return item
    return Codec(
        write=lambda value: None if value is None else item.write(value),
        read=lambda raw: None if raw is None else item.read(raw),
    )


def _tagged(kinds: tuple[Any, ...]) -> Codec:
    by_name = {kind.__name__: codec(kind) for kind in kinds}
    choices = ", ".join(by_name)

    def write(value: object) -> dict[str, Any]:
        name = type(value).__name__
        if type(value) not in kinds:
            raise _expected(f"one of {choices}", value)
        return {"type": name, **by_name[name].write(value)}

    def read(raw: object) -> Any:
        if type(raw) is not dict:
            raise _expected("an object", raw)
        name = raw.get("type")
        if type(name) is not str or name not in by_name:
            raise _expected(f"one of {choices}", name).inside("type")
        return by_name[name].read({key: value for key, value in raw.items() if key != "type"})

    return Codec(write, read)
