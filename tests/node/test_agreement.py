"""Both databases are compared when neither changes; what differs is read again, and seen."""

from __future__ import annotations

from srmd.node.agreement import COMPARED_EVERY_BEATS, REST_BEATS, Agreement
from srmd.node.users import Picture
from srmd.store.database import Content
from srmd.wire.heartbeat import Summary

OURS = Picture(db_id="ours", revision=5, content=Content(3, 77))


def summary(revision: int = 9, *, db_id: str = "theirs") -> Summary:
    return Summary(
        assigned=0,
        served=0,
        services_down=(),
        database=True,
        db_id=db_id,
        users_revision=revision,
        placement_op=0,
        relogin=(1, 2),
    )


def rested(agreement: Agreement, ours: Picture = OURS) -> None:
    """Heartbeats come until the peer is to be asked."""
    for _ in range(REST_BEATS):
        assert not agreement.due
        agreement.beat(summary(), ours)
    assert agreement.due


def test_databases_that_rest_are_compared_and_agree() -> None:
    agreement = Agreement()
    rested(agreement)
    agreement.compared(OURS.content, OURS)
    assert agreement.agrees is True
    assert not agreement.due
    assert not agreement.whole_due


def test_what_differs_at_rest_is_seen_and_all_is_read_again() -> None:
    agreement = Agreement()
    rested(agreement)
    agreement.compared(Content(3, 78), OURS)
    assert agreement.agrees is False
    assert agreement.whole_due


def test_while_something_changes_a_difference_means_nothing() -> None:
    agreement = Agreement()
    for revision in range(2 * REST_BEATS):
        agreement.beat(summary(revision), OURS)
        agreement.compared(Content(2, 78), OURS)
    assert agreement.agrees is None
    assert not agreement.whole_due


def test_a_difference_stays_seen_until_both_are_found_equal() -> None:
    agreement = Agreement()
    rested(agreement)
    agreement.compared(Content(3, 78), OURS)
    agreement.beat(summary(10), OURS)
    agreement.compared(Content(4, 79), OURS)
    assert agreement.agrees is False
    agreement.compared(OURS.content, OURS)
    assert agreement.agrees is True


def test_a_difference_that_stays_is_read_again_once_in_a_while() -> None:
    agreement = Agreement()
    read_count = 0
    for _ in range(3 * COMPARED_EVERY_BEATS):
        agreement.beat(summary(), OURS)
        if agreement.due:
            agreement.compared(Content(3, 78), OURS)
            read_count += agreement.whole_due
    assert read_count == 3


def test_a_database_that_is_not_open_is_not_compared() -> None:
    agreement = Agreement()
    for _ in range(2 * REST_BEATS):
        agreement.beat(summary(db_id=""), OURS)
        agreement.beat(summary(), Picture())
    assert not agreement.due
