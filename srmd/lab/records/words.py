"""What the explanations and the time line say to operators, in English and Japanese.

Names of states and reasons, causes and actions come from the core's catalogue and the handbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from srmd.core.events import (
    Booted,
    Event,
    FailoverRequested,
    FallbackDue,
    FallbackRequested,
    HaSet,
    HealthChanged,
    OperationFailed,
    PeerDown,
    PeerHeard,
    PeerLeft,
    PeerMismatched,
    PlacementSeen,
    RecoverRequested,
    Report,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.handbook import Match
from srmd.core.node import Node
from srmd.core.states import Health, Stage, State
from srmd.core.texts import UI, Language, Text
from srmd.lab.records.absence import Gone
from srmd.lab.records.history import row_of
from srmd.shown import written

GONE: Final[dict[Gone, Text]] = {
    Gone.SRM: Text("SRM stopped", "SRM 停止"),
    Gone.NODE: Text("node stopped", "ノード停止"),
    Gone.SILENT: Text("no record of the node", "記録なし"),
}
"""Reasons for which a node has no state."""
GONE_SHORT: Final[dict[Gone, Text]] = {
    Gone.SRM: Text("SRM off", "SRM 停止"),
    Gone.NODE: Text("off", "停止"),
    Gone.SILENT: Text("?", "?"),
}
GONE_TIP: Final[dict[Gone, Text]] = {
    Gone.SRM: Text(
        "SRM did not run. The services of the node and the sessions of its users ran on.",
        "SRM だけが停止していました。ノードのサービスとユーザのセッションは継続しました。",
    ),
    Gone.NODE: Text(
        "The node was stopped, shut down or rebooted. Its services did not run.",
        "ノードは停止、シャットダウン、またはリブートされました。サービスは停止していました。",
    ),
    Gone.SILENT: Text(
        "The node noted nothing. Its process did not run or was frozen, or the rest of its journal"
        " is not in these records.",
        "ノードの記録がありません。プロセスの停止中またはフリーズ中か、"
        "ジャーナルの続きがこの記録に含まれていません。",
    ),
}
STORY_KINDS: Final[dict[str, Text]] = {
    "do": Text("do", "操作"),
    "refused": Text("refused", "拒否"),
    "said": Text("said", "応答"),
    "while": Text("while", "継続中"),
    "heal": Text("heal", "障害の解消"),
    "reached": Text("reached", "到達"),
    "stayed": Text("stayed", "変化なし"),
    "rows": Text("rows", "行"),
    "verdict": Text("verdict", "判定"),
}
"""Kinds of records of a play; its steps are the words of its file, which has one language."""
AS_IN_FILE: Final = Text("{kind}: {said}", "{kind} (シナリオの記述のまま): {said}")


def story(kind: str, said: str) -> tuple[Text, Text]:
    """A record of a play, short and in full."""
    named = STORY_KINDS.get(kind, Text(kind, kind))
    short = Text(f"{named.en}: {said}", f"{named.ja}: {said}")
    return short, AS_IN_FILE.naming(kind=named, said=said)


SRM_STARTS: Final = Text("SRM starts", "SRM 開始")
SHORT: Final[dict[State, Text]] = {
    State.UNKNOWN: Text("Unknown", "不明"),
    State.INITIALIZING: Text("Init", "初期"),
    State.IDLE: Text("Idle", "アイドル"),
    State.NORMAL: Text("OK", "標準"),
    State.BACKUP: Text("Backup", "バックアップ"),
    State.TAKING_OVER: Text("Taking", "引継中"),
    State.TAKING_BACK: Text("Back", "戻し中"),
    State.FAILING_OVER: Text("Failing", "移行中"),
    State.FAILED_OVER: Text("F.O.", "済み"),
    State.FAILED_OVER_SERVICES_DOWN: Text("F.O. down", "済み/停止"),
    State.FALLING_BACK: Text("Return", "解放中"),
    State.FAILED_MODE: Text("Failed", "障害"),
    State.DOWN: Text("Down", "ダウン"),
}
"""States in few letters, where a bar has no room (ours)."""
HEALTH: Final[dict[Health, Text]] = {
    Health.OK: Text("all critical services run", "すべての重要なサービスが実行中"),
    Health.SERVICE_DOWN: Text("a critical service is down", "重要なサービスが停止"),
    Health.DATABASE_DOWN: Text("the database is down", "データベースが停止"),
}
STAGES: Final[dict[Stage, Text]] = {
    Stage.BEGUN: Text("begun", "開始"),
    Stage.READY: Text("ready", "準備完了"),
    Stage.MOVING: Text("moving users", "ユーザの移動中"),
}
LASTING_TIP: Final = Text("down for longer than the critical service delay", "許容時間を超えて停止")


ONE_JOURNAL: Final = Text(
    "users: the journal of the other node is needed to tell who serves them",
    "ユーザ: サービスを提供したノードを示すには、もう一方のノードのジャーナルが必要です",
)


LANES: Final = {
    "story": Text("story", "シナリオ"),
    "node": Text("node", "ノード"),
    "services": Text("services", "サービス"),
    "link": Text("link", "リンク"),
    "beats of": Text("beats of", "ハートビート"),
    "users": Text("users", "ユーザ"),
}


def lane(name: str) -> Text:
    """A lane by its kind and what it is of, such as `node a`."""
    kind = next((one for one in LANES if name.startswith(one)), "")
    text = LANES.get(kind, Text("", ""))
    return Text(text.en + name.removeprefix(kind), text.ja + name.removeprefix(kind))


def lost(count: int, which: str, until: str) -> Text:
    return Text(
        f"{count} sent and not heard, {which}, until {until}",
        f"送信した {count} 個が届かず、{which}、{until} まで",
    )


def disagrees(place: str) -> Text:
    return Text(
        f"{place}: log and machine disagree: see `srmd replay`",
        f"{place}: 記録と規則が一致しません。`srmd replay` で確認できます",
    )


def left_out(count: int) -> Text:
    return Text(f"{count} marks at the end are left out", f"末尾の {count} 個の印を省略")


def only_lost(count: int, lost_count: int) -> Text:
    return Text(
        f"{count} heartbeats: only {lost_count} that were not heard are drawn",
        f"ハートビート {count} 個のうち、届かなかった {lost_count} 個だけを表示",
    )


def no_begin(file: str) -> Text:
    return Text(
        f"{file}: does not say when it began, left out", f"{file}: 開始時刻の記録がないため省略"
    )


def served(home: str, kind: str) -> Text:
    """Who serves the users of a home: `kind` is `by NODE`, `both` or `nobody`."""
    if kind == "both":
        return Text(
            f"users of {home}: served by BOTH nodes",
            f"{home} のユーザ: 両ノードがサービスを提供 (重複)",
        )
    if kind == "nobody":
        return Text(
            f"users of {home}: served by no node", f"{home} のユーザ: サービスを受けていない"
        )
    node = kind.removeprefix("by ")
    return Text(
        f"users of {home}: served by {node}", f"{home} のユーザ: ノード {node} がサービスを提供"
    )


def served_short(kind: str) -> Text:
    if kind == "both":
        return Text("BOTH", "重複")
    if kind == "nobody":
        return Text("none", "なし")
    node = kind.removeprefix("by ")
    return Text(node, node)


CHANNELS: Final = {
    "heartbeats": Text("heartbeats", "ハートビート"),
    "control": Text("control", "制御"),
}
REFUSES: Final = Text("refused", "拒否")
TOXICS: Final[dict[str, Text]] = {
    "packet_loss": Text("{loss_rate:%} lost", "{loss_rate:%} 損失"),
    "drop_next": Text("next {count} lost", "次の {count} 個を損失"),
    "duplicate": Text("{probability:%} doubled", "{probability:%} 重複"),
    "reorder": Text("{probability:%} reordered", "{probability:%} 順序入れ替え"),
    "replay": Text("{probability:%} replayed", "{probability:%} 再送"),
    "corrupt": Text("{probability:%} corrupted", "{probability:%} 破損"),
    "truncate": Text("{probability:%} truncated", "{probability:%} 切り詰め"),
    "latency": Text("{latency} ms late", "{latency} ms 遅延"),
    "bandwidth": Text("{rate} KB/s", "{rate} KB/s"),
    "timeout": Text("cut", "遮断"),
    "limit_data": Text("cut after {bytes} bytes", "{bytes} バイトで遮断"),
    "hold": Text("held back", "保留"),
    "flap": Text("{up} ms up, {down} ms cut", "{up} ms 通過、{down} ms 遮断"),
    "reset_peer": Text("connections reset", "接続リセット"),
    "slow_close": Text("closed {delay} ms late", "切断を {delay} ms 遅延"),
    "slicer": Text("in small pieces", "分割"),
}
"""Toxics of a fault proxy in words; `{name:%}` is a part of 1 as a percentage."""
JITTER: Final = Text("{said} +-{jitter} ms", "{said} +-{jitter} ms")


def toxic(kind: str, attributes: Mapping[str, Any]) -> Text:
    """A toxic in words, with the attributes that matter; one of another server by its name."""
    try:
        said = TOXICS[kind]
        figures = {name: _Figure(value) for name, value in attributes.items()}
        text = Text(said.en.format_map(figures), said.ja.format_map(figures))
    except (KeyError, ValueError, TypeError):
        return Text(kind, kind)
    if kind == "latency" and attributes.get("jitter"):
        return JITTER.naming(said=text, jitter=f"{attributes['jitter']}")
    return text


class _Figure:
    """A value of a record in a text, `{:%}` with as few digits as it has."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __format__(self, spec: str) -> str:
        if spec != "%":
            return str(self._value)
        if not isinstance(self._value, (int, float)):
            raise TypeError(self._value)
        return f"{self._value * 100:g}%"


