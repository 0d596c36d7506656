"""The one catalogue of words that operators read, in English and Japanese.

Names of states and reasons are Cisco's; the Japanese ones are those of the seed document.  What
Cisco leaves unnamed is ours and marked so.  Rows of the handbook bring their own texts, in
`srmd.core.handbook`; everything else that a command or the admin page prints is here, so that the
two languages cannot drift apart: a text without its translation does not type-check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from srmd.core.states import Reason, State

Language = Literal["en", "ja"]


@dataclass(frozen=True, slots=True)
class Text:
    """The same thing said twice.  `{name}` in it is a place for a name, see `naming`."""

    en: str
    ja: str

    def say(self, language: Language) -> str:
        return self.ja if language == "ja" else self.en

    def naming(self, **names: str | Text) -> Text:
        """This text with its places filled; a Text fills each language with its own words.

        Names that the text has no place for are left out.  Raises KeyError for a place without a
        name: that is a mistake in the caller, not in its input.
        """
        return Text(
            en=self.en.format_map({name: _say(value, "en") for name, value in names.items()}),
            ja=self.ja.format_map({name: _say(value, "ja") for name, value in names.items()}),
        )


def _say(value: str | Text, language: Language) -> str:
    return value if isinstance(value, str) else value.say(language)


STATES: Final[dict[State, Text]] = {
    State.UNKNOWN: Text("Unknown", "不明"),
    State.INITIALIZING: Text("Initializing", "初期化中"),
    State.IDLE: Text("Idle", "アイドル"),
    State.NORMAL: Text("Normal", "標準"),
    State.BACKUP: Text("Running in Backup Mode", "バックアップモードで実行中"),
    State.TAKING_OVER: Text("Taking Over", "テイクオーバー中"),
    State.TAKING_BACK: Text("Taking Back", "テイクバック中"),
    State.FAILING_OVER: Text("Failing Over", "フェールオーバー中"),
    State.FAILED_OVER: Text("Failed Over", "フェールオーバー済み"),
    State.FAILED_OVER_SERVICES_DOWN: Text(
        "Failed Over with Critical Services Not Running",
        "フェールオーバー済み/重要なサービスが実行されていません",
    ),
    State.FALLING_BACK: Text("Falling Back", "フォールバック中"),
    State.FAILED_MODE: Text("Running in Failed Mode", "障害モードで実行中"),
    # The document has no Japanese for it: this one is ours.
    State.DOWN: Text("Down State", "ダウン状態"),
}

BACKUP_ACTIVATED: Final = Text("Backup Activated", "バックアップがアクティブ化済み")
"""SRM's internal name of Running in Backup Mode, printed in rows 22 and 23."""

FAILOVER_AFFECTED_SERVICES: Final = Text(
    "Failover Affected Services", "フェールオーバーがサービスに影響"
)
"""SRM's internal name of Failed Over with Critical Services Not Running, printed in rows 22, 23."""

AUTO_RECOVER_REASONS: Final = frozenset(
    {
        Reason.AUTO_RECOVER_DATABASE_FAILURE,
        Reason.AUTO_RECOVERY_DATABASE_FAILURE,
        Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN,
    }
)


def display(state: State, reason: Reason) -> Text:
    """The state as the document prints it beside this reason."""
    if reason in AUTO_RECOVER_REASONS:
        if state is State.BACKUP:
            return BACKUP_ACTIVATED
        if state is State.FAILED_OVER_SERVICES_DOWN:
            return FAILOVER_AFFECTED_SERVICES
    return STATES[state]


