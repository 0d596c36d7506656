"""Stories are drawn from the whole language, and are the same for the same seed."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from srmd.core.states import SplitBrain
from srmd.lab.chance.drawing import done, drawn, story
from srmd.lab.chance.trial import tried
from srmd.lab.chance.writing import as_toml
from srmd.lab.scenario import load, load_all
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.phrases import PHRASES
from srmd.lab.scenario.story import Expect, Group, Mode, Settings, Users
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    Cut,
    Heal,
    Operate,
    Power,
    PowerAction,
    Service,
    SetFault,
    Srm,
)

SEEDS = range(1, 401)


NOT_DRAWN = {
    "<file_action> <files> of <node>",
    "clone node <node>",
    "end clone of node <node>",
}
"""A pair whose memories and databases are both taken has nothing left that could be made good, and
two nodes of one id are no pair."""


def test_every_phrase_of_the_language_is_drawn_but_what_nothing_makes_good() -> None:
    said = {text for seed in SEEDS for step in drawn(seed).steps for text in step.said}
    never = {
        phrase.form
        for phrase in PHRASES
        if not any(phrase.pattern.fullmatch(text) for text in said)
    }
    assert never == NOT_DRAWN


def test_the_same_seed_gives_the_same_story() -> None:
    assert [drawn(seed) for seed in range(1, 20)] == [drawn(seed) for seed in range(1, 20)]
    assert drawn(1) != drawn(2)


def test_a_loss_that_lasts_is_among_the_stories_and_nothing_heals_it() -> None:
    lasting = [
        seed
        for seed in SEEDS
        if [verb for verb in drawn(seed).verbs() if isinstance(verb, (*NETWORK_FAULTS, Heal))]
        == [verb for verb in drawn(seed).verbs()[:1] if isinstance(verb, Cut)]
    ]
    assert len(lasting) >= 20


def test_a_node_that_stands_still_is_asked_nothing() -> None:
    asked_count = 0
    for seed in SEEDS:
        for one, following in pairwise(drawn(seed).verbs()):
            if isinstance(one, Power) and one.action is PowerAction.FREEZE:
                asked_count += 1
                assert not isinstance(following, (Operate, Srm, Service, SetFault)) or (
                    not isinstance(following, Operate) and following.node is not one.node
                )
    assert asked_count >= 10


@pytest.mark.parametrize("seed", [1, 7, 42, 100])
def test_a_written_story_is_read_again_as_the_same(seed: int, tmp_path: Path) -> None:
    played = tried(seed, drawn(seed)).played
    assert any(isinstance(step.check, Expect) for step in played.steps) or seed == 1
    file = tmp_path / played.path.name
    file.write_text(as_toml(played, ["a comment"]), encoding="utf-8")
    (again,) = load_all([file])
    nowhere = tuple(dataclasses.replace(step, line=0) for step in again.steps)
    assert dataclasses.replace(again, path=played.path, steps=nowhere) == played


def test_settings_are_written_where_they_are_not_the_usual_ones(tmp_path: Path) -> None:
    settings = Settings(
        group=Group(automatic_fallback=True, split_brain=SplitBrain.HOME),
        timers=(("keep_alive_timeout", duration("5 * keep_alive_interval")),),
        users=Users(20, Mode.ACTIVE_STANDBY),
    )
    file = tmp_path / "seed-1.toml"
    file.write_text(as_toml(story(1, settings, (done("heal"),))), encoding="utf-8")
    assert load(file).settings == settings