def fault(channel: str, what: Text) -> Text:
    """A fault of the heartbeats or the control channel."""
    name = CHANNELS[channel]
    return Text(f"{name.en}: {what.en}", f"{name.ja}: {what.ja}")


def state_tip(me: str, peer: str, node: Node, rule: Text, lasts_s: float) -> Text:
    """All that is known of one state of a node."""
    match = row_of(node)
    cause = match.cause(me, peer)
    row = f"{match.row.n}" if match.row.n else match.row.key

    def said(lang: Language) -> str:
        heading = UI["row"] if match.row.n else UI["ours"]
        return "\n".join(
            [
                f"{me}: {written((node.state, node.reason), lang)}",
                f"op {node.op}, {lasts_s:.3f} s",
                rule.say(lang),
                f"{heading.say(lang)}: {row}",
                f"{UI['cause'].say(lang)}: {cause.say(lang)}",
            ]
        )

    return Text(said("en"), said("ja"))


# ---------------------------------------------------------------------------- why

WHEN: Final = Text("when", "時刻")
BECAUSE: Final = Text("because", "きっかけ")
RULE: Final = Text("rule", "規則")
RECORD: Final = Text("record", "記録")
CAUSE: Final = UI["cause"]
ACTION: Final = UI["recommended_action"]
LAST_BEATS: Final = Text("heartbeats heard last", "最後に受信したハートビート")
MISSING: Final = Text("missing", "届かなかったもの")
DEADLINE: Final = Text("deadline", "期限")
PEER_SAID: Final = Text("the peer reported last", "ピアの最後の報告")
DOWN_SINCE: Final = Text("unhealthy since", "異常の開始")
SERVICES: Final = UI["services"]
PREVENTED: Final = Text("would have prevented it", "避けられた条件")
CAME_OF: Final = Text("... which came of:", "... その原因:")
NONE_NOTED: Final = Text("none is noted in these records", "この記録にはありません")
STARTED_SO: Final = Text("SRM started with this state", "SRM はこの状態で開始しました")
FOUND_SO: Final = Text("these records begin with this state", "この記録はこの状態から始まります")
NOT_ASKED: Final = Text(
    "only that the administrator does not ask for it", "管理者が要求しなければ起きませんでした"
)
NO_AUTOMATIC_FALLBACK: Final = Text(
    "automatic fallback off, or a longer wait", "自動フォールバックの無効化、または待ち時間の延長"
)
EVENTS: Final[dict[type, Text]] = {
    Booted: Text("SRM started", "SRM が開始した"),
    PeerDown: Text("{peer} was silent for the timeout", "{peer} のハートビートがタイムアウトした"),
    PeerLeft: Text("{peer} announced that it goes down", "{peer} が停止を通知した"),
    PeerMismatched: Text("{peer} does not match", "{peer} と設定が一致しない"),
    PeerHeard: Text("{peer} reported itself", "{peer} の報告を受けた"),
    HealthChanged: Text(
        "services or database of this node changed, or were down for the delay",
        "このノードのサービスまたはデータベースの状態が変わった",
    ),
    ServicesStarted: Text("the services were started", "サービスの開始が完了した"),
    ServicesStopped: Text("the services were stopped", "サービスの停止が完了した"),
    UsersMoved: Text("the move of the users was durable", "ユーザの移動が完了した"),
    OperationFailed: Text("an order could not be carried out", "操作に失敗した"),
    StayExpired: Text("the state lasted longer than its bound", "状態が制限時間を超えた"),
    FallbackDue: Text("the automatic fallback wait was over", "自動フォールバックの待ち時間が終了"),
    FailoverRequested: Text(
        "an administrator asked for a failover", "管理者のフェールオーバー要求"
    ),
    FallbackRequested: Text("an administrator asked for a fallback", "管理者のフォールバック要求"),
    RecoverRequested: Text("an administrator asked to recover", "管理者のリカバリ要求"),
    HaSet: Text("high availability was switched", "高可用性の切り替え"),
    PlacementSeen: Text(
        "a placement by an order that is unknown here was found in the user database",
        "未知の操作によるユーザの配置がユーザデータベースで見つかった",
    ),
}


