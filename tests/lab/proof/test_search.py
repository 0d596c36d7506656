"""`srmd prove` with a small bound: all properties are asked and hold, and they have teeth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.core import machine, transitions
from srmd.core.contact import understand
from srmd.core.events import Event, PeerMismatched, Report
from srmd.core.machine import Step
from srmd.core.node import Node
from srmd.core.states import Contact, Health, Reason, Start, State
from srmd.lab.proof import happenings
from srmd.lab.proof.__main__ import main
from srmd.lab.proof.pair import RUNNING, Pair
from srmd.lab.proof.properties import Property
from srmd.lab.proof.search import CONFIGURATIONS, Bounds, Result, Search
from srmd.lab.proof.story import Story
from srmd.lab.scenario.reading import load
from srmd.node import commands
from tests.lab.proof.conftest import SMALL

PAIRS_AT_REST = Path(__file__).parents[3] / "docs" / "pairs-at-rest.md"


@pytest.fixture(scope="module")
def results(searches: list[Search]) -> list[Result]:
    return [search.result for search in searches]


def test_every_property_is_asked_and_holds(results: list[Result]) -> None:
    for result in results:
        assert result.complete
        assert not result.found, [(found.law, found.told) for found in result.found]
        assert {law for law in Property if not result.asked[law]} == set()


def test_the_search_reaches_what_it_is_known_to_reach(results: list[Result]) -> None:
    """Fewer pairs than before are a hole in the model, not a success."""
    assert [result.pairs > 1500 for result in results] == [True] * len(CONFIGURATIONS)
    rows = {rest.n for result in results for rest in result.rests}
    assert {1, 3, 18} <= rows


# ---------------------------------------------------------------------------- teeth


def break_in(
    monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[..., object]
) -> dict[Property, int]:
    monkeypatch.setattr(transitions, name, instead)
    return dict(Search(CONFIGURATIONS[0], SMALL).run().broken)


def test_users_that_are_taken_before_they_were_let_go_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step_in_at_once(node: Node, reason: Reason) -> Step:
        return transitions.claim(node, reason)

    assert Property.S1 in break_in(monkeypatch, "step_in", step_in_at_once)


def test_a_failover_that_is_not_guarded_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Property.S9 in break_in(monkeypatch, "may_fail_over", lambda *_: True)


def test_a_fallback_that_is_never_allowed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = break_in(monkeypatch, "may_fall_back", lambda *_: False)
    assert {Property.S9, Property.L3} <= set(broken)


def test_a_fallback_that_is_offered_beside_a_deaf_backup_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One-way loss: the node that yielded offered it, and it ended in failed mode on both."""

    def deaf_or_not(mine: Node | Report, other: Report | None, contact: Contact) -> bool:
        if contact is Contact.HEARD and other is not None:
            ready = mine.state in {State.IDLE, State.FAILED_OVER}
            return ready and other.state is State.BACKUP
        return mine.state is State.IDLE and contact in {Contact.SILENT, Contact.LEFT}

    monkeypatch.setattr(transitions, "may_fall_back", deaf_or_not)
    monkeypatch.setattr(commands, "may_fall_back", deaf_or_not)
    result = Search(CONFIGURATIONS[0], SMALL).run()
    assert result.broken[Property.L8] > 0
    found = next(found for found in result.found if found.law is Property.L8)
    story = Story(CONFIGURATIONS[0], 0, found)
    assert story.doubt is None
    assert "fallback b ends in Running in Failed Mode" in found.told
    assert found.way[-3:] == (
        "b: is asked to fall back",
        "b: the services' order is done",
        "b: the wait is over",
    )
    assert 'do = "fallback b"' in story.scenario()


FAILED_OVER_BY_HAND = (
    "a: is asked to fail over",
    "a: the services' order is done",
    "b: hears its peer",
    "b: the move is durable",
    "a: hears its peer",
)
LEAVES_AND_RETURNS = (
    *FAILED_OVER_BY_HAND,
    "a: the node says that it goes down",
    "a: SRM starts",
)
HOME_HAS_NO_DATABASE = (*FAILED_OVER_BY_HAND, "a: the database fails")
FALLBACK_FAILED = (
    *FAILED_OVER_BY_HAND,
    "a: is asked to fall back",
    "a: the database fails",
    "a: the services' order is done",
    "b: hears its peer",
    "a: hears its peer",
)


