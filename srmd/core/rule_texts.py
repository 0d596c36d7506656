"""The rules in words for operators: which case of a decision led to a state, in both languages.

A decision of `core.transitions` answers several cases, and its docstring names them all.  A log
record and `srmd why` tell of one step, so they say the case that applied: it is found by the state
that the step led to and, where that is not enough, by its reason or by the state of the peer.
A step that changes nothing is told by the sentence of its decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.states import Reason, State
from srmd.core.texts import Text

S = State
FAILED_OVER: Final = (S.FAILED_OVER, S.FAILED_OVER_SERVICES_DOWN)
GAVE_WAY: Final = (S.IDLE, *FAILED_OVER)
RIVALS: Final = (S.TAKING_OVER, S.BACKUP)


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which a decision can lead to a state; empty sets mean any."""

    to: frozenset[State]
    text: Text
    reasons: frozenset[Reason]
    peers: frozenset[State]

    def fits(self, node: Node) -> bool:
        peer = node.peer.state if node.peer is not None else None
        return (
            node.state in self.to
            and (not self.reasons or node.reason in self.reasons)
            and (not self.peers or peer in self.peers)
        )


def case(
    to: State | Iterable[State],
    en: str,
    ja: str,
    *,
    reason: Reason | None = None,
    peer: State | Iterable[State] = (),
) -> Case:
    reasons = frozenset[Reason]() if reason is None else frozenset({reason})
    return Case(_states(to), Text(en, ja), reasons, _states(peer))


def _states(one: State | Iterable[State]) -> frozenset[State]:
    return frozenset({one} if isinstance(one, State) else one)


def told(before: Node, step: Step) -> Text:
    """The case that this step is, or the sentence of its decision."""
    after = step.node
    if (before.state, before.op, before.stage) != (after.state, after.op, after.stage):
        for one in CASES.get(step.rule, ()):
            if one.fits(after):
                return one.text
    return Text(step.why, JAPANESE.get(step.why, step.why))


# ---------------------------------------------------------------------------- cases in common