def event(happened: Event, peer: str) -> Text:
    """What happened, with its own name."""
    name = type(happened).__name__
    said = EVENTS[type(happened)].naming(peer=peer)
    detail = f", {happened.what}" if isinstance(happened, PeerMismatched) else ""
    if isinstance(happened, OperationFailed):
        detail = f", {happened.order.value}"
    return Text(f"{said.en} ({name}{detail})", f"{said.ja} ({name}{detail})")


def rule(decision: str, said: Text, happened: Event | None = None) -> Text:
    """A decision by its name, and which of its cases it was."""
    on = f" on {type(happened).__name__}" if happened is not None else ""
    return Text(f"{decision}{on}: {said.en}", f"{decision}{on}: {said.ja}")


def report(told: Report, peer: str) -> Text:
    """What the peer said of itself."""
    stage, health = STAGES[told.stage], HEALTH[told.health]
    half = (told.state, told.reason)
    hears_en = "hears us" if told.hears_us else "does not hear us"
    hears_ja = UI["hears_us" if told.hears_us else "does_not_hear_us"].ja
    return Text(
        f"{peer} {written(half, 'en')}, op {told.op}, {stage.en}, {health.en}, {hears_en}",
        f"{peer} {written(half, 'ja')}, op {told.op}, {stage.ja}, {health.ja}, {hears_ja}",
    )


