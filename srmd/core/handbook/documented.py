"""The 24 pairs that Cisco documents.

Source: "High Availability troubleshooting", Table 2, in the order of the document.  Which states
and reasons form a row is the document's; causes and actions are told in our words, with srmd's
commands.  Patterns follow the document to the letter, also where it seems to have slipped.
"""

from __future__ import annotations

from typing import Final

from srmd.core.handbook.row import (
    FALL_BACK,
    FALL_BACK_WHEN_WANTED,
    RECOVER_OR_REBOOT,
    SILENT_NODE,
    WAIT,
    Row,
    any_reason,
    with_reasons,
)
from srmd.core.states import Reason, State
from srmd.core.texts import Text

DOCUMENTED: Final[tuple[Row, ...]] = (
    Row(
        n=1,
        key="normal",
        home=with_reasons(State.NORMAL, Reason.NORMAL),
        backup=with_reasons(State.NORMAL, Reason.NORMAL),
        stable=True,
        cause=Text(
            "All is well: each node serves its own users.",
            "問題ありません。各ノードが自分のユーザを受け持っています。",
        ),
        action=Text("Nothing to do.", "必要な作業はありません。"),
    ),
    Row(
        n=2,
        key="manual_failover",
        home=with_reasons(State.FAILING_OVER, Reason.ON_ADMIN_REQUEST),
        backup=with_reasons(State.TAKING_OVER, Reason.ON_ADMIN_REQUEST),
        stable=False,
        cause=Text(
            "An administrator ordered a failover of node {home}; its users are moving to node"
            " {backup}.",
            "管理者の指示により、ノード {home} のユーザをノード {backup} へ移しています。",
        ),
        action=WAIT,
    ),
    Row(
        n=3,
        key="manually_failed_over",
        home=with_reasons(State.IDLE, Reason.ON_ADMIN_REQUEST),
        backup=with_reasons(State.BACKUP, Reason.ON_ADMIN_REQUEST),
        stable=True,
        cause=Text(
            "The ordered failover is done: node {backup} serves everybody. The critical services of"
            " node {home} stay stopped until a fallback.",
            "指示されたフェールオーバーは終わり、全ユーザがノード {backup} にいます。"
            "ノード {home} の重要なサービスは、フォールバックするまで停止したままです。",
        ),
        action=FALL_BACK_WHEN_WANTED,
    ),
    Row(
        n=4,
        key="manual_fallback",
        home=with_reasons(State.TAKING_BACK, Reason.ON_ADMIN_REQUEST),
        backup=with_reasons(State.FALLING_BACK, Reason.ON_ADMIN_REQUEST),
        stable=False,
        cause=Text(
            "An administrator ordered a fallback; the users of node {home} are on their way home"
            " from node {backup}.",
            "管理者の指示により、ノード {home} のユーザをノード {backup} から戻しています。",
        ),
        action=WAIT,
    ),
    Row(
        n=5,
        key="idle_home_restarted",
        home=with_reasons(State.IDLE, Reason.INITIALIZATION),
        backup=with_reasons(State.BACKUP, Reason.ON_ADMIN_REQUEST),
        stable=True,
        cause=Text(
            "SRM was restarted on node {home} while that node was Idle. It stays Idle: a restart"
            " does not undo a manual failover.",
            "「アイドル」のノード {home} で SRM が再起動されました。"
            "再起動しても手動フェールオーバー"
            "は取り消されず、「アイドル」のままです。",
        ),
        action=FALL_BACK_WHEN_WANTED,
    ),
    Row(
        n=6,
        key="idle_both_restarted",
        home=with_reasons(State.IDLE, Reason.INITIALIZATION),
        backup=with_reasons(State.BACKUP, Reason.INITIALIZATION),
        stable=True,
        cause=Text(
            "Both nodes were rebooted, or SRM was restarted on both, after a manual failover. Each"
            " remembers its role.",
            "手動フェールオーバーの後、両ノードのリブートまたは両方の SRM の再起動がありました。"
            "どちらも元の役割を保っています。",
        ),
        action=FALL_BACK_WHEN_WANTED,
    ),
    Row(
        n=7,
        key="idle_backup_restarted",
        home=with_reasons(State.IDLE, Reason.ON_ADMIN_REQUEST),
        backup=with_reasons(State.BACKUP, Reason.INITIALIZATION),
        stable=True,
        cause=Text(
            "SRM was restarted on node {backup} in backup mode, and was back before node {home}"
            " missed its heartbeat for the timeout.",
            "バックアップ中のノード {backup} で SRM が再起動され、ノード {home} がハートビートの"
            "タイムアウトを検出する前に復帰しました。",
        ),
        action=FALL_BACK_WHEN_WANTED,
    ),
    Row(
        n=8,
        key="manual_failover_backup_restarted",
        home=with_reasons(State.FAILING_OVER, Reason.ON_ADMIN_REQUEST),
        backup=with_reasons(State.TAKING_OVER, Reason.INITIALIZATION),
        stable=False,
        cause=Text(
            "SRM was restarted on node {backup} in the middle of a manual failover and was back in"
            " time: it goes on taking the users of node {home}.",
            "手動フェールオーバーの途中でノード {backup} の SRM が再起動されましたが、"
            "時間内に復帰し、"
            "ノード {home} のユーザの引き取りを続けています。",
        ),
        action=WAIT,
    ),
    Row(
        n=9,
        key="manual_fallback_home_restarted",
        home=with_reasons(State.TAKING_BACK, Reason.INITIALIZATION),
        backup=with_reasons(State.FALLING_BACK, Reason.ON_ADMIN_REQUEST),
        stable=False,
        cause=Text(
            "SRM was restarted on node {home} in the middle of a manual fallback and was back in"
            " time: it goes on taking its users back, and both nodes end in Normal.",
            "手動フォールバックの途中でノード {home} の SRM が再起動されましたが、時間内に復帰し、"
            "ユーザの取り戻しを続けています。完了すると両ノードは「標準」になります。",
        ),
        action=WAIT,
    ),
    Row(
        n=10,
        key="automatic_fallback",
        home=with_reasons(State.TAKING_BACK, Reason.AUTOMATIC_FALLBACK),
        backup=with_reasons(State.FALLING_BACK, Reason.AUTOMATIC_FALLBACK),
        stable=False,
        cause=Text(
            "Node {home} has been well for the automatic fallback wait; its users are on their way"
            " home from node {backup}.",
            "ノード {home} が所定の時間正常だったため、自動フォールバックが始まり、"
            "ユーザをノード {backup} から戻しています。",
        ),
        action=WAIT,
    ),
    Row(
        n=11,
        key="services_restored",
        home=with_reasons(State.FAILED_OVER, Reason.INITIALIZATION, Reason.CRITICAL_SERVICE_DOWN),
        backup=with_reasons(State.BACKUP, Reason.CRITICAL_SERVICE_DOWN),
        stable=True,
        cause=Text(
            "The critical services of node {home} run again, after a reboot (Initialization) or"
            " because somebody started them (Critical Service Down). Node {backup} still serves"
            " everybody.",
            "ノード {home} の重要なサービスが再び動作しています。"
            "リブートによる復旧なら理由は「初期化」、"
            "サービスの開始による復旧なら「重要なサービス停止」です。"
            "全ユーザはまだノード {backup} に"
            "います。",
        ),
        action=FALL_BACK,
    ),
    Row(
        n=12,
        key="critical_service_down",
        home=with_reasons(State.FAILED_OVER_SERVICES_DOWN, Reason.CRITICAL_SERVICE_DOWN),
        backup=with_reasons(State.BACKUP, Reason.CRITICAL_SERVICE_DOWN),
        stable=True,
        cause=Text(
            "A critical service of node {home} stayed down longer than the critical service delay:"
            " node {backup} has taken over its users.",
            "ノード {home} の重要なサービスが許容時間を超えて停止したため、"
            "ノード {backup} がユーザを自動的に引き取りました。",
        ),
        action=Text(
            "1. On node {home}, find the dead service with `srmd service list` and start it with"
            " `srmd service start`.\n"
            "2. If it will not start, reboot node {home}.\n"
            "3. When node {home} shows Failed Over, `srmd fallback {home}`.",
            "1. ノード {home} で `srmd service list` により停止中のサービスを調べ、"
            "`srmd service start` で開始します。\n"
            "2. 開始できなければ、ノード {home} をリブートします。\n"
            "3. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を"
            "実行します。",
        ),
    ),
    Row(
        n=13,
        key="database_failure",
        home=with_reasons(State.FAILED_OVER_SERVICES_DOWN, Reason.DATABASE_FAILURE),
        backup=with_reasons(State.BACKUP, Reason.DATABASE_FAILURE),
        stable=True,
        cause=Text(
            "Node {home} has lost its database: node {backup} has taken over its users.",
            "ノード {home} のデータベースが使えなくなったため、"
            "ノード {backup} がユーザを自動的に引き取りました。",
        ),
        action=Text(
            "1. Reboot node {home}; `srmd status` tells what is wrong with its database.\n"
            "2. When node {home} shows Failed Over, `srmd fallback {home}`.",
            "1. ノード {home} をリブートします。データベースの問題は `srmd status` に表示されます。"
            "\n"
            "2. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を"
            "実行します。",
        ),
    ),
    Row(
        n=14,
        key="start_of_services_failed",
        home=with_reasons(State.FAILED_MODE, Reason.START_OF_CRITICAL_SERVICES_FAILED),
        backup=with_reasons(State.FAILED_MODE, Reason.START_OF_CRITICAL_SERVICES_FAILED),
        stable=True,
        cause=Text(
            "The fallback failed: the critical services of the node that was taking its users back"
            " would not start.",
            "フォールバックに失敗しました。"
            "ユーザを取り戻そうとしたノードで、重要なサービスを開始できませんでした。",
        ),
        action=Text(
            "1. On the node that was taking its users back, find the dead services with"
            " `srmd service list` and remove what keeps them from starting.\n"
            "2. `srmd recover` starts them and sends the users home.\n"
            "3. If they still will not start, reboot that node: the other one takes over. When the"
            " rebooted node shows Failed Over, use `srmd fallback` with its name.",
            "1. ユーザを取り戻そうとしたノードで `srmd service list` により停止中のサービスを調べ、"
            "開始を妨げている問題を取り除きます。\n"
            "2. `srmd recover` を実行すると、サービスが開始され、ユーザが戻ります。\n"
            "3. それでも開始できなければ、そのノードをリブートします。"
            "もう一方がユーザを引き取ります。"
            "「フェールオーバー済み」になったら、そのノード名で `srmd fallback` を実行します。",
        ),
    ),
    Row(
        n=15,
        key="neither_can_serve",
        home=with_reasons(State.FAILED_MODE, Reason.CRITICAL_SERVICE_DOWN),
        backup=with_reasons(State.FAILED_MODE, Reason.CRITICAL_SERVICE_DOWN),
        stable=True,
        cause=Text(
            "A critical service of the backup node stayed down while its peer could not take the"
            " users either.",
            "バックアップ ノードの重要なサービスが停止したままになり、"
            "ピアもユーザを引き取れませんでした。",
        ),
        action=Text(
            "1. On the backup node, find the dead services with `srmd service list` and remove what"
            " stopped them; look at the other node as well.\n"
            "2. `srmd recover` starts them on both nodes.\n"
            "3. If they will not start, reboot the node in question.",
            "1. バックアップ ノードで `srmd service list` により停止中のサービスを調べ、"
            "原因を取り除きます。もう一方のノードも確認します。\n"
            "2. `srmd recover` を実行すると、両ノードでサービスが開始されます。\n"
            "3. 開始できなければ、該当するノードをリブートします。",
        ),
    ),
    Row(
        n=16,
        key="peer_down",
        home=SILENT_NODE,
        backup=with_reasons(State.BACKUP, Reason.PEER_DOWN),
        stable=True,
        cause=Text(
            "Node {backup} has not heard node {home} for the heartbeat timeout and has taken over"
            " its users. Node {home} is down, the network between them is broken, or SRM does not"
            " run there.",
            "ノード {home} からのハートビートが途絶えたため、ノード {backup} がユーザを自動的に"
            "引き取りました。ノード {home} の停止、ネットワークの断線、SRM の停止のいずれかです。",
        ),
        action=Text(
            "1. Network: repair it. If both nodes served users meanwhile, they may go to Running in"
            " Failed Mode: `srmd recover`.\n"
            '2. SRM: on node {home}, `srmd service start "Cisco Server Recovery Manager"`.\n'
            "3. Node: repair node {home} and power it on.\n"
            "4. When node {home} shows Failed Over, `srmd fallback {home}`.",
            "1. ネットワーク: 修復します。その間に両ノードがユーザを受け持っていた場合、"
            "「障害モードで実行中」になることがあります。そのときは `srmd recover` を実行します。\n"
            '2. SRM: ノード {home} で `srmd service start "Cisco Server Recovery Manager"` を'
            "実行します。\n"
            "3. ノード: ノード {home} を修理し、電源を入れます。\n"
            "4. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を"
            "実行します。",
        ),
    ),
    Row(
        n=17,
        key="peer_reboot",
        home=SILENT_NODE,
        backup=with_reasons(State.BACKUP, Reason.PEER_REBOOT),
        stable=True,
        cause=Text(
            "Node {home} announced that it goes down (shutdown, reboot, power-off), and node"
            " {backup} has taken over its users at once.",
            "ノード {home} が停止 (シャットダウン、リブート、電源切断) を予告したため、"
            "ノード {backup} がただちにユーザを引き取りました。",
        ),
        action=Text(
            "1. If node {home} does not come back by itself, repair it and power it on.\n"
            "2. When node {home} shows Failed Over, `srmd fallback {home}`.",
            "1. ノード {home} が自動的に復帰しなければ、修理して電源を入れます。\n"
            "2. ノード {home} が「フェールオーバー済み」になったら `srmd fallback {home}` を"
            "実行します。",
        ),
        note=Text(
            "The document's text of this row slid one column to the right; it describes the home"
            " node.",
            "文書ではこの行の説明が 1 列ずれています。内容はホーム ノードについての説明です。",
        ),
    ),
    Row(
        n=18,
        key="peer_down_during_initialization",
        home=(
            (State.FAILED_OVER_SERVICES_DOWN, Reason.INITIALIZATION),
            (State.FAILED_OVER, Reason.INITIALIZATION),
        ),
        backup=with_reasons(State.BACKUP, Reason.PEER_DOWN_DURING_INITIALIZATION),
        stable=True,
        cause=Text(
            "When node {backup} started it did not hear node {home} in time and took over its"
            " users. Node {home} has come up since.",
            "ノード {backup} の起動時にノード {home} が見つからず、ユーザを引き取りました。"
            "ノード {home} はその後に起動しました。",
        ),
        action=Text(
            "1. Wait until node {home} shows Failed Over; if it does not, `srmd service list` there"
            " names the service to start.\n"
            "2. `srmd fallback {home}`.",
            "1. ノード {home} が「フェールオーバー済み」になるのを待ちます。ならない場合は、"
            "そのノードの `srmd service list` で開始すべきサービスを調べます。\n"
            "2. `srmd fallback {home}` を実行します。",
        ),
    ),
    Row(
        n=19,
        key="take_over_users_failed",
        home=with_reasons(State.FAILED_MODE, Reason.TAKE_OVER_USERS_FAILED),
        backup=with_reasons(State.FAILED_MODE, Reason.TAKE_OVER_USERS_FAILED),
        stable=True,
        cause=Text(
            "The users could not be moved during a take-over, most likely because of the database.",
            "テイクオーバー中にユーザを移せませんでした。データベースに問題があると考えられます。",
        ),
        action=RECOVER_OR_REBOOT,
    ),
    Row(
        n=20,
        key="take_back_users_failed",
        home=with_reasons(State.FAILED_MODE, Reason.TAKE_BACK_USERS_FAILED),
        backup=with_reasons(State.FAILED_MODE, Reason.TAKE_BACK_USERS_FAILED),
        stable=True,
        cause=Text(
            "The users could not be moved home during a fallback, most likely because of the"
            " database.",
            "フォールバック中にユーザを戻せませんでした。データベースに問題があると考えられます。",
        ),
        action=RECOVER_OR_REBOOT,
    ),
    Row(
        n=21,
        key="failed_mode_unknown",
        home=with_reasons(State.FAILED_MODE, Reason.UNKNOWN),
        backup=with_reasons(State.FAILED_MODE, Reason.UNKNOWN),
        stable=True,
        cause=Text(
            "SRM was restarted on one node while its peer was in Running in Failed Mode, both nodes"
            " served the same users (a partition has healed), or SRM met an internal error.",
            "一方が「障害モードで実行中」の間に SRM が再起動されたか、"
            "分断の間に両ノードが同じユーザを"
            "受け持ったか、SRM の内部エラーが発生しました。",
        ),
        action=Text(
            "1. `srmd recover`. After a partition, the log tells who served whom meanwhile.\n"
            "2. If the pair fails again, reboot both nodes.",
            "1. `srmd recover` を実行します。分断の後は、その間に誰がどのノードにいたかがログに"
            "記録されています。\n"
            "2. 再び障害モードになる場合は、両ノードをリブートします。",
        ),
        note=Text(
            "That a healed partition shows this row is ours: the document names the failed state"
            " (row 16) but no reason.",
            "分断の回復後にこの行になるのは srmd 独自の決定です。"
            "文書の第 16 行は障害モードになることを"
            "述べていますが、理由は示していません。",
        ),
    ),
    Row(
        n=22,
        key="auto_recovered_from_database_failure",
        home=with_reasons(State.BACKUP, Reason.AUTO_RECOVER_DATABASE_FAILURE),
        backup=with_reasons(State.FAILED_OVER_SERVICES_DOWN, Reason.AUTO_RECOVERY_DATABASE_FAILURE),
        stable=True,
        cause=Text(
            "Node {backup} lost its database while it was the backup. Node {home}, which was Failed"
            " Over and well, has taken all users: the roles have swapped.",
            "バックアップだったノード {backup} のデータベースが使えなくなり、フェールオーバー済みで"
            "正常なノード {home} が全ユーザを自動的に引き取りました。役割が入れ替わっています。",
        ),
        action=Text(
            "1. Everybody is served; nothing is urgent.\n"
            "2. Repair the database of node {backup}, or reboot that node.\n"
            "3. When node {backup} shows Failed Over, `srmd fallback {backup}`.",
            "1. 全ユーザが利用できているので、急ぐ作業はありません。\n"
            "2. ノード {backup} のデータベースを修復するか、ノードをリブートします。\n"
            "3. ノード {backup} が「フェールオーバー済み」になったら `srmd fallback {backup}` を"
            "実行します。",
        ),
        note=Text(
            "Printed as in the document: its node 1 is the node that serves everybody now. Step 3"
            " is ours.",
            "表示は文書のとおりで、文書の「ノード 1」は現在全ユーザを受け持つノードです。"
            "手順 3 は srmd 独自です。また、文書の日本語版はノード 2 の理由を「回復に失敗」と"
            "誤訳しています。",
        ),
    ),
    Row(
        n=23,
        key="auto_recovered_from_critical_service_down",
        home=with_reasons(State.BACKUP, Reason.AUTO_RECOVER_DATABASE_FAILURE),
        backup=with_reasons(
            State.FAILED_OVER_SERVICES_DOWN, Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN
        ),
        stable=True,
        cause=Text(
            "A critical service of node {backup} stayed down while it was the backup. Node {home},"
            " which was Failed Over and well, has taken all users: the roles have swapped.",
            "バックアップだったノード {backup} の重要なサービスが停止したままになり、"
            "フェールオーバー済みで正常なノード {home} が全ユーザを自動的に引き取りました。"
            "役割が入れ替わっています。",
        ),
        action=Text(
            "1. Everybody is served; nothing is urgent.\n"
            "2. On node {backup}, start the dead service with `srmd service start`, or reboot that"
            " node.\n"
            "3. When node {backup} shows Failed Over, `srmd fallback {backup}`.",
            "1. 全ユーザが利用できているので、急ぐ作業はありません。\n"
            "2. ノード {backup} で停止中のサービスを `srmd service start` により開始するか、"
            "ノードをリブートします。\n"
            "3. ノード {backup} が「フェールオーバー済み」になったら `srmd fallback {backup}` を"
            "実行します。",
        ),
        note=Text(
            "The document prints Auto Recover Database Failure for its node 1, the node that serves"
            " everybody now, although a service was the cause: almost surely a slip. srmd shows"
            " what is printed. Step 3 is ours.",
            "原因はサービスですが、文書は「ノード 1」(現在全ユーザを受け持つノード) の理由を"
            "「データベース障害からの自動回復」としています。おそらく誤記ですが、"
            "srmd は文書のとおりに"
            "表示します。手順 3 は srmd 独自です。",
        ),
    ),
    Row(
        n=24,
        key="ha_not_enabled",
        home=any_reason(State.UNKNOWN),
        backup=any_reason(State.UNKNOWN),
        stable=True,
        cause=Text(
            "High availability does not work. Reason High Availability Not Enabled: it is switched"
            " off. Any other reason: it is on for one node only, or the settings of the nodes do"
            " not match. No failover takes place; users and services stay as they are.",
            "高可用性が機能していません。理由が「高可用性が有効になっていません」なら無効に"
            "設定されて"
            "います。それ以外なら、一方だけが有効か、両ノードの設定が一致していません。"
            "フェールオーバーは行われず、ユーザとサービスは現状のままです。",
        ),
        action=Text(
            "1. If it is off on a node and shall be on: `srmd ha enable` on either node sets it on"
            " both.\n"
            "2. Otherwise `srmd status` tells which setting does not match: correct it.\n"
            '3. Restart SRM on both nodes: `srmd service restart "Cisco Server Recovery'
            ' Manager"`.',
            "1. いずれかのノードで無効になっていて、有効にしたい場合は、どちらかのノードで"
            " `srmd ha enable` を実行します。両ノードで有効になります。\n"
            "2. それ以外の場合は、一致しない設定が `srmd status` に表示されるので、修正します。\n"
            "3. 両ノードで SRM を再起動します: "
            '`srmd service restart "Cisco Server Recovery Manager"`',
        ),
        note=Text(
            "The document gives no reasons here; Cisco's CLI prints High Availability Not Enabled."
            " Step 3 is the document's only advice.",
            "文書のこの行には理由がありません。シスコの CLI は High Availability Not Enabled と"
            "表示します。文書が示す処置は手順 3 だけです。",
        ),
    ),
)
"""Rows 1 to 24."""