HA_OFF = case(
    S.UNKNOWN,
    "High availability is off: no failover takes place (R11).",
    "高可用性が無効のため、フェールオーバーは行われません (R11)。",
)
JOINS_FAILURE = case(
    S.FAILED_MODE,
    "The peer is Running in Failed Mode, which is a state of both nodes.",
    "ピアが「障害モードで実行中」のため、このノードも同じ状態になります。",
    peer=S.FAILED_MODE,
)
NEITHER_CAN_SERVE = case(
    S.FAILED_MODE,
    "Neither node can serve the users (R3, R8, row 15).",
    "どちらのノードもユーザにサービスを提供できません (R3、R8、第 15 行)。",
    reason=Reason.CRITICAL_SERVICE_DOWN,
)
NONE_SERVES = case(
    S.FAILED_MODE,
    "Both nodes have released the users: only Recover leads out (srmd).",
    "両ノードがユーザを解放したため、リカバリが必要です (srmd 独自)。",
    peer=(*GAVE_WAY, S.FAILING_OVER, S.TAKING_BACK),
)
BOTH_SERVED = case(
    S.FAILED_MODE,
    "Both nodes served the same users: split brain (R9).",
    "両ノードが同じユーザにサービスを提供していました。スプリットブレインです (R9)。",
    peer=RIVALS,
)
GIVES_WAY = case(
    S.FAILING_OVER,
    "The peer has taken over, as it received no heartbeats of this node: this node gives way (R9).",
    "ピアがこのノードのハートビートを受信できずにテイクオーバーしたため、"
    "役割をピアに譲ります (R9)。",
    reason=Reason.PEER_DOWN,
)
OWN_FAILURE_LASTS = case(
    S.FAILING_OVER,
    "A failure on this node lasts longer than the critical service delay: the peer takes the users"
    " (R3, R4).",
    "このノードの障害が許容時間を超えたため、ピアがユーザを引き継ぎます (R3、R4)。",
)
HANDS_OVER = case(
    S.FAILING_OVER,
    "The backup node cannot serve any more and the Failed Over peer can: it gets all users (R8).",
    "バックアップ ノードがサービスを提供できないため、"
    "「フェールオーバー済み」のピアが全ユーザを引き継ぎます (R8)。",
)
STEPS_IN = case(
    S.TAKING_OVER,
    "The peer does not serve its users any more: take them over (R2, R3, R8).",
    "ピアがユーザにサービスを提供しなくなったため、引き継ぎます (R2、R3、R8)。",
)
TAKES_FROM_LOST_PEER = case(
    S.TAKING_OVER,
    "The peer is lost and this node can serve: take all users (R12).",
    "ピアとの通信が途絶えており、このノードはサービスを提供できるため、"
    "全ユーザを引き継ぎます (R12)。",
)
PEER_HOLDS_USERS = case(
    FAILED_OVER,
    "SRM restarted here and the peer serves all users meanwhile (R1, R9).",
    "SRM の再起動の間に、ピアが全ユーザにサービスを提供しています (R1、R9)。",
    reason=Reason.INITIALIZATION,
)
FAILED_OVER_AT_LAST = case(
    FAILED_OVER,
    "The peer serves the users now: the failover has ended (R3).",
    "ピアがユーザにサービスを提供するようになり、フェールオーバーが完了しました (R3)。",
)
IDLE_AT_LAST = case(
    S.IDLE,
    "The peer serves the users now: the manual failover has ended (R2, row 3).",
    "ピアがユーザにサービスを提供するようになり、手動フェールオーバーが完了しました (R2、"
    "第 3 行)。",
)
FOLLOWS_RECOVER = case(
    S.INITIALIZING,
    "The peer recovers: this node starts SRM anew with it (R10).",
    "ピアがリカバリを開始したため、このノードの SRM も最初から開始します (R10)。",
)
PLACES_AGAIN = case(
    S.BACKUP,
    "The peer may have placed users on itself meanwhile: place all users here again (srmd).",
    "ピアが別の配置を記録した可能性があるため、全ユーザをこのノードに配置し直します (srmd 独自)。",
)
RESUMES = "SRM restarted: the stored state is resumed (R1)."
RESUMES_JA = "SRM が再起動し、保存された状態を再開します (R1)。"

# ---------------------------------------------------------------------------- cases of decisions

