"""The pairs that the rules reach and Cisco's table does not list.  All of this file is ours.

The order matters: a pair gets the first row that fits, so the special come before the general.
`home` is always the node whose users have moved or are about to move.  In rows whose sides are
alike nobody can say which node is which, so their texts name none.
`SRM_STOPPED`, at the end, is about no pair.
Source: rules R1-R14, see docs/state-machine.md.
"""

from __future__ import annotations

from typing import Final

from srmd.core.handbook.row import (
    EVERYTHING,
    FALL_BACK,
    FALL_BACK_WHEN_WANTED,
    SILENT_NODE,
    START_SERVICES_AND_FALL_BACK,
    WAIT,
    Row,
    any_other_state,
    any_reason,
    with_reasons,
)
from srmd.core.states import PASSING, Reason, State
from srmd.core.texts import Text

IN_TRANSITION: Final = "in_transition"
"""Key of the row for pairs on the way that nothing better describes."""

UNDOCUMENTED: Final = "undocumented"
"""Key of the row for pairs at rest that should not exist."""

_FAILED_OVER: Final = (State.IDLE, State.FAILED_OVER, State.FAILED_OVER_SERVICES_DOWN)
_AUTO_RECOVERED: Final = (
    Reason.AUTO_RECOVER_DATABASE_FAILURE,
    Reason.AUTO_RECOVERY_DATABASE_FAILURE,
    Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN,
)

_RECOVER_TOGETHER_OR_ALONE: Final = Text(
    "1. Bring the silent node back: repair the network, start SRM there, or power it on.\n"
    "2. When both nodes show Running in Failed Mode: `srmd recover`.\n"
    "3. If that node cannot come back soon, `srmd recover` now: the node that is left serves"
    " everybody. When the other one has come back and shows Failed Over, use `srmd fallback` with"
    " its name.",
    "1. 応答のないノードを復帰させます (ネットワークの修復、SRM の開始、電源の投入)。\n"
    "2. 両ノードが「障害モードで実行中」になったら `srmd recover` を実行します。\n"
    "3. すぐに復帰できない場合は、今 `srmd recover` を実行すると、残ったノードが全ユーザを"
    "受け持ちます。もう一方が復帰して「フェールオーバー済み」になったら、そのノード名で"
    " `srmd fallback` を実行します。",
)

_HIGH_AVAILABILITY: Final = (
    Row(
        key="ha_news_travels",
        home=any_reason(State.UNKNOWN),
        backup=any_other_state(State.UNKNOWN),
        stable=False,
        cause=Text(
            "Node {home} has left high availability, because it was switched off or because the"
            " settings of the nodes do not match; node {backup} has not followed yet.",
            "ノード {home} は高可用性から外れました (無効化、または設定の不一致)。"
            "ノード {backup} はまだ追従していません。",
        ),
        action=Text(
            "Wait for the next heartbeats. If the pair stays so, `srmd status` on both nodes tells"
            " which setting does not match: correct it, then restart SRM on both nodes with"
            ' `srmd service restart "Cisco Server Recovery Manager"`.',
            "次のハートビートを待ちます。変わらない場合は、両ノードの `srmd status` で一致しない"
            "設定を調べて修正し、両ノードで "
            '`srmd service restart "Cisco Server Recovery Manager"` を実行します。',
        ),
        note=Text(
            "Leads to or from row 24, which is about both nodes.",
            "両ノードについての第 24 行の前後に現れます。",
        ),
    ),
    Row(
        key="ha_off_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.UNKNOWN),
        stable=True,
        cause=Text(
            "Node {home} is silent, and node {backup} does not take its users: high availability is"
            " off, or the nodes do not make a pair.",
            "ノード {home} の応答がありません。高可用性が無効か、ペアになっていないため、"
            "ノード {backup} はユーザを引き取りません。",
        ),
        action=Text(
            "1. Bring node {home} back: its users are not served, unless SRM alone is stopped"
            " there.\n"
            "2. If high availability was switched off: `srmd ha enable`. Otherwise correct the"
            " setting that `srmd status` names and restart SRM on both nodes.",
            "1. ノード {home} を復帰させます。SRM だけが停止している場合を除き、そのユーザは"
            "サービスを利用できません。\n"
            "2. 高可用性が無効なら `srmd ha enable` を実行します。それ以外の場合は `srmd status` が"
            "示す設定を修正し、両ノードの SRM を再起動します。",
        ),
        note=Text(
            "Without high availability nothing is taken over.",
            "高可用性がなければ、テイクオーバーは行われません。",
        ),
    ),
)