def harm_after(*story: str, configuration: int = 0) -> list[str]:
    """The words of L8 where the pair rests after this story, with each of its nodes deaf."""
    search = Search(CONFIGURATIONS[configuration], SMALL)
    pair = search.ways.normal(search.world.begin())
    for told in story:
        pair = {str(happening): after for happening, after in search.world.nexts(pair)}[told]
    search._reach(pair, -1, None)
    search._follow()
    assert search.judge.asked[Property.L8] > 0
    return [found.told for found in search.result.found if found.law is Property.L8]


@pytest.mark.parametrize("configuration", range(len(CONFIGURATIONS)))
@pytest.mark.parametrize("story", [LEAVES_AND_RETURNS, HOME_HAS_NO_DATABASE, FALLBACK_FAILED])
def test_a_command_that_is_offered_beside_a_fault_does_no_harm(
    story: tuple[str, ...], configuration: int
) -> None:
    assert harm_after(*story, configuration=configuration) == []


def test_a_backup_that_takes_a_deaf_node_for_one_that_was_cut_off_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "AWAY", frozenset())
    (told,) = harm_after(*LEAVES_AND_RETURNS)
    assert told.endswith("fallback a ends in Running in Failed Mode")


def test_a_recovery_of_a_deaf_and_ill_node_that_is_followed_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_it_is = transitions.recovers

    def ill_or_well(peer: Report, node: Node) -> bool:
        return as_it_is(replace(peer, health=Health.OK), node)

    monkeypatch.setattr(transitions, "recovers", ill_or_well)
    (told,) = harm_after(*FALLBACK_FAILED)
    assert told.endswith("recover a leaves users that are served by nobody")


def test_a_fallback_that_fails_while_both_nodes_hear_is_no_harm_of_the_deafness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 14: the services of the home node do not start, and both are Running in Failed Mode."""
    monkeypatch.setattr(Search, "_harm_when_heard", lambda *_: None)
    (told,) = harm_after(*HOME_HAS_NO_DATABASE)
    assert told.endswith("fallback a ends in Running in Failed Mode")


def test_values_of_high_availability_that_stay_apart_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal stamps with other values were a mismatch, and no advice led out of it."""

    def with_a_mismatch(node: Node, report: Report, *, beat: bool) -> tuple[Event, ...]:
        if report.ha is not node.ha and report.ha_stamp == node.ha_stamp:
            return (PeerMismatched("high availability"),)
        return understand(node, report, beat=beat)

    monkeypatch.setattr(happenings, "understand", with_a_mismatch)
    result = Search(CONFIGURATIONS[0], SMALL).run()
    assert result.broken[Property.L9] > 0
    found = next(found for found in result.found if found.law is Property.L9)
    story = Story(CONFIGURATIONS[0], 0, found)
    assert story.doubt is None
    assert 'do = ["enable ha via a", "disable ha via b"]' in story.scenario()