CASES: Final[dict[str, tuple[Case, ...]]] = {
    "switch_ha_on": (HA_OFF,),
    "start_afresh": (HA_OFF,),
    "start_idle": (HA_OFF,),
    "start_in_role": (
        HA_OFF,
        case((S.BACKUP, S.TAKING_OVER, S.TAKING_BACK, S.FALLING_BACK), RESUMES, RESUMES_JA),
    ),
    "start_failing_over": (HA_OFF, case(S.FAILING_OVER, RESUMES, RESUMES_JA)),
    "start_failed": (
        HA_OFF,
        case(
            S.INITIALIZING,
            "A reboot of the node leaves Running in Failed Mode (R1, row 14).",
            "ノードのリブートにより、「障害モードで実行中」を終了します (R1、第 14 行)。",
        ),
        case(
            S.FAILED_MODE,
            "A restart of SRM does not leave Running in Failed Mode (R1, row 21).",
            "SRM の再起動では「障害モードで実行中」は終了しません (R1、第 21 行)。",
        ),
    ),
    "find_place": (
        PEER_HOLDS_USERS,
        case(
            S.FALLING_BACK,
            "The peer takes its users back: this node was their backup node (R1).",
            "ピアがユーザを戻しています。このノードはバックアップ ノードでした (R1)。",
        ),
        case(
            S.TAKING_BACK,
            "The peer returns the users of this node: the fallback goes on (R1).",
            "ピアがこのノードのユーザを戻しているため、フォールバックを続けます (R1)。",
        ),
        case(
            S.TAKING_OVER,
            "No heartbeat of the peer was received within the initialization timeout: take its"
            " users (R1, row 18).",
            "初期化タイムアウトの間にピアのハートビートを受信しなかったため、ユーザを引き継ぎます"
            " (R1、第 18 行)。",
            reason=Reason.PEER_DOWN_DURING_INITIALIZATION,
        ),
        STEPS_IN,
        OWN_FAILURE_LASTS,
        case(
            S.FAILED_MODE,
            "SRM restarted while the peer is Running in Failed Mode: this node joins it (row 21).",
            "ピアが「障害モードで実行中」の間に SRM が再起動したため、"
            "このノードも同じ状態になります (第 21 行)。",
            peer=S.FAILED_MODE,
        ),
        NEITHER_CAN_SERVE,
        case(
            S.INITIALIZING,
            "The peer is heard and the services run: return each user to the home node (R1).",
            "ピアのハートビートを受信し、サービスも実行中のため、"
            "各ユーザをホーム ノードに配置します (R1)。",
        ),
    ),
    "answer_as_normal": (
        JOINS_FAILURE,
        NEITHER_CAN_SERVE,
        GIVES_WAY,
        OWN_FAILURE_LASTS,
        STEPS_IN,
    ),
    "answer_while_failing_over": (
        IDLE_AT_LAST,
        FAILED_OVER_AT_LAST,
        case(
            S.TAKING_OVER,
            "Both nodes fail over at once, and this one can serve: it takes over instead (srmd).",
            "両ノードが同時にフェールオーバーを開始し、このノードはサービスを提供できるため、"
            "テイクオーバーします"
            " (srmd 独自)。",
        ),
        JOINS_FAILURE,
        NEITHER_CAN_SERVE,
        NONE_SERVES,
    ),
    "let_go": (
        IDLE_AT_LAST,
        FAILED_OVER_AT_LAST,
        case(
            S.FAILING_OVER,
            "The services are stopped and the users released: the peer may take them (R2).",
            "サービスを停止し、ユーザを解放しました。ピアが引き継げます (R2)。",
        ),
    ),
    "answer_while_taking_over": (
        PEER_HOLDS_USERS,
        FOLLOWS_RECOVER,
        GIVES_WAY,
        JOINS_FAILURE,
        BOTH_SERVED,
        case(
            S.INITIALIZING,
            "Both nodes served the same users: each returns to its home node (R9, policy `home`).",
            "両ノードが同じユーザにサービスを提供していました。各ユーザをホーム ノードに戻します"
            " (R9、ポリシー `home`)。",
        ),
        case(
            S.TAKING_OVER,
            "The peer has released its users: move them here (R2, R3).",
            "ピアがユーザを解放したため、このノードに移します (R2、R3)。",
        ),
    ),
    "hold_users": (
        case(
            S.BACKUP,
            "All users are served here now: the take-over has ended.",
            "全ユーザにこのノードがサービスを提供するようになり、テイクオーバーが完了しました。",
        ),
        HANDS_OVER,
        NEITHER_CAN_SERVE,
    ),
    "answer_as_backup": (
        case(
            S.FALLING_BACK,
            "The peer takes its users back: release them (R6).",
            "ピアがユーザを戻すため、解放します (R6)。",
        ),
        PLACES_AGAIN,
        FOLLOWS_RECOVER,
        PEER_HOLDS_USERS,
        JOINS_FAILURE,
        BOTH_SERVED,
        NEITHER_CAN_SERVE,
        GIVES_WAY,
        HANDS_OVER,
    ),
    "watch_as_backup": (HANDS_OVER, NEITHER_CAN_SERVE),
    "lose_peer_as_backup": (HANDS_OVER, NEITHER_CAN_SERVE, PLACES_AGAIN),
    "answer_as_idle": (JOINS_FAILURE, NONE_SERVES),
    "answer_as_failed_over": (STEPS_IN, JOINS_FAILURE, NEITHER_CAN_SERVE, NONE_SERVES),
    "watch_as_failed_over": (
        TAKES_FROM_LOST_PEER,
        case(
            S.FAILED_OVER,
            "All critical services run again (R3, row 11).",
            "すべての重要なサービスが再び実行中です (R3、第 11 行)。",
        ),
        case(
            S.FAILED_OVER_SERVICES_DOWN,
            "A critical service does not run (R3, row 12).",
            "重要なサービスが停止しています (R3、第 12 行)。",
        ),
    ),
    "answer_while_taking_back": (
        case(
            FAILED_OVER,
            "The peer serves all users again: the fallback is given up (R12).",
            "ピアが再び全ユーザにサービスを提供しているため、フォールバックを中止します (R12)。",
        ),
        GIVES_WAY,
        JOINS_FAILURE,
        NONE_SERVES,
        case(
            S.TAKING_BACK,
            "The peer has released the users: return them to their home node (R6).",
            "ピアがユーザを解放したため、ホーム ノードに戻します (R6)。",
        ),
    ),
    "be_ready_to_take_back": (
        TAKES_FROM_LOST_PEER,
        case(
            S.TAKING_BACK,
            "The services run: the peer may release the users (R6).",
            "サービスが実行中になり、ピアがユーザを解放できます (R6)。",
        ),
    ),
    "lose_peer_while_taking_back": (TAKES_FROM_LOST_PEER,),
    "fail_taking_back": (
        case(
            S.FAILED_MODE,
            "The critical services did not start (row 14).",
            "重要なサービスを開始できませんでした (第 14 行)。",
            reason=Reason.START_OF_CRITICAL_SERVICES_FAILED,
        ),
        case(
            S.FAILED_MODE,
            "The users could not be returned to their home node (row 20).",
            "ユーザをホーム ノードに戻せませんでした (第 20 行)。",
        ),
    ),
    "overdue_taking_back": (
        case(
            S.FAILED_MODE,
            "The critical services did not start within the time limit (row 14).",
            "制限時間内に重要なサービスを開始できませんでした (第 14 行)。",
            reason=Reason.START_OF_CRITICAL_SERVICES_FAILED,
        ),
        case(
            S.FAILED_MODE,
            "The users could not be returned within the time limit (row 20).",
            "制限時間内にユーザを戻せませんでした (第 20 行)。",
        ),
    ),
    "answer_while_falling_back": (
        case(
            S.FALLING_BACK,
            "The home node is Normal: place its users there in this node's database too (srmd).",
            "ホーム ノードが「標準」になったため、このノードのデータベースでも"
            "ユーザをホーム ノードに配置します (srmd 独自)。",
            peer=S.NORMAL,
        ),
        case(
            S.TAKING_OVER,
            "The home node gave up its fallback: take the users again (R12).",
            "ホーム ノードがフォールバックを中止したため、ユーザを再び引き継ぎます (R12)。",
        ),
        PEER_HOLDS_USERS,
        GIVES_WAY,
        JOINS_FAILURE,
        case(
            S.FALLING_BACK,
            "The home node is ready: release its users (R6).",
            "ホーム ノードの準備ができたため、ユーザを解放します (R6)。",
        ),
    ),
    "answer_as_failed": (
        FOLLOWS_RECOVER,
        case(
            S.TAKING_OVER,
            "The peer was rebooted and this node can serve: take over (R12, row 14).",
            "ピアがリブートされ、このノードはサービスを提供できるため、テイクオーバーします (R12、"
            "第 14 行)。",
        ),
        case(
            S.FAILED_MODE,
            "The peer reports another reason: both nodes show the same one.",
            "ピアが別の理由を報告したため、両ノードの理由を揃えます。",
        ),
    ),
}
"""By decision, for those that answer several cases; the first case that fits is told."""