_FAILED_MODE: Final = (
    Row(
        key="failed_mode_database_failure",
        home=with_reasons(State.FAILED_MODE, Reason.DATABASE_FAILURE),
        backup=with_reasons(State.FAILED_MODE, Reason.DATABASE_FAILURE),
        stable=True,
        cause=Text(
            "A database failed while the peer could not take the users either.",
            "データベースが使えなくなり、ピアもユーザを引き取れませんでした。",
        ),
        action=Text(
            "1. `srmd status` on both nodes tells which database is down and why: repair it, or"
            " reboot that node.\n"
            "2. `srmd recover`.",
            "1. 両ノードの `srmd status` で、停止したデータベースと原因を調べて修復するか、"
            "そのノードをリブートします。\n"
            "2. `srmd recover` を実行します。",
        ),
        note=Text(
            "Row 15 with the database in place of a service.",
            "第 15 行のサービスをデータベースに置き換えたものです。",
        ),
    ),
    Row(
        key="failed_mode_mixed",
        home=any_reason(State.FAILED_MODE),
        backup=any_reason(State.FAILED_MODE),
        stable=True,
        cause=Text(
            "Both nodes failed, and their reasons differ: each met an error of its own, or the news"
            " of one is still on its way to the other.",
            "両ノードが障害モードで、理由が異なります。それぞれ別の問題が起きたか、"
            "一方の情報がまだ伝わっていません。",
        ),
        action=Text(
            "1. Remove what each reason names: `srmd status`, `srmd service list`.\n"
            "2. `srmd recover`.\n"
            "3. If the pair fails again, reboot both nodes.",
            "1. `srmd status` と `srmd service list` を使い、それぞれの理由が示す問題を取り除き"
            "ます。\n"
            "2. `srmd recover` を実行します。\n"
            "3. 再び障害モードになる場合は、両ノードをリブートします。",
        ),
        note=Text(
            "The document shows the same reason on both nodes.",
            "文書では両ノードの理由は常に同じです。",
        ),
    ),
    Row(
        key="failed_mode_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.FAILED_MODE),
        stable=True,
        cause=Text(
            "Node {backup} is in Running in Failed Mode and does not hear node {home}. It takes"
            " nothing over from a node that has fallen silent.",
            "ノード {backup} は「障害モードで実行中」で、ノード {home} の応答がありません。"
            "この状態では、応答が途絶えてもテイクオーバーは行われません。",
        ),
        action=_RECOVER_TOGETHER_OR_ALONE,
        note=Text(
            "Only an announced reboot of the peer makes a failed node take over.",
            "障害モードのノードがテイクオーバーするのは、ピアがリブートを予告した場合だけです。",
        ),
    ),
    Row(
        key="starting_beside_failed_mode",
        home=any_reason(State.INITIALIZING),
        backup=any_reason(State.FAILED_MODE),
        stable=False,
        cause=Text(
            "Node {home} is starting while node {backup} is in Running in Failed Mode: Recover is"
            " under way, or SRM or node {home} was restarted.",
            "ノード {backup} が「障害モードで実行中」の間にノード {home} が起動しています。"
            "リカバリの"
            "途中か、SRM またはノード {home} が再起動されました。",
        ),
        action=Text(
            "Wait. If both nodes end in Running in Failed Mode: `srmd recover`.",
            "お待ちください。両ノードが「障害モードで実行中」になったら `srmd recover` を"
            "実行します。",
        ),
        note=Text(
            "Passed through on the way to row 1 (Recover), 21 (restart of SRM) or 17 (reboot).",
            "第 1 行 (リカバリ)、第 21 行 (SRM の再起動)、第 17 行 (リブート) へ向かう途中です。",
        ),
    ),
    Row(
        key="failed_mode_spreads",
        home=any_reason(State.FAILED_MODE),
        backup=any_other_state(State.FAILED_MODE, State.UNKNOWN, State.INITIALIZING),
        stable=False,
        cause=Text(
            "Node {home} met an error and is in Running in Failed Mode; node {backup} follows as"
            " soon as it hears of it.",
            "ノード {home} が問題を検出して「障害モードで実行中」になりました。"
            "ノード {backup} も通知を受け次第、同じ状態になります。",
        ),
        action=Text(
            "Wait until both nodes show Running in Failed Mode, then follow the advice shown"
            " there.",
            "両ノードが「障害モードで実行中」になるのを待ち、そこで示される処置に従います。",
        ),
        note=Text(
            "Running in Failed Mode is a state of both nodes; the news takes a heartbeat.",
            "障害モードは両ノードの状態です。伝わるまでにハートビート 1 回分かかります。",
        ),
    ),
)

_STARTING: Final = (
    Row(
        key="starting_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.INITIALIZING),
        stable=False,
        cause=Text(
            "Node {backup} has just started and listens for node {home}. If it hears nothing for"
            " the"
            " initialization timeout, it takes over all users.",
            "ノード {backup} は起動したばかりで、ノード {home} を待っています。"
            "初期化のタイムアウトまで"
            "応答がなければ、全ユーザを引き取ります。",
        ),
        action=Text(
            "Start node {home} as well, or wait.",
            "ノード {home} も起動するか、お待ちください。",
        ),
        note=Text("Comes before row 18.", "第 18 行の前に現れます。"),
    ),
    Row(
        key="starting",
        home=any_reason(State.INITIALIZING),
        backup=any_other_state(State.UNKNOWN, State.FAILED_MODE),
        stable=False,
        cause=Text(
            "SRM has just started; it starts its services and finds its role by what the peer"
            " reports.",
            "SRM が起動した直後です。サービスを開始し、ピアの報告から自分の役割を決めます。",
        ),
        action=WAIT,
        note=Text(
            "The document describes Initializing, but lists no pair with it.",
            "文書には「初期化中」の説明がありますが、それを含む組み合わせはありません。",
        ),
    ),
)

