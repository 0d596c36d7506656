"""The settings in effect, for a person or as JSON.  Every secret is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

from srmd.config.values import Address, Config


def plain(value: object) -> object:
    """The settings as JSON can hold them, with every secret hidden.

    Takes a Config, a section, or any value of one.
    """
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, (type, Address)):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)  # Address, Path, and Secret, which hides itself


def rows(config: Config) -> list[tuple[str, str]]:
    """The settings in effect as (dotted key, value), in the order of the file, secrets hidden."""
    return _flatten("", plain(config))


def _flatten(key: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        inner = [(f"{key}.{name}" if key else name, item) for name, item in value.items()]
        return [row for name, item in inner for row in _flatten(name, item)]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        numbered = [(f"{key} {number}", item) for number, item in enumerate(value, start=1)]
        return [row for name, item in numbered for row in _flatten(name, item)]
    if isinstance(value, bool):
        return [(key, str(value).lower())]
    if isinstance(value, float):
        return [(key, f"{value:g}")]
    return [(key, "" if value is None else str(value))]
