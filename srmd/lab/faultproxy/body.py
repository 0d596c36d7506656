"""Request bodies as Go's decoder takes them, and answers as Go's encoder writes them.

Toxiproxy's clients rely on both: keys match whatever their case, null leaves the default, what
follows the first JSON value is ignored; answers are compact, maps are sorted.
What is wrong with a body is told in our words: Go's change between its versions.
"""

from __future__ import annotations

import codecs
import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import NoReturn

_WHITE = " \t\r\n"
Items = list[object]
"""A JSON array."""


class BadBody(Exception):
    """A body that is not what the request needs.  The message names the place."""


def decode(raw: bytes) -> object:
    """The first JSON value of a body.  Raises BadBody."""
    if raw.startswith(codecs.BOM_UTF8):
        raise BadBody("it begins with a byte order mark; send UTF-8 without one")
    text = raw.decode("utf-8", "replace").lstrip(_WHITE)
    if not text:
        raise BadBody("EOF")
    try:
        value, _ = json.JSONDecoder(parse_constant=_refuse).raw_decode(text)
    except json.JSONDecodeError as bad:
        if _breaks_off(text[bad.pos :].rstrip(_WHITE), bad):
            raise BadBody("unexpected EOF") from bad
        raise BadBody(f"line {bad.lineno}, column {bad.colno}: {bad.msg}") from bad
    except RecursionError as bad:
        raise BadBody("exceeded max depth") from bad
    except ValueError as bad:
        raise BadBody("a number with too many digits") from bad
    return value


class Fields:
    """The keys of a JSON object, asked for by name; a wrong type raises BadBody."""

    def __init__(self, value: object) -> None:
        if value is not None and not isinstance(value, dict):
            raise BadBody(f"{_kind(value)} where an object is needed")
        self._values = {str(key).lower(): each for key, each in (value or {}).items()}

    def unknown(self, known: Iterable[str]) -> list[str]:
        """Keys beside the known ones."""
        return sorted(self._values.keys() - set(known))

    def text(self, key: str, default: str) -> str:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise BadBody(f"{key}: {_kind(value)} where a string is needed")
        # JSON can spell half a character, which no answer could repeat.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise BadBody(f"{key}: {_kind(value)} where true or false is needed")
        return value

    def number(self, key: str, default: float) -> float:
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadBody(f"{key}: {_kind(value)} where a number is needed")
        try:
            number = _float32(float(value))
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise BadBody(f"{key}: the number is too large")
        return number

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        if type(value) is not int or not least <= value <= most:
            found = value if type(value) is int and abs(value) < 2**63 else _kind(value)
            raise BadBody(f"{key}: {found} is not a whole number from {least} to {most}")
        return value

    def object(self, key: str) -> Mapping[str, object]:
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BadBody(f"{key}: {_kind(value)} where an object is needed")
        return {str(name): each for name, each in value.items()}

    def array(self, key: str) -> Items | None:
        """None: it is absent, or null."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, list):
            raise BadBody(f"{key}: {_kind(value)} where an array is needed")
        return value


def items(value: object) -> Items:
    """The items of a JSON array; null is an empty one.  Raises BadBody."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadBody(f"{_kind(value)} where an array is needed")
    return value


def encode(value: object) -> bytes:
    """Compact JSON; whole floats as integers, and nothing that a web page could take for HTML."""
    text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def shortest_float32(value: float) -> float:
    """The shortest decimal that is this number for a machine with 32 bits: 0.2, not 0.200000003."""
    for digits in range(1, 10):
        near = float(f"{value:.{digits}g}")
        if _float32(near) == _float32(value):
            return near
    return value


def _breaks_off(rest: str, bad: json.JSONDecodeError) -> bool:
    """The body is the beginning of one that may be right."""
    words = ("true", "false", "null", "-")
    return bad.msg.startswith("Unterminated") or any(word.startswith(rest) for word in words)


def _float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case None:
            return "null"
        case _:
            return "an object"


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not JSON", constant, 0)
