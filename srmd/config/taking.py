"""The restart that a change of each key needs, and the keys that a reading takes (srmd).

One table says it.  A later setting that a reload takes is one more line in `_RELOAD`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import TypeVar

from srmd.config.values import Address, Config

S = TypeVar("S")


class Needs(Enum):
    """The least that takes a change, by the command that does it.  Each takes all before it too."""

    RELOAD = "srmd config reload"
    SRM = "srmd srm restart"
    NODE = "srmd node reboot"
    PROCESS = "a restart of srmd run"

    def covers(self, other: Needs) -> bool:
        """This takes what the other takes."""
        order = list(Needs)
        return order.index(other) <= order.index(self)


_RELOAD = (
    *("auth.keys", "auth.active", "tls.certificate", "tls.key", "tls.ca"),
    *("control.token", "control.old_token", "control.allowed_hosts", "log.level"),
)
_SRM = ("group.", "peer.", "heartbeat.", "auth.", "limits.", "relogin.")
_PROCESS = ("node.id", "node.state_dir", "log.file", "log.format")


def needs(key: str) -> Needs:
    """The least that takes a change of this key; `key` is dotted, as `config.rows` has it."""
    if key in _RELOAD or key.startswith("auth.keys."):
        return Needs.RELOAD
    if key.startswith(_SRM):
        return Needs.SRM
    return Needs.PROCESS if key in _PROCESS else Needs.NODE


@dataclass(frozen=True, slots=True)
class Taken:
    """The settings in use from now on."""

    config: Config
    changed: tuple[str, ...]
    """Keys with another value than before."""
    refused: tuple[str, ...]
    """Sentences: the keys that are kept as they were, with the reason and the way out."""
    left: tuple[tuple[str, Needs], ...]
    """Keys in which the file differs from what is used, with what each needs."""


def take(running: Config, fresh: Config, by: Needs, refusals: Mapping[str, str]) -> Taken:
    """Take from a file that was read again what a reload, a restart or a reboot takes.

    `refusals`: sections that must not be taken, with the reason, besides those that are found
    here: half of a section could cut the pair or lock everybody out.
    """
    if fresh.node.id != running.node.id:
        why = (
            f"node.id: the file is that of node {fresh.node.id}, and this is node "
            f"{running.node.id}; nothing is taken from it"
        )
        return Taken(running, (), (why,), ())
    refused = {**_unsound(running, fresh, by), **refusals}
    sections = {
        section.name: _merged(section.name, getattr(running, section.name), fresh, by)
        for section in fields(running)
        if section.name not in refused
    }
    config = replace(running, **sections)
    left = tuple(
        (key, needs(key))
        for key in _differing(config, fresh)
        if not (by.covers(needs(key)) and key.partition(".")[0] in refused)
    )
    return Taken(config, _differing(running, config), tuple(refused.values()), left)


def _merged(name: str, old: S, fresh: Config, by: Needs) -> S:
    """The section with the values that are taken from the fresh one."""
    assert is_dataclass(old)
    assert not isinstance(old, type)
    new = getattr(fresh, name)
    taken = {
        entry.name: getattr(new, entry.name)
        for entry in fields(old)
        if by.covers(needs(f"{name}.{entry.name}"))
    }
    return replace(old, **taken)


def _unsound(running: Config, fresh: Config, by: Needs) -> dict[str, str]:
    """Sections of which a part would be taken that does not go with the rest, with the reason."""
    found = {}
    if fresh.auth.mode is not running.auth.mode and not by.covers(Needs.SRM):
        found["auth"] = (
            f"auth.mode: {fresh.auth.mode.value} in place of {running.auth.mode.value} needs "
            f"{Needs.SRM.value}; keys and mode are taken together"
        )
    if (fresh.tls.files is None) != (running.tls.files is None) and not by.covers(Needs.NODE):
        found["tls"] = f"tls: TLS begins and ends when the node starts: {Needs.NODE.value}"
    open_to_all = fresh.control.token is None and not running.control.listen.is_loopback
    if open_to_all and not by.covers(Needs.NODE):
        found["control"] = (
            f"control.token: none, while others reach {running.control.listen}; give one, or "
            f"change control.listen with it: {Needs.NODE.value}"
        )
    return found


def _differing(before: Config, after: Config) -> tuple[str, ...]:
    """Dotted keys with another value, secrets too, in the order of the file."""
    old, new = values(before), values(after)
    keys = [*new, *(key for key in old if key not in new)]
    return tuple(key for key in keys if old.get(key) != new.get(key))


def values(config: Config) -> dict[str, object]:
    """Every value by its dotted key; those of a list of tables by the number in it.

    Secrets stay `Secret`s, which can be compared and do not show.
    """
    return dict(_flat("", config))


def _flat(key: str, value: object) -> list[tuple[str, object]]:
    inner: list[tuple[str, object]] = []
    if is_dataclass(value) and not isinstance(value, (type, Address)):
        inner = [(entry.name, getattr(value, entry.name)) for entry in fields(value)]
    elif isinstance(value, Mapping):
        inner = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, tuple) and any(map(is_dataclass, value)):
        rows = [_flat(f"{key} {number}", item) for number, item in enumerate(value, start=1)]
        return [row for each in rows for row in each]
    else:
        return [(key, value)]
    rows = [_flat(f"{key}.{name}" if key else name, item) for name, item in inner]
    return [row for each in rows for row in each]


def in_words(changes: tuple[tuple[str, Needs], ...]) -> str:
    """`services.start_limit_s needs srmd node reboot; ...`; empty when there are none."""
    return "; ".join(
        f"{', '.join(keys)} needs {what.value}"
        for what in Needs
        if (keys := [key for key, needed in changes if needed is what])
    )
