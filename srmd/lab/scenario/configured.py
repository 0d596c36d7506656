"""Where the timers and settings of a scenario stand in a node's configuration."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, Final

from srmd.config import Config
from srmd.lab.scenario.story import Settings
from srmd.lab.scenario.verbs import Setting

MOVE_S: Final = 0.5
"""A move of one node's users takes so long, to be seen."""
MOVE_RATE_MAX: Final = 100_000.0
"""Of the configuration."""
KEYS: Final = {
    "keep_alive_interval": ("heartbeat", "keep_alive_interval_s"),
    "keep_alive_timeout": ("heartbeat", "keep_alive_timeout_s"),
    "initialization_keep_alive_timeout": ("heartbeat", "initialization_keep_alive_timeout_s"),
    "critical_service_delay": ("services", "critical_service_delay_s"),
    "automatic_fallback_wait": ("group", "automatic_fallback_wait_s"),
    "start_limit": ("services", "start_limit_s"),
    "stop_limit": ("services", "stop_limit_s"),
    "move_limit": ("users", "move_limit_s"),
    "reboot": ("node", "reboot_s"),
}
"""Where each timer stands in a node's configuration."""


class NoSuchSetting(ValueError):
    """A key that is none, or a value that cannot stand there; the message says which."""


def timers_of(config: Config) -> dict[str, float]:
    """The timers of a node's configuration, by their names in scenarios, in seconds."""
    return {
        name: float(getattr(getattr(config, section), key)) for name, (section, key) in KEYS.items()
    }


def move_rate_per_s(users_count: int) -> float:
    return min(MOVE_RATE_MAX, users_count / 2 / MOVE_S)


def configured(config: Config, settings: Settings) -> Config:
    """The configuration with the settings of a scenario, its timers on top of those it had."""
    for name, value_s in settings.timers_of(timers_of(config)).items():
        config = _with(config, *KEYS[name], value_s)
    config = _with(config, "group", "automatic_fallback", settings.group.automatic_fallback)
    config = _with(config, "group", "split_brain", settings.group.split_brain)
    return _with(config, "users", "move_rate_per_s", move_rate_per_s(settings.users.count))


def with_setting(config: Config, dotted: str, value: Setting) -> Config:
    """The configuration with one key changed, as `configure` writes it.  Raises NoSuchSetting."""
    section, _, key = dotted.rpartition(".")
    names = {field.name for field in dataclasses.fields(config)}
    held = getattr(config, section) if section in names else None
    if held is None or key not in {field.name for field in dataclasses.fields(held)}:
        raise NoSuchSetting(f"{dotted}: no such key of a node's configuration")
    return _with(config, section, key, _fitting(dotted, getattr(held, key), value))


def _fitting(dotted: str, held: object, value: Setting) -> object:
    """The value in the type of the one that is there."""
    if isinstance(held, Enum):
        try:
            return type(held)(value)
        except ValueError:
            known = ", ".join(str(one.value) for one in type(held))
            raise NoSuchSetting(f"{dotted}: {value!r} is none of {known}") from None
    if type(held) is float and type(value) is int:
        return float(value)
    if type(value) is not type(held):
        raise NoSuchSetting(f"{dotted}: {value!r} should be as {held!r}")
    return value


def _with(config: Config, section: str, key: str, value: object) -> Config:
    changes: dict[str, Any] = {key: value}
    changed: dict[str, Any] = {section: dataclasses.replace(getattr(config, section), **changes)}
    return dataclasses.replace(config, **changed)