def test_a_counterexample_is_the_shortest_and_a_scenario(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(transitions, "may_fall_back", lambda *_: False)
    result = Search(CONFIGURATIONS[0], SMALL).run()
    found = next(found for found in result.found if found.law is Property.L3)
    story = Story(CONFIGURATIONS[0], 0, found)
    assert story.doubt is None
    assert str(story.moments[0].happening) == "a: is asked to fail over"
    assert "L3 does not hold" in next(story.lines())
    file = tmp_path / "found.toml"
    file.write_text(story.scenario(), encoding="utf-8")
    assert load(file).steps[0].said == ("failover a",)


# ---------------------------------------------------------------------------- interrupts


def interrupted(search: Search) -> Iterator[tuple[str, Pair, int]]:
    """Every multi-step transition that the search met, cut off at each of its effects.

    The state is durable, and of its orders: none is carried out, some are, all are but for the
    answer of the move.  Then SRM stops, or the node dies.
    """
    world = search.world
    for pair in list(search.pairs):
        for at, side in enumerate(pair.sides):
            if side.up != RUNNING or not (side.jobs or side.move):
                continue
            moments = [side]
            if side.move:
                placed = world.moved(at, side)
                moments += [] if placed is None else [placed]
            for moment in moments:
                for what, cut in (("SRM stops", world.srm_off), ("dies", world.off)):
                    yield what, world.with_side(pair, at, cut(at, moment), orderly=False), at


RESUMED = {
    (State.IDLE, Start.RESTART): State.IDLE,
    (State.BACKUP, Start.RESTART): State.BACKUP,
    (State.TAKING_OVER, Start.RESTART): State.TAKING_OVER,
    (State.TAKING_BACK, Start.RESTART): State.TAKING_BACK,
    (State.FAILING_OVER, Start.RESTART): State.FAILING_OVER,
    (State.FALLING_BACK, Start.RESTART): State.FALLING_BACK,
    (State.NORMAL, Start.RESTART): State.INITIALIZING,
    (State.INITIALIZING, Start.RESTART): State.INITIALIZING,
    (State.FAILED_OVER, Start.RESTART): State.INITIALIZING,
    (State.FAILED_OVER_SERVICES_DOWN, Start.RESTART): State.INITIALIZING,
    (State.FAILED_MODE, Start.RESTART): State.FAILED_MODE,
}
"""R1: the stored state, and the state in which SRM starts; a reboot differs where it is listed."""
AFTER_A_REBOOT = {State.FAILED_MODE: State.INITIALIZING}


def test_every_transition_that_is_cut_off_resumes_and_ends_well() -> None:
    search = Search(CONFIGURATIONS[0], SMALL)
    search.run()
    world, ways, judge = search.world, search.ways, search.judge
    cut_off = 0
    states = set()
    for what, pair, at in interrupted(search):
        stored = world.traits(at, pair.sides[at]).state
        started = world.started(pair, at)
        expected = RESUMED[stored, Start.RESTART]
        if what == "dies":
            expected = AFTER_A_REBOOT.get(stored, expected)
        half = world.traits(at, started.sides[at]).half
        assert half[0] is expected, (what, stored, half)
        if expected is not State.FAILED_MODE:
            assert half[1] is Reason.INITIALIZATION
        for way in (ways.alone, ways.mended):
            end = way.end(started)
            assert not end.round
            assert list(judge.of_rest(end.pair)) == []
        assert ways.is_normal(ways.mended.end(started).pair)
        cut_off += 1
        states.add(stored)
    assert cut_off > 1000
    passing = {State.TAKING_OVER, State.TAKING_BACK, State.FAILING_OVER, State.INITIALIZING}
    assert passing <= states
    assert judge.broken_steps == []


# ---------------------------------------------------------------------------- the command


def test_the_command_says_what_it_asked_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, table = tmp_path / "figures.json", tmp_path / "table.md"
    words = ["--bound", "small", "--processes", "2", "--json", str(figures), "--table", str(table)]
    assert main(words) == 0
    assert "all 19 properties hold within these bounds" in capsys.readouterr().out
    told = json.loads(figures.read_text(encoding="utf-8"))
    assert told["properties"]["S1"]["asked"] > 1000
    assert told["counterexamples"] == []
    known = PAIRS_AT_REST.read_text(encoding="utf-8")
    rows = [line for line in table.read_text(encoding="utf-8").splitlines() if "|" in line]
    assert len(rows) > 5
    assert [row for row in rows if row not in known] == []


@pytest.mark.parametrize(
    "words,says",
    [
        (["--faults", "9"], "9: a whole number from 0 to 3 is needed"),
        (["--bound", "tiny"], "invalid choice: 'tiny'"),
        (["--json", "nowhere/at/all.json"], "should be a file in a folder that exists"),
        (["--table", "."], "should be a file in a folder that exists"),
    ],
)
def test_a_wrong_word_is_explained(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert says in capsys.readouterr().err


def test_a_search_that_is_cut_short_proves_nothing() -> None:
    result = Search(CONFIGURATIONS[0], Bounds(faults=0, messages=0, pairs_max=100)).run()
    assert not result.complete
