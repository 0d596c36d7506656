"""A node that cannot serve: from when, for how long, and for which reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.core.services import (
    CRITICAL_SERVICES,
    DATABASE_SERVICE,
    OPTIONAL_SERVICES,
    SRM_SERVICE,
    HealthWatch,
    UnknownService,
    as_cisco_writes,
    service_meant,
)
from srmd.core.states import Health

DELAY_S = 90.0


def watched(*facts: tuple[float, bool, bool] | tuple[float, bool, bool, bool]) -> HealthWatch:
    """The watch after facts of the form (now_s, database_ok, services_ok, starting)."""
    watch = HealthWatch(DELAY_S)
    for now_s, database_ok, services_ok, *rest in facts:
        watch = watch.feed(
            database_ok=database_ok, services_ok=services_ok, starting=any(rest), now_s=now_s
        )
    return watch


def test_a_healthy_node_waits_for_nothing() -> None:
    watch = watched((5, True, True))
    assert (watch.health, watch.lasting, watch.due_at_s()) == (Health.OK, False, None)


def test_a_service_that_goes_down_is_bad_health_at_once_and_lasting_after_the_delay() -> None:
    watch = watched((5, True, False))
    assert (watch.health, watch.lasting) == (Health.SERVICE_DOWN, False)
    assert watch.due_at_s() == 95.0
    watch = watch.feed(database_ok=True, services_ok=False, starting=False, now_s=95.0)
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
    watch = HealthWatch(0.0).feed(database_ok=True, services_ok=False, starting=False, now_s=7.0)
    assert (watch.lasting, watch.due_at_s()) == (True, None)


def test_a_start_under_way_when_the_delay_is_over_is_waited_for() -> None:
    """With a delay shorter than a start may take, services that start slowly made a node fail over
    at its very first start."""
    watch = watched((5, True, False), (80, True, False, True), (95, True, False, True))
    assert (watch.health, watch.lasting, watch.due_at_s()) == (Health.SERVICE_DOWN, False, None)
    ended = watched(
        (5, True, False), (80, True, False, True), (95, True, False, True), (99, True, True)
    )
    assert (ended.health, ended.lasting) == (Health.OK, False)


def test_a_start_that_fails_after_the_delay_is_lasting_at_once() -> None:
    watch = watched((5, True, False, True), (95, True, False, True), (105, True, False, False))
    assert watch.lasting


def test_a_start_that_begins_after_the_delay_changes_nothing_until_it_has_succeeded() -> None:
    begun = (5, True, False), (95, True, False), (96, True, False, True)
    assert watched(*begun).lasting
    assert not watched(*begun, (97, True, True)).lasting


def test_no_start_of_a_service_is_waited_for_while_the_database_is_down() -> None:
    assert watched((5, False, False, True), (95, False, False, True)).lasting


@given(
    start_s=st.floats(0, 1e7),
    steps=st.lists(
        st.tuples(st.floats(0, 200), st.booleans(), st.booleans(), st.booleans()), max_size=30
    ),
)
def test_lasting_means_unhealthy_without_a_break_for_the_delay(
    start_s: float, steps: list[tuple[float, bool, bool, bool]]
) -> None:
    watch, now_s, unhealthy_since_s, lasting = HealthWatch(DELAY_S), start_s, None, False
    for step_s, database_ok, services_ok, starting in steps:
        now_s += step_s
        watch = watch.feed(
            database_ok=database_ok, services_ok=services_ok, starting=starting, now_s=now_s
        )
        if database_ok and services_ok:
            unhealthy_since_s, lasting = None, False
        elif unhealthy_since_s is None:
            unhealthy_since_s = now_s
        over = unhealthy_since_s is not None and now_s >= unhealthy_since_s + DELAY_S
        lasting = lasting or (over and not (starting and database_ok))
        assert watch.lasting == lasting
        due_at_s = watch.due_at_s()
        if due_at_s is not None:  # a timer set to that very moment finds it lasting
            after = watch.feed(
                database_ok=database_ok, services_ok=services_ok, starting=starting, now_s=due_at_s
            )
            assert after.lasting == (not (starting and database_ok))
            assert after.due_at_s() is None, "it is not asked again and again"


HERE = (DATABASE_SERVICE, *CRITICAL_SERVICES, *OPTIONAL_SERVICES, SRM_SERVICE, "router2", "Router")


@pytest.mark.parametrize(
    "name,meant",
    [
        ("Cisco SIP Proxy", "Cisco SIP Proxy"),
        ("cisco sip proxy", "Cisco SIP Proxy"),
        ("  CISCO   SIP proxy ", "Cisco SIP Proxy"),
        ("sip proxy", "Cisco SIP Proxy"),
        ("SIP", "Cisco SIP Proxy"),
        ("xcp r", "Cisco XCP Router"),
        ("cisco p", "Cisco Presence Engine"),
        ("a cisco db", DATABASE_SERVICE),
        ("A", DATABASE_SERVICE),
        ("server recovery manager", SRM_SERVICE),
        ("Router", "Router"),  # though another one begins so
        ("router", "Router"),
        ("router2", "router2"),
    ],
)
def test_a_service_is_meant_in_any_capitals_and_by_a_beginning(name: str, meant: str) -> None:
    assert service_meant(name, HERE) == meant


@pytest.mark.parametrize("name", ["", "  ", "Proxy", "Cisco SIP Proxy 2", "Nosuch"])
def test_a_name_that_means_no_service_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownService, match="unknown; this node has A Cisco DB, Cisco XCP Router"):
        service_meant(name, HERE)


@pytest.mark.parametrize(
    "name,could_be",
    [
        ("cisco s", "Cisco SIP Proxy or Cisco Server Recovery Manager"),
        ("rout", "router2 or Router"),
    ],
)
def test_a_beginning_of_several_services_names_them(name: str, could_be: str) -> None:
    with pytest.raises(UnknownService, match=f"could be {could_be}; name one of them"):
        service_meant(name, HERE)


def test_only_ciscos_names_get_ciscos_capitals() -> None:
    assert as_cisco_writes("a CISCO db") == DATABASE_SERVICE
    assert as_cisco_writes("cisco xcp router") == "Cisco XCP Router"
    assert as_cisco_writes("my router") == "my router"
    assert as_cisco_writes("sip") == "sip", "a beginning is for the node that knows its services"


def test_the_database_is_no_process_among_the_default_services() -> None:
    assert DATABASE_SERVICE == "A Cisco DB"
    assert CRITICAL_SERVICES == ("Cisco XCP Router", "Cisco Presence Engine", "Cisco SIP Proxy")
    assert len(OPTIONAL_SERVICES) == 4
