"""Tables for people, JSON for programs.  Plain text, no dependency."""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LINE_WIDTH = 100
GAP = "  "


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell.  None prints as `-`; numbers stand to the right."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(columns_of, column)) for column in zip(head, *cells, strict=True)]
    numeric = [_is_numeric(column) for column in zip(*cells, strict=True)] or [False] * len(head)
    lines = []
    for row in (head, *cells):
        padded = [
            _padded(cell, width, right)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes: Japanese letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _is_numeric(column: Sequence[str]) -> bool:
    known = [cell.replace(".", "") for cell in column if cell != "-"]
    return bool(known) and all(cell.isdigit() for cell in known)


def _padded(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - columns_of(cell))
    return blanks + cell if right else cell + blanks


def labelled(label: str, text: str) -> str:
    """`Label: text`, wrapped; what follows the first line of the text stays a line of its own."""
    first, *others = text.splitlines() or [""]
    return "\n".join(wrapped(f"{label}: {first}") + [w for line in others for w in wrapped(line)])


def wrapped(line: str) -> list[str]:
    """The line in pieces that fit LINE_WIDTH."""
    # Japanese has no blanks to break at; the terminal does that well by itself.
    if columns_of(line) != len(line):
        return [line]
    # A command in backquotes stays on one line, to be copied.
    kept = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\xa0"), line)
    lines = textwrap.wrap(kept, LINE_WIDTH, break_on_hyphens=False, subsequent_indent="  ")
    return [part.replace("\xa0", " ") for part in lines] or [""]


def as_json(answer: object, *, on_one_line: bool = False) -> str:
    return json.dumps(answer, ensure_ascii=False, indent=None if on_one_line else 2)


def status_text(status: Mapping[str, Any]) -> str:
    """What `srmd status` shows: the pair, what it means, what to do, and what there is to do it."""
    local, peer = status["local"], status["peer"]
    users = status.get("users") or {}
    assigned, served = users.get("assigned") or {}, users.get("served") or {}
    rows = [
        (
            half["node"],
            half.get("state"),
            half.get("reason"),
            half.get("srm_state"),
            assigned.get(half["node"]),
            served.get(half["node"]),
            beat,
        )
        for half, beat in ((local, "this node"), (peer, _heartbeat(peer)))
    ]
    head = ("NODE", "STATE", "REASON", "SRMSTATE", "ASSIGNED", "SERVED", "HEARTBEAT")
    enabled = "enabled" if status.get("ha_enabled") else "disabled"
    parts = [
        f"group {status.get('group')}, high availability {enabled}\n{table(head, rows)}",
        *_advice(status),
        _services(status),
    ]
    return "\n\n".join(part for part in parts if part)


def _heartbeat(peer: Mapping[str, Any]) -> str:
    silent_s, left_s = peer.get("silent_s"), peer.get("seconds_to_peer_down")
    text = "heard" if peer.get("heard") else "not heard"
    if isinstance(silent_s, (int, float)):
        text += f" {silent_s:.1f} s ago" if peer.get("heard") else f" for {silent_s:.1f} s"
    if peer.get("beats_missed"):
        text += f", {peer['beats_missed']} missed"
        if isinstance(left_s, (int, float)):
            text += f", peer down in {left_s:.1f} s"
    if peer.get("heard") and peer.get("hears_us") is False:
        text += ", does not hear us"
    return text


def _advice(status: Mapping[str, Any]) -> list[str]:
    page = status.get("handbook") or {}
    lines = []
    if page.get("cause"):
        lines.append(labelled(row_name(page.get("row"), page.get("key")), page["cause"]["en"]))
    if page.get("action"):
        lines.append(labelled("Recommended", page["action"]["en"]))
    if status.get("mismatch"):
        lines.append(labelled("Does not match the peer", str(status["mismatch"])))
    can = [f"srmd {a['action']} {a.get('node') or ''}".rstrip() for a in status.get("actions", ())]
    lines.append(f"Possible now: {', '.join(can) or 'no action on the pair'}")
    return ["\n".join(lines)]


def row_name(number: int | None, key: str | None) -> str:
    return f"Row {number}" if number else f"Not in Cisco's table ({key})"


def _services(status: Mapping[str, Any]) -> str:
    services = status.get("services") or []
    state = (status.get("database") or {}).get("state")
    text = services_table(services) if services else ""
    return f"{text}\nDatabase: {state}" if state else text


def services_table(services: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (s["name"], s["state"], "yes" if s.get("critical") else "no", s.get("note") or "")
        for s in services
    ]
    return table(("SERVICE", "STATE", "CRITICAL", "NOTE"), rows)