STATE_MEANINGS: Final[dict[State, Text]] = {
    State.UNKNOWN: Text(
        "SRM cannot tell: high availability is off, or the two nodes do not make a pair.",
        "SRM は状態を判断できません。高可用性が無効か、2 つのノードがペアになっていません。",
    ),
    State.INITIALIZING: Text(
        "SRM has just started and finds out its role. Passes by itself.",
        "SRM が起動した直後で、自分の役割を確認しています。自動的に次へ進みます。",
    ),
    State.IDLE: Text(
        "Failed over by an administrator: critical services are stopped, nobody is served here.",
        "管理者がフェールオーバーさせたノードです。重要なサービスは止まり、ユーザは接続していません。",
    ),
    State.NORMAL: Text(
        "Healthy: the node serves its own users.",
        "正常です。自分に割り当てられたユーザを受け持っています。",
    ),
    State.BACKUP: Text(
        "The node serves the users of its peer besides its own.",
        "自分のユーザに加えて、ピアのユーザも受け持っています。",
    ),
    State.TAKING_OVER: Text(
        "The node is moving the users of its peer to itself. Passes by itself.",
        "ピアのユーザを自分へ移しています。自動的に次へ進みます。",
    ),
    State.TAKING_BACK: Text(
        "The home node starts its services and gets its users back. Passes by itself.",
        "ホーム ノードがサービスを起動し、ユーザを取り戻しています。自動的に次へ進みます。",
    ),
    State.FAILING_OVER: Text(
        "The peer is taking the users of this node. Passes by itself.",
        "このノードのユーザをピアが引き取っています。自動的に次へ進みます。",
    ),
    State.FAILED_OVER: Text(
        "The peer serves the users of this node; all critical services run: ready for a fallback.",
        "ユーザはピアにいます。重要なサービスはすべて動作し、フォールバックできます。",
    ),
    State.FAILED_OVER_SERVICES_DOWN: Text(
        "The peer serves the users of this node; some critical service is down.",
        "ユーザはピアにいます。重要なサービスのいずれかが停止しています。",
    ),
    State.FALLING_BACK: Text(
        "The backup node is handing the users back to their home node. Passes by itself.",
        "バックアップ ノードがユーザをホーム ノードへ返しています。自動的に次へ進みます。",
    ),
    State.FAILED_MODE: Text(
        "Something went wrong in a transition or in backup mode: an administrator has to recover.",
        "遷移中またはバックアップ中に問題が起きました。管理者によるリカバリが必要です。",
    ),
    State.DOWN: Text(
        "The node has not been heard for the heartbeat timeout, or it announced that it goes down.",
        "ハートビートがタイムアウトしたか、ノードが停止を予告しました。",
    ),
}

REASONS: Final[dict[Reason, Text]] = {
    Reason.NORMAL: Text("Normal", "標準"),
    Reason.ON_ADMIN_REQUEST: Text("On Admin Request", "管理者からの要求"),
    Reason.INITIALIZATION: Text("Initialization", "初期化"),
    Reason.AUTOMATIC_FALLBACK: Text("Automatic Fallback", "自動フォールバック"),
    Reason.CRITICAL_SERVICE_DOWN: Text("Critical Service Down", "重要なサービス停止"),
    Reason.DATABASE_FAILURE: Text("Database Failure", "データベース障害"),
    Reason.START_OF_CRITICAL_SERVICES_FAILED: Text(
        "Start of Critical Services Failed", "重要なサービスの開始が失敗"
    ),
    Reason.PEER_DOWN: Text("Peer Down", "ピア ダウン"),
    Reason.PEER_REBOOT: Text("Peer Reboot", "ピアリブート"),
    Reason.PEER_DOWN_DURING_INITIALIZATION: Text(
        "Peer Down During Initialization", "初期化中のピアダウン"
    ),
    Reason.TAKE_OVER_USERS_FAILED: Text(
        "Cisco Server Recovery Manager Take Over Users Failed",
        "Cisco Server Recovery Manager によるユーザのテイクオーバーが失敗",
    ),
    Reason.TAKE_BACK_USERS_FAILED: Text(
        "Cisco Server Recovery Manager Take Back Users Failed",
        "Cisco Server Recovery Manager によるユーザのテイクバックが失敗",
    ),
    Reason.UNKNOWN: Text("Unknown", "不明"),
    Reason.AUTO_RECOVER_DATABASE_FAILURE: Text(
        "Auto Recover Database Failure", "データベース障害からの自動回復"
    ),
    # The seed's Japanese for this one says that the recovery failed: a mistranslation, not kept.
    Reason.AUTO_RECOVERY_DATABASE_FAILURE: Text(
        "Auto Recovery Database Failure", "データベース障害からの自動回復"
    ),
    Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN: Text(
        "Auto Recover Critical Service Down", "重要なサービス停止からの自動回復"
    ),
    # Known from Cisco's CLI only, which is English: the Japanese is ours.
    Reason.HA_NOT_ENABLED: Text("High Availability Not Enabled", "高可用性が有効になっていません"),
}

SERVICE_STATES: Final[dict[str, Text]] = {
    "STARTED": Text("STARTED", "STARTED (実行中)"),
    "STARTING": Text("STARTING", "STARTING (開始処理中)"),
    "STOPPED": Text("STOPPED", "STOPPED (停止)"),
    "STOPPING": Text("STOPPING", "STOPPING (停止処理中)"),
}
"""As Cisco's CLI prints them; in Japanese with the meaning."""

