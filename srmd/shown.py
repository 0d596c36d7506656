"""States and reasons as people and answers write them, read back into the words of the machine.

Forgiving where a person types: case, blanks, dashes and language do not matter, numbers of the
counter `SRMState` and identifiers do as well as names.  Strict where it matters: what is no state
is an error that names the choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from srmd.core.states import Reason, State
from srmd.core.texts import (
    BACKUP_ACTIVATED,
    FAILOVER_AFFECTED_SERVICES,
    REASONS,
    STATES,
    Language,
    display,
)

Half = tuple[State, Reason]
"""What one node shows."""


class NotAState(ValueError):
    """A text that names no state, or no pair of state and reason."""


class NotAReason(ValueError):
    """A text that names no reason."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One node as an answer of the status shows it."""

    node: str
    state: State
    reason: Reason
    op: int | None

    @property
    def half(self) -> Half:
        return (self.state, self.reason)

    def __str__(self) -> str:
        return f"{self.node} {written(self.half)}"


def written(half: Half, language: Language = "en") -> str:
    """`Idle / On Admin Request`."""
    state, reason = half
    name = display(state, reason).say(language)
    return name if state is State.DOWN else f"{name} / {REASONS[reason].say(language)}"


def pair_of(status: Mapping[str, Any]) -> tuple[Shown, Shown]:
    """The node that answered and, as that node sees it, its peer."""
    return _one(status["local"]), _one(status["peer"])


def _one(half: Mapping[str, Any]) -> Shown:
    number = half.get("srm_state")
    state = State(number) if isinstance(number, int) else parse_state(str(half.get("state") or "-"))
    reason = half.get("reason")
    return Shown(
        node=str(half["node"]),
        state=state,
        reason=parse_reason(str(reason)) if reason else Reason.UNKNOWN,
        op=half.get("op"),
    )


def parse_state(text: str) -> State:
    """Raises NotAState, which says what was probably meant."""
    found = _STATE_NAMES.get(_plain(text) or text)
    if found is not None:
        return found
    names = [STATES[state].en for state in State]
    raise NotAState(f"{text!r} is no state; {_choices(text, names)}, or a number from 0 to 12")


def parse_reason(text: str) -> Reason:
    """Raises NotAReason, which says what was probably meant."""
    found = _REASON_NAMES.get(_plain(text) or text)
    if found is not None:
        return found
    raise NotAReason(f"{text!r} is no reason; {_choices(text, [t.en for t in REASONS.values()])}")


def parse_half(text: str) -> Half:
    """`state/reason`, or only `down` for a node that nobody hears.

    The last slash counts: the Japanese name of state 9 has one of its own.
    """
    head, slash, tail = text.rpartition("/")
    if not slash:
        state = parse_state(text)
        if state is State.DOWN:
            return (state, Reason.UNKNOWN)
        raise NotAState(f"{text!r} has no reason; write it as {STATES[state].en}/Reason")
    return (parse_state(head), parse_reason(tail))


def _plain(text: str) -> str:
    """Letters and digits alone: `On Admin Request`, `on_admin_request`, `on-admin-request`."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _choices(text: str, names: Iterable[str]) -> str:
    import difflib  # late: a right word does not wait for it

    plain = {_plain(name): name for name in names}
    near = difflib.get_close_matches(_plain(text), plain, n=1)
    return f"did you mean {plain[near[0]]}?" if near else f"one of: {', '.join(plain.values())}"


_STATE_NAMES: Final[dict[str, State]] = {
    **{_plain(state.name): state for state in State},
    **{_plain(text.en): state for state, text in STATES.items()},
    **{_plain(text.ja): state for state, text in STATES.items()},
    **{_plain(name): State.BACKUP for name in (BACKUP_ACTIVATED.en, BACKUP_ACTIVATED.ja)},
    **{
        _plain(name): State.FAILED_OVER_SERVICES_DOWN
        for name in (FAILOVER_AFFECTED_SERVICES.en, FAILOVER_AFFECTED_SERVICES.ja)
    },
    **{str(state.value): state for state in State},
    "-": State.DOWN,
    "silent": State.DOWN,
    "unreachable": State.DOWN,
}

# The two spellings of row 22 share their Japanese: the documented one of node 1 wins.
_REASON_NAMES: Final[dict[str, Reason]] = {
    **{_plain(text.ja): reason for reason, text in reversed(REASONS.items())},
    **{_plain(reason.value): reason for reason in Reason},
    **{_plain(text.en): reason for reason, text in REASONS.items()},
    "-": Reason.UNKNOWN,
}
