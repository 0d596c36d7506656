"""The shortest story that still fails in the same way.

Hypothesis does it, where it is installed (the extra `shrink`): it tries to leave steps out, to
let less time pass, and to take back the settings, and knows how to try little.  Nothing else here
needs it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from random import Random
from typing import Final

from srmd.lab.chance.drawing import passing, story
from srmd.lab.chance.trial import Found, tried
from srmd.lab.scenario.story import Scenario, Settings, Stays, Step

TRIES_MAX: Final = 300
"""Stories that are played on the search for a shorter one; some tenths of a minute."""
SHORTER: Final = ("10ms", "keep_alive_interval", "keep_alive_timeout + keep_alive_interval")
"""Instead of the time that passes; tried from the left."""
LEAN: Final = 15
"""A choice is one of so many, and most of them leave the story as it is: the first try then
mostly fails as the story did, and from there choices fall to 0, which takes something away."""

NOT_INSTALLED: Final = (
    "not shrunk: Hypothesis is not installed; `pip install srmd[shrink]` brings it"
)

Choose = Callable[[], int]


def can_shrink() -> bool:
    return importlib.util.find_spec("hypothesis") is not None


def shrunk(found: Found, scenario: Scenario, tries_max: int = TRIES_MAX) -> Found:
    """The same failure by fewer steps; `found` itself when there is none.

    The bound is on stories that are played; the shortest so far counts when it is reached.
    """
    import hypothesis  # late: only a failure needs it, and only where it is installed
    from hypothesis import strategies

    best = found
    tries = 0

    @strategies.composite
    def stories(draw: strategies.DrawFn) -> Scenario:
        return _shorter(scenario, lambda: draw(strategies.integers(0, LEAN)))

    def still_fails(candidate: Scenario) -> bool:
        nonlocal best, tries
        if tries >= tries_max:
            return False
        tries += 1
        one = tried(found.seed, candidate)
        if one.broken != found.broken:
            return False
        if _size(one.played) <= _size(best.played):
            best = one
        return True

    settings = hypothesis.settings(
        max_examples=tries_max,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],  # `explain` traces each line
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        hypothesis.find(stories(), still_fails, settings=settings, random=Random(found.seed))
    except (hypothesis.errors.NoSuchExample, hypothesis.errors.Flaky):
        pass  # none was found within the bound, or it was used up: the best counts
    return best


def _shorter(scenario: Scenario, choose: Choose) -> Scenario:
    """What these choices leave of the story: 0 takes away, a high number leaves all as it was."""
    settings = scenario.settings
    default = Settings()
    if choose() == 0:
        settings = dataclasses.replace(settings, group=default.group)
    if choose() == 0:
        settings = dataclasses.replace(settings, users=default.users)
    steps: list[Step] = []
    for step in scenario.steps:
        kept = choose() > 0
        length = choose() if isinstance(step.check, Stays) else LEAN
        if kept:
            steps.append(passing(SHORTER[length]) if length < len(SHORTER) else step)
    number = int(scenario.name.rpartition("-")[2]) if scenario.name.startswith("seed-") else 0
    made = story(number, settings, tuple(steps))
    return dataclasses.replace(made, path=scenario.path)


def _size(scenario: Scenario) -> tuple[int, int]:
    """Fewer steps are shorter; then the text counts."""
    said = sum(len(text) for step in scenario.steps for text in step.said)
    return len(scenario.steps), said