SERVICE_NOTES: Final[dict[str, Text]] = {
    "Commanded out of service": Text(
        "Commanded out of service", "Commanded out of service (管理者または SRM が停止)"
    ),
    "not activated": Text("not activated", "not activated (アクティブ化されていません)"),
    "not answering": Text("not answering", "not answering (応答がないため強制終了)"),
    "killed": Text("killed", "killed (強制終了)"),
    "its guard was killed": Text(
        "its guard was killed", "its guard was killed (監視プロセスが強制終了)"
    ),
    "its start was withdrawn": Text(
        "its start was withdrawn", "its start was withdrawn (開始の取り消し)"
    ),
    "its former process does not end": Text(
        "its former process does not end",
        "its former process does not end (以前のプロセスが終了しない)",
    ),
    "a later order stopped it": Text(
        "a later order stopped it", "a later order stopped it (後の操作により停止)"
    ),
}
"""Reasons for which a service does not run (srmd, but for Cisco's first one)."""

SERVICE_ENDS: Final[dict[str, Text]] = {
    "killed by ": Text("killed by {how}", "killed by {how} (シグナルにより強制終了)"),
    "exited with code ": Text("exited with code {how}", "exited with code {how} (プロセスが終了)"),
    "no answer within ": Text(
        "no answer within {how}", "no answer within {how} (制限時間内に応答なし)"
    ),
}
"""By how the note begins."""


def service_state(state: str) -> Text:
    return SERVICE_STATES.get(state, Text(state, state))


def service_note(note: str) -> Text:
    """A note with its meaning in Japanese; one that is not in the catalogue as it is."""
    for begin, text in SERVICE_ENDS.items():
        if note.startswith(begin):
            return text.naming(how=note.removeprefix(begin))
    return SERVICE_NOTES.get(note, Text(note, note))


UI: Final[dict[str, Text]] = {
    # What things are called.
    "group": Text("Presence redundancy group", "プレゼンス冗長グループ"),
    "node": Text("Node", "ノード"),
    "this_node": Text("This node", "このノード"),
    "peer": Text("Peer", "ピア"),
    "home_node": Text("Home node", "ホーム ノード"),
    "backup_node": Text("Backup node", "バックアップ ノード"),
    "state": Text("State", "状態"),
    "reason": Text("Reason", "理由"),
    "meaning": Text("Meaning", "意味"),
    "since": Text("Since", "開始時刻"),
    "transition": Text("Last transition", "最後の遷移"),
    "row": Text("Row of Cisco's table", "シスコの表の行"),
    "ours": Text("Not in Cisco's table: ours", "シスコの表になし (srmd 独自)"),
    "version": Text("Version", "バージョン"),
    # Users and sessions.
    "users": Text("Users", "ユーザ"),
    "users_assigned": Text("Users assigned", "割り当て済みユーザ"),
    "users_served": Text("Users served", "受け持ち中のユーザ"),
    "users_unassigned": Text("Users not assigned", "未割り当てユーザ"),
    "users_unserved": Text("Users served by nobody", "受け持つノードのないユーザ"),
    "sessions": Text("Active sessions", "アクティブ セッション"),
    # Services and the database.
    "services": Text("Services", "サービス"),
    "service": Text("Service", "サービス"),
    "critical": Text("Critical", "重要"),
    "critical_services": Text("Critical services", "重要なサービス"),
    "all_services_run": Text("All critical services run", "重要なサービスはすべて動作中"),
    "services_down": Text("Critical services down", "停止中の重要なサービス"),
    "note": Text("Note", "備考"),
    "database": Text("Database", "データベース"),
    "database_ok": Text("Available", "利用可能"),
    "database_down": Text("Down", "停止"),
    # The heartbeat.
    "heartbeat": Text("Heartbeat", "ハートビート"),
    "heard": Text("Heard", "受信中"),
    "never_heard": Text("Not heard yet", "未受信"),
    "silent": Text("Silent", "応答なし"),
    "left": Text("Has announced that it goes down", "停止を予告済み"),
    "last_heard": Text("Last heard {silent_s} s ago", "最後の受信: {silent_s} 秒前"),
    "hears_us": Text("The peer hears us", "ピアはこのノードを受信中"),
    "does_not_hear_us": Text("The peer does not hear us", "ピアはこのノードを受信していない"),
    "peer_down_in": Text("Peer Down in {left_s} s", "ピア ダウンまで {left_s} 秒"),
    # High availability.
    "high_availability": Text("High availability", "高可用性"),
    "ha_enabled": Text("Enabled", "有効"),
    "ha_disabled": Text("Disabled", "無効"),
    "automatic_fallback": Text("Automatic fallback", "自動フォールバック"),
    "automatic_fallback_in": Text(
        "Automatic fallback in {left_s} s", "自動フォールバックまで {left_s} 秒"
    ),
    "mismatch": Text("Does not match the peer", "ピアと一致しない設定"),
    # What to do.
    "cause": Text("Cause", "原因"),
    "recommended_action": Text("Recommended action", "推奨処置"),
    "actions": Text("Actions", "操作"),
    "failover": Text("Failover", "フェールオーバー"),
    "fallback": Text("Fallback", "フォールバック"),
    "recover": Text("Recover", "リカバリ"),
    "enable_ha": Text("Enable high availability", "高可用性を有効化"),
    "disable_ha": Text("Disable high availability", "高可用性を無効化"),
    "start": Text("Start", "開始"),
    "stop": Text("Stop", "停止"),
    "restart": Text("Restart", "再起動"),
    "no_action": Text("No action is possible in this state", "この状態で可能な操作はありません"),
    "confirm": Text(
        "Sessions of the users who move will be cut. Go on?",
        "移動するユーザのセッションは切断されます。続行しますか?",
    ),
    "accepted": Text("Accepted", "受け付けました"),
    "refused": Text("Refused", "拒否されました"),
    # Alarms and the log.
    "alarms": Text("Alarms", "アラーム"),
    "no_alarms": Text("No alarms", "アラームなし"),
    "log": Text("Log", "ログ"),
    "unreachable": Text(
        "Node {node} does not answer at {address}: is srmd running there?",
        "ノード {node} は {address} で応答しません。srmd が動作しているか確認してください。",
    ),
}

