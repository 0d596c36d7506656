"""The handbook and the table of transitions at the prompt."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json, labelled, wrapped
from srmd.core import handbook
from srmd.core.handbook import SILENT, Match, Role
from srmd.core.handbook.row import EVERYTHING
from srmd.core.states import Reason, State
from srmd.core.texts import REASONS, UI, Language, Text, display
from srmd.shown import Half, NotAName, Shown, pair_of, parse_half, written

if TYPE_CHECKING:
    from srmd.client import Client

Status = Mapping[str, Any]
NOTHING: Final[Status] = {}
NODE: Final = Text("Node {node}", "ノード {node}")
ANY_STATE: Final = Text("any state", "任意の状態")
NOTICE: Final = Text("Notice", "注意")
TWO_HALVES: Final = Text(
    "two halves STATE/REASON, or none for the pair as it is",
    "「状態/理由」を 2 つ指定するか、現在のペアを調べる場合は何も指定しないでください。",
)
BOTH_SILENT: Final = Text(
    "two silent nodes cannot be seen from either; start one",
    "両ノードともハートビートが届かない場合は調べられません。一方のノードを起動してください。",
)
ROW_OR_HALVES: Final = Text(
    "--row names a row by itself; leave STATE/REASON out",
    "--row は行だけを指定します。「状態/理由」は指定しないでください。",
)
NO_SUCH_ROW: Final = Text(
    "--row {row}: there is no such row; 1 to 24 are those of Cisco's table, and those of srmd have"
    " the keys that srmd status prints",
    "--row {row}: その行はありません。Cisco の表の行は 1 から 24 まで、srmd 独自の行は"
    " srmd status が表示する名前で指定してください",
)


def states(options: argparse.Namespace) -> int:
    from srmd import tables  # it makes the whole table

    print(tables.render(options.format), end="")
    return Exit.OK


def explain(options: argparse.Namespace) -> int:
    """The row of two given halves, or of a number; without either, of the pair as it is now."""
    if options.row is not None:
        return _explain_row(options)
    told: Status = {}
    if not options.halves:
        told = _live_status(options)
        mine, peer = pair_of(told)
    elif len(options.halves) == 2:
        mine, peer = _typed_pair(options)
    else:
        raise _wrong(TWO_HALVES, options)
    match = _match_told(told) or handbook.find(
        mine.half, None if peer.state is State.DOWN else peer.half
    )
    if options.json:
        print(as_json(_as_dict(match, mine, peer) | _live(match, told)))
    else:
        print(_as_text(match, mine, peer, options.lang, _live(match, told)))
    return Exit.OK


def _match_told(told: Status) -> Match | None:
    """The row that the node itself has found: it knows a peer not heard yet from one in Unknown.

    None: no node was asked, or it has a row that this version does not know.
    """
    row = told.get("handbook") or {}
    known = {one.key: one for one in (*handbook.ROWS, handbook.SRM_STOPPED)}
    found = known.get(str(row.get("key")))
    sides: tuple[Role, ...] = get_args(Role)
    return next((Match(found, side) for side in sides if found and side == row.get("i_am")), None)


def _typed_pair(options: argparse.Namespace) -> tuple[Shown, Shown]:
    try:
        halves = [parse_half(half) for half in options.halves]
    except NotAName as bad:
        raise _wrong(bad.text, options) from bad
    shown = [_named(node, half) for node, half in zip("ab", halves, strict=True)]
    if shown[0].state is State.DOWN:
        shown.reverse()  # The handbook is read from a node that lives.
    if shown[0].state is State.DOWN:
        raise _wrong(BOTH_SILENT, options)
    return shown[0], shown[1]


def _wrong(text: Text, options: argparse.Namespace) -> Failure:
    return Failure(Exit.USAGE, f"explain: {text.say(options.lang)}")


def _explain_row(options: argparse.Namespace) -> int:
    """A row by its number or key, with the pairs that it is about; node 1 is a, node 2 is b."""
    if options.halves:
        raise _wrong(ROW_OR_HALVES, options)
    wanted = options.row
    found = [row for row in handbook.ROWS if wanted in (row.key, str(row.n or row.key))]
    if not found:
        raise _wrong(NO_SUCH_ROW.naming(row=repr(wanted)), options)
    match = Match(found[0], "home")
    sides = (match.row.home, match.row.backup)
    if options.json:
        nodes = dict(zip("ab", (_side(side) for side in sides), strict=True))
        told = {one: {"en": text.en, "ja": text.ja} for one, text in nodes.items()}
        print(as_json(_row_dict(match, "a", "b") | {"nodes": told}))
        return Exit.OK
    language: Language = options.lang
    lines = [
        labelled(NODE.naming(node=node).say(language), _side(side).say(language))
        for node, side in zip("ab", sides, strict=True)
    ]
    print("\n".join([_heading(match, language), *lines, *_advice(match, "a", "b", language)]))
    return Exit.OK


def _side(side: handbook.Side) -> Text:
    """The text of one side of a row: the alternatives, reasons of one state together."""
    if side == EVERYTHING:
        return ANY_STATE
    reasons: dict[Text, list[Text]] = {}
    for state, reason in side or (SILENT,):
        named = () if reason is None or state is State.DOWN else (REASONS[reason],)
        reasons.setdefault(display(state, reason or Reason.UNKNOWN), []).extend(named)
    return Text(
        " or ".join(_alternatives(name.en, [one.en for one in of]) for name, of in reasons.items()),
        " または ".join(
            _alternatives(name.ja, [one.ja for one in of]) for name, of in reasons.items()
        ),
    )


def _alternatives(state: str, reasons: Sequence[str]) -> str:
    return f"{state} / {', '.join(reasons)}" if reasons else state


def _named(node: str, half: Half) -> Shown:
    return Shown(node, *half, op=None)


def _live_status(options: argparse.Namespace) -> Status:
    from srmd.cli.asking import asks_node  # a pair that is typed needs no HTTP

    found: list[Status] = []

    @asks_node
    def ask(_: argparse.Namespace, client: Client) -> int:
        found.append(client.status())
        return Exit.OK

    ask(options)
    return found[0]


def _live(match: Match, told: Status) -> dict[str, Any]:
    """Notices of the node, and cause and action as it has changed them."""
    row = told.get("handbook") or {}
    same = row.get("key") == match.row.key
    changed = {word: row[word] for word in ("cause", "action") if same and word in row}
    notices = told.get("notices")
    return {**changed, "notices": notices} if notices else changed


def _as_text(
    match: Match, mine: Shown, peer: Shown, language: Language, live: Mapping[str, Any]
) -> str:
    shown = sorted((mine, peer), key=lambda half: half.node)
    pair = "  |  ".join(f"{half.node} {written(half.half, language)}" for half in shown)
    heading = [*wrapped(pair), *wrapped(_heading(match, language))]
    advice = _advice(match, mine.node, peer.node, language, live)
    notices = [labelled(NOTICE.say(language), one[language]) for one in live.get("notices", ())]
    return "\n".join([*heading, *advice, *notices])


def _heading(match: Match, language: Language) -> str:
    number, key = match.row.n, match.row.key
    label = UI["row"] if number else UI["ours"]
    return f"{label.say(language)}: {number or key}"


def _advice(
    match: Match, me: str, peer: str, language: Language, live: Mapping[str, Any] = NOTHING
) -> list[str]:
    cause, action = live.get("cause"), live.get("action")
    texts = {
        "cause": Text(**cause) if cause else match.cause(me, peer),
        "recommended_action": Text(**action) if action else match.action(me, peer),
        "note": match.note(me, peer),
    }
    return [
        labelled(UI[word].say(language), text.say(language)) for word, text in texts.items() if text
    ]


def _as_dict(match: Match, mine: Shown, peer: Shown) -> dict[str, object]:
    nodes = {half.node: written(half.half) for half in (mine, peer)}
    return _row_dict(match, mine.node, peer.node) | {"nodes": nodes}


def _row_dict(match: Match, me: str, peer: str) -> dict[str, object]:
    note = match.note(me, peer)
    return {
        "row": match.row.n,
        "key": match.row.key,
        "stable": match.row.stable,
        "cause": _both(match.cause(me, peer)),
        "action": _both(match.action(me, peer)),
        "note": _both(note) if note else None,
    }


def _both(text: Text) -> dict[str, str]:
    return {"en": text.en, "ja": text.ja}
