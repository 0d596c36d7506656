"""`srmd status --check`: the pair in one line, for the plugins of monitoring systems.

The line and the exit codes are those that Nagios, Icinga and their like expect of a plugin; no
other code occurs.  What counts as which level is `docs/monitoring.md`.  While a state passes, the
counts of the two nodes are of different moments: whether all users are served is judged at rest.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from srmd.cli.exits import Exit, Failure
from srmd.core.states import PASSING, State

if TYPE_CHECKING:
    from srmd.core.texts import Language

Status = Mapping[str, Any]

LIMIT_S = 5.0
"""Limit of the node's answer: a plugin is stopped after about ten seconds; ours."""
FAILURE_LINES = 2
"""Of the message of a failure, that are told on the one line."""
TOLD_SHORTER = frozenset({"peer_suspect", "one_way", "control", "databases"})
"""Notices that the line says in fewer words, from other fields of the answer."""
SUSPECT_BEATS_MISSED = 2
"""Of a node that does not say by itself that its peer is suspect."""
FAILED_OVER = frozenset(
    {State.IDLE, State.FAILED_OVER, State.FAILED_OVER_SERVICES_DOWN, State.BACKUP}
)

JAPANESE = {
    "all {total} users are served": "全ユーザ {total} 人がサービスを受けています",
    "{count} of {total} users are served by no node": (
        "ユーザ {total} 人のうち {count} 人がサービスを受けていません"
    ),
    "{count} users are served by both nodes": (
        "ユーザ {count} 人に両ノードがサービスを提供しています"
    ),
    "node {node} serves {count} of {total} users, and node {peer} is not heard": (
        "ノード {node} はユーザ {total} 人のうち {count} 人にサービスを提供しています。"
        "ノード {peer} のハートビートは届いていません"
    ),
    "node {node} serves {count} of {total} users; how many node {peer} serves is not known": (
        "ノード {node} はユーザ {total} 人のうち {count} 人にサービスを提供しています。"
        "ノード {peer} がサービスを提供している人数は不明です"
    ),
    "the users are not known, because the database of node {node} is {state}": (
        "ノード {node} のデータベースが {state} のため、ユーザ数は不明です"
    ),
    "SRM does not run on node {node}": "ノード {node} では SRM が実行されていません",
    "high availability is disabled": "高可用性は無効です",
    "the settings of the nodes do not match: {what}": "ノードの設定が一致しません: {what}",
    "{count} heartbeats of node {peer} are overdue": (
        "ノード {peer} のハートビートが {count} 回届いていません"
    ),
    "node {peer} does not receive the heartbeats of node {node}": (
        "ノード {peer} はノード {node} のハートビートを受信していません"
    ),
    "the control channel of node {peer} is not reached: {why}": (
        "ノード {peer} の制御チャネルに接続できません: {why}"
    ),
    "the control channel of node {peer} was not reached {ago_s:.0f} s ago: {why}": (
        "ノード {peer} の制御チャネルに {ago_s:.0f} 秒前は接続できませんでした: {why}"
    ),
    "the user databases of the nodes differ": "両ノードのユーザ データベースが一致しません",
    "node {node}: {half}": "ノード {node}: {half}",
}


class Level(IntEnum):
    """Exit codes of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


LEVELS = {
    Exit.UNREACHABLE: Level.CRITICAL,
    Exit.TIMED_OUT: Level.CRITICAL,
    Exit.REFUSED: Level.CRITICAL,
}
"""Levels of the failures of a question; any other (usage, configuration, token, a defect) says
nothing of the pair."""


def is_check(words: Sequence[str]) -> bool:
    """These words of the command line are `srmd status --check`, however well they are written."""
    if "--check" not in words or "status" not in words:
        return False
    before = list(words[: words.index("status")])
    pairs = zip(["", *before], before, strict=False)
    return all(word.startswith("--") or last.startswith("--") for last, word in pairs)


def checked(run: Callable[[], int]) -> int:
    """Run the command, and end with a level and one line, whatever happens."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            level = run()
    except Failure as failure:
        level = _tell(LEVELS.get(failure.code, Level.UNKNOWN), str(failure))
    except SystemExit:  # argparse, after a wrong word; after --help nothing was said
        if said.getvalue():
            _tell(Level.UNKNOWN, said.getvalue().removeprefix("srmd: "))
        level = Level.UNKNOWN
    except KeyboardInterrupt:
        level = _tell(Level.UNKNOWN, "interrupted")
    except Exception as bug:  # noqa: BLE001 - one line, as for every other end
        level = _tell(Level.UNKNOWN, f"internal error: {type(bug).__name__}: {bug}")
    return level if _printed() else Level.UNKNOWN