MISMATCHES: Final[dict[str, Text]] = {
    # Why two nodes do not make a pair: `there` is the value at the other node.
    "group": Text(
        "group.name is {there} there and {here} here",
        "group.name は、もう一方のノードでは {there}、このノードでは {here} です",
    ),
    "sender": Text(
        "node.id is {there} there and peer.id {here} here",
        "もう一方のノードの node.id は {there}、このノードの peer.id は {here} です",
    ),
    "version": Text(
        "protocol version {there}, and we speak {here}: "
        "install the same release of srmd on both nodes",
        "もう一方のノードのプロトコル バージョンは {there}、このノードは {here} です。"
        "両ノードに同じリリースの srmd をインストールしてください",
    ),
    "ha": Text(
        "high availability is enabled on one node only",
        "高可用性が一方のノードでのみ有効です",
    ),
    "no_digest": Text(
        "no digest, and auth.mode is require here: set it to require at the sender, "
        "with the same keys",
        "ダイジェストがなく、このノードの auth.mode は require です。"
        "送信元でも同じ鍵で require にしてください",
    ),
    "unknown_key": Text(
        "key id {key} is not among auth.keys ({known})",
        "鍵 ID {key} が auth.keys にありません ({known})",
    ),
    "bad_digest": Text(
        "the digest does not fit key {key}: changed on its way, "
        "or the nodes hold different secrets under this id",
        "ダイジェストが鍵 {key} と一致しません。途中で変更されたか、"
        "この ID の秘密が両ノードで異なります",
    ),
    "clone": Text(
        "both nodes have node.id {me}: one configuration file was used for both. "
        "Give one node its own node.id and the other node's id as peer.id, "
        "remove node.json and node.json.1 in its state_dir, and restart it",
        "両ノードの node.id が {me} です。1 つの設定ファイルを両方に使っています。"
        "一方のノードに固有の node.id を設定し、peer.id にもう一方のノードの id を設定して、"
        "state_dir の node.json と node.json.1 を削除してから再起動してください",
    ),
    "echo": Text(
        "the heartbeats of node {me} come back to it: peer.heartbeat leads to node {me} itself. "
        "Set peer.heartbeat to the address of node {peer}, and check the proxies between",
        "ノード {me} のハートビートが自ノードに戻っています。"
        "peer.heartbeat がノード {me} 自身に届いています。"
        "peer.heartbeat をノード {peer} のアドレスに設定し、途中のプロキシを確認してください",
    ),
    "other_receiver": Text(
        "node {peer} has received messages with node.id {me} and numbers that this node has not"
        " sent. Either another node {me} sends to node {peer}, or one of the two nodes lost its"
        " memory or was put back to an older state. If a state was lost or put back, wait: SRM"
        " starts again above these numbers within {pause_s} s, or at once with `srmd srm restart`."
        " If there is another node {me}, compare node.id, peer.id, peer.heartbeat and peer.control"
        " of all nodes that have this group and key, then run `srmd srm restart`",
        "ノード {peer} は、このノードが送信していない番号を持つ node.id {me} のメッセージを"
        "受信しています。別のノード {me} がノード {peer} に送信しているか、一方のノードの記憶が"
        "失われたか、古い状態に戻されています。"
        "状態が失われたか戻された場合は、待ちます。"
        "{pause_s} 秒以内に SRM がその番号より大きい番号で再び開始します。"
        "`srmd srm restart` を実行すると、すぐに開始します。"
        "別のノード {me} がある場合は、このグループと鍵を持つすべてのノードの node.id、peer.id、"
        "peer.heartbeat、peer.control を確認してから、`srmd srm restart` を実行してください",
    ),
    "twice": Text(
        "heartbeats with node.id {peer} arrive from {source}, and node {peer}, which is received,"
        " does not send them. Either node.id {peer} is used twice, or node {peer} was started"
        " without its memory, or recorded heartbeats are sent again. If node {peer} lost its"
        " memory, wait: it continues above its former numbers by itself. If there is a second"
        " node, stop it or give it its own node.id",
        "{source} から node.id {peer} のハートビートが届いていますが、"
        "受信中のノード {peer} が送信したものではありません。"
        "node.id {peer} が 2 つのノードで使用されているか、ノード {peer} が記憶のない状態で"
        "起動したか、記録されたハートビートが再送されています。"
        "ノード {peer} の記憶が失われた場合は、待ちます。以前の番号の続きから自動的に再開します。"
        "2 つ目のノードがある場合は、停止するか、固有の node.id を設定してください",
    ),
    "known_newer": Text(
        "node {peer} refuses the control messages of node {me} as old: it has received newer ones"
        " with node.id {me}. Another node with node.id {me} runs, or node {me} has lost its state."
        " If node {me} has lost its state, check the way from node {peer} to node {me}: node {me}"
        " continues above its former numbers as soon as it receives a heartbeat of node {peer}."
        " If there is a second node, stop it or give it its own node.id",
        "ノード {peer} が、ノード {me} の制御メッセージを古いものとして拒否しました。"
        "ノード {peer} は、node.id {me} のより新しいメッセージを受信しています。"
        "node.id {me} を使用するノードがほかにもあるか、ノード {me} の状態が失われています。"
        "ノード {me} の状態が失われた場合は、ノード {peer} からノード {me} への経路を確認します。"
        "ノード {me} は、ノード {peer} のハートビートを受信すると、"
        "以前の番号の続きから自動的に再開します。"
        "2 つ目のノードがある場合は、停止するか、固有の node.id を設定してください",
    ),
    "old": Text(
        "heartbeats of node {peer} arrive with older numbers than before: its state was lost or an "
        "older copy was put back. Node {peer} counts on as soon as it receives a heartbeat of node "
        "{me}: check the way from node {me} to node {peer}",
        "ノード {peer} から、以前より古い番号のハートビートが届いています。"
        "状態が失われたか、古いコピーに戻されています。"
        "ノード {peer} は、ノード {me} のハートビートを受信すると番号を回復します。"
        "ノード {me} からノード {peer} への経路を確認してください",
    ),
}

