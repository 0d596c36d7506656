"""Restarts that a change of the configuration needs, by key (srmd)."""

from __future__ import annotations

from enum import Enum

from srmd.config.render import rows
from srmd.config.values import Config


class Needs(Enum):
    """The parts that have to start again, by the command that does it."""

    SRM = "srmd srm restart"
    NODE = "srmd node reboot"
    PROCESS = "a restart of srmd run"


_SRM = (
    *("group.", "peer.", "heartbeat.", "auth.", "tls.", "limits.", "relogin."),
    *("control.token", "control.old_token", "control.allowed_hosts"),
)
_PROCESS = ("node.id", "node.state_dir", "log.file", "log.level", "log.format")


def needs(key: str) -> Needs:
    """The restart that a change of this key needs; `key` is dotted, as `config.rows` has it."""
    if key.startswith(_SRM):
        return Needs.SRM
    return Needs.PROCESS if key in _PROCESS else Needs.NODE


def not_taken(running: Config, fresh: Config) -> tuple[tuple[str, Needs], ...]:
    """Keys in which the file differs from what runs, with what each needs; secrets are not seen."""
    before, after = dict(rows(running)), dict(rows(fresh))
    keys = [*before, *(key for key in after if key not in before)]
    return tuple((key, needs(key)) for key in keys if before.get(key) != after.get(key))


def in_words(changes: tuple[tuple[str, Needs], ...]) -> str:
    """`services.start_limit_s needs srmd node reboot; ...`; empty when there are none."""
    return "; ".join(
        f"{', '.join(keys)} needs {what.value}"
        for what in Needs
        if (keys := [key for key, needed in changes if needed is what])
    )