_TAKING_FROM_A_SILENT_PEER: Final = (
    Row(
        key="normal_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.NORMAL),
        stable=False,
        cause=Text(
            "Node {backup} does not hear node {home}. At the heartbeat timeout it takes over its"
            " users.",
            "ノード {backup} にノード {home} からの応答がありません。"
            "ハートビートのタイムアウトになると、ユーザを引き取ります。",
        ),
        action=Text(
            "Find out whether node {home}, its SRM or the network is down.",
            "ノード {home}、その SRM、またはネットワークの停止を確認します。",
        ),
        note=Text("Comes before rows 16 and 17.", "第 16 行と第 17 行の前に現れます。"),
    ),
    Row(
        key="taking_over_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.TAKING_OVER),
        stable=False,
        cause=Text(
            "Node {backup} is taking the users of node {home}, which is silent or has announced"
            " that"
            " it goes down.",
            "ノード {backup} が、応答のない (または停止を予告した) ノード {home} のユーザを"
            "引き取っています。",
        ),
        action=WAIT,
        note=Text("Comes before rows 16, 17 and 18.", "第 16、17、18 行の前に現れます。"),
    ),
    Row(
        key="failing_over_peer_silent",
        home=any_reason(State.FAILING_OVER),
        backup=SILENT_NODE,
        stable=False,
        cause=Text(
            "Node {home} was failing over when node {backup} fell silent. It starts its services"
            " again and serves everybody.",
            "ノード {home} のフェールオーバー中にノード {backup} の応答が途絶えました。"
            "ノード {home} はサービスを再び開始し、全ユーザを受け持ちます。",
        ),
        action=WAIT,
        note=Text(
            "A node does not hand its users to nobody; ends in row 16 with the roles swapped.",
            "受け取り手のいないユーザは手放しません。役割が入れ替わった第 16 行になります。",
        ),
    ),
    Row(
        key="failed_over_peer_silent",
        home=any_reason(State.FAILED_OVER),
        backup=SILENT_NODE,
        stable=False,
        cause=Text(
            "Node {backup} served everybody and has fallen silent; node {home} is well and takes"
            " over.",
            "全ユーザを受け持っていたノード {backup} の応答が途絶えました。"
            "正常なノード {home} がユーザを引き取ります。",
        ),
        action=WAIT,
        note=Text(
            "Ends in row 16 with the roles swapped.", "役割が入れ替わった第 16 行になります。"
        ),
    ),
    Row(
        key="taking_back_peer_silent",
        home=any_reason(State.TAKING_BACK),
        backup=SILENT_NODE,
        stable=False,
        cause=Text(
            "Node {backup} fell silent during a fallback. Node {home} goes on and serves"
            " everybody.",
            "フォールバック中にノード {backup} の応答が途絶えました。"
            "ノード {home} は処理を続け、全ユーザを受け持ちます。",
        ),
        action=WAIT,
        note=Text(
            "Ends in row 16 with the roles swapped.", "役割が入れ替わった第 16 行になります。"
        ),
    ),
    Row(
        key="falling_back_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.FALLING_BACK),
        stable=False,
        cause=Text(
            "Node {home} fell silent during a fallback. Node {backup} keeps serving everybody.",
            "フォールバック中にノード {home} の応答が途絶えました。"
            "ノード {backup} が引き続き全ユーザを受け持ちます。",
        ),
        action=WAIT,
        note=Text("Ends in row 16.", "第 16 行になります。"),
    ),
)

