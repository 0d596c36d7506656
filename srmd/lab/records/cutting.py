"""The part of a file of records that tells of one play, when many were played on the same pair."""

from __future__ import annotations

import json
from typing import Any

from srmd.lab.records.reading import is_seconds
from srmd.wire.journal import is_entry

KEPT_EVENTS = frozenset({"journal.began", "proxy.created"})
"""Of a fault proxy: without them the rest cannot be understood."""


def since(text: str, from_s: float) -> str:
    """The lines from a monotonic second on, and what is needed to understand them.

    Of a journal that is the last whole node before.  Lines of no known kind are kept.
    """
    kept: list[str] = []
    before: list[str] = []
    began_s = 0.0
    for line in text.splitlines():
        raw = _object(line)
        if raw is None:
            kept.append(line)
            continue
        if raw.get("event") == "journal.began" and is_seconds(raw.get("mono_s")):
            began_s = float(raw["mono_s"])
        at_s = _moment_s(raw, began_s)
        if at_s is None or at_s >= from_s or str(raw.get("event")) in KEPT_EVENTS:
            kept += [*before, line]
            before = []
        elif is_entry(raw) and ("boot" in raw or "node" in raw):
            before = [line]
        elif before:
            before.append(line)
    return "".join(f"{line}\n" for line in [*kept, *before])


def _moment_s(raw: dict[str, Any], began_s: float) -> float | None:
    if is_seconds(raw.get("mono_s")) and "level" in raw:
        return float(raw["mono_s"])
    if not is_seconds(raw.get("at_s")):
        return None
    return float(raw["at_s"]) + (0.0 if is_entry(raw) else began_s)


def _object(line: str) -> dict[str, Any] | None:
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    return raw if isinstance(raw, dict) else None
