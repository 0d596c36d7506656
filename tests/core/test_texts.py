"""The catalogue speaks both languages about everything, in Cisco's words where Cisco has them."""

from __future__ import annotations

import string

import pytest

from srmd.core.services import COMMANDED_OUT_OF_SERVICE, ServiceState
from srmd.core.states import Reason, State
from srmd.core.texts import (
    AUTO_RECOVER_REASONS,
    BACKUP_ACTIVATED,
    CERTIFICATE_OF,
    CORRECT_MISMATCH,
    DELAYS,
    FAILOVER_AFFECTED_SERVICES,
    FOLLOW_NOTICES,
    HINTS,
    MISMATCHES,
    NOT_ALL_WELL,
    NOTICES_FIRST,
    REASONS,
    REFUSALS,
    SERVICE_ENDS,
    SERVICE_NOTES,
    SERVICE_STATES,
    STATE_MEANINGS,
    STATES,
    UI,
    UNSERVED,
    Text,
    display,
    service_note,
    service_state,
)
from tests.core.wording import assert_speaks_both_languages, places

CATALOGUE: dict[str, Text] = {
    **{f"state {state.name}": text for state, text in STATES.items()},
    **{f"meaning of {state.name}": text for state, text in STATE_MEANINGS.items()},
    **{f"reason {reason.name}": text for reason, text in REASONS.items()},
    **{f"ui {key}": text for key, text in UI.items()},
    **{f"refusal {key}": text for key, text in REFUSALS.items()},
    **{f"mismatch {key}": text for key, text in MISMATCHES.items()},
    **{f"hint {key}": text for key, text in HINTS.items()},
    **{f"delay {key}": text for key, text in DELAYS.items()},
    **{f"certificate of {key}": text for key, text in CERTIFICATE_OF.items()},
    **{f"service state {key}": text for key, text in SERVICE_STATES.items()},
    **{f"service note {key}": text for key, text in SERVICE_NOTES.items()},
    **{f"service end {key}": text for key, text in SERVICE_ENDS.items()},
    "Not All Well": NOT_ALL_WELL,
    "Correct Mismatch": CORRECT_MISMATCH,
    "Notices First": NOTICES_FIRST,
    "Follow Notices": FOLLOW_NOTICES,
    "Unserved": UNSERVED,
    "Backup Activated": BACKUP_ACTIVATED,
    "Failover Affected Services": FAILOVER_AFFECTED_SERVICES,
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_text_is_there_in_english_and_japanese(name: str) -> None:
    assert_speaks_both_languages(CATALOGUE[name])


def test_every_state_has_a_name_and_a_meaning() -> None:
    assert list(STATES) == list(State)
    assert list(STATE_MEANINGS) == list(State)


def test_every_reason_has_a_name() -> None:
    assert list(REASONS) == list(Reason)


def test_states_are_called_as_cisco_calls_them() -> None:
    assert {int(state): text.en for state, text in STATES.items()} == {
        0: "Unknown",
        1: "Initializing",
        2: "Idle",
        3: "Normal",
        4: "Running in Backup Mode",
        5: "Taking Over",
        6: "Taking Back",
        7: "Failing Over",
        8: "Failed Over",
        9: "Failed Over with Critical Services Not Running",
        10: "Falling Back",
        11: "Running in Failed Mode",
        12: "Down State",
    }


def test_states_are_called_in_japanese_as_the_seed_calls_them() -> None:
    assert {int(state): text.ja for state, text in STATES.items() if state is not State.DOWN} == {
        0: "不明",
        1: "初期化中",
        2: "アイドル",
        3: "標準",
        4: "バックアップモードで実行中",
        5: "テイクオーバー中",
        6: "テイクバック中",
        7: "フェールオーバー中",
        8: "フェールオーバー済み",
        9: "フェールオーバー済み/重要なサービスが実行されていません",
        10: "フォールバック中",
        11: "障害モードで実行中",
    }


def test_reasons_are_called_as_cisco_calls_them() -> None:
    srm = "Cisco Server Recovery Manager"
    assert {reason.value: (text.en, text.ja) for reason, text in REASONS.items()} == {
        "normal": ("Normal", "標準"),
        "on_admin_request": ("On Admin Request", "管理者からの要求"),
        "initialization": ("Initialization", "初期化"),
        "automatic_fallback": ("Automatic Fallback", "自動フォールバック"),
        "critical_service_down": ("Critical Service Down", "重要なサービス停止"),
        "database_failure": ("Database Failure", "データベース障害"),
        "start_of_critical_services_failed": (
            "Start of Critical Services Failed",
            "重要なサービスの開始が失敗",
        ),
        "peer_down": ("Peer Down", "ピア ダウン"),
        "peer_reboot": ("Peer Reboot", "ピアリブート"),
        "peer_down_during_initialization": (
            "Peer Down During Initialization",
            "初期化中のピアダウン",
        ),
        "take_over_users_failed": (
            f"{srm} Take Over Users Failed",
            f"{srm} によるユーザのテイクオーバーが失敗",
        ),
        "take_back_users_failed": (
            f"{srm} Take Back Users Failed",
            f"{srm} によるユーザのテイクバックが失敗",
        ),
        "unknown": ("Unknown", "不明"),
        "auto_recover_database_failure": (
            "Auto Recover Database Failure",
            "データベース障害からの自動回復",
        ),
        "auto_recovery_database_failure": (
            "Auto Recovery Database Failure",
            "データベース障害からの自動回復",
        ),
        "auto_recover_critical_service_down": (
            "Auto Recover Critical Service Down",
            "重要なサービス停止からの自動回復",
        ),
        "high_availability_not_enabled": (
            "High Availability Not Enabled",
            "高可用性が有効になっていません",
        ),
    }


@pytest.mark.parametrize("reason", [r for r in Reason if r in AUTO_RECOVER_REASONS])
def test_an_auto_recovered_pair_prints_the_internal_names(reason: Reason) -> None:
    assert display(State.BACKUP, reason) == Text(
        "Backup Activated", "バックアップがアクティブ化済み"
    )
    assert display(State.FAILED_OVER_SERVICES_DOWN, reason) == Text(
        "Failover Affected Services", "フェールオーバーがサービスに影響"
    )


def test_every_other_pair_prints_the_ordinary_names() -> None:
    renamed = {State.BACKUP, State.FAILED_OVER_SERVICES_DOWN}
    for state in State:
        for reason in Reason:
            if state not in renamed or reason not in AUTO_RECOVER_REASONS:
                assert display(state, reason) is STATES[state]


def test_a_place_is_filled_in_both_languages_and_a_text_in_its_own() -> None:
    text = Text("{node} is in {state}.", "{node} は「{state}」です。")
    assert text.naming(node="a", state=STATES[State.IDLE], unused="x") == Text(
        "a is in Idle.", "a は「アイドル」です。"
    )


def test_a_node_name_with_braces_is_left_as_it_is() -> None:
    assert Text("{node}", "ノード {node}").naming(node="{x}").en == "{x}"


def test_a_place_without_a_name_is_a_mistake_that_shows() -> None:
    with pytest.raises(KeyError, match="peer"):
        REFUSALS["needs_heartbeat"].naming(node="a")


def test_a_text_says_itself_in_the_language_asked_for() -> None:
    assert UI["failover"].say("en") == "Failover"
    assert UI["failover"].say("ja") == "フェールオーバー"


@pytest.mark.parametrize("key", REFUSALS)
def test_a_refusal_has_places_for_names_only(key: str) -> None:
    known = {"node", "peer", "state", "peer_state", "service", "known", "mismatch"}
    assert places(REFUSALS[key]) <= known


def test_keys_are_identifiers() -> None:
    allowed = set(string.ascii_lowercase + "_")
    assert all(set(key) <= allowed for key in (*UI, *REFUSALS))


def test_every_state_of_a_service_has_its_japanese_beside_the_word_that_cisco_prints() -> None:
    """The table of services and the time line were English in Japanese pages."""
    assert list(SERVICE_STATES) == [state.value for state in ServiceState]
    for state in ServiceState:
        text = service_state(state.value)
        assert text.en == state.value
        assert text.ja.startswith(f"{state.value} (")


@pytest.mark.parametrize(
    "note, ja",
    [
        (COMMANDED_OUT_OF_SERVICE, "Commanded out of service (管理者または SRM が停止)"),
        ("not activated", "not activated (アクティブ化されていません)"),
        ("killed by SIGKILL", "killed by SIGKILL (シグナルにより強制終了)"),
        ("exited with code 3: it is blocked", "exited with code 3: it is blocked (プロセスが終了)"),
        ("no such program: x", "no such program: x"),
        ("", ""),
    ],
)
def test_a_note_of_a_service_has_its_japanese(note: str, ja: str) -> None:
    assert service_note(note) == Text(note, ja)
