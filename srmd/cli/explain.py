"""The handbook and the table of transitions at the prompt."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json, labelled
from srmd.core import handbook
from srmd.core.handbook import Match
from srmd.core.states import State
from srmd.core.texts import UI, Language, Text
from srmd.shown import Half, NotAReason, NotAState, Shown, pair_of, parse_half, written

if TYPE_CHECKING:
    from srmd.client import Client


def states(options: argparse.Namespace) -> int:
    from srmd import tables  # it makes the whole table

    print(tables.render(options.format), end="")
    return Exit.OK


def explain(options: argparse.Namespace) -> int:
    """The row of two given halves; without them, of the pair as it is now."""
    if not options.halves:
        mine, peer = _live_pair(options)
    elif len(options.halves) == 2:
        mine, peer = _typed_pair(*options.halves)
    else:
        raise Failure(Exit.USAGE, "explain: two halves STATE/REASON, or none for the pair as it is")
    match = handbook.find(mine.half, None if peer.state is State.DOWN else peer.half)
    if options.json:
        print(as_json(_as_dict(match, mine, peer)))
    else:
        print(_as_text(match, mine, peer, options.lang))
    return Exit.OK


def _typed_pair(first: str, second: str) -> tuple[Shown, Shown]:
    try:
        halves = [parse_half(first), parse_half(second)]
    except (NotAState, NotAReason) as bad:
        raise Failure(Exit.USAGE, f"explain: {bad}") from bad
    shown = [_named(node, half) for node, half in zip("ab", halves, strict=True)]
    if shown[0].state is State.DOWN:
        shown.reverse()  # The handbook is read from a node that lives.
    if shown[0].state is State.DOWN:
        raise Failure(Exit.USAGE, "explain: two silent nodes cannot be seen from either; start one")
    return shown[0], shown[1]


def _named(node: str, half: Half) -> Shown:
    return Shown(node, *half, op=None)


def _live_pair(options: argparse.Namespace) -> tuple[Shown, Shown]:
    from srmd.cli.asking import asks_node  # a pair that is typed needs no HTTP

    found: list[Shown] = []

    @asks_node
    def ask(_: argparse.Namespace, client: Client) -> int:
        found.extend(pair_of(client.status()))
        return Exit.OK

    ask(options)
    return found[0], found[1]


def _as_text(match: Match, mine: Shown, peer: Shown, language: Language) -> str:
    def say(text: Text) -> str:
        return text.say(language)

    shown = sorted((mine, peer), key=lambda half: half.node)
    number, key = match.row.n, match.row.key
    heading = f"{say(UI['row'])}: {number}" if number else f"{say(UI['ours'])}: {key}"
    lines = [
        "  |  ".join(f"{half.node} {written(half.half, language)}" for half in shown),
        heading,
        labelled(say(UI["cause"]), say(match.cause(mine.node, peer.node))),
        labelled(say(UI["recommended_action"]), say(match.action(mine.node, peer.node))),
    ]
    if note := match.note(mine.node, peer.node):
        lines.append(labelled(say(UI["note"]), say(note)))
    return "\n".join(lines)


def _as_dict(match: Match, mine: Shown, peer: Shown) -> dict[str, object]:
    note = match.note(mine.node, peer.node)
    return {
        "row": match.row.n,
        "key": match.row.key,
        "stable": match.row.stable,
        "nodes": {half.node: written(half.half) for half in (mine, peer)},
        "cause": _both(match.cause(mine.node, peer.node)),
        "action": _both(match.action(mine.node, peer.node)),
        "note": _both(note) if note else None,
    }


def _both(text: Text) -> dict[str, str]:
    return {"en": text.en, "ja": text.ja}