HINTS: Final[dict[str, Text]] = {
    "peer_suspect": Text(
        "Node {peer} is suspect: {missed} of its heartbeats are overdue, and the last one came"
        " {silent_s} s ago. If none arrives within {left_s} s, node {peer} counts as down and node"
        " {node} acts on it. Find out whether node {peer}, its SRM or the network is down.",
        "ノード {peer} に異常の疑いがあります。ハートビートが {missed} 回届いておらず、"
        "最後の受信は {silent_s} 秒前です。{left_s} 秒以内に届かない場合、ノード {node} は"
        "ノード {peer} を停止とみなして動作します。"
        "ノード {peer}、その SRM、またはネットワークが停止していないか確認します。",
    ),
    "service_down": Text(
        "Node {node} runs without {services}. {follows} Find the cause in the log of node"
        " {node}, then run `srmd service start NAME` there.",
        "ノード {node} で {services} が実行されていません。{follows}"
        "ノード {node} のログで原因を確認し、そこで `srmd service start NAME` を実行します。",
    ),
    "peer_service_down": Text(
        "Node {node} reports that it runs without {services}. {follows} Find the cause in"
        " the log of node {node}, then run `srmd service start NAME` there.",
        "ノード {node} から、{services} が実行されていないと報告されています。{follows}"
        "ノード {node} のログで原因を確認し、そこで `srmd service start NAME` を実行します。",
    ),
    "users_displaced": Text(
        "The user database of node {node} places {count} users on the wrong node, so no node serves"
        " them. Node {node} tries to place them again every {pause_s} s. If this notice stays,"
        " the database cannot be written: find the cause at `users.displaced` in the log of node"
        " {node}.",
        "ノード {node} のユーザ データベースが {count} 人のユーザを誤ったノードに配置しているため、"
        "このユーザはサービスを受けていません。ノード {node} は {pause_s} 秒ごとに配置し直します。"
        "この注意が消えない場合はデータベースに書き込めません。"
        "ノード {node} のログの `users.displaced` で原因を確認します。",
    ),
    "one_way": Text(
        "Node {peer} does not receive the heartbeats of node {node}. Repair the network from node"
        " {node} to node {peer} before anything else.",
        "ノード {peer} はノード {node} のハートビートを受信していません。"
        "ほかの操作の前に、ノード {node} からノード {peer} へのネットワークを修復します。",
    ),
    "control": Text(
        "The control channel of node {peer} was not reached by the last call, {ago_s} s ago: {why}."
        " {advice}",
        "ノード {peer} の制御チャネルに、最後の呼び出し ({ago_s} 秒前) では"
        "接続できませんでした: {why}。{advice}",
    ),
    "not_replicated": Text(
        "Node {peer} has not read the last {count} changes to the users of node {node}, for"
        " {since_s} s now. After a failover node {peer} would not serve these users correctly."
        " Repair the control channel from node {peer} to node {node}.",
        "ノード {peer} は、ノード {node} のユーザの最新の変更 {count} 件を {since_s} 秒間"
        "読み取っていません。フェールオーバーすると、ノード {peer} はこのユーザに正しいサービスを"
        "提供できません。ノード {peer} からノード {node} への制御チャネルを修復します。",
    ),
    "databases": Text(
        "The user databases differ: node {node} holds {count} users and node {peer} {peer_count},"
        " or they differ in a user. All users are being read again. If this stays, check the"
        " control channel.",
        "ユーザ データベースが一致していません。ノード {node} のユーザは {count} 人、"
        "ノード {peer} のユーザは {peer_count} 人です (人数が同じ場合は"
        "ユーザの内容が異なります)。全ユーザを読み直しています。"
        "解消しない場合は、制御チャネルを確認します。",
    ),
    "certificate_ends": Text(
        "The certificate of {whose} ends {at}, in {days} days. Replace it before.",
        "{whose} の証明書は {at} に期限切れになります (残り {days} 日)。その前に交換します。",
    ),
    "certificate_ended": Text(
        "The certificate of {whose} ended {at}. Replace it.",
        "{whose} の証明書は {at} に期限切れになりました。交換します。",
    ),
}
"""Notices besides the row of the handbook (srmd)."""

