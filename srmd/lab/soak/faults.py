"""A seed becomes stories: one to three faults each, and how long they last.

Node a is never killed, so that one process lives from begin to end and a slow leak shows; it is
rebooted, frozen and failed over like node b.  The stories of `srmd.lab.chance` are harder: they
change settings and lose databases, for which a pair has to be made anew.  All of it is ours.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from srmd.core.services import CRITICAL_SERVICES
from srmd.core.texts import Text
from srmd.lab.chance.drawing import done, passing
from srmd.lab.chance.operator import repairs_of
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario.story import Scenario, Step

FAULTS_MAX: Final = 3
FORMS: Final[tuple[tuple[int, str], ...]] = (
    (5, "cut heartbeats {way}"),
    (3, "cut all {way}"),
    (2, "refuse {channel} {way}"),
    (3, "lose {percent}% of heartbeats {way}"),
    (3, "{disturb} {percent}% of heartbeats {way}"),
    (2, "delay {either} by keep_alive_interval jitter 50ms {way}"),
    (1, "limit control to 5 KB/s {way}"),
    (2, "hold heartbeats {way}"),
    (2, "flap heartbeats up keep_alive_interval down keep_alive_timeout / 2 {way}"),
    (2, "reset control {way}"),
    (6, "{action} service '{service}' on {node}"),
    (3, "fail {fault} on {node}"),
    (4, "{srm} srm on {node}"),
    (3, "reboot node {node}"),
    (3, "freeze node {node}"),
    (4, "{end} node b"),
    (5, "failover {node}"),
)
"""(weight, form).  What nobody could make good again, such as a deleted database, is left out."""

SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "way": ("a->b", "b->a", "both ways"),
    "node": ("a", "b"),
    "channel": ("heartbeats", "control", "all"),
    "either": ("heartbeats", "control"),
    "percent": ("20", "50", "80"),
    "disturb": ("duplicate", "reorder", "replay", "corrupt", "truncate"),
    "action": ("kill", "stop", "restart", "hang", "block"),
    "service": CRITICAL_SERVICES,
    "fault": ("database", "moves"),
    "srm": ("stop", "restart"),
    "end": ("kill", "terminate", "shutdown"),
}
MOMENTS: Final = (
    "keep_alive_interval",
    "keep_alive_timeout / 2",
    "keep_alive_timeout",
    "keep_alive_timeout + 1s",
    "critical_service_delay + 1s",
)


def drawn(seed: int, number: int) -> Scenario:
    """The story of this number under this seed: the same in every run."""
    chance = substream(seed, "soak", number)
    steps: list[Step] = []
    for _ in range(chance.randint(1, FAULTS_MAX)):
        text = _text(chance)
        steps += [done(text), passing(chance.choice(MOMENTS))]
        if text.startswith("freeze "):  # whoever asks it for anything would wait for minutes
            steps.append(done(text.replace("freeze", "thaw", 1)))
    name = f"story {number} of seed {seed}"
    return Scenario(
        path=Path(name),
        title=Text(name, f"シード {seed} のシナリオ {number}"),
        story=Text("Drawn by srmd lab soak.", "srmd lab soak が生成しました。"),
        shows=(1,),
        steps=tuple(steps),
    )


def frozen_nodes(scenario: Scenario) -> tuple[str, ...]:
    """The nodes that stand still on purpose in this story: a beat of theirs is late then."""
    said = {text for step in scenario.steps for text in step.said}
    return tuple(node for node in SLOTS["node"] if f"freeze node {node}" in said)


def repairs(scenario: Scenario) -> tuple[str, ...]:
    """What puts right what outlasts the story and no action of the handbook speaks of."""
    return tuple(text for _, texts in repairs_of(scenario) for text in texts)


def _text(chance: Random) -> str:
    weights = [weight for weight, _ in FORMS]
    form = chance.choices(FORMS, weights)[0][1]
    return form.format(**{name: chance.choice(texts) for name, texts in SLOTS.items()})
