"""Stories of a soak: the same from the same seed, and each of them can be made good again."""

from __future__ import annotations

from srmd.lab.scenario.verbs import NodeName, Power, PowerAction
from srmd.lab.soak.faults import FORMS, drawn, frozen_nodes, repairs

STORIES = range(1, 400)


def said(seed: int, number: int) -> list[str]:
    return [text for step in drawn(seed, number).steps for text in step.said]


def test_a_seed_and_a_number_are_one_story() -> None:
    assert [said(3, number) for number in STORIES] == [said(3, number) for number in STORIES]
    assert [said(3, number) for number in STORIES] != [said(4, number) for number in STORIES]


def test_every_form_is_drawn() -> None:
    first_words = {text.split()[0] for number in STORIES for text in said(1, number)}
    for _, form in FORMS:
        word = form.split()[0]
        assert word.startswith("{") or word in first_words, form


def test_node_a_lives_from_begin_to_end() -> None:
    ends = {PowerAction.KILL, PowerAction.TERMINATE, PowerAction.SHUTDOWN}
    ended = {
        verb.node
        for number in STORIES
        for verb in drawn(2, number).verbs()
        if isinstance(verb, Power) and verb.action in ends
    }
    assert ended == {NodeName.B}


def test_what_outlasts_a_story_is_put_right() -> None:
    for number in STORIES:
        texts = said(6, number)
        wanted = {text.replace("block", "unblock", 1) for text in texts if text[:5] == "block"}
        wanted |= {text.replace("fail", "repair", 1) for text in texts if text[:5] == "fail "}
        repaired = {text for text in repairs(drawn(6, number)) if text[:4] != "thaw"}
        assert repaired == wanted


def test_it_is_known_who_stands_still() -> None:
    frozen = [number for number in STORIES if "freeze node b" in said(9, number)]
    assert frozen
    assert all("b" in frozen_nodes(drawn(9, number)) for number in frozen)
    assert all(
        (f"freeze node {node}" in said(9, number)) is (node in frozen_nodes(drawn(9, number)))
        for number in STORIES
        for node in "ab"
    )
