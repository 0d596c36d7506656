"""A node that cannot serve: from when, for how long, and for which reason."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from srmd.core.services import (
    CRITICAL_SERVICES,
    DATABASE_SERVICE,
    OPTIONAL_SERVICES,
    HealthWatch,
)
from srmd.core.states import Health

DELAY_S = 90.0


def watched(*facts: tuple[float, bool, bool]) -> HealthWatch:
    """The watch after facts of the form (now_s, database_ok, services_ok)."""
    watch = HealthWatch(DELAY_S)
    for now_s, database_ok, services_ok in facts:
        watch = watch.feed(database_ok=database_ok, services_ok=services_ok, now_s=now_s)
    return watch


def test_a_healthy_node_waits_for_nothing() -> None:
    watch = watched((5, True, True))
    assert (watch.health, watch.lasting, watch.due_at_s()) == (Health.OK, False, None)


def test_a_service_that_goes_down_is_bad_health_at_once_and_lasting_after_the_delay() -> None:
    watch = watched((5, True, False))
    assert (watch.health, watch.lasting) == (Health.SERVICE_DOWN, False)
    assert watch.due_at_s() == 95.0
    watch = watch.feed(database_ok=True, services_ok=False, now_s=95.0)
    assert (watch.lasting, watch.due_at_s()) == (True, None)


def test_an_outage_shorter_than_the_delay_changes_nothing_lasting() -> None:
    watch = watched((5, True, False), (94.9, True, False), (94.95, True, True))
    assert watch == HealthWatch(DELAY_S)


def test_the_delay_begins_anew_after_a_break_however_short() -> None:
    watch = watched((5, True, False), (94, True, True), (94.1, True, False))
    assert watch.due_at_s() == 184.1


def test_the_database_outranks_a_service() -> None:
    assert watched((5, False, False)).health is Health.DATABASE_DOWN


def test_the_database_has_the_same_delay() -> None:
    assert watched((5, False, True), (95, False, True)).lasting


def test_the_delay_counts_from_when_the_node_became_unhealthy_whatever_fails_next() -> None:
    watch = watched((5, True, False), (50, False, False), (94, False, True))
    assert (watch.health, watch.lasting, watch.due_at_s()) == (Health.DATABASE_DOWN, False, 95.0)


def test_a_recovered_node_is_not_lasting_any_more() -> None:
    assert not watched((5, True, False), (95, True, False), (96, True, True)).lasting


def test_without_a_delay_bad_health_is_lasting_at_once() -> None:
    watch = HealthWatch(0.0).feed(database_ok=True, services_ok=False, now_s=7.0)
    assert (watch.lasting, watch.due_at_s()) == (True, None)


@given(
    start_s=st.floats(0, 1e7),
    steps=st.lists(st.tuples(st.floats(0, 200), st.booleans(), st.booleans()), max_size=30),
)
def test_lasting_means_unhealthy_without_a_break_for_the_delay(
    start_s: float, steps: list[tuple[float, bool, bool]]
) -> None:
    watch, now_s, unhealthy_since_s = HealthWatch(DELAY_S), start_s, None
    for step_s, database_ok, services_ok in steps:
        now_s += step_s
        watch = watch.feed(database_ok=database_ok, services_ok=services_ok, now_s=now_s)
        if database_ok and services_ok:
            unhealthy_since_s = None
        elif unhealthy_since_s is None:
            unhealthy_since_s = now_s
        expected = unhealthy_since_s is not None and now_s >= unhealthy_since_s + DELAY_S
        assert watch.lasting == expected
        due_at_s = watch.due_at_s()
        if due_at_s is not None:  # a timer set to that very moment finds it lasting
            assert watch.feed(
                database_ok=database_ok, services_ok=services_ok, now_s=due_at_s
            ).lasting


def test_the_database_is_no_process_among_the_default_services() -> None:
    assert DATABASE_SERVICE == "A Cisco DB"
    assert CRITICAL_SERVICES == ("Cisco XCP Router", "Cisco Presence Engine", "Cisco SIP Proxy")
    assert len(OPTIONAL_SERVICES) == 4