_ALONE: Final = (
    Row(
        key="never_heard",
        home=SILENT_NODE,
        backup=with_reasons(State.BACKUP, Reason.PEER_DOWN_DURING_INITIALIZATION),
        stable=True,
        cause=Text(
            "Node {backup} started without hearing node {home} and serves everybody; node {home} is"
            " still silent.",
            "ノード {backup} は起動時にノード {home} が見つからず、全ユーザを受け持っています。"
            "ノード {home} はまだ応答していません。",
        ),
        action=Text(
            "1. Start node {home}, or repair the network.\n"
            "2. When node {home} shows Failed Over, `srmd fallback {home}`. If both nodes go to"
            " Running in Failed Mode instead: `srmd recover`.",
            "1. ノード {home} を起動するか、ネットワークを修復します。\n"
            "2. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を実行"
            "します。両ノードが「障害モードで実行中」になった場合は `srmd recover` を実行します。",
        ),
        note=Text(
            "Row 18 before the home node has come; the document shows it after.",
            "ホーム ノードが起動する前の第 18 行です。文書には起動後の状態だけがあります。",
        ),
    ),
    Row(
        key="backup_peer_silent",
        home=SILENT_NODE,
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {backup} serves everybody since an earlier failover, and node {home} has fallen"
            " silent since. No user is affected, but nobody could take over from node {backup}.",
            "以前のフェールオーバーによりノード {backup} が全ユーザを受け持ち、"
            "その後ノード {home} の"
            "応答が途絶えました。ユーザへの影響はありませんが、交代できるノードがありません。",
        ),
        action=Text(
            "1. Bring node {home} back: repair the network, start SRM there, or power it on.\n"
            "2. When it shows Idle or Failed Over, `srmd fallback {home}`. If both nodes go to"
            " Running in Failed Mode instead: `srmd recover`.",
            "1. ノード {home} を復帰させます (ネットワークの修復、SRM の開始、電源の投入)。\n"
            "2. 「アイドル」または「フェールオーバー済み」になったら `srmd fallback {home}` を実行"
            "します。両ノードが「障害モードで実行中」になった場合は `srmd recover` を実行します。",
        ),
        note=Text(
            "The backup keeps the reason of the failover; rows 16 and 17 are for a peer whose loss"
            " caused it.",
            "バックアップはフェールオーバー時の理由を保ちます。第 16、17 行は、応答が途絶えたことで"
            "フェールオーバーが起きた場合です。",
        ),
    ),
    Row(
        key="idle_peer_silent",
        home=any_reason(State.IDLE),
        backup=SILENT_NODE,
        stable=True,
        cause=Text(
            "Nobody serves the users: node {home} is Idle by an administrator's wish, and node"
            " {backup}, which served everybody, is silent.",
            "ユーザを受け持つノードがありません。"
            "ノード {home} は管理者の指示で「アイドル」のままで、"
            "全ユーザを受け持っていたノード {backup} の応答がありません。",
        ),
        action=Text(
            "1. Either bring node {backup} back, or `srmd fallback {home}` now: node {home} then"
            " serves everybody.\n"
            "2. In the second case, when node {backup} has come back and shows Failed Over,"
            " `srmd fallback {backup}`.",
            "1. ノード {backup} を復帰させるか、今 `srmd fallback {home}` を実行します。"
            "後者の場合、"
            "ノード {home} が全ユーザを受け持ちます。\n"
            "2. 後者の場合、ノード {backup} が復帰して「フェールオーバー済み」になったら"
            " `srmd fallback {backup}` を実行します。",
        ),
        note=Text(
            "An Idle node never starts its services by itself; it raises an alarm instead.",
            "「アイドル」のノードは自動的にはサービスを開始せず、アラームを出します。",
        ),
    ),
    Row(
        key="services_down_peer_silent",
        home=any_reason(State.FAILED_OVER_SERVICES_DOWN),
        backup=SILENT_NODE,
        stable=True,
        cause=Text(
            "Nobody serves the users: critical services of node {home} are down, and node {backup},"
            " which served everybody, is silent.",
            "ユーザを受け持つノードがありません。ノード {home} の重要なサービスが停止し、"
            "全ユーザを受け持っていたノード {backup} の応答がありません。",
        ),
        action=Text(
            "1. On node {home}, start what `srmd service list` shows as stopped, with"
            " `srmd service start`: when all critical services run, node {home} takes over by"
            " itself. Or bring node {backup} back.\n"
            "2. Then `srmd fallback` with the name of the node that shows Failed Over.",
            "1. ノード {home} で `srmd service list` に停止中と表示されるもの"
            "を `srmd service start` で"
            "開始します。重要なサービスがすべて動作すると、自動的にユーザを引き取ります。"
            "または、ノード {backup} を復帰させます。\n"
            "2. その後、「フェールオーバー済み」のノード名で `srmd fallback` を実行します。",
        ),
        note=Text(
            "A node whose services are down cannot take over; it does so when they run.",
            "重要なサービスが停止したノードは引き取れません。動作し始めると引き取ります。",
        ),
    ),
    Row(
        key="both_silent",
        home=SILENT_NODE,
        backup=SILENT_NODE,
        stable=True,
        cause=Text("Neither node answers.", "どちらのノードも応答しません。"),
        action=Text(
            "Start both nodes, or their SRM: whoever is first waits for the other one.",
            "両方のノードまたは SRM を起動します。先に起動した側が、もう一方を待ちます。",
        ),
        note=Text(
            "Seen by an observer only; a node at least hears itself.",
            "外部から見た場合だけの状態です。",
        ),
    ),
)


def _automatic_failover(reason: Reason, key: str, cause: Text, after: str) -> Row:
    return Row(
        key=key,
        home=with_reasons(State.FAILING_OVER, reason),
        backup=with_reasons(State.TAKING_OVER, reason),
        stable=False,
        cause=cause,
        action=WAIT,
        note=Text(f"Comes before row {after}.", f"第 {after} 行の前に現れます。"),
    )