# ---------------------------------------------------------------------------- sentences in Japanese

JAPANESE: Final[dict[str, str]] = {
    "A fail-over half way is resumed (ours): a manual one goes on stopping the services, and in "
    "any other they run.": (
        "途中のフェールオーバーを再開します (srmd 独自)。手動の場合はサービスの停止を続け、"
        "それ以外の場合はサービスを起動します。"
    ),
    "A fallback that does not end has failed, in its services or in its users.": (
        "終わらないフォールバックは、サービスの開始またはユーザの移動の失敗とみなします。"
    ),
    "A fallback that does not end has failed.": "終わらないフォールバックは失敗とみなします。",
    "A normal node watches its health, steps in for a failing peer, yields to a new backup.": (
        "「標準」のノードは自ノードの正常性を監視し、障害のあるピアのユーザを引き継ぎ、"
        "新しいバックアップ ノードに役割を譲ります。"
    ),
    "A passing state that does not end is an internal error (row 21, ours).": (
        "終わらない遷移状態は内部エラーです (第 21 行、srmd 独自)。"
    ),
    "A peer that is gone cannot let its users go: take them (R12).": (
        "通信が途絶えたピアはユーザを解放できないため、引き継ぎます (R12)。"
    ),
    "A stored role is resumed; what the peer reports then decides (rows 6-9).": (
        "保存された役割を再開し、その後はピアの報告に従います (第 6 行から第 9 行)。"
    ),
    "A take-over that does not end has failed (R7).": (
        "終わらないテイクオーバーは失敗とみなします (R7)。"
    ),
    "All users are here: Running in Backup Mode.": (
        "全ユーザがこのノードに移り、「バックアップモードで実行中」になります。"
    ),
    "An SRM restart does not leave Running in Failed Mode (row 21); a reboot starts afresh.": (
        "SRM の再起動では「障害モードで実行中」は終了しません (第 21 行)。"
        "リブートの場合は最初から開始します。"
    ),
    "Failed Over tells whether the services run (rows 11, 12); alone, we serve if we can.": (
        "「フェールオーバー済み」はサービスの実行状況を示します (第 11 行、第 12 行)。"
        "ピアがいない場合は、可能であればサービスを提供します。"
    ),
    "High availability off: no failover, services and users stay as they are (R11).": (
        "高可用性が無効です。フェールオーバーは行われず、サービスとユーザは変わりません (R11)。"
    ),
    "High availability on: SRM finds its place as if it had just started (R11).": (
        "高可用性が有効になり、SRM は開始直後と同じように状態を決めます (R11)。"
    ),
    "Idle lasts until a manual fallback; it ends only with a failure of the pair.": (
        "「アイドル」は手動フォールバックまで続きます。ペアの障害の場合だけ終了します。"
    ),
    "Let the home node take its users back; settle with a rival; fail or recover with the peer.": (
        "ホーム ノードにユーザを戻し、競合する役割を決め、"
        "ピアとともに障害モードまたはリカバリに移ります。"
    ),
    "Let the users go when the home node is ready; take the role again if it gave up.": (
        "ホーム ノードの準備ができたらユーザを解放し、"
        "ホーム ノードが中止した場合は役割を再開します。"
    ),
    "Move our users home once the peer let them go; yield to a peer that took them again.": (
        "ピアが解放したユーザをホーム ノードに戻し、ピアが再び引き継いだ場合は役割を譲ります。"
    ),
    "Move the users once the peer let them go; yield or fail if it took over as well (R9).": (
        "ピアが解放したユーザを移し、ピアもテイクオーバーした場合は役割を譲るか、"
        "障害モードになります (R9)。"
    ),
    "Nobody serves; we take over as soon as our services run (ours).": (
        "サービスを提供するノードがないため、"
        "サービスが実行中になり次第テイクオーバーします (srmd 独自)。"
    ),
    "Our services are stopped and our users let go: the peer may take them (R2).": (
        "サービスを停止し、ユーザを解放しました。ピアが引き継げます (R2)。"
    ),
    "Our services run: the peer may let our users go; a lost peer is taken from (R12).": (
        "サービスが実行中になり、ピアがユーザを解放できます。ピアがいない場合は引き継ぎます (R12)。"
    ),
    "Our users are at home: Normal (row 1).": (
        "ユーザがホーム ノードに配置され、「標準」になります (第 1 行)。"
    ),
    "Our users are home: Normal (row 1).": (
        "ユーザがホーム ノードに戻り、「標準」になります (第 1 行)。"
    ),
    "SRM restarts, forgets the failure, starts the services (R10); the peer follows our report.": (
        "SRM が再起動して障害の記録を消し、サービスを開始します (R10)。ピアも報告を受けて続きます。"
    ),
    "SRM starts in Initializing, has its services started and listens for the peer (R1).": (
        "SRM が「初期化中」で開始し、サービスを開始してピアのハートビートを待ちます (R1)。"
    ),
    "Services that cannot be stopped are an internal error (row 21).": (
        "停止できないサービスは内部エラーです (第 21 行)。"
    ),
    "Services that do not start, or users that cannot be moved, fail both nodes (rows 14, 20).": (
        "サービスを開始できない場合、またはユーザを移せない場合は、"
        "両ノードが障害モードになります (第 14 行、第 20 行)。"
    ),
    "Stay failed until Recover, which the peer's report brings too, or the peer's reboot (R10).": (
        "リカバリ (ピアの報告による場合を含む) またはピアのリブートまで"
        "「障害モードで実行中」を続けます (R10)。"
    ),
    "Stored Idle stays Idle, its services stay stopped, over a reboot too (rows 5, 6).": (
        "保存された「アイドル」を続け、リブート後もサービスは停止したままです (第 5 行、第 6 行)。"
    ),
    "The administrator brings the users of this node home (R6).": (
        "管理者がこのノードのユーザをホーム ノードに戻します (R6)。"
    ),
    "The administrator fails this node over: its services are stopped first (R2).": (
        "管理者がこのノードをフェールオーバーします。最初にサービスを停止します (R2)。"
    ),
    "The backup keeps its role when the peer is lost, and in short failures of its own (R8).": (
        "バックアップ ノードは、ピアとの通信が途絶えた場合も、自ノードの短い障害の場合も、"
        "役割を続けます (R8)。"
    ),
    "The fallback goes on without the peer and ends with all users here (R12).": (
        "ピアなしでフォールバックを続け、全ユーザをこのノードに移します (R12)。"
    ),
    "The peer announced a reboot: a node that can serve takes over (R12, row 14's last step).": (
        "ピアがリブートを通知したため、サービスを提供できるノードがテイクオーバーします"
        " (R12、第 14 行の最後の手順)。"
    ),
    "The peer holds our users; if it has to give them up, we take them all (R8).": (
        "ピアがユーザにサービスを提供しています。ピアが解放する場合は、"
        "このノードが全ユーザを引き継ぎます (R8)。"
    ),
    "The peer is gone: take its users, and those here stay here (R5, R12).": (
        "ピアとの通信が途絶えたため、そのユーザを引き継ぎ、"
        "このノードのユーザはそのままにします (R5、R12)。"
    ),
    "The peer matches again: find our place as if SRM had just started (R11).": (
        "ピアの設定が再び一致したため、SRM の開始直後と同じように状態を決めます (R11)。"
    ),
    "This node was well for the automatic fallback wait (R6, row 10).": (
        "自動フォールバックの待ち時間の間、このノードは正常でした (R6、第 10 行)。"
    ),
    "Two nodes that are not set up as a pair are both Unknown (R11, row 24).": (
        "設定がペアとして一致しないため、両ノードが「不明」になります (R11、第 24 行)。"
    ),
    "The users are home by our database too: Normal (row 1).": (
        "データベースでもユーザがホーム ノードに配置され、「標準」になります (第 1 行)。"
    ),
    "A database that cannot place them has failed, which the health tells: Normal too (ours).": (
        "ユーザを配置できないデータベースは故障しており、正常性に示されるため、「標準」になります"
        " (srmd 独自)。"
    ),
    "Users that cannot be brought home at the start are an internal error (row 21).": (
        "開始時にユーザをホーム ノードに配置できない場合は内部エラーです (第 21 行)。"
    ),
    "Users that cannot be taken over fail both nodes (R7, row 19).": (
        "ユーザを引き継げない場合は、両ノードが障害モードになります (R7、第 19 行)。"
    ),
    "Wait for the peer to hold our users; if it fails over as well, one of us turns round.": (
        "ピアがユーザを引き継ぐのを待ちます。ピアもフェールオーバーした場合は、"
        "一方がテイクオーバーに転じます。"
    ),
    "What the peer reports, or its silence, and our health decide where we begin (R1).": (
        "ピアの報告またはその途絶と、自ノードの正常性によって、開始時の状態を決めます (R1)。"
    ),
    "Without its peer a backup keeps its role; one that resumed it places the users again"
    " (ours).": (
        "バックアップ ノードはピアがいなくても役割を続けます。"
        "役割を再開したノードはユーザを配置し直します"
        " (srmd 独自)。"
    ),
    "a failed node stays failed until Recover or the peer's reboot": (
        "「障害モードで実行中」のノードは、リカバリまたはピアのリブートまでその状態を続けます。"
    ),
    "a manual failover is never undone automatically": (
        "手動フェールオーバーが自動的に取り消されることはありません。"
    ),
    "a stable state has no bound": "安定した状態に制限時間はありません。",
    "after a manual failover the services stay stopped until a manual fallback": (
        "手動フェールオーバーの後、サービスは手動フォールバックまで停止したままです。"
    ),
    "the next order gets a number above it": "次の操作にはこれより大きい番号が付きます。",
    "an answer to a withdrawn order changes nothing": (
        "取り消された操作への応答では何も変わりません。"
    ),
    "goals were set on entry; whether they hold shows in the health, not in the state": (
        "目標は状態に入るときに設定されています。達成されたかどうかは、"
        "状態ではなく正常性に現れます。"
    ),
    "looked at when the fallback has ended": "フォールバックの完了後に確認します。",
    "looked at when the users are here": "ユーザがこのノードに移った後に確認します。",
    "needs both nodes in Normal, hearing each other, with their critical services running": (
        "両ノードが「標準」で、互いのハートビートを受信し、"
        "重要なサービスが実行中であることが必要です。"
    ),
    "needs both nodes in Running in Failed Mode (or one, and its peer silent)": (
        "両ノードが「障害モードで実行中」であること"
        " (または一方だけで、そのピアのハートビートが届かないこと) が必要です。"
    ),
    "needs the home node in Idle or Failed Over and its peer in Running in Backup Mode,"
    " hearing each other": (
        "ホーム ノードが「アイドル」または「フェールオーバー済み」、"
        "ピアが「バックアップモードで実行中」で、"
        "互いのハートビートを受信していることが必要です。"
    ),
    "not ordered in this state": "この状態では指示されていません。",
    "only a node that is Failed Over waits for the automatic fallback": (
        "自動フォールバックを待つのは「フェールオーバー済み」のノードだけです。"
    ),
    "only a node that is Failed Over waits for it": (
        "これを待つのは「フェールオーバー済み」のノードだけです。"
    ),
    "only heartbeats prove life": "ピアの動作を証明するのはハートビートだけです。",
    "the health tells whether the services run": "サービスが実行中かどうかは正常性に現れます。",
    "the home node decides when it takes its users back": (
        "ユーザを戻す時期はホーム ノードが決めます。"
    ),
    "the services must run first": "先にサービスが実行中になる必要があります。",
    "the start of the services is answered by itself": (
        "サービスの開始には、その完了または失敗の応答があります。"
    ),
    "the users are at home": "ユーザはホーム ノードに配置されています。",
    "the users are leaving already": "ユーザはすでに移動中です。",
    "Unknown has no timers": "「不明」の状態にはタイマーがありません。",
    "without high availability nothing is done about it": (
        "高可用性が無効の場合は、何も行いません。"
    ),
}
"""The sentences of the decisions (`Step.why`), as `core.transitions` says them in English."""
