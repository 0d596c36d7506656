"""The handbook is complete, speaks of one thing at a time, and knows Cisco's table by heart."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srmd.core import handbook
from srmd.core.handbook import (
    ANY,
    COMMANDS,
    DOCUMENTED,
    IN_TRANSITION,
    OURS,
    ROWS,
    SILENT,
    SRM_STOPPED,
    UNDOCUMENTED,
    Half,
    Row,
    Side,
    find,
)
from srmd.core.handbook.row import fits
from srmd.core.states import OWN_STATES, PASSING, Reason, State
from srmd.core.texts import REASONS, display
from tests.core.wording import assert_speaks_both_languages, places

S, R = State, Reason

HALVES: tuple[Half, ...] = (
    *((state, reason) for state in OWN_STATES for reason in Reason),
    SILENT,
)
"""Everything a node can show, or not show."""

PAIRS = [
    (mine, peer) for index, mine in enumerate(HALVES) for peer in HALVES[index:]
]  # either way round is one pair

BY_KEY = {row.key: row for row in ROWS}


def examples(side: Side) -> list[Half]:
    return [half for half in HALVES if fits(side, half)]


def printed(side: Side) -> list[list[str]]:
    """The side as the document prints it: [state, reason]."""
    return [
        [display(state, reason or R.UNKNOWN).en, REASONS[reason].en if reason else ""]
        for state, reason in side
    ]


def or_silent(half: Half) -> Half | None:
    return None if half == SILENT else half


# ------------------------------------------------------------------ Cisco's table


def documented_pairs() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads(
        Path(__file__).with_name("handbook_rows.toml").read_text(encoding="utf-8")
    )["row"]
    return rows


def test_the_documented_rows_are_those_of_the_document() -> None:
    assert [
        {
            "n": row.n,
            "home": printed(row.home),
            "backup": printed(row.backup),
            "stable": row.stable,
        }
        for row in DOCUMENTED
    ] == documented_pairs()


def test_there_are_24_documented_rows() -> None:
    assert [row.n for row in DOCUMENTED] == list(range(1, 25))


@pytest.mark.parametrize("row", DOCUMENTED, ids=lambda row: f"row {row.n}")
def test_a_documented_row_is_found_from_both_nodes(row: Row) -> None:
    symmetric = row.home == row.backup
    found = 0
    for home in examples(row.home):
        for backup in examples(row.backup):
            seen_by_home = find(home, or_silent(backup))
            seen_by_backup = find(backup, or_silent(home))
            assert seen_by_home.row is seen_by_backup.row is row
            assert seen_by_home.i_am == ("both" if symmetric else "home")
            assert seen_by_backup.i_am == ("both" if symmetric else "backup")
            found += 1
    assert found > 0


def test_no_pair_fits_two_documented_rows() -> None:
    for mine, peer in PAIRS:
        numbers = [
            row.n
            for row in DOCUMENTED
            if (fits(row.home, mine) and fits(row.backup, peer))
            or (fits(row.backup, mine) and fits(row.home, peer))
        ]
        assert len(numbers) <= 1, f"{mine} and {peer} fit the rows {numbers}"


def test_only_rows_1_14_15_19_20_21_and_24_look_alike_from_both_sides() -> None:
    assert [row.n for row in DOCUMENTED if row.home == row.backup] == [1, 14, 15, 19, 20, 21, 24]


@pytest.mark.parametrize("reason", Reason)
def test_row_24_gives_no_reasons_and_fits_every_reason(reason: Reason) -> None:
    assert find((S.UNKNOWN, reason), (S.UNKNOWN, R.UNKNOWN)).row.n == 24


def test_in_rows_22_and_23_the_documents_node_1_serves_everybody() -> None:
    for row in DOCUMENTED[21:23]:
        assert [state for state, _ in row.home] == [S.BACKUP]
        match = find(row.home[0], row.backup[0])  # type: ignore[arg-type]
        assert match.i_am == "home"
        assert "`srmd fallback b`" in match.action("a", "b").en


# ------------------------------------------------------------------ the rules' examples

STORY: list[tuple[str, Half, Half | None, int | str]] = [
    ("R1: all is well", (S.NORMAL, R.NORMAL), (S.NORMAL, R.NORMAL), 1),
    ("R1: just started", (S.INITIALIZING, R.INITIALIZATION), (S.NORMAL, R.NORMAL), "starting"),
    (
        "R1: both just started",
        (S.INITIALIZING, R.INITIALIZATION),
        (S.INITIALIZING, R.INITIALIZATION),
        "starting",
    ),
    ("R1: alone so far", (S.INITIALIZING, R.INITIALIZATION), None, "starting_peer_silent"),
    (
        "R1: the peer never came",
        (S.TAKING_OVER, R.PEER_DOWN_DURING_INITIALIZATION),
        None,
        "taking_over_peer_silent",
    ),
    (
        "R1: nor did it later",
        (S.BACKUP, R.PEER_DOWN_DURING_INITIALIZATION),
        None,
        "never_heard",
    ),
    (
        "R1: it came",
        (S.FAILED_OVER_SERVICES_DOWN, R.INITIALIZATION),
        (S.BACKUP, R.PEER_DOWN_DURING_INITIALIZATION),
        18,
    ),
    ("R1: stored Idle", (S.IDLE, R.INITIALIZATION), (S.BACKUP, R.ON_ADMIN_REQUEST), 5),
    (
        "R1: stored Idle, both restarted",
        (S.IDLE, R.INITIALIZATION),
        (S.BACKUP, R.INITIALIZATION),
        6,
    ),
    ("R1: stored backup", (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.INITIALIZATION), 7),
    (
        "R1: stored backup after an automatic failover",
        (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN),
        (S.BACKUP, R.INITIALIZATION),
        "failed_over",
    ),
    (
        "R1: the same, services still down",
        (S.FAILED_OVER_SERVICES_DOWN, R.DATABASE_FAILURE),
        (S.BACKUP, R.INITIALIZATION),
        "failed_over_services_down",
    ),
    ("R1: resumes", (S.FAILING_OVER, R.ON_ADMIN_REQUEST), (S.TAKING_OVER, R.INITIALIZATION), 8),
    (
        "R1: the failing side resumes",
        (S.FAILING_OVER, R.INITIALIZATION),
        (S.TAKING_OVER, R.ON_ADMIN_REQUEST),
        "failing_over",
    ),
    (
        "R1: SRM restarted beside a failed peer",
        (S.INITIALIZING, R.INITIALIZATION),
        (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED),
        "starting_beside_failed_mode",
    ),
    ("R1: and failed", (S.FAILED_MODE, R.UNKNOWN), (S.FAILED_MODE, R.UNKNOWN), 21),
    ("R2: ordered", (S.FAILING_OVER, R.ON_ADMIN_REQUEST), (S.NORMAL, R.NORMAL), "failover_begins"),
    ("R2: under way", (S.FAILING_OVER, R.ON_ADMIN_REQUEST), (S.TAKING_OVER, R.ON_ADMIN_REQUEST), 2),
    (
        "R2: the backup is done",
        (S.FAILING_OVER, R.ON_ADMIN_REQUEST),
        (S.BACKUP, R.ON_ADMIN_REQUEST),
        "failover_ends_at_backup",
    ),
    (
        "R2: the home node is done",
        (S.IDLE, R.ON_ADMIN_REQUEST),
        (S.TAKING_OVER, R.ON_ADMIN_REQUEST),
        "failover_ends_at_home",
    ),
    ("R2: done", (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.ON_ADMIN_REQUEST), 3),
    (
        "R3: under way",
        (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN),
        (S.TAKING_OVER, R.CRITICAL_SERVICE_DOWN),
        "failing_over_critical_service_down",
    ),
    (
        "R3: done",
        (S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
        12,
    ),
    (
        "R3: repaired",
        (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
        11,
    ),
    ("R3: rebooted", (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.CRITICAL_SERVICE_DOWN), 11),
    (
        "R3: rebooted, services coming up",
        (S.FAILED_OVER_SERVICES_DOWN, R.INITIALIZATION),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
        "home_came_back_services_down",
    ),
    (
        "R3: nobody can serve",
        (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN),
        (S.FAILED_MODE, R.CRITICAL_SERVICE_DOWN),
        15,
    ),
    (
        "R4: under way",
        (S.FAILING_OVER, R.DATABASE_FAILURE),
        (S.TAKING_OVER, R.DATABASE_FAILURE),
        "failing_over_database_failure",
    ),
    (
        "R4: done",
        (S.FAILED_OVER_SERVICES_DOWN, R.DATABASE_FAILURE),
        (S.BACKUP, R.DATABASE_FAILURE),
        13,
    ),
    (
        "R4: back without a reboot",
        (S.FAILED_OVER, R.DATABASE_FAILURE),
        (S.BACKUP, R.DATABASE_FAILURE),
        "database_restored",
    ),
    (
        "R4: nobody can serve",
        (S.FAILED_MODE, R.DATABASE_FAILURE),
        (S.FAILED_MODE, R.DATABASE_FAILURE),
        "failed_mode_database_failure",
    ),
    ("R5: silence", (S.NORMAL, R.NORMAL), None, "normal_peer_silent"),
    ("R5: taking over", (S.TAKING_OVER, R.PEER_DOWN), None, "taking_over_peer_silent"),
    ("R5: silent", (S.BACKUP, R.PEER_DOWN), None, 16),
    ("R5: announced", (S.BACKUP, R.PEER_REBOOT), None, 17),
    ("R5: back", (S.FAILED_OVER, R.INITIALIZATION), (S.BACKUP, R.PEER_DOWN), "home_came_back"),
    (
        "R5: back after a reboot",
        (S.FAILED_OVER, R.INITIALIZATION),
        (S.BACKUP, R.PEER_REBOOT),
        "home_came_back",
    ),
    (
        "R6: begins",
        (S.TAKING_BACK, R.ON_ADMIN_REQUEST),
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
        "fallback_begins",
    ),
    ("R6: manual", (S.TAKING_BACK, R.ON_ADMIN_REQUEST), (S.FALLING_BACK, R.ON_ADMIN_REQUEST), 4),
    (
        "R6: automatic",
        (S.TAKING_BACK, R.AUTOMATIC_FALLBACK),
        (S.FALLING_BACK, R.AUTOMATIC_FALLBACK),
        10,
    ),
    ("R6: restart", (S.TAKING_BACK, R.INITIALIZATION), (S.FALLING_BACK, R.ON_ADMIN_REQUEST), 9),
    (
        "R6: restart in an automatic fallback",
        (S.TAKING_BACK, R.INITIALIZATION),
        (S.FALLING_BACK, R.AUTOMATIC_FALLBACK),
        "fallback_home_restarted",
    ),
    (
        "R6: the backup restarted",
        (S.TAKING_BACK, R.ON_ADMIN_REQUEST),
        (S.FALLING_BACK, R.INITIALIZATION),
        "fallback_backup_restarted",
    ),
    (
        "R6: manual meets automatic",
        (S.TAKING_BACK, R.ON_ADMIN_REQUEST),
        (S.FALLING_BACK, R.AUTOMATIC_FALLBACK),
        "falling_back",
    ),
    (
        "R6: the home node is done",
        (S.NORMAL, R.NORMAL),
        (S.FALLING_BACK, R.ON_ADMIN_REQUEST),
        "fallback_ends_at_home",
    ),
    (
        "R6: the backup is done",
        (S.TAKING_BACK, R.ON_ADMIN_REQUEST),
        (S.NORMAL, R.NORMAL),
        "fallback_ends_at_backup",
    ),
    (
        "R6: services will not start",
        (S.FAILED_MODE, R.START_OF_CRITICAL_SERVICES_FAILED),
        (S.FAILED_MODE, R.START_OF_CRITICAL_SERVICES_FAILED),
        14,
    ),
    (
        "R6: users cannot be moved",
        (S.FAILED_MODE, R.TAKE_BACK_USERS_FAILED),
        (S.FAILED_MODE, R.TAKE_BACK_USERS_FAILED),
        20,
    ),
    (
        "R7: users cannot be moved",
        (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED),
        (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED),
        19,
    ),
    (
        "R7: the news travels",
        (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED),
        (S.FAILING_OVER, R.ON_ADMIN_REQUEST),
        "failed_mode_spreads",
    ),
    (
        "R7: reasons differ",
        (S.FAILED_MODE, R.TAKE_OVER_USERS_FAILED),
        (S.FAILED_MODE, R.UNKNOWN),
        "failed_mode_mixed",
    ),
    (
        "R8: the backup gives up",
        (S.FAILING_OVER, R.AUTO_RECOVERY_DATABASE_FAILURE),
        (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN),
        "auto_recovering",
    ),
    (
        "R8: its peer takes over",
        (S.FAILING_OVER, R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN),
        (S.TAKING_OVER, R.AUTO_RECOVER_DATABASE_FAILURE),
        "auto_recovering",
    ),
    (
        "R8: database",
        (S.BACKUP, R.AUTO_RECOVER_DATABASE_FAILURE),
        (S.FAILED_OVER_SERVICES_DOWN, R.AUTO_RECOVERY_DATABASE_FAILURE),
        22,
    ),
    (
        "R8: service",
        (S.BACKUP, R.AUTO_RECOVER_DATABASE_FAILURE),
        (S.FAILED_OVER_SERVICES_DOWN, R.AUTO_RECOVER_CRITICAL_SERVICE_DOWN),
        23,
    ),
    (
        "R8: repaired",
        (S.FAILED_OVER, R.AUTO_RECOVERY_DATABASE_FAILURE),
        (S.BACKUP, R.AUTO_RECOVER_DATABASE_FAILURE),
        "auto_recovered_node_repaired",
    ),
    ("R9: partition healed", (S.BACKUP, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN), "both_serve"),
    (
        "R9: one-way loss is noticed",
        (S.NORMAL, R.NORMAL),
        (S.BACKUP, R.PEER_DOWN),
        "taken_over_while_normal",
    ),
    ("R9: yields", (S.FAILING_OVER, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN), "yielding"),
    ("R9: yielded", (S.FAILED_OVER, R.PEER_DOWN), (S.BACKUP, R.PEER_DOWN), "yielded"),
    (
        "R9: yielded, then a service died",
        (S.FAILED_OVER_SERVICES_DOWN, R.PEER_DOWN),
        (S.BACKUP, R.PEER_DOWN),
        "failed_over_services_down",
    ),
    ("R11: off", (S.UNKNOWN, R.HA_NOT_ENABLED), (S.UNKNOWN, R.HA_NOT_ENABLED), 24),
    ("R11: mismatch", (S.UNKNOWN, R.UNKNOWN), (S.UNKNOWN, R.UNKNOWN), 24),
    (
        "R11: the news travels",
        (S.UNKNOWN, R.HA_NOT_ENABLED),
        (S.NORMAL, R.NORMAL),
        "ha_news_travels",
    ),
    ("R11: off, peer silent", (S.UNKNOWN, R.HA_NOT_ENABLED), None, "ha_off_peer_silent"),
    ("R12: failing over", (S.FAILING_OVER, R.ON_ADMIN_REQUEST), None, "failing_over_peer_silent"),
    ("R12: taking back", (S.TAKING_BACK, R.ON_ADMIN_REQUEST), None, "taking_back_peer_silent"),
    ("R12: falling back", (S.FALLING_BACK, R.ON_ADMIN_REQUEST), None, "falling_back_peer_silent"),
    ("R12: failed over", (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN), None, "failed_over_peer_silent"),
    (
        "R12: the home node is lost later",
        (S.BACKUP, R.CRITICAL_SERVICE_DOWN),
        None,
        "backup_peer_silent",
    ),
    ("R12: idle", (S.IDLE, R.ON_ADMIN_REQUEST), None, "idle_peer_silent"),
    (
        "R12: services down",
        (S.FAILED_OVER_SERVICES_DOWN, R.CRITICAL_SERVICE_DOWN),
        None,
        "services_down_peer_silent",
    ),
    ("R12: failed", (S.FAILED_MODE, R.UNKNOWN), None, "failed_mode_peer_silent"),
    ("R12: idle, then a fault", (S.IDLE, R.ON_ADMIN_REQUEST), (S.BACKUP, R.PEER_DOWN), "idle"),
    (
        "ours: the role was forgotten",
        (S.FAILED_OVER, R.PEER_DOWN),
        (S.NORMAL, R.NORMAL),
        "unserved_users_found",
    ),
    (
        "ours: nobody serves",
        (S.IDLE, R.ON_ADMIN_REQUEST),
        (S.FAILED_OVER, R.PEER_DOWN),
        "nobody_serves",
    ),
    (
        "ours: the fallback breaks off",
        (S.FAILED_OVER, R.PEER_DOWN),
        (S.FALLING_BACK, R.ON_ADMIN_REQUEST),
        "fallback_breaks_off",
    ),
    ("an observer hears nobody", SILENT, None, "both_silent"),
    (
        "both at the same",
        (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN),
        (S.FAILING_OVER, R.CRITICAL_SERVICE_DOWN),
        IN_TRANSITION,
    ),
    ("never seen", (S.NORMAL, R.NORMAL), (S.NORMAL, R.UNKNOWN), UNDOCUMENTED),
]


@pytest.mark.parametrize(
    "mine, peer, expected", [line[1:] for line in STORY], ids=[line[0] for line in STORY]
)
def test_the_rules_examples_are_found(mine: Half, peer: Half | None, expected: int | str) -> None:
    row = find(mine, peer).row
    assert (row.key if row.ours else row.n) == expected


def test_every_row_of_the_handbook_has_an_example() -> None:
    met = {find(mine, peer).row.key for _, mine, peer, _ in STORY}
    assert met == set(BY_KEY)


# ------------------------------------------------------------------ every pair


def test_every_pair_has_one_row_and_both_nodes_find_it() -> None:
    mirrored = {"home": "backup", "backup": "home", "both": "both"}
    for mine, peer in PAIRS:
        seen, seen_by_peer = find(mine, or_silent(peer)), find(peer, or_silent(mine))
        assert seen.row is seen_by_peer.row
        if mine != peer and seen.i_am != seen_by_peer.i_am:
            assert seen_by_peer.i_am == mirrored[seen.i_am]


def test_only_reasons_that_normal_never_has_are_left_undocumented() -> None:
    states = {
        (mine[0], peer[0])
        for mine, peer in PAIRS
        if find(mine, or_silent(peer)).row.key == UNDOCUMENTED
    }
    assert states == {(S.NORMAL, S.NORMAL)}


def test_a_pair_in_transition_has_a_passing_state() -> None:
    for mine, peer in PAIRS:
        if find(mine, or_silent(peer)).row.key == IN_TRANSITION:
            assert {mine[0], peer[0]} & PASSING


def test_a_stable_row_is_never_found_for_a_passing_state() -> None:
    for mine, peer in PAIRS:
        if find(mine, or_silent(peer)).row.stable:
            assert not {mine[0], peer[0]} & PASSING


def test_a_down_state_with_any_reason_is_a_silent_peer() -> None:
    mine = (S.BACKUP, R.PEER_DOWN)
    assert all(find(mine, (S.DOWN, reason)).row.n == 16 for reason in Reason)


# ------------------------------------------------------------------ the texts


@pytest.mark.parametrize("row", [*ROWS, SRM_STOPPED], ids=lambda row: row.key)
def test_a_row_speaks_both_languages(row: Row) -> None:
    for text in (row.cause, row.action, *([row.note] if row.note else [])):
        assert_speaks_both_languages(text)
        assert places(text) <= {"home", "backup"}


@pytest.mark.parametrize("row", [*ROWS, SRM_STOPPED], ids=lambda row: row.key)
def test_a_row_that_fits_either_way_round_names_no_node(row: Row) -> None:
    if set(examples(row.home)) & set(examples(row.backup)) and row.home:
        assert not places(row.cause) | places(row.action)


@pytest.mark.parametrize("row", [*OURS, SRM_STOPPED], ids=lambda row: row.key)
def test_a_row_of_ours_says_why_it_exists(row: Row) -> None:
    assert row.n is None
    assert row.ours
    assert row.note is not None


@pytest.mark.parametrize("row", [*ROWS, SRM_STOPPED], ids=lambda row: row.key)
def test_a_row_advises_only_commands_that_exist(row: Row) -> None:
    for command in re.findall(r"`(srmd [^`]*)`", row.action.en):
        assert any(f"{command} ".startswith(f"{known} ") for known in COMMANDS), command


def test_every_command_is_advised_somewhere() -> None:
    advice = "\n".join(row.action.en for row in ROWS)
    assert [command for command in sorted(COMMANDS) if f"`{command}" not in advice] == []


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.stable and row.n != 1], ids=lambda row: row.key
)
def test_a_pair_at_rest_away_from_normal_names_the_command_that_leads_on(row: Row) -> None:
    onward = ("`srmd fallback", "`srmd recover", "`srmd ha enable", "Start both nodes")
    assert any(way in row.action.en for way in onward)


def test_advice_names_the_nodes_from_either_side() -> None:
    home, backup = (S.FAILED_OVER, R.CRITICAL_SERVICE_DOWN), (S.BACKUP, R.CRITICAL_SERVICE_DOWN)
    on_a, on_b = find(home, backup), find(backup, home)
    assert (on_a.i_am, on_b.i_am) == ("home", "backup")
    assert on_a.action("a", "b") == on_b.action("b", "a")
    assert "`srmd fallback a`" in on_a.action("a", "b").en
    assert "`srmd fallback a`" in on_a.action("a", "b").ja
    assert "Node b still serves everybody." in on_b.cause("b", "a").en


def test_a_row_without_a_note_has_none_to_show() -> None:
    assert find((S.NORMAL, R.NORMAL), (S.NORMAL, R.NORMAL)).note("a", "b") is None
    note = find((S.BACKUP, R.PEER_REBOOT), None).note("a", "b")
    assert note is not None
    assert "one column" in note.en


# ------------------------------------------------------------------ the handbook guards itself


def test_a_handbook_that_contradicts_itself_refuses_to_exist() -> None:
    first, second, *rest = ROWS
    broken = {
        "two rows of one key": (replace(first, key=second.key), second, *rest),
        "documented rows": (second, first, *rest),
        "last resorts come last": (*ROWS[:-2], ROWS[-1], ROWS[-2]),
        "no pair rests in a passing state": (first, replace(second, stable=True), *rest),
        "says why it exists": (*ROWS[:30], replace(ROWS[30], note=None), *ROWS[31:]),
    }
    for complaint, rows in broken.items():
        with pytest.raises(AssertionError, match=complaint):
            handbook._check(rows)


def test_any_fits_every_reason() -> None:
    assert all(fits(((S.IDLE, ANY),), (S.IDLE, reason)) for reason in Reason)
    assert not fits(((S.IDLE, ANY),), (S.NORMAL, R.NORMAL))
