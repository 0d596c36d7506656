"""What all toxics share: attributes with ranges, and how a change of them is checked.

A toxic is a dataclass.  Its attributes are the fields made by `attribute`, under the names of the
API; everything else is state, made by `state`, which a change of attributes leaves alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, ClassVar

Number = int | float
"""The value of an attribute.  An attribute with a whole default takes whole numbers only."""

_INT64_MAX = 2**63 - 1
TIME_MS_MAX = 24 * 60 * 60 * 1000
"""The longest time that a toxic can be told, a day; ours."""
BYTES_MAX = 2**40
SHOWN_CHARS_MAX = 60


class BadAttribute(Exception):
    """A value that an attribute cannot have.  The message names the attribute, value and range."""


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """What an attribute may be, both ends included."""

    least: Number
    most: Number

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


MILLISECONDS = Range(0, TIME_MS_MAX)
BYTES = Range(0, BYTES_MAX)
CHANCE = Range(0, 1)
SWITCH = Range(0, 1)


def attribute(default: Number, allowed: Range) -> Any:
    """A field that the API shows and changes.  A float default makes it a float."""
    return dataclasses.field(default=default, metadata={"allowed": allowed})


def state(default: object) -> Any:
    """A field that the API does not show and a change of attributes does not touch."""
    return dataclasses.field(default=default, init=False, repr=False)


@dataclasses.dataclass(slots=True)
class Toxic:
    """Something bad that can be done to traffic.  One without attributes does nothing."""

    TYPE: ClassVar[str] = "noop"
    STANDARD: ClassVar[bool] = True
    """Toxiproxy knows this type; its out-of-range values are accepted by a lenient server."""

    def attributes(self) -> dict[str, Number]:
        """All attributes, as the API shows them at this moment."""
        return {field.name: getattr(self, field.name) for field in _attributes(type(self))}

    def problem(self) -> str | None:
        """What is wrong with the attributes together, in words that tell the way out."""
        return None

    def change(self, given: Mapping[str, object], *, strict: bool) -> None:
        """Takes over what is given, key by key; the rest stays.

        Keys match whatever their case; null leaves the value.
        A strict toxic wants known keys and sensible values, a lenient one does what Toxiproxy does.
        Raises BadAttribute, and then nothing has changed.
        """
        tried = dataclasses.replace(self)
        for name, value in self._checked(given, strict=strict).items():
            setattr(tried, name, value)
        if (strict or not self.STANDARD) and (problem := tried.problem()):
            raise BadAttribute(f"{self.TYPE}: {problem}")
        self.adopt(tried)

    def adopt(self, other: Toxic) -> None:
        """Takes over the attributes of a toxic of the same type; its own state stays."""
        for name, value in other.attributes().items():
            setattr(self, name, value)

    def _checked(self, given: Mapping[str, object], *, strict: bool) -> dict[str, Number]:
        fields = {field.name: field for field in _attributes(type(self))}
        checked: dict[str, Number] = {}
        for key, value in given.items():
            field = fields.get(key.lower())
            if field is None:
                if strict:
                    raise BadAttribute(_unknown(self.TYPE, key, list(fields)))
                continue
            if value is None:
                continue
            allowed = field.metadata["allowed"]
            number = _number(field.name, value, whole=isinstance(field.default, int))
            if (strict or not self.STANDARD) and not allowed.least <= number <= allowed.most:
                raise BadAttribute(f"{self.TYPE}.{field.name}: {number} is not in {allowed}")
            checked[field.name] = number
        return checked


def _attributes(kind: type[Toxic]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if "allowed" in field.metadata]


def _number(name: str, value: object, *, whole: bool) -> Number:
    """The number, if Toxiproxy's decoder would take it: 100.0 and 1e3 are no whole numbers."""
    if isinstance(value, float) and math.isinf(value):  # as 1e400 is read
        raise BadAttribute(f"{name}: the number is too large")
    if whole:
        if type(value) is int and -_INT64_MAX <= value <= _INT64_MAX:
            return value
        raise BadAttribute(f"{name}: {_shown(value)} is not a whole number")
    # JSON tells true from 1, Python does not.
    if type(value) in {int, float}:
        assert isinstance(value, int | float)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise BadAttribute(f"{name}: {_shown(value)} is not a number")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > _INT64_MAX:
        return "a very long number"
    return ascii(value)[:SHOWN_CHARS_MAX]


def _unknown(kind: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(known) or 'none'}"
    return f"{kind}: {_shown(key)} is not an attribute; {hint}"