_FAILOVER: Final = (
    _automatic_failover(
        Reason.CRITICAL_SERVICE_DOWN,
        "failing_over_critical_service_down",
        Text(
            "A critical service of node {home} stayed down; node {backup} is taking its users.",
            "ノード {home} の重要なサービスが停止したままのため、"
            "ノード {backup} がユーザを引き取っています。",
        ),
        "12",
    ),
    _automatic_failover(
        Reason.DATABASE_FAILURE,
        "failing_over_database_failure",
        Text(
            "Node {home} has lost its database; node {backup} is taking its users.",
            "ノード {home} のデータベースが使えないため、"
            "ノード {backup} がユーザを引き取っています。",
        ),
        "13",
    ),
    Row(
        key="yielding",
        home=with_reasons(State.FAILING_OVER, Reason.PEER_DOWN),
        backup=any_reason(State.TAKING_OVER, State.BACKUP),
        stable=False,
        cause=Text(
            "Heartbeats are lost in one direction: node {backup} does not hear node {home} and has"
            " taken its users. Node {home} hears that and gives them up.",
            "ハートビートが片方向だけ失われています。ノード {backup} はノード {home} を受信できず"
            "ユーザを引き取りました。ノード {home} はそれを知り、ユーザを手放しています。",
        ),
        action=Text(
            "Repair the network from node {home} to node {backup}; nothing else is urgent.",
            "ノード {home} からノード {backup} へのネットワークを修復します。"
            "ほかに急ぐ作業はありません。",
        ),
        note=Text(
            "The node that still hears gives way, so the pair cannot swing.",
            "受信できている側が譲るため、状態が揺れ動くことはありません。",
        ),
    ),
    Row(
        key="auto_recovering",
        home=with_reasons(State.FAILING_OVER, *_AUTO_RECOVERED),
        backup=any_reason(State.TAKING_OVER, State.FAILED_OVER),
        stable=False,
        cause=Text(
            "Node {home} served everybody and can no longer; node {backup}, Failed Over and well,"
            " is"
            " taking all users.",
            "全ユーザを受け持っていたノード {home} が継続できなくなり、"
            "フェールオーバー済みで正常なノード {backup} が全ユーザを引き取っています。",
        ),
        action=WAIT,
        note=Text("Comes before rows 22 and 23.", "第 22 行と第 23 行の前に現れます。"),
    ),
    Row(
        key="failover_begins",
        home=any_reason(State.FAILING_OVER),
        backup=any_reason(State.NORMAL, State.FAILED_OVER),
        stable=False,
        cause=Text(
            "Node {home} has begun to fail over; node {backup} takes its users as soon as it hears"
            " of it.",
            "ノード {home} がフェールオーバーを始めました。"
            "ノード {backup} は通知を受け次第、ユーザを引き取ります。",
        ),
        action=WAIT,
        note=Text(
            "The first moment of a failover, before the peer follows.",
            "ピアが追従する前の、フェールオーバーの最初の段階です。",
        ),
    ),
    Row(
        key="failing_over",
        home=any_reason(State.FAILING_OVER),
        backup=any_reason(State.TAKING_OVER),
        stable=False,
        cause=Text(
            "A failover from node {home} to node {backup} is under way; SRM was restarted on one of"
            " them meanwhile, or their reasons differ for a moment.",
            "ノード {home} からノード {backup} へのフェールオーバー中です。その間に一方の SRM が"
            "再起動されたか、理由が一時的に異なっています。",
        ),
        action=WAIT,
        note=Text(
            "Like row 8, for the restarts that the document does not list.",
            "文書にない再起動の場合の第 8 行に相当します。",
        ),
    ),
    Row(
        key="failover_ends_at_home",
        home=any_reason(*_FAILED_OVER),
        backup=any_reason(State.TAKING_OVER),
        stable=False,
        cause=Text(
            "Node {home} has given its users up; node {backup} is still taking them.",
            "ノード {home} はユーザを手放しました。ノード {backup} が引き取りを続けています。",
        ),
        action=WAIT,
        note=Text(
            "The two nodes do not finish a failover at the same instant.",
            "両ノードのフェールオーバーは同時には完了しません。",
        ),
    ),
    Row(
        key="failover_ends_at_backup",
        home=any_reason(State.FAILING_OVER),
        backup=any_reason(State.BACKUP),
        stable=False,
        cause=Text(
            "Node {backup} holds all users; node {home} is about to finish failing over.",
            "ノード {backup} が全ユーザを引き取りました。"
            "ノード {home} のフェールオーバーはまもなく完了します。",
        ),
        action=WAIT,
        note=Text(
            "The two nodes do not finish a failover at the same instant.",
            "両ノードのフェールオーバーは同時には完了しません。",
        ),
    ),
    Row(
        key="taken_over_while_normal",
        home=any_reason(State.NORMAL),
        backup=any_reason(State.TAKING_OVER, State.BACKUP),
        stable=False,
        cause=Text(
            "Node {backup} takes, or has, the users of node {home}, which is well and gives way as"
            " soon as it hears of it: heartbeats were lost in one direction.",
            "正常なノード {home} のユーザを、ノード {backup} が引き取っています。"
            "ハートビートが片方向だけ"
            "失われたためで、ノード {home} は通知を受け次第、譲ります。",
        ),
        action=Text(
            "Repair the network from node {home} to node {backup}.",
            "ノード {home} からノード {backup} へのネットワークを修復します。",
        ),
        note=Text(
            "One-way loss, before the node that still hears gives way.",
            "片方向の通信断で、受信できている側が譲る前の段階です。",
        ),
    ),
    Row(
        key="unserved_users_found",
        home=any_reason(*_FAILED_OVER),
        backup=any_reason(State.NORMAL),
        stable=False,
        cause=Text(
            "Node {home} has failed over, but node {backup} does not serve its users: it takes them"
            " as soon as it hears of it.",
            "ノード {home} はフェールオーバーしていますが、ノード {backup} はまだユーザを引き取って"
            "いません。通知を受け次第、引き取ります。",
        ),
        action=WAIT,
        note=Text(
            "Met when a node has forgotten its role, for example after its state was lost.",
            "保存された状態が失われるなど、ノードが役割を忘れた場合に現れます。",
        ),
    ),
)

