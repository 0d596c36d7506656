"""Checks what a client sent against the schema that the API document publishes for it.

Only the part of JSON Schema that `routes` uses for requests: objects of strings, integers and
booleans, and `oneOf` between such objects.  A test compares the verdicts with `jsonschema`; what is
ours are the messages, which name the field, its value and what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

SHOWN_CHARS_MAX = 80
"""How much of a wrong value is repeated to its sender."""
PROBLEMS_MAX = 20
"""Problems that are told of one request."""

Schema = Mapping[str, Any]

_WORDS: Mapping[bool | None, str] = {True: "true", False: "false", None: "null"}
_KINDS: Mapping[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict}


@dataclass(frozen=True, slots=True)
class Problem:
    field: str
    value: str
    """As it was sent; shortened."""
    reason: str
    """What would be right."""

    def __str__(self) -> str:
        return f"{self.field}: {self.value} {self.reason}"


def check(schema: Schema, value: object, *, where: str) -> tuple[Problem, ...]:
    """All that is wrong with a value, at most PROBLEMS_MAX; `where` names it in the messages."""
    if "oneOf" in schema:
        return _check_choice(schema["oneOf"], value, where)[:PROBLEMS_MAX]
    if schema["type"] == "integer":
        value = whole(value)
    # JSON tells true from 1, Python does not.
    if type(value) is not _KINDS[schema["type"]]:
        return (Problem(where, shown(value), f"is not {right(schema)}"),)
    if isinstance(value, dict):
        return _check_object(schema, value)
    good = (
        value in schema.get("enum", (value,))
        and (not isinstance(value, str) or _fits(schema, len(value), "minLength", "maxLength"))
        and (not isinstance(value, int) or _fits(schema, value, "minimum", "maximum"))
    )
    return () if good else (Problem(where, shown(value), f"is not {right(schema)}"),)


def with_defaults(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the published defaults of the fields that it leaves out, and whole numbers
    as such, however they were written."""
    published = schema.get("properties", {}).items()
    defaults = {name: field["default"] for name, field in published if "default" in field}
    return {**defaults, **{name: whole(given) for name, given in value.items()}}


def whole(value: object) -> object:
    """In JSON Schema 5.0 is an integer too.  No request has numbers that are not to be whole."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def shown(value: object) -> str:
    """A value as an error message repeats it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    # A long integer is not printed: Python refuses to, or takes its time.
    if isinstance(value, int) and abs(value) >= 10**SHOWN_CHARS_MAX:
        return "a very long number"
    if isinstance(value, str):
        cut = value[:SHOWN_CHARS_MAX]
        return ascii(cut) + ("..." if cut != value else "")
    return _WORDS[value] if value is None or isinstance(value, bool) else repr(value)


def right(schema: Schema) -> str:
    """What a value of this schema looks like, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(shown(value).strip("'") for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema["type"]:
        case "integer":
            return f"a whole number ({low}-{high})"
        case "string":
            return f"a text of {schema.get('minLength', 0)}-{schema['maxLength']} characters"
        case "boolean":
            return "true or false"
        case _:
            return f"an object {_form(schema)}"


def _check_object(schema: Schema, value: dict[str, Any]) -> tuple[Problem, ...]:
    known: Mapping[str, Schema] = schema["properties"]
    names = ", ".join(known) or "none"
    unknown = (
        Problem(shown(name).strip("'"), shown(given), f"is not known here; the fields are: {names}")
        for name, given in value.items()
        if name not in known
    )
    missing = (
        Problem(name, "(missing)", f"must be given: {right(known[name])}")
        for name in schema.get("required", ())
        if name not in value
    )
    wrong = (
        problem
        for name, given in value.items()
        if name in known
        for problem in check(known[name], given, where=name)
    )
    return tuple(islice(chain(missing, wrong, unknown), PROBLEMS_MAX))


def _check_choice(choices: list[Schema], value: object, where: str) -> tuple[Problem, ...]:
    """One of several objects: the one whose fields are all there is meant, if just one is."""
    fields = value if isinstance(value, dict) else {}
    meant = [choice for choice in choices if all(name in fields for name in choice["required"])]
    if len(meant) == 1:
        return check(meant[0], value, where=where)
    reason = "is not either " + " or ".join(_form(choice) for choice in choices)
    given = "{" + ", ".join(shown(name) for name in list(fields)[:PROBLEMS_MAX]) + "}"
    return (Problem(where, given if isinstance(value, dict) else shown(value), reason),)


def _form(schema: Schema) -> str:
    needed = schema.get("required", ())
    names = (name if name in needed else f"{name}?" for name in schema["properties"])
    return "{" + ", ".join(names) + "}"


def _fits(schema: Schema, size: int, low: str, high: str) -> bool:
    return bool(schema.get(low, size) <= size <= schema.get(high, size))