def row_label(match: Match) -> Text:
    return UI["row"] if match.row.n else UI["ours"]


def missing(peer: str, seqs: list[int]) -> Text:
    if not seqs:
        return Text(
            f"{peer} has noted no heartbeat that was not heard: it sent none",
            f"{peer} の送信記録なし (送信されていない)",
        )
    span = f"seq {seqs[0]}" if len(seqs) == 1 else f"seq {seqs[0]}-{seqs[-1]}"
    return Text(
        f"{len(seqs)} that {peer} sent: {span}", f"{peer} が送信した {len(seqs)} 個: {span}"
    )


def deadline(due: str, name: str, timeout_s: float, late_s: float) -> Text:
    late = f"{late_s * 1000:.1f} ms"
    return Text(
        f"{due}: {name} = {timeout_s:g} after the last heartbeat; decided {late} later",
        f"{due}: 最後の受信から {name} = {timeout_s:g}、その {late} 後に決定",
    )


def one_beat(peer: str, due: str) -> Text:
    return Text(
        f"one heartbeat of {peer} heard before {due}",
        f"{due} より前に {peer} のハートビートを 1 個受信",
    )


def longer_until_heard(name: str, more_s: float, then: str) -> Text:
    return Text(
        f"{name} longer by {more_s:.3f} s: it was heard again at {then}",
        f"{name} を {more_s:.3f} 秒以上長くする ({then} に受信再開)",
    )


def longer_until_well(name: str, more_s: float, then: str) -> Text:
    return Text(
        f"{name} longer by {more_s:.3f} s: it was well again at {then}",
        f"{name} を {more_s:.3f} 秒以上長くする ({then} に回復)",
    )


def never_again(name: str) -> Text:
    return Text(
        f"no longer {name}: the peer is not heard again in these records",
        f"{name} を長くしても避けられない (この記録では以後受信なし)",
    )


def repaired(due: str, delay_s: float) -> Text:
    return Text(
        f"the service or database back before {due} (critical_service_delay_s = {delay_s:g})",
        f"{due} より前にサービスまたはデータベースが復旧 (critical_service_delay_s = {delay_s:g})",
    )


def not_left(peer: str) -> Text:
    return Text(f"node {peer} not going down", f"ノード {peer} を停止しない")


def longer_limit(name: str, limit_s: float) -> Text:
    return Text(
        f"the operation ending within {name} = {limit_s:g}", f"{name} = {limit_s:g} 以内の完了"
    )