_SPLIT_BRAIN: Final = (
    Row(
        key="both_serve",
        home=any_reason(State.TAKING_OVER, State.BACKUP),
        backup=any_reason(State.TAKING_OVER, State.BACKUP),
        stable=False,
        cause=Text(
            "Both nodes took over from each other while the network between them was broken, and"
            " hear each other again.",
            "ネットワークの分断中に両ノードが互いをテイクオーバーし、"
            "再び通信できるようになりました。",
        ),
        action=Text(
            "Wait. With the split-brain policy `fail` both nodes go to Running in Failed Mode:"
            " `srmd recover` then. With `home` the users go home by themselves.",
            "お待ちください。分断時のポリシーが `fail` なら両ノードが「障害モードで実行中」に"
            "なるので、"
            "`srmd recover` を実行します。`home` ならユーザは自動的に戻ります。",
        ),
        note=Text(
            "The document only warns that reconnecting can put the nodes into the failed state"
            " (row 16).",
            "文書の第 16 行は、再接続で障害モードになる場合があると述べるだけです。",
        ),
    ),
    Row(
        key="nobody_serves",
        home=any_reason(*_FAILED_OVER),
        backup=any_reason(*_FAILED_OVER),
        stable=False,
        cause=Text(
            "Both nodes have given their users up: nobody serves. SRM cannot say who should.",
            "両ノードともユーザを手放し、受け持つノードがありません。"
            "SRM には担当を決められません。",
        ),
        action=Text(
            "Wait until both nodes show Running in Failed Mode, then `srmd recover`.",
            "両ノードが「障害モードで実行中」になるのを待ち、`srmd recover` を実行します。",
        ),
        note=Text(
            "Such a pair fails at once, because only Recover leads out of it.",
            "リカバリ以外に出口がないため、すぐに障害モードになります。",
        ),
    ),
)

_FALLBACK: Final = (
    Row(
        key="fallback_home_restarted",
        home=with_reasons(State.TAKING_BACK, Reason.INITIALIZATION),
        backup=any_reason(State.FALLING_BACK),
        stable=False,
        cause=Text(
            "SRM was restarted on node {home} during a fallback; it goes on taking its users back.",
            "フォールバック中にノード {home} の SRM が再起動されました。"
            "ユーザの取り戻しを続けています。",
        ),
        action=WAIT,
        note=Text(
            "Row 9, for an automatic fallback or a backup that was restarted as well.",
            "第 9 行の、自動フォールバックの場合、またはバックアップも再起動された場合です。",
        ),
    ),
    Row(
        key="fallback_backup_restarted",
        home=any_reason(State.TAKING_BACK),
        backup=with_reasons(State.FALLING_BACK, Reason.INITIALIZATION),
        stable=False,
        cause=Text(
            "SRM was restarted on node {backup} during a fallback; it goes on handing back the"
            " users"
            " of node {home}.",
            "フォールバック中にノード {backup} の SRM が再起動されました。"
            "ノード {home} へのユーザの返却を続けています。",
        ),
        action=WAIT,
        note=Text(
            "The counterpart of row 9, which is about the home node.",
            "ホーム ノードについての第 9 行に対応する、バックアップ側の行です。",
        ),
    ),
    Row(
        key="falling_back",
        home=any_reason(State.TAKING_BACK),
        backup=any_reason(State.FALLING_BACK),
        stable=False,
        cause=Text(
            "A fallback from node {backup} to node {home} is under way; their reasons differ.",
            "ノード {backup} からノード {home} へのフォールバック中です。理由が異なっています。",
        ),
        action=WAIT,
        note=Text(
            "Rows 4 and 10, when manual and automatic fallback meet.",
            "手動と自動のフォールバックが重なった場合の、第 4 行と第 10 行です。",
        ),
    ),
    Row(
        key="fallback_begins",
        home=any_reason(State.TAKING_BACK),
        backup=any_reason(State.BACKUP),
        stable=False,
        cause=Text(
            "Node {home} has begun to take its users back; node {backup} follows as soon as it"
            " hears"
            " of it.",
            "ノード {home} がユーザの取り戻しを始めました。"
            "ノード {backup} は通知を受け次第、追従します。",
        ),
        action=WAIT,
        note=Text(
            "The first moment of a fallback, before the backup follows.",
            "バックアップが追従する前の、フォールバックの最初の段階です。",
        ),
    ),
    Row(
        key="fallback_breaks_off",
        home=any_reason(*_FAILED_OVER),
        backup=any_reason(State.FALLING_BACK),
        stable=False,
        cause=Text(
            "Node {home} has given up taking its users back; node {backup} keeps them.",
            "ノード {home} がユーザの取り戻しを中止しました。"
            "ノード {backup} が受け持ちを続けます。",
        ),
        action=WAIT,
        note=Text(
            "A fallback that was interrupted; ends with the backup serving everybody.",
            "中断されたフォールバックです。バックアップが全ユーザを受け持つ状態になります。",
        ),
    ),
    Row(
        key="fallback_ends_at_home",
        home=any_reason(State.NORMAL),
        backup=any_reason(State.FALLING_BACK),
        stable=False,
        cause=Text(
            "The users of node {home} are home; node {backup} finishes as soon as it hears of it.",
            "ノード {home} のユーザは戻りました。ノード {backup} は通知を受け次第、完了します。",
        ),
        action=WAIT,
        note=Text(
            "The two nodes do not finish a fallback at the same instant.",
            "両ノードのフォールバックは同時には完了しません。",
        ),
    ),
    Row(
        key="fallback_ends_at_backup",
        home=any_reason(State.TAKING_BACK),
        backup=any_reason(State.NORMAL),
        stable=False,
        cause=Text(
            "Node {backup} has handed the users back; node {home} is still taking them.",
            "ノード {backup} はユーザを返しました。ノード {home} が取り戻しを続けています。",
        ),
        action=WAIT,
        note=Text(
            "The two nodes do not finish a fallback at the same instant.",
            "両ノードのフォールバックは同時には完了しません。",
        ),
    ),
)

