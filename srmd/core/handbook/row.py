"""What a row of the handbook is, and the words that many rows share.

A row tells an operator what a pair of node states means and what to do about it.  Its texts name
the two nodes by `{home}` and `{backup}`; `Match` in `srmd.core.handbook` fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from srmd.core.states import OWN_STATES, Reason, State
from srmd.core.texts import Text

Half = tuple[State, Reason]
"""What one node shows."""

Pattern = tuple[State, Reason | None]
"""What one node may show; `ANY` stands for every reason."""

Side = tuple[Pattern, ...]
"""Alternatives for one node.  Empty: the node shows nothing, because nobody hears it."""

ANY: Final = None
SILENT_NODE: Final[Side] = ()
EVERYTHING: Final[Side] = tuple((state, ANY) for state in State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A pair of node states with its cause and the recommended action.

    `home` is the node whose users have moved or may move, `backup` its peer.  In rows 22 and 23,
    as the document prints them, it is the other way round: see their notes.
    """

    key: str
    """Names the row in code and logs; rows of ours have no number."""
    home: Side
    backup: Side
    stable: bool
    """The pair rests there; otherwise it is passed through."""
    cause: Text
    action: Text
    note: Text | None = None
    """What an expert wants to know; in rows of ours: why the row exists."""
    n: int | None = None
    """Number in Cisco's Table 2, or None: the row is ours."""

    @property
    def ours(self) -> bool:
        """The document does not list this pair; we do."""
        return self.n is None


def fits(side: Side, half: Half) -> bool:
    """This half is one of the side's alternatives."""
    state, reason = half
    if not side:
        return state is State.DOWN
    # A plain loop: exploring all pairs asks this millions of times.
    for wanted_state, wanted_reason in side:
        if wanted_state is state and (wanted_reason is ANY or wanted_reason is reason):
            return True
    return False


def any_reason(*states: State) -> Side:
    return tuple((state, ANY) for state in states)


def any_other_state(*states: State) -> Side:
    """Every state that a node itself can be in, except these."""
    return any_reason(*(state for state in OWN_STATES if state not in states))


def with_reasons(state: State, *reasons: Reason) -> Side:
    return tuple((state, reason) for reason in reasons)


WAIT: Final = Text(
    "Wait; `srmd status` shows when it is done.",
    "お待ちください。完了は `srmd status` で確認できます。",
)

NOTHING_IS_URGENT: Final = Text("Nothing is urgent. ", "急ぐ作業はありません。")
"""The first words of an action that leaves time, while nothing else is to be noticed."""

FALL_BACK_WHEN_WANTED: Final = Text(
    NOTHING_IS_URGENT.en + "When node {home} shall serve its users again: `srmd fallback {home}`."
    " It needs heartbeats in both directions, which `srmd status` shows.",
    NOTHING_IS_URGENT.ja + "ノード {home} に戻すときに `srmd fallback {home}` を実行します。"
    "双方向のハートビートが必要です (`srmd status` に表示されます)。",
)

FALL_BACK: Final = Text(
    "Send the users home with `srmd fallback {home}`; both nodes end in Normal. It needs heartbeats"
    " in both directions, which `srmd status` shows.",
    "`srmd fallback {home}` でユーザを戻します。完了すると両ノードは「標準」になります。"
    "双方向のハートビートが必要です (`srmd status` に表示されます)。",
)

START_SERVICES_AND_FALL_BACK: Final = Text(
    "1. On node {home}, find what is down with `srmd service list` and start it with"
    " `srmd service start`; a lost database has to be repaired.\n"
    "2. If that does not help, reboot node {home}.\n"
    "3. When node {home} shows Failed Over, `srmd fallback {home}`.",
    "1. ノード {home} で `srmd service list` により停止中のものを調べ、"
    "`srmd service start` で開始します。データベースの停止は修復が必要です。\n"
    "2. 解決しなければ、ノード {home} をリブートします。\n"
    "3. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を実行します。",
)

RECOVER_OR_REBOOT: Final = Text(
    "1. Make sure that the database of both nodes answers (`srmd status`).\n"
    "2. `srmd recover`.\n"
    "3. If the pair fails again, reboot both nodes.",
    "1. 両ノードのデータベースが応答していることを `srmd status` で確認します。\n"
    "2. `srmd recover` を実行します。\n"
    "3. 再び障害モードになる場合は、両ノードをリブートします。",
)
