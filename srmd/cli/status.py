"""`srmd status`: the pair, what it means, what to do, and what there is to do it.

The page is made of what the node answers, so English needs none of our catalogues, whose import
would be felt.  Its words are keys here; `JAPANESE` has the translation of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from srmd.cli.asking import Options, asks_node
from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json, labelled, services_table, table, wrapped
from srmd.client import Client
from srmd.terminal import unbroken

if TYPE_CHECKING:
    from srmd.core.texts import Language

Status = Mapping[str, Any]

OF_THE_PAIR = frozenset({"recover"})
"""Actions whose command names no node: the API tells which node takes them, people need not."""

INTENDED = frozenset({"normal", "manually_failed_over"})
"""Rows of a pair that is as somebody wants it."""

HEAD = ("NODE", "STATE", "REASON", "SRMSTATE", "ASSIGNED", "SERVED", "HEARTBEAT")
JAPANESE = {
    "NODE": "ノード",
    "STATE": "状態",
    "REASON": "理由",
    "SRMSTATE": "SRMState",
    "ASSIGNED": "割り当て済み",
    "SERVED": "受け持ち中",
    "HEARTBEAT": "ハートビート",
    "SERVICE": "サービス",
    "CRITICAL": "重要",
    "NOTE": "備考",
    "yes": "はい",
    "no": "いいえ",
    "group {group}, high availability enabled": "グループ {group}、高可用性: 有効",
    "group {group}, high availability disabled": "グループ {group}、高可用性: 無効",
    "this node": "このノード",
    "heard": "受信中",
    "heard {silent_s:.1f} s ago": "{silent_s:.1f} 秒前に受信",
    "not heard": "未受信",
    "not heard for {silent_s:.1f} s": "{silent_s:.1f} 秒間未受信",
    ", {missed} missed": "、{missed} 回欠落",
    ", peer down in {left_s:.1f} s": "、ピア ダウンまで {left_s:.1f} 秒",
    ", does not hear us": "、このノードを受信していない",
    "Row {n}": "第 {n} 行",
    "Not in Cisco's table ({key})": "シスコの表になし ({key})",
    "Recommended": "推奨処置",
    "Does not match the peer": "ピアと一致しない設定",
    "Notice": "注意",
    "Possible now: {actions}": "実行できる操作: {actions}",
    "no action on the pair": "なし",
    "Database: {state}": "データベース: {state}",
    "srmd that runs: {versions}": "実行中の srmd: {versions}",
    "not told": "不明",
    "Trouble, by symptom: {file}": "症状別のトラブル対処: {file}",
}


@asks_node
def status(options: Options, client: Client) -> int:
    if options.check:
        return _check(options, client)
    if options.watch:
        from srmd.cli.reader import until_reader_goes  # a single look neither waits
        from srmd.cli.watch import watch  # nor compares

        return until_reader_goes(lambda: watch(options, client))
    answer = client.status()
    print(as_json(answer) if options.json else page(answer, options.lang))
    return Exit.OK


def _check(options: Options, client: Client) -> int:
    from srmd.cli.check import LIMIT_S, report  # only monitoring asks so

    if options.watch or options.json:
        raise Failure(Exit.USAGE, "--check prints one line: leave out --watch and --json")
    client.timeout_s = LIMIT_S
    level, line = report(client.status(), options.lang)
    print(line)
    return level


def possible(status: Status) -> list[str]:
    """The commands that can be given now, as they are typed."""
    words = [
        ("srmd", action["action"])
        if action["action"] in OF_THE_PAIR
        else ("srmd", action["action"], action["node"])
        for action in status.get("actions", ())
    ]
    return list(dict.fromkeys(map(" ".join, words)))


def trouble_page(language: Language) -> str | None:
    """As it was installed, or of the checkout."""
    import sys  # only trouble pays for these
    from pathlib import Path

    name = "trouble.ja.md" if language == "ja" else "trouble.md"
    places = (Path(sys.prefix, "share/doc/srmd"), Path(__file__).parents[2] / "docs")
    return next((str(place / name) for place in places if (place / name).is_file()), None)


def page(status: Status, language: Language = "en") -> str:
    """What is shown to people."""
    return Page(status, language).text()


class Page:
    """One answer in one language, as a whole and in parts."""

    def __init__(self, status: Status, language: Language) -> None:
        self._status = status
        self._language: Language = language

    def text(self) -> str:
        parts = [
            "\n".join([*wrapped(self.heading()), self._pair()]),
            self.advice(),
            self._services(),
            self._trouble(),
        ]
        return "\n\n".join(part for part in parts if part)

    def heading(self) -> str:
        enabled = "enabled" if self._status.get("ha_enabled") else "disabled"
        return self._say(
            f"group {{group}}, high availability {enabled}", group=self._status.get("group")
        )

    def _say(self, words: str, **names: object) -> str:
        said = words if self._language == "en" else JAPANESE[words]
        return said.format(**names)

    def _pair(self) -> str:
        users = self._status.get("users") or {}
        assigned, served = users.get("assigned") or {}, users.get("served") or {}
        local, peer = self._status["local"], self._status["peer"]
        beats = self.heartbeats()
        rows = [
            (
                half["node"],
                *names,
                half.get("srm_state"),
                assigned.get(half["node"]),
                served.get(half["node"]),
                beat,
            )
            for half, names, beat in zip((local, peer), self.names(), beats, strict=True)
        ]
        return table([self._say(word) for word in HEAD], rows)

    def names(self) -> Iterable[tuple[str | None, str | None]]:
        """State and reason of both nodes."""
        if self._language == "en":
            halves = (self._status["local"], self._status["peer"])
            return [(half.get("state"), half.get("reason")) for half in halves]
        from srmd.core.texts import REASONS, display  # English stands in the answer
        from srmd.shown import pair_of

        return [
            (
                display(half.state, half.reason).say(self._language),
                REASONS[half.reason].say(self._language),
            )
            for half in pair_of(self._status)
        ]

    def heartbeats(self) -> tuple[str, str]:
        """Of this node and of its peer."""
        return (self._say("this node"), self._heartbeat(self._status["peer"]))

    def _heartbeat(self, peer: Mapping[str, Any]) -> str:
        silent_s, left_s = peer.get("silent_s"), peer.get("seconds_to_peer_down")
        text = "heard" if peer.get("heard") else "not heard"
        if isinstance(silent_s, (int, float)):
            text += " {silent_s:.1f} s ago" if peer.get("heard") else " for {silent_s:.1f} s"
        text = self._say(text, silent_s=silent_s)
        if peer.get("beats_missed"):
            text += self._say(", {missed} missed", missed=peer["beats_missed"])
            if isinstance(left_s, (int, float)):
                text += self._say(", peer down in {left_s:.1f} s", left_s=left_s)
        if peer.get("heard") and peer.get("hears_us") is False:
            text += self._say(", does not hear us")
        return text

    def advice(self, *, old: bool = False) -> str:
        """Cause, recommended action and notices.  `old`: the node has gone and offers nothing."""
        row = self._status.get("handbook") or {}
        lines = []
        if row.get("cause"):
            lines.append(labelled(self._row_name(row), row["cause"][self._language]))
        if row.get("action"):
            lines.append(labelled(self._say("Recommended"), row["action"][self._language]))
        if mismatch := self._status.get("mismatch"):
            said = self._status.get("mismatch_ja") if self._language == "ja" else mismatch
            lines.append(labelled(self._say("Does not match the peer"), str(said or mismatch)))
        lines += [
            labelled(self._say("Notice"), notice[self._language])
            for notice in self._status.get("notices", ())
        ]
        if old:
            return "\n".join(lines)
        can = map(unbroken, possible(self._status))
        actions = ", ".join(can) or self._say("no action on the pair")
        return "\n".join([*lines, *wrapped(self._say("Possible now: {actions}", actions=actions))])

    def _trouble(self) -> str:
        """The page to look at when something is not well."""
        row = self._status.get("handbook") or {}
        rests = row.get("stable") and row.get("key") not in INTENDED
        if not (rests or self._status.get("mismatch") or self._status.get("notices")):
            return ""
        file = trouble_page(self._language)
        return "" if file is None else self._say("Trouble, by symptom: {file}", file=file)

    def _row_name(self, row: Mapping[str, Any]) -> str:
        if row.get("row"):
            return self._say("Row {n}", n=row["row"])
        return self._say("Not in Cisco's table ({key})", key=row.get("key"))

    def _services(self) -> str:
        services = self._status.get("services") or []
        state = (self._status.get("database") or {}).get("state")
        text = self._services_table(services) if services else ""
        if not state:
            return text
        if self._language != "en":
            from srmd.core.texts import service_state  # as in `names`

            state = service_state(state).say(self._language)
        between = "\n\n" if "\n\n" in text else "\n"  # a narrow table is one of blocks
        database = self._say("Database: {state}", state=state)
        return f"{text}{between}{database}\n{self._versions()}"

    def _versions(self) -> str:
        """Of the running programs; a node of an older srmd tells none."""
        told = (
            f"{half['node']} {half.get('version') or self._say('not told')}"
            for half in (self._status["local"], self._status["peer"])
        )
        return self._say("srmd that runs: {versions}", versions=", ".join(told))

    def _services_table(self, services: Iterable[Mapping[str, Any]]) -> str:
        if self._language == "en":
            return services_table(services)
        from srmd.core.texts import service_note, service_state  # as in `names`

        return services_table(
            services,
            self._say,
            state=lambda state: service_state(state).say(self._language),
            note=lambda note: service_note(note).say(self._language),
        )
