"""States and reasons as people and answers write them, read back into the words of the machine.

Forgiving where a person types: case, blanks, dashes and language do not matter, numbers of the
counter `SRMState`, identifiers and all names that Cisco's document prints do as well.  Strict where
it matters: what is no state is an error that names the choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from srmd.core.states import Reason, State
from srmd.core.texts import (
    BACKUP_ACTIVATED,
    FAILOVER_AFFECTED_SERVICES,
    REASONS,
    STATES,
    Language,
    Text,
    display,
)

Half = tuple[State, Reason]
"""What one node shows."""


class NotAName(ValueError):
    """A text that names none of what is wanted; `text` says it in both languages."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class NotAState(NotAName):
    """A text that names no state, or no pair of state and reason."""


class NotAReason(NotAName):
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
    choices = _choices(text, list(STATES.values()))
    raise NotAState(
        Text(
            f"{text!r} is no state; {choices.en}, or a number from 0 to 12",
            f"「{text}」という状態はありません。{choices.ja}0 から 12 までの番号でも指定できます。",
        )
    )


def parse_reason(text: str) -> Reason:
    """Raises NotAReason, which says what was probably meant."""
    found = _REASON_NAMES.get(_plain(text) or text)
    if found is not None:
        return found
    choices = _choices(text, list(REASONS.values()))
    raise NotAReason(
        Text(
            f"{text!r} is no reason; {choices.en}",
            f"「{text}」という理由はありません。{choices.ja}",
        )
    )


def parse_half(text: str) -> Half:
    """`state/reason`, or only `down` for a node that nobody hears.

    The last slash counts: the Japanese name of state 9 has one of its own.
    """
    head, slash, tail = text.replace("\uff0f", "/").rpartition("/")
    if not slash:
        state = parse_state(text)
        if state is State.DOWN:
            return (state, Reason.UNKNOWN)
        name = STATES[state]
        raise NotAState(
            Text(
                f"{text!r} has no reason; write it as {name.en}/Reason",
                f"「{text}」に理由がありません。{name.ja}/理由 の形で指定してください。",
            )
        )
    return (parse_state(head), parse_reason(tail))


def _plain(text: str) -> str:
    """Letters and digits alone: `On Admin Request`, `on_admin_request`, `on-admin-request`."""
    if not text.isascii():
        import unicodedata  # late: most names are English

        text = unicodedata.normalize("NFKC", text)  # letters of full width
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _choices(text: str, names: Sequence[Text]) -> Text:
    import difflib  # late: a right word does not wait for it

    plain = {_plain(name): one for one in names for name in (one.en, one.ja)}
    near = difflib.get_close_matches(_plain(text), plain, n=1)
    if near:
        meant = plain[near[0]]
        return Text(f"did you mean {meant.en}?", f"「{meant.ja}」のことですか？")
    return Text(
        f"one of: {', '.join(dict.fromkeys(one.en for one in names))}",
        f"次のいずれかを指定してください: {'、'.join(dict.fromkeys(one.ja for one in names))}。",
    )


def _spellings(text: Text) -> set[str]:
    """A name in each language, and in both as Cisco prints it: `アイドル (Idle)`."""
    return {_plain(text.en), _plain(text.ja), _plain(f"{text.ja} ({text.en})")}


CISCO_STATES: Final = (
    (State.NORMAL, Text("Normal", "正常")),
    (State.NORMAL, Text("Normal", "通常")),
    (State.BACKUP, Text("Backup Mode", "バックアップモード")),
    (State.BACKUP, BACKUP_ACTIVATED),
    (State.BACKUP, Text("Backup Activated", "バックアップがアクティブ")),
    (State.FAILED_OVER, Text("Failed Over", "フェールオーバー完了")),
    (State.FAILED_OVER_SERVICES_DOWN, FAILOVER_AFFECTED_SERVICES),
)
"""Other names of states that Cisco's document prints."""
CISCO_REASONS: Final = (
    (Reason.NORMAL, Text("Normal", "正常")),
    (Reason.NORMAL, Text("Normal", "通常")),
    (Reason.ON_ADMIN_REQUEST, Text("On Admin Request", "管理者からの要求時")),
    (Reason.CRITICAL_SERVICE_DOWN, Text("Critical Services Down", "重要なサービス停止")),
    (
        Reason.AUTO_RECOVERY_DATABASE_FAILURE,
        Text("Auto Recovery Database Failure", "データベースの自動リカバリに失敗"),
    ),
)
"""Other names of reasons that Cisco's document prints."""

_STATE_NAMES: Final[dict[str, State]] = {
    **{_plain(state.name): state for state in State},
    **{name: state for state, text in STATES.items() for name in _spellings(text)},
    **{name: state for state, text in CISCO_STATES for name in _spellings(text)},
    **{str(state.value): state for state in State},
    "-": State.DOWN,
    "silent": State.DOWN,
    "unreachable": State.DOWN,
}

# The two spellings of row 22 share their Japanese: the documented one of node 1 wins.
_REASON_NAMES: Final[dict[str, Reason]] = {
    **{name: reason for reason, text in reversed(REASONS.items()) for name in _spellings(text)},
    **{_plain(reason.value): reason for reason in Reason},
    **{name: reason for reason, text in CISCO_REASONS for name in _spellings(text)},
    "-": Reason.UNKNOWN,
}
