"""The rules in words: the case that applied, not all that its decision answers; both languages."""

from __future__ import annotations

import re

import pytest

from srmd.core.events import (
    FailoverRequested,
    HealthChanged,
    PeerHeard,
    StayExpired,
    UsersMoved,
)
from srmd.core.rule_texts import CASES, JAPANESE, told
from srmd.core.states import Health, Reason, Stage, State
from srmd.core.texts import Text
from srmd.core.transitions import TABLE, step
from tests.core.wording import assert_speaks_both_languages
from tests.play import a_node, a_report

S = State
SENTENCES = sorted(
    {row.why for row in TABLE.cells.values()}
    | {"an answer to a withdrawn order changes nothing", "only heartbeats prove life"}
)


def test_every_sentence_of_a_rule_is_there_in_japanese_and_no_other() -> None:
    assert sorted(JAPANESE) == SENTENCES


@pytest.mark.parametrize("english", SENTENCES)
def test_a_sentence_says_the_same_twice(english: str) -> None:
    text = Text(english, JAPANESE[english])
    assert_speaks_both_languages(text)
    assert numbers(text.en) == numbers(text.ja)


def numbers(words: str) -> list[str]:
    """The numbers of rules (R6) and rows that a text names."""
    return sorted(re.findall(r"R?\d+", words))


ALL_CASES = [(name, one) for name, cases in CASES.items() for one in cases]


@pytest.mark.parametrize("name, one", ALL_CASES)
def test_a_case_is_one_sentence_in_both_languages(name: str, one: object) -> None:
    text = getattr(one, "text")  # noqa: B009
    assert_speaks_both_languages(text)
    assert ";" not in text.en
    assert numbers(text.en) == numbers(text.ja)


def test_every_way_out_of_a_decision_with_several_has_its_case() -> None:
    """A decision that has cases has one for each state to which the table lets it lead."""
    missing = [
        (row.name, to.name)
        for row in TABLE.cells.values()
        for to in row.may_lead_to
        if row.name in CASES
        and not any(to in one.to for one in CASES[row.name])
        # An unknown or restarted node: there the sentence of the decision is the one case left.
        and (row.name, to)
        not in {("start_afresh", S.INITIALIZING), ("switch_ha_on", S.INITIALIZING)}
    ]
    assert missing == []
    several = {row.name for row in TABLE.cells.values() if ";" in row.why and row.may_lead_to}
    assert several - CASES.keys() - {"recover"} == set()


def test_no_case_is_left_of_a_decision_that_has_gone() -> None:
    names = {row.name for row in TABLE.cells.values()}
    assert CASES.keys() - names == set()


def test_the_case_that_applied_is_told() -> None:
    """`srmd why` said "watches its health, steps in for a failing peer, yields to a new backup"."""
    normal = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))
    sick = step(normal, HealthChanged(Health.SERVICE_DOWN, lasting=True))
    assert told(normal, sick).en == (
        "A failure on this node lasts longer than the critical service delay: the peer takes the"
        " users (R3, R4)."
    )
    beside = step(normal, PeerHeard(a_report(State.BACKUP, op=5)))
    assert "gives way" in told(normal, beside).en
    failing = a_report(State.FAILING_OVER, Reason.CRITICAL_SERVICE_DOWN, stage=Stage.READY, op=5)
    assert told(normal, step(normal, PeerHeard(failing))).ja == (
        "ピアがユーザにサービスを提供しなくなったため、引き継ぎます (R2、R3、R8)。"
    )
    failed = step(normal, PeerHeard(a_report(State.FAILED_MODE, Reason.UNKNOWN, op=5)))
    assert "Running in Failed Mode" in told(normal, failed).en


def test_a_step_that_changes_nothing_is_told_by_its_decision() -> None:
    normal = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))
    for event in (UsersMoved(normal.op), StayExpired(99), HealthChanged(Health.OK, lasting=False)):
        taken = step(normal, event)
        assert told(normal, taken).en == taken.why
    silent = a_node(State.IDLE, Reason.ON_ADMIN_REQUEST, peer=a_report(State.BACKUP))
    refused = told(silent, step(silent, FailoverRequested()))
    assert refused.ja.endswith("が必要です。")