def _tell(level: Level, text: str) -> Level:
    """Print the line.  Raises nothing: the exit code stays where the line cannot be read.

    Below the first line of a failure stands the problem itself, or the way out.
    """
    told = [part.strip() for part in text.strip().splitlines()[:FAILURE_LINES]]
    try:
        print(line(level, "; ".join(told)))
    except (OSError, ValueError):
        return Level.UNKNOWN
    return level


def _printed() -> bool:
    """All has been written.  If not, Python is kept from trying again while it exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def line(level: Level, text: str, figures: str = "") -> str:
    """As a plugin writes it: the level, a text without `|`, and the figures behind one."""
    first = next(iter(text.strip().splitlines()), "").replace("|", "/")
    return f"SRMD {level.name} - {first}" + (f" | {figures}" if figures else "")


def report(status: Status, language: Language = "en") -> tuple[Level, str]:
    """The level of this answer, and the line.  Raises Failure when it is no status."""
    try:
        judged = _Judged(status, language)
        return judged.level, line(judged.level, judged.text(), judged.users.figures(status))
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        why = f"the answer is no status of srmd ({type(wrong).__name__}: {wrong})"
        raise Failure(Exit.FAILED, why) from wrong


@dataclass(frozen=True, slots=True)
class _Users:
    """Users and where they are served, as the node that answers knows; None: not known."""

    total: int | None
    here: int | None
    there: int | None

    @classmethod
    def of(cls, status: Status) -> _Users:
        users = status["users"]
        assigned = list(users["assigned"].values())
        here, there = (users["served"].get(status[half]["node"]) for half in ("local", "peer"))
        return cls(None if None in assigned else sum(assigned), here, there)

    @property
    def served(self) -> int | None:
        if self.here is None or self.total is None:
            return None
        if self.there is None:
            return self.here if self.here >= self.total else None
        return self.here + self.there

    @property
    def unserved(self) -> int | None:
        if self.served is None or self.total is None:
            return None
        return max(0, self.total - self.served)

    @property
    def twice(self) -> int | None:
        if self.served is None or self.total is None or self.there is None:
            return None
        return max(0, self.served - self.total)

    def figures(self, status: Status) -> str:
        """The performance data: `label=value;warning;critical;minimum`; U is not known."""
        peer = status["peer"]
        silent_s = peer.get("silent_s")
        down = [
            one
            for one in status["services"]
            if one.get("critical") and one["state"] != "STARTED" and one["note"] != "not activated"
        ]
        values = (
            ("users", self.total, ""),
            ("served", self.served, ""),
            ("unserved", self.unserved, ";0"),
            ("served_twice", self.twice, ";0"),
            ("srm_state", status["local"]["srm_state"], ""),
            ("peer_srm_state", peer["srm_state"], ""),
            ("silent", None if silent_s is None else f"{silent_s:g}s", ""),
            ("heartbeats_missed", peer.get("beats_missed"), ""),
            ("services_down", len(down), ""),
        )
        return " ".join(
            f"{label}={'U' if value is None else value};{limits or ';'};0"
            for label, value, limits in values
        )


class _Judged:
    """One answer: its level, and what there is to say, the worst first."""

    def __init__(self, status: Status, language: Language) -> None:
        self.users = _Users.of(status)
        self.level = Level.OK
        self._status = status
        self._language: Language = language
        self._said: dict[Level, list[str]] = {level: [] for level in Level}
        self._local, self._peer = status["local"], status["peer"]
        self._states = {State(half["srm_state"]) for half in (self._local, self._peer)}
        self._names = {"node": self._local["node"], "peer": self._peer["node"]}
        self._judge_srm()
        self._judge_users()
        self._judge_peer()

    def text(self) -> str:
        found = [text for level in sorted(Level, reverse=True) for text in self._said[level]]
        halves = [
            self._say("node {node}: {half}", node=half["node"], half=name)
            for half, name in zip((self._local, self._peer), self._halves(), strict=True)
        ]
        return "; ".join([*found, ", ".join(halves)])

    def _note(self, level: Level, words: str = "", **values: object) -> None:
        self.level = max(self.level, level)
        if words:
            self._said[level].append(self._say(words, **self._names, **values))

    def _say(self, words: str, **values: object) -> str:
        return (words if self._language == "en" else JAPANESE[words]).format(**values)

    def _judge_srm(self) -> None:
        if self._status["srm"] == "STOPPED":
            self._note(Level.CRITICAL, "SRM does not run on node {node}")
        if State.FAILED_MODE in self._states:
            self._note(Level.CRITICAL)  # the states are in the text
        if self._states & (PASSING | FAILED_OVER):
            self._note(Level.WARNING)
        if not self._status["ha_enabled"]:
            self._note(Level.WARNING, "high availability is disabled")
        if what := self._status.get("mismatch"):
            japanese = self._status.get("mismatch_ja") if self._language == "ja" else None
            words = "the settings of the nodes do not match: {what}"
            self._note(Level.WARNING, words, what=japanese or what)
        for notice in self._status.get("notices", ()):
            self._note(Level.WARNING)
            if notice.get("key") not in TOLD_SHORTER:
                self._said[Level.WARNING].append(notice[self._language])

    def _judge_users(self) -> None:
        users, database = self.users, self._status["database"]
        if users.total is None:
            words = "the users are not known, because the database of node {node} is {state}"
            self._note(Level.WARNING, words, state=database["state"])
        elif self._states & PASSING:
            pass
        elif users.unserved is None:
            lost = State.DOWN in self._states
            words = (
                "node {node} serves {count} of {total} users, and node {peer} is not heard"
                if lost
                else "node {node} serves {count} of {total} users; how many node {peer} serves is"
                " not known"
            )
            level = Level.CRITICAL if lost else Level.WARNING
            self._note(level, words, count=users.here, total=users.total)
        elif users.unserved:
            words = "{count} of {total} users are served by no node"
            self._note(Level.CRITICAL, words, count=users.unserved, total=users.total)
        elif users.twice:
            words = "{count} users are served by both nodes"
            self._note(Level.CRITICAL, words, count=users.twice)
        else:
            self._note(Level.OK, "all {total} users are served", total=users.total)
        if database.get("agrees_with_peer") is False:
            self._note(Level.WARNING, "the user databases of the nodes differ")

    def _judge_peer(self) -> None:
        peer = self._peer
        if not peer.get("heard"):
            return
        missed = peer.get("beats_missed") or 0
        if peer.get("suspect", missed >= SUSPECT_BEATS_MISSED):
            words = "{count} heartbeats of node {peer} are overdue"
            self._note(Level.WARNING, words, count=missed)
        if peer.get("hears_us") is False and not self._states & PASSING:
            words = "node {peer} does not receive the heartbeats of node {node}"
            self._note(Level.WARNING, words)
        if peer.get("control_reachable") is False:
            told = "control_error" if self._language == "en" else "control_error_ja"
            why = peer.get(told) or peer.get("control_error") or "?"
            ago_s = peer.get("control_called_ago_s")
            words = "the control channel of node {peer} is not reached: {why}"
            if ago_s is not None:
                words = (
                    "the control channel of node {peer} was not reached {ago_s:.0f} s ago: {why}"
                )
            self._note(Level.WARNING, words, why=why, ago_s=ago_s)

    def _halves(self) -> list[str]:
        if self._language == "en":
            return [
                half["state"]
                if half["srm_state"] == State.DOWN
                else f"{half['state']} / {half['reason']}"
                for half in (self._local, self._peer)
            ]
        from srmd.shown import pair_of, written  # with the catalogue; English stands in the answer

        return [written(half.half, self._language) for half in pair_of(self._status)]