_FAILED_OVER_AND_BACKUP: Final = (
    Row(
        key="database_restored",
        home=with_reasons(State.FAILED_OVER, Reason.DATABASE_FAILURE),
        backup=with_reasons(State.BACKUP, Reason.DATABASE_FAILURE),
        stable=True,
        cause=Text(
            "The database of node {home} came back without a reboot. Node {backup} still serves"
            " everybody.",
            "ノード {home} のデータベースがリブートなしで復旧しました。"
            "全ユーザはまだノード {backup} にいます。",
        ),
        action=FALL_BACK,
        note=Text(
            "The document knows the way over a reboot only (row 13).",
            "文書にはリブートによる復旧 (第 13 行) しかありません。",
        ),
    ),
    Row(
        key="yielded",
        home=with_reasons(State.FAILED_OVER, Reason.PEER_DOWN),
        backup=with_reasons(State.BACKUP, Reason.PEER_DOWN),
        stable=True,
        cause=Text(
            "Node {backup} did not hear node {home} and took its users; node {home} is well and"
            " gave"
            " way. Heartbeats are, or were, lost in one direction.",
            "ノード {backup} がノード {home} を受信できずユーザを引き取り、正常なノード {home} が"
            "譲りました。ハートビートが片方向だけ失われています (または失われていました)。",
        ),
        action=Text(
            "1. Repair the network from node {home} to node {backup}.\n"
            "2. When `srmd status` shows that both nodes hear each other, `srmd fallback {home}`.",
            "1. ノード {home} からノード {backup} へのネットワークを修復します。\n"
            "2. `srmd status` で相互に受信できていることを確認し、"
            "`srmd fallback {home}` を実行します。",
        ),
        note=Text(
            "The document does not speak of one-way loss.",
            "文書には片方向の通信断についての記述がありません。",
        ),
    ),
    Row(
        key="auto_recovered_node_repaired",
        home=with_reasons(State.FAILED_OVER, *_AUTO_RECOVERED),
        backup=with_reasons(State.BACKUP, *_AUTO_RECOVERED),
        stable=True,
        cause=Text(
            "After an automatic recovery the roles are swapped: node {backup} serves everybody."
            " Node"
            " {home} has been repaired and could serve again.",
            "自動回復により役割が入れ替わり、ノード {backup} が全ユーザを受け持っています。"
            "ノード {home} は修復され、再び利用できます。",
        ),
        action=FALL_BACK,
        note=Text(
            "What follows rows 22 and 23 once the failed node runs; the document ends there.",
            "第 22、23 行の後、故障したノードが復旧した状態です。文書に続きはありません。",
        ),
    ),
    Row(
        key="home_came_back",
        home=with_reasons(State.FAILED_OVER, Reason.INITIALIZATION),
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {home}, or its SRM, was started again; its services run. Node {backup} serves"
            " everybody, for the reason shown.",
            "ノード {home} またはその SRM が再起動され、サービスは動作しています。"
            "表示された理由により、全ユーザはノード {backup} にいます。",
        ),
        action=FALL_BACK,
        note=Text(
            "Rows 11 and 18, for the other reasons of the backup, above all Peer Down and Peer"
            " Reboot.",
            "バックアップの理由がそれ以外 (特にピア ダウン、ピアリブート) の場合の第 11、"
            "18 行です。",
        ),
    ),
    Row(
        key="home_came_back_services_down",
        home=with_reasons(State.FAILED_OVER_SERVICES_DOWN, Reason.INITIALIZATION),
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {home}, or its SRM, was started again; not all of its critical services run yet."
            " Node {backup} serves everybody.",
            "ノード {home} またはその SRM が再起動されましたが、重要なサービスの一部がまだ動作して"
            "いません。全ユーザはノード {backup} にいます。",
        ),
        action=Text(
            "1. Wait until node {home} shows Failed Over. If it does not, `srmd service list` there"
            " names what to start with `srmd service start`.\n"
            "2. `srmd fallback {home}`.",
            "1. ノード {home} が「フェールオーバー済み」になるのを待ちます。ならない場合は、"
            "`srmd service list` に示されるサービスを `srmd service start` で開始します。\n"
            "2. `srmd fallback {home}` を実行します。",
        ),
        note=Text(
            "Row 18, for the other reasons of the backup.",
            "バックアップの理由がそれ以外の場合の第 18 行です。",
        ),
    ),
    Row(
        key="idle",
        home=any_reason(State.IDLE),
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {home} was failed over by an administrator; node {backup} serves everybody and"
            " has"
            " been through a fault or a restart since.",
            "ノード {home} は管理者の指示でフェールオーバーしました。ノード {backup} が全ユーザを"
            "受け持ち、その後に障害または再起動がありました。",
        ),
        action=FALL_BACK_WHEN_WANTED,
        note=Text(
            "Rows 3 and 5 to 7, for the other reasons of the backup.",
            "バックアップの理由がそれ以外の場合の第 3、5、6、7 行です。",
        ),
    ),
    Row(
        key="failed_over",
        home=any_reason(State.FAILED_OVER),
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {backup} serves everybody since a failover; all critical services of node {home}"
            " run. SRM of node {backup} was restarted since, or the nodes tell the failover by"
            " different reasons.",
            "フェールオーバーにより全ユーザがノード {backup} にいます。"
            "ノード {home} の重要なサービスは"
            "すべて動作しています。その後ノード {backup} の SRM が再起動されたか、両ノードの理由が"
            "異なっています。",
        ),
        action=FALL_BACK,
        note=Text(
            "Row 11, for the pairs of reasons that the document does not list.",
            "文書にない理由の組み合わせの第 11 行です。",
        ),
    ),
    Row(
        key="failed_over_services_down",
        home=any_reason(State.FAILED_OVER_SERVICES_DOWN),
        backup=any_reason(State.BACKUP),
        stable=True,
        cause=Text(
            "Node {backup} serves everybody since a failover; critical services or the database of"
            " node {home} are down.",
            "フェールオーバーにより全ユーザがノード {backup} にいます。"
            "ノード {home} の重要なサービスまたはデータベースが停止しています。",
        ),
        action=START_SERVICES_AND_FALL_BACK,
        note=Text(
            "Rows 12 and 13, for the pairs of reasons that the document does not list.",
            "文書にない理由の組み合わせの第 12、13 行です。",
        ),
    ),
)

