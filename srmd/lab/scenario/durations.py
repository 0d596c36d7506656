"""Durations as a scenario writes them: small arithmetic on the pair's timers.

    keep_alive_timeout + 1s        2 * keep_alive_interval        500ms        reboot / 2

A sum of terms, each a timer or a number with its unit, multiplied or divided by a number.  So one
file serves a pair with the lab's fast timers and one with Cisco's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TIMERS: Final[Mapping[str, str]] = {
    "keep_alive_interval": "from one heartbeat to the next",
    "keep_alive_timeout": "silence in operation before take-over",
    "initialization_keep_alive_timeout": "silence while Initializing before take-over",
    "critical_service_delay": "how long a critical service may be down",
    "automatic_fallback_wait": "how long the home node must be well before automatic fallback",
    "start_limit": "how long services may take to start",
    "stop_limit": "how long services may take to stop",
    "move_limit": "how long a move of users may take",
    "reboot": "how long a node is off during a reboot",
}
"""The timers by their names in a node's configuration, without the unit; all in seconds."""

UNITS_S: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}

_NUMBER = r"\d+(?:\.\d+)?"
_TERM = re.compile(
    rf"\s*(?P<sign>[+-]?)\s*(?:(?P<times>{_NUMBER})\s*\*\s*)?"
    rf"(?:(?P<number>{_NUMBER})\s*(?P<unit>[a-z]+)|(?P<timer>[a-z_]+))"
    rf"(?:\s*/\s*(?P<by>{_NUMBER}))?\s*"
)


class NotADuration(ValueError):
    """A text that is no duration; the message has the text and what would be right."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A sum of timers and seconds; worth something only with a pair's timers."""

    text: str
    """As it was written."""
    terms: tuple[tuple[float, str | None], ...]
    """(factor, timer); the factor of None is seconds."""

    def seconds(self, timers: Mapping[str, float]) -> float:
        """Never below 0: what lies in the past is due now."""
        total_s = sum(factor * (timers[name] if name else 1.0) for factor, name in self.terms)
        return max(0.0, total_s)

    def __str__(self) -> str:
        return self.text


def duration(text: str) -> Duration:
    """Raises NotADuration."""
    terms: list[tuple[float, str | None]] = []
    at = 0
    while at < len(text) or not terms:
        found = _TERM.match(text, at)
        if found is None or (terms and not found["sign"]):
            right = "such as keep_alive_timeout + 1s, 2 * keep_alive_interval, or 500ms"
            raise NotADuration(f"{text!r} is no duration; write one {right}")
        terms.append(_term(text, found))
        at = found.end()
    return Duration(text, tuple(terms))


def _term(text: str, found: re.Match[str]) -> tuple[float, str | None]:
    factor = float(found["times"] or 1) * (-1 if found["sign"] == "-" else 1)
    if found["by"] is not None:
        if float(found["by"]) == 0:
            raise NotADuration(f"{text!r} divides by 0")
        factor /= float(found["by"])
    if found["timer"] is not None:
        if found["timer"] not in TIMERS:
            near = difflib.get_close_matches(found["timer"], TIMERS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(TIMERS)}"
            raise NotADuration(f"{text!r}: {found['timer']} is no timer; {hint}")
        return factor, found["timer"]
    if found["unit"] not in UNITS_S:
        raise NotADuration(f"{text!r}: {found['unit']} is no unit; one of {', '.join(UNITS_S)}")
    return factor * float(found["number"]) * UNITS_S[found["unit"]], None
