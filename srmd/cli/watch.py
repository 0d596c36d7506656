"""`srmd status --watch`: the pair in a few lines, drawn anew; in a pipe a line for each change.

At a terminal the page is written over the last one, line by line, so that nothing flickers, and no
line is written below the screen.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srmd.cli.asking import Options
from srmd.cli.output import as_json
from srmd.cli.status import Page
from srmd.client import Client, Unreachable
from srmd.core.texts import Language, Text, service_state
from srmd.shown import pair_of
from srmd.terminal import (
    COLUMNS_DEFAULT,
    DIM,
    columns_of,
    left_in,
    may_colour,
    painted,
    width_of,
    wrap,
    wrap_all,
)

Status = Mapping[str, Any]

WATCH_S = 0.2
"""Interval of the questions to the node."""
CHANGES_MAX = 20
"""Changes that are remembered; as many are shown as the screen has room for."""
BEGIN_PAGE: Final = "\x1b[H"
END_LINE: Final = "\x1b[K"
END_PAGE: Final = "\x1b[J"
GAP: Final = "  "
SERVED: Final = Text(
    "serves {served} of {assigned}", "サービス中 {served} / 割り当て済み {assigned}"
)
AND: Final = Text(", ", "、")
NOT_RUNNING: Final = Text("Not running: {services}", "実行中でないサービス: {services}")
NOT_ACTIVATED: Final = "not activated"
"""The note of a service that is not to run."""
CHANGES: Final = Text("Changes", "変化")
GONE: Final = Text("no answer since {at}: {why}", "{at} から応答なし: {why}")
OLD: Final = Text(
    "What follows is the last answer. It is old, and no action is offered.",
    "以下は最後の応答で、現在の状態ではありません。実行できる操作は表示しません。",
)


def watch(options: Options, client: Client) -> int:
    """Until Ctrl-C."""
    if options.json:
        return _watch_as_json(client)
    screen = _Screen(options.lang) if sys.stdout.isatty() else None
    line = ""
    while True:
        try:
            answer = client.status()
        except Unreachable as gone:
            if screen is not None:
                screen.gone(str(gone))
            elif line != str(gone):
                line = str(gone)
                print(f"srmd: {gone}", file=sys.stderr, flush=True)
        else:
            now = one_line(answer, options.lang)
            if screen is not None:
                screen.show(answer, now)
            elif now != line:
                line = now
                print(f"{_clock()}{GAP}{now}", flush=True)
        time.sleep(WATCH_S)


def _watch_as_json(client: Client) -> int:
    said: object = None
    while True:
        try:
            answer = client.status()
        except Unreachable as gone:
            if said != str(gone):
                said = str(gone)
                print(f"srmd: {gone}", file=sys.stderr, flush=True)
        else:
            pair = [(half.node, half.half, half.op) for half in pair_of(answer)]
            if pair != said:
                said = pair
                print(as_json(answer, on_one_line=True), flush=True)
        time.sleep(WATCH_S)


def one_line(status: Status, language: Language) -> str:
    """The states of both nodes and the users that they serve."""
    return "  |  ".join(
        f"{node} {half}{AND.say(language)}{users}" for node, half, users in _nodes(status, language)
    )


def _nodes(status: Status, language: Language) -> list[tuple[str, str, str]]:
    """Name, state and reason, and users of both nodes."""
    nodes = [status[side]["node"] for side in ("local", "peer")]
    return [
        (node, _half(names), _users(status, node, language))
        for node, names in zip(nodes, Page(status, language).names(), strict=True)
    ]


def compact(
    status: Status,
    language: Language,
    changes: Sequence[str],
    columns: int,
    rows: int,
    *,
    gone: str = "",
) -> list[str]:
    """The lines of the page: at most so many, none of them wider.

    `gone`: why there is no newer answer; the page is then that of an old one.
    """
    page = Page(status, language)
    firsts = [f"{node}{GAP}{half}" for node, half, _ in _nodes(status, language)]
    seconds = [
        f"{users}{AND.say(language)}{beat}"
        for (_, _, users), beat in zip(_nodes(status, language), page.heartbeats(), strict=True)
    ]
    head = f"{gone}\n{OLD.say(language)}" if gone else page.heading()
    lines = [*wrap_all(head, columns).splitlines(), ""]
    head_rows = len(lines)
    width = max(map(columns_of, firsts))
    if width + len(GAP) + max(map(columns_of, seconds)) <= columns:
        lines += [
            f"{left_in(first, width)}{GAP}{second}"
            for first, second in zip(firsts, seconds, strict=True)
        ]
    else:
        for first, second in zip(firsts, seconds, strict=True):
            lines += wrap(first, columns, further=GAP * 2)
            lines += wrap(second, columns, indent=GAP * 2)
    idle = [
        f"{one['name']}: {service_state(one['state']).say(language)}"
        for one in status.get("services") or ()
        if one["state"] != "STARTED" and one.get("critical") and one.get("note") != NOT_ACTIVATED
    ]
    if idle:
        named = NOT_RUNNING.naming(services=AND.say(language).join(idle))
        lines += wrap(named.say(language), columns, further=GAP)
    lines += ["", *wrap_all(page.advice(old=bool(gone)), columns).splitlines()]
    room = rows - len(lines) - 2
    if changes and room > 0:
        below: list[str] = []
        for change in reversed(changes):  # the newest has the first right to a place
            told = wrap(change, columns, further=GAP * 2)
            if len(below) + len(told) > room:
                break
            below = [*told, *below]
        lines += ["", f"{CHANGES.say(language)}:", *below] if below else []
    if gone and may_colour(os.environ):
        lines[head_rows:] = [painted(line, DIM) if line else "" for line in lines[head_rows:]]
    return lines[:rows]


class _Screen:
    """The terminal, and the changes since the begin."""

    def __init__(self, language: Language) -> None:
        self._language: Language = language
        self._changes: deque[str] = deque(maxlen=CHANGES_MAX)
        self._last, self._gone_since = "", ""
        self._status: Status | None = None

    def show(self, status: Status, now: str) -> None:
        if now != self._last:
            self._changes.append(f"{_clock()[11:]}{GAP}{now}")
            self._last = now
        self._gone_since, self._status = "", status
        self._draw(compact(status, self._language, list(self._changes), *_size()))

    def gone(self, why: str) -> None:
        """The last answer stays, dim, and above it that it is old."""
        self._gone_since = self._gone_since or _clock()[11:]
        said = GONE.naming(at=self._gone_since, why=why).say(self._language)
        columns, rows = _size()
        if self._status is None:
            self._draw(wrap(said, columns)[:rows])
            return
        changes = list(self._changes)
        self._draw(compact(self._status, self._language, changes, columns, rows, gone=said))

    def _draw(self, lines: list[str]) -> None:
        text = f"{END_LINE}\n".join(lines)
        print(f"{BEGIN_PAGE}{text}{END_LINE}{END_PAGE}", end="\n", flush=True)


def _half(names: tuple[str | None, str | None]) -> str:
    return " / ".join(name for name in names if name) or "-"


def _users(status: Status, node: str, language: Language) -> str:
    users = status.get("users") or {}
    figures = {
        key: "-" if (value := (users.get(key) or {}).get(node)) is None else str(value)
        for key in ("served", "assigned")
    }
    return SERVED.naming(**figures).say(language)


def _clock() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _size() -> tuple[int, int]:
    """Columns and rows for the page: the cursor stands in the row below it."""
    try:
        rows = os.get_terminal_size(sys.stdout.fileno()).lines
    except OSError:
        rows = 0
    return min(COLUMNS_DEFAULT * 2, width_of(sys.stdout)), max(rows, 4) - 1 if rows else 50