CONTROL_ADVICE: Final[dict[str, Text]] = {
    "network": Text(
        "Check peer.control of node {node}, the address at which node {peer} listens, and the"
        " network between.",
        "ノード {node} の peer.control、ノード {peer} の待ち受けアドレス、"
        "間のネットワークを確認します。",
    ),
    "certificate": Text(
        "Check tls.certificate of node {peer} and tls.ca of both nodes. Replace what is wrong, then"
        " run `systemctl reload srmd.service` there.",
        "ノード {peer} の tls.certificate と両ノードの tls.ca を確認します。"
        "誤りがあれば交換し、そこで `systemctl reload srmd.service` を実行します。",
    ),
    "tls": Text(
        "Give [tls] to both nodes or to none, with https:// or http:// in peer.control of the"
        " other, and reboot the node that changes.",
        "[tls] は両ノードに設定するか、どちらにも設定しません。もう一方のノードの peer.control も"
        " https:// または http:// に合わせ、変更したノードをリブートします。",
    ),
}
"""`advice` in the hint on the control channel, by the kind of its failure."""

CALL_FAILURES: Final[dict[str, Text]] = {
    "certificate": Text(
        "its certificate is not believed{verdict}", "証明書が信頼できません{verdict}"
    ),
    "names": Text(
        "its certificate names {there}, and {needed} is needed",
        "証明書の名前は {there} ですが、{needed} が必要です",
    ),
    "tls": Text(
        "what answers there does not speak TLS as this node does",
        "応答した相手の TLS はこのノードと合いません",
    ),
    "plain": Text(
        "it speaks plain HTTP on its control port, and [tls] is on here",
        "制御ポートは暗号化されていない HTTP です。このノードでは [tls] が有効です",
    ),
    "encrypted": Text(
        "it speaks TLS on its control port, and [tls] is off here",
        "制御ポートは TLS です。このノードでは [tls] が無効です",
    ),
    "refuses_ours": Text(
        "it does not believe the certificate of this node ({verdict})",
        "このノードの証明書が信頼されません ({verdict})",
    ),
    "addresses": Text("no connection at any of its addresses", "どのアドレスにも接続できません"),
    "late": Text("no answer in time", "時間内に応答がありません"),
    "middle": Text(
        "the connection was closed in the middle of the answer", "応答の途中で接続が閉じられました"
    ),
    "not_http": Text(
        "what answers there does not speak HTTP as srmd does",
        "応答した相手の HTTP は srmd のものと異なります",
    ),
    "no_name": Text(
        "its address is no name that can be looked up", "アドレスが名前解決できる形式ではありません"
    ),
    "tls_failed": Text("the TLS connection failed", "TLS の接続が失敗しました"),
    "closed": Text("the connection was closed before the answer", "応答の前に接続が閉じられました"),
    "unresolved": Text("its name cannot be looked up", "名前を解決できません"),
    "other": Text("the call failed ({kind})", "呼び出しが失敗しました ({kind})"),
    "unsigned": Text(
        "HTTP status {status} without a signature: the node there does not accept our key or our"
        " request, or another server answers; its log tells why (control.rejected)",
        "署名のない HTTP ステータス {status} です。相手のノードがこのノードの鍵または要求を"
        "受け付けないか、別のサーバが応答しています。"
        "原因は相手のノードのログ (control.rejected) で確認します",
    ),
    "refused": Text("HTTP status {status}: {reason}", "HTTP ステータス {status}: {reason}"),
    "not_believed": Text("its answer is not believed: {detail}", "応答が信頼できません: {detail}"),
    "malformed": Text("its answer cannot be read: {detail}", "応答を読み取れません: {detail}"),
    "another_database": Text(
        "its answer is from database {there}, and the heartbeats of node {peer} name {named}:"
        " check that peer.control leads to node {peer}, as peer.heartbeat does",
        "応答はデータベース {there} からのものですが、ノード {peer} のハートビートは {named} を"
        "示しています。peer.control が peer.heartbeat と同じくノード {peer} に届くことを"
        "確認します",
    ),
}
"""Reasons for which a control call failed; `verdict` and `detail` quote a library or the peer."""

