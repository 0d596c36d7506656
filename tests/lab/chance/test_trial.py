"""Stories of chance: they hold, happen again exactly, and a program that is wrong does not pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srmd.core.detector import Detector
from srmd.core.events import PeerDown
from srmd.core.transitions import step
from srmd.lab.chance.drawing import done, drawn, passing, story
from srmd.lab.chance.many import cores, of_seeds, search
from srmd.lab.chance.shrinking import shrunk
from srmd.lab.chance.summary import Summary
from srmd.lab.chance.trial import Found, tried
from srmd.lab.chance.writing import as_toml
from srmd.lab.scenario import load
from srmd.lab.scenario.story import Scenario, Settings
from srmd.lab.simulated import srm as simulated_srm

SEEDS = Path(__file__).with_name("seeds.txt")
FEW = range(1, 9)
MANY = range(1, 41)


def kept_seeds() -> list[tuple[int, str]]:
    """(seed, what is broken)"""
    lines = [line.split("#")[0].split() for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    return [(int(words[0]), words[1]) for words in lines if words]


def told(*texts: str) -> Scenario:
    """Verbs, each followed by a time."""
    verbs, times = texts[::2], texts[1::2]
    steps = [
        step for pair in zip(map(done, verbs), map(passing, times), strict=True) for step in pair
    ]
    return story(1, Settings(), tuple(steps))


@pytest.mark.parametrize("seed, broken", kept_seeds())
def test_a_kept_seed_shows_what_it_is_kept_for(seed: int, broken: str) -> None:
    found = tried(seed, drawn(seed))
    assert (found.broken or "nothing") == broken, found.why


def test_stories_hold_and_ask_every_property() -> None:
    summary = Summary()
    for found in search(MANY, None):
        summary.add(found)
    assert [(one.seed, one.broken, one.why) for one in summary.failures] == []
    assert summary.never_asked == []


def test_the_same_seed_gives_the_same_in_this_and_in_other_processes() -> None:
    first = [tried(seed, drawn(seed)) for seed in FEW]
    assert of_seeds(FEW) == first
    with cores(2) as (executor, workers):
        elsewhere = list(search(FEW, executor, workers))
    assert sorted(elsewhere, key=lambda one: one.seed) == first


def test_the_same_seed_gives_the_same_transcript() -> None:
    first, again = (tried(7, drawn(7), transcript=True) for _ in range(2))
    assert len(first.transcript) > 20
    assert first.transcript == again.transcript


def test_what_cannot_be_done_is_left_out_and_its_time_passes() -> None:
    found = tried(1, told("start node a", "1s", "fallback a", "1s"))
    assert not found.failed
    assert [text for step in found.played.steps for text in step.said] == ["heal"]


def test_the_operator_brings_everybody_home_and_it_is_written_down() -> None:
    found = tried(1, told("kill node a", "keep_alive_timeout + 5s"))
    assert not found.failed
    said = [text for step in found.played.steps for text in step.said]
    assert said == ["kill node a", "heal", "start node a", "fallback a"]
    assert found.actions_count == 2


# ------------------------------------------------------------ a program that is wrong


def move_nobody(*_: Any, **__: Any) -> None:
    """The database takes the order, and nothing comes of it."""


def decide_nothing(before: Any, event: Any) -> Any:
    if type(event) is PeerDown:
        raise LookupError("no rule")
    return step(before, event)


SILENCE = ("kill node a", "keep_alive_timeout + 5s")


def broken_with(monkeypatch: pytest.MonkeyPatch, scenario: Scenario, name: str, by: Any) -> Found:
    monkeypatch.setattr(simulated_srm, name, by)
    return tried(1, scenario)


def test_users_that_do_not_move_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lonely = told("kill node a", "2 * keep_alive_timeout")
    assert broken_with(monkeypatch, lonely, "place", move_nobody).broken == "backup_serves_all"
    failed_over = told("failover a", "2 * keep_alive_timeout")
    assert broken_with(monkeypatch, failed_over, "place", move_nobody).broken == "one_serves"


def test_a_defect_of_the_program_is_a_failure_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = broken_with(monkeypatch, told(*SILENCE), "step", decide_nothing)
    assert (found.broken, found.why) == ("no_error", "LookupError: no rule")


def test_a_peer_that_is_given_up_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Detector, "deadline_s", lambda self, _initializing: self.since_s + 20.0)
    monkeypatch.setattr(Detector, "is_down", lambda self, now_s, _: now_s >= self.since_s + 20.0)
    heard_before = ("right clock on a", "2 * keep_alive_interval")
    assert tried(1, told(*heard_before, *SILENCE)).broken == "patience"


def test_a_failure_is_shrunk_to_the_steps_that_make_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("hypothesis")
    long = told(
        "restart srm on b", "keep_alive_interval",
        "kill node a", "2 * keep_alive_timeout",
        "duplicate 50% of heartbeats b->a", "keep_alive_interval",
    )  # fmt: skip
    found = broken_with(monkeypatch, long, "place", move_nobody)
    assert found.failed
    short = shrunk(found, long, tries_max=60)
    assert short.broken == found.broken
    assert [text for step in short.played.steps for text in step.said] == ["kill node a"]

    file = tmp_path / "seed-1.toml"
    file.write_text(as_toml(short.played), encoding="utf-8")
    assert tried(1, load(file)).broken == short.broken