_LAST_RESORTS: Final = (
    Row(
        key=IN_TRANSITION,
        home=any_reason(*sorted(PASSING)),
        backup=EVERYTHING,
        stable=False,
        cause=Text(
            "A transition is under way, and the nodes tell of different steps of it.",
            "遷移の途中で、両ノードが異なる段階を示しています。",
        ),
        action=Text(
            "Wait: every transition ends within its bound, in the worst case in Running in Failed"
            " Mode, where `srmd recover` helps.",
            "お待ちください。どの遷移も制限時間内に終わります。"
            "最悪の場合でも「障害モードで実行中」に"
            "なり、`srmd recover` で復旧できます。",
        ),
        note=Text(
            "Nothing better is known of this pair.",
            "この組み合わせについて、これ以上の情報はありません。",
        ),
    ),
    Row(
        key=UNDOCUMENTED,
        home=EVERYTHING,
        backup=EVERYTHING,
        stable=True,
        cause=Text(
            "No rule leads to this pair of states.",
            "どの規則からも、この状態の組み合わせにはなりません。",
        ),
        action=Text(
            "1. Keep the logs of both nodes and report it.\n"
            "2. Restart SRM on both nodes with"
            ' `srmd service restart "Cisco Server Recovery Manager"`.\n'
            "3. If both nodes show Running in Failed Mode then: `srmd recover`.",
            "1. 両ノードのログを保存し、報告してください。\n"
            '2. 両ノードで `srmd service restart "Cisco Server Recovery Manager"` を実行します。\n'
            "3. その後、両ノードが「障害モードで実行中」なら `srmd recover` を実行します。",
        ),
        note=Text(
            "A defect of srmd, or stored state from elsewhere.",
            "srmd の不具合か、ほかから持ち込まれた状態です。",
        ),
    ),
)

OURS: Final[tuple[Row, ...]] = (
    *_HIGH_AVAILABILITY,
    *_FAILED_MODE,
    *_STARTING,
    *_TAKING_FROM_A_SILENT_PEER,
    *_ALONE,
    *_FAILOVER,
    *_SPLIT_BRAIN,
    *_FALLBACK,
    *_FAILED_OVER_AND_BACKUP,
    *_LAST_RESORTS,
)

SRM_STOPPED: Final = Row(
    key="srm_stopped",
    home=EVERYTHING,
    backup=EVERYTHING,
    stable=True,
    cause=Text(
        "SRM does not run on this node: it was stopped, or could not start; the note of the"
        " service Cisco Server Recovery Manager tells which. Without it this node cannot say how"
        " the pair is.",
        "このノードでは SRM が動作していません (停止済み、または開始に失敗)。"
        "どれであるかは、サービス Cisco Server Recovery Manager の備考に表示されます。"
        "SRM がなければ、このノードからはペアの状態は分かりません。",
    ),
    action=Text(
        '1. Run `srmd service start "Cisco Server Recovery Manager"`.\n'
        "2. `srmd status` on the peer tells how the pair is: it may have taken the users.",
        '1. `srmd service start "Cisco Server Recovery Manager"` を実行します。\n'
        "2. ペアの状態はピアの `srmd status` で確認します。"
        "ピアがユーザを引き取っていることがあります。",
    ),
    note=Text(
        "No pair of states, so it is not among the rows: a node whose SRM does not run shows"
        " Unknown and hears nobody, which is not the Unknown of row 24.",
        "状態の組み合わせではないため、表の行には含まれません。SRM が動作していないノードは"
        "「不明」と表示されますが、第 24 行の「不明」とは異なります。",
    ),
)
"""What a node tells whose SRM does not run."""