CERTIFICATE_VERDICTS: Final[dict[str, Text]] = {
    "certificate has expired": Text("certificate has expired", "証明書の期限が切れています"),
    "certificate is not yet valid": Text(
        "certificate is not yet valid", "証明書の有効期間がまだ始まっていません"
    ),
    "self-signed certificate": Text("self-signed certificate", "自己署名の証明書です"),
    "self-signed certificate in certificate chain": Text(
        "self-signed certificate in certificate chain",
        "証明書チェーンに信頼していない認証局 (CA) があります",
    ),
    "unable to get local issuer certificate": Text(
        "unable to get local issuer certificate",
        "tls.ca の認証局 (CA) が署名したものではありません",
    ),
    "certificate signature failure": Text(
        "certificate signature failure", "証明書の署名が一致しません"
    ),
}
"""OpenSSL's verdicts on a certificate that a node meets; others are quoted."""

SYSTEM_ERRORS: Final[dict[str, str]] = {
    "connection refused": "接続が拒否されました",
    "connection reset by peer": "相手が接続を切断しました",
    "connection timed out": "接続がタイムアウトしました",
    "connection aborted": "接続が中断されました",
    "software caused connection abort": "接続が中断されました",
    "broken pipe": "接続は相手側で閉じられています",
    "no route to host": "ホストへの経路がありません",
    "network is unreachable": "ネットワークに到達できません",
    "network is down": "ネットワークが停止しています",
    "host is down": "ホストが停止しています",
    "operation not permitted": "操作が許可されていません",
    "permission denied": "許可がありません",
    "address family not supported by protocol": "この IP のバージョンは使えません",
    "cannot assign requested address": "このアドレスは割り当てられません",
    "too many open files": "開いているファイルが多すぎます",
    "name or service not known": "名前が見つかりません",
    "temporary failure in name resolution": "名前解決が一時的に失敗しました",
    "no address associated with hostname": "名前にアドレスがありません",
    "address family for hostname not supported": "名前にこの IP のバージョンのアドレスがありません",
    "non-recoverable failure in name resolution": "名前解決が失敗しました",
}
"""Errors of the system and its resolver, as they are printed in lower case, in Japanese."""


def system_error(words: str) -> Text:
    """An error in the system's own words; one that is not in the catalogue is quoted."""
    return Text(words, SYSTEM_ERRORS.get(words, f"システムのエラー ({words})"))


CERTIFICATE_OF: Final[dict[str, Text]] = {
    "node": Text("node {node}", "ノード {node}"),
    "peer": Text("node {peer}", "ノード {peer}"),
    "ca": Text("the CA", "認証局 (CA)"),
}
"""`whose` in the hints on certificates."""

UNSERVED: Final = Text(
    "No node serves {count} of the users.", "{count} 人のユーザがサービスを受けていません。"
)
"""`follows` in the hints on services, before the delay."""

DELAYS: Final[dict[str, Text]] = {
    "left": Text(
        "The critical service delay (`critical_service_delay_s`) is over in {left_s} s, and node"
        " {node} acts on it then.",
        "重要なサービスの停止許容時間 (`critical_service_delay_s`) は残り {left_s} 秒です。"
        "その後、ノード {node} が動作します。",
    ),
    "over": Text(
        "The critical service delay (`critical_service_delay_s`) is over.",
        "重要なサービスの停止許容時間 (`critical_service_delay_s`) を過ぎています。",
    ),
    "none": Text(
        "Node {node} is in Unknown, so no failover follows.",
        "ノード {node} は「不明」のため、フェールオーバーは行われません。",
    ),
    "there": Text(
        "Run `srmd status` on node {node} to see how much of the critical service delay"
        " (`critical_service_delay_s`) is left.",
        "重要なサービスの停止許容時間 (`critical_service_delay_s`) の残りは、"
        "ノード {node} で `srmd status` を実行して確認します。",
    ),
}
"""`follows` in the hints on services: what is known of the critical service delay."""

NOT_ALL_WELL: Final = Text(
    "Both nodes are in Normal, but not all is well: see the notices.",
    "両ノードは「標準」ですが、正常でない点があります。「注意」を参照してください。",
)
"""The cause of row 1 while there is something to notice."""

FOLLOW_NOTICES: Final = Text("Do what the notices say.", "「注意」の内容に従います。")
"""The recommended action of row 1 while there is something to notice, and of rows whose own steps
cannot help."""

NOTICES_FIRST: Final = Text(
    "Do what the notices say first. Then:\n{action}",
    "先に「注意」の内容に従います。その後:\n{action}",
)
"""The recommended action of a row while something else comes before it."""

CORRECT_MISMATCH: Final = Text(
    '1. Do what `srmd status` says under "Does not match the peer".\n'
    '2. Restart SRM on both nodes: `srmd service restart "Cisco Server Recovery Manager"`. Both'
    " nodes then become Normal.",
    "1. `srmd status` の「ピアと一致しない設定」の内容に従います。\n"
    '2. 両ノードで SRM を再起動します: `srmd service restart "Cisco Server Recovery Manager"`。'
    "その後、両ノードが「標準」になります。",
)
"""The recommended action while the nodes do not make a pair and the switch is not the cause."""

REFUSALS: Final[dict[str, Text]] = {
    "needs_high_availability": Text(
        "High availability is switched off: run `srmd ha enable` first.",
        "高可用性が無効です。先に `srmd ha enable` を実行してください。",
    ),
    "needs_match": Text(
        "The settings of the nodes do not match ({mismatch}): correct them, then restart SRM on"
        " both nodes.",
        "両ノードの設定が一致していません ({mismatch})。"
        "修正してから、両ノードの SRM を再起動してください。",
    ),
    "needs_rest": Text(
        "Node {node} is in {state}, which ends by itself: wait for that, then repeat the command.",
        "ノード {node} は「{state}」で、自動的に次へ進みます。"
        "完了を待ってから、やり直してください。",
    ),
    "needs_heartbeat": Text(
        "Node {peer} is silent, and a fresh heartbeat of it is needed: start it or repair the"
        " network, then repeat the command.",
        "ノード {peer} からの新しいハートビートが必要ですが、届いていません。"
        "ノード {peer} を起動するかネットワークを修復してから、やり直してください。",
    ),
    "needs_to_be_heard": Text(
        "Node {peer} does not receive the heartbeats of node {node}: repair the network from node"
        " {node} to node {peer} first.",
        "ノード {peer} はノード {node} のハートビートを受信していません。"
        "先にノード {node} からノード {peer} へのネットワークを修復してください。",
    ),
    "failover_needs_services": Text(
        "A critical service or the database of node {peer} is down: start it first.",
        "ノード {peer} の重要なサービスまたはデータベースが停止しています。先に開始してください。",
    ),
    "fallback_needs_services": Text(
        "A critical service or the database of node {node} is down: start it first.",
        "ノード {node} の重要なサービスまたはデータベースが停止しています。先に開始してください。",
    ),
    "fallback_of_the_peer": Text(
        "Node {peer} is failed over, not node {node}: run `srmd fallback {peer}`.",
        "フェールオーバーしているのはノード {node} ではなくノード {peer} です。"
        "`srmd fallback {peer}` を実行してください。",
    ),
    "users_locked": Text(
        "Users cannot be added, changed or deleted while a node is failed over: node {node} is in"
        " {state} and node {peer} in {peer_state}. Bring both nodes to Normal first.",
        "ノードがフェールオーバーしている間、ユーザの追加、変更、削除はできません。"
        "現在ノード {node} は「{state}」、ノード {peer} は「{peer_state}」です。"
        "先に両ノードを「標準」に戻してください。",
    ),
    "unknown_node": Text(
        "{node} is not a node of this group: it has {known}.",
        "{node} はこのグループのノードではありません。グループのノードは {known} です。",
    ),
    "service_held": Text(
        "{service} stays stopped while {node} is Idle: `srmd fallback {node}` starts it.",
        "{node} が「アイドル」の間、{service} は停止したままです。"
        "`srmd fallback {node}` で開始します。",
    ),
}
