"""A seed becomes a scenario: faults and an administrator's orders, each followed by some time.

Every verb of the language has a weight, and every moment is written in terms of the timers, often
close to the moment at which one of them ends: there the mistakes are.
All of it is ours.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random
from typing import Final

from srmd.core.services import CRITICAL_SERVICES, DATABASE_SERVICE
from srmd.core.states import SplitBrain
from srmd.core.texts import Text
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario.durations import duration
from srmd.lab.scenario.phrases import verb
from srmd.lab.scenario.story import (
    ALWAYS,
    Group,
    Mode,
    Picture,
    Scenario,
    Settings,
    Stays,
    Step,
    Users,
)
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    AddUsers,
    DeleteDatabase,
    Heal,
    NodeName,
    Operate,
    Power,
    PowerAction,
    PutClock,
    Recover,
    Service,
    SetFault,
    SetHa,
    Srm,
    Verb,
)

FAULTS_MIN: Final = 2
FAULTS_MAX: Final = 10
USERS: Final = (2, 20, 200)
AUTOMATIC_FALLBACK: Final = 0.25
"""So probable is it in a story; the same for those that follow."""
SPLIT_BRAIN_HOME: Final = 0.3
ACTIVE_STANDBY: Final = 0.2
ONE_WAY: Final = 0.15
"""The story begins with a loss in one direction that nobody heals while it lasts."""
FOREVER: Final = duration("20 * keep_alive_timeout")
"""How long a pair is watched for oscillation under a loss that stays (L7)."""

MOMENTS: Final = (
    "10ms",
    "500ms",
    "keep_alive_interval / 2",
    "keep_alive_interval",
    "2 * keep_alive_interval",
    "keep_alive_timeout - keep_alive_interval",
    "keep_alive_timeout",
    "keep_alive_timeout + keep_alive_interval",
    "initialization_keep_alive_timeout",
    "critical_service_delay",
    "critical_service_delay + keep_alive_interval",
    "reboot",
    "move_limit",
)
"""Where something may be about to happen."""
NEAR: Final = ("", "", " + 1ms", " + 100ms", " - 10ms", " + 1s", " - 1s")
LENGTHS: Final = (
    "500ms",
    "keep_alive_interval / 2",
    "keep_alive_interval",
    "keep_alive_timeout - keep_alive_interval",
    "keep_alive_timeout",
)
"""Of delays and flaps."""
SERVICES: Final = (*CRITICAL_SERVICES, DATABASE_SERVICE)
PERCENT: Final = (5, 20, 40, 60, 80, 95)

FORMS: Final[tuple[tuple[int, str], ...]] = (
    (6, "cut heartbeats {way}"),
    (3, "cut control {way}"),
    (6, "cut all {way}"),
    (2, "refuse {channel} {way}"),
    (3, "lose {percent}% of heartbeats {way}"),
    (2, "lose {percent}% of heartbeats in bursts {way}"),
    (2, "drop next {few} heartbeats {way}"),
    (4, "{disturb} {percent}% of heartbeats {way}"),
    (2, "delay {either} by {length} jitter 250ms {way}"),
    (2, "delay {either} by {length} {way}"),
    (1, "limit {either} to {kilobytes} KB/s {way}"),
    (2, "hold heartbeats {way}"),
    (2, "hold heartbeats {one_way} until the deadline"),
    (2, "flap heartbeats up {length} down {length} {way}"),
    (2, "reset control {way}"),
    (8, "heal"),
    (3, "heal {channel} {way}"),
    (8, "{service_action} service '{service}' on {node}"),
    (4, "fail {fault} on {node}"),
    (3, "repair {fault} on {node}"),
    (1, "delete database on {node}"),
    (6, "{srm} srm on {node}"),
    (8, "{power} node {node}"),
    (6, "start node {node}"),
    (6, "failover {node} via {node}"),
    (5, "fallback {node} via {node}"),
    (4, "recover via {node}"),
    (2, "disable ha via {node}"),
    (2, "enable ha via {node}"),
    (1, "add 10 users via {node}"),
    (1, 'configure group.name = "other" on {node}'),
    (1, "wrong key on {node}"),
    (1, "right key on {node}"),
    (1, "put clock {clock} by 1h on {node}"),
    (1, "right clock on {node}"),
)
"""(weight, form): the whole language but for files that are lost or put back, and clones; a test
says so."""

SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "way": ("a->b", "b->a", "both ways"),
    "one_way": ("a->b", "b->a"),
    "node": ("a", "b"),
    "channel": ("heartbeats", "control", "all"),
    "either": ("heartbeats", "control"),
    "percent": tuple(map(str, PERCENT)),
    "few": ("1", "2", "3", "4"),
    "disturb": ("duplicate", "reorder", "replay", "corrupt", "truncate"),
    "length": LENGTHS,
    "kilobytes": ("1", "5"),
    "service_action": ("kill", "stop", "start", "restart", "hang", "block", "unblock"),
    "service": SERVICES,
    "fault": ("database", "moves"),
    "srm": ("stop", "start", "restart"),
    "power": ("shutdown", "reboot", "kill", "terminate", "freeze", "thaw"),
    "clock": ("forward", "back"),
}


def drawn(seed: int) -> Scenario:
    """The story of this seed: the same in every run."""
    chance = substream(seed, "story")
    one_way = chance.random() < ONE_WAY
    steps: list[Step] = []
    if one_way:
        steps += _step(f"cut heartbeats {chance.choice(SLOTS['one_way'])}", chance)
    lost = False
    frozen: frozenset[NodeName] = frozenset()
    for _ in range(chance.randint(FAULTS_MIN, FAULTS_MAX)):
        ruled_out = _ruled_out(lost=lost, one_way=one_way)
        text = _text(chance, ruled_out, frozen)
        lost = lost or isinstance(verb(text), (DeleteDatabase, AddUsers))
        frozen = _frozen_after(verb(text), frozen)
        steps += _step(text, chance)
    return story(seed, _settings(chance), tuple(steps))


def story(seed: int, settings: Settings, steps: tuple[Step, ...]) -> Scenario:
    """A scenario of these steps; the settings follow what they need."""
    clocks = any(isinstance(one, PutClock) for step in steps for one in step.verbs())
    return Scenario(
        path=Path(f"seed-{seed}.toml"),
        title=Text(f"Drawn from seed {seed}", f"シード {seed} から生成"),
        story=Text(
            f"Nobody wrote this: it is the story of seed {seed} of srmd sim.",
            f"srmd sim のシード {seed} から生成されたシナリオです。",
        ),
        shows=(1,),
        steps=steps,
        settings=dataclasses.replace(settings, clocks=clocks),
        invariants=ALWAYS,
    )


def done(text: str) -> Step:
    """This is done, and nothing expected."""
    return Step(line=0, do=(verb(text),), said=(text,))


def passing(text: str) -> Step:
    """So much time passes."""
    return Step(line=0, check=Stays(Picture(), duration(text)))


def _step(text: str, chance: Random) -> list[Step]:
    return [done(text), passing(chance.choice(MOMENTS) + chance.choice(NEAR))]


def _text(chance: Random, ruled_out: tuple[type[Verb], ...], frozen: frozenset[NodeName]) -> str:
    """A verb that this story may have; drawn again until it may."""
    weights = [weight for weight, _ in FORMS]
    while True:  # it ends: `start node` and most others may always be
        text = _filled(chance.choices(FORMS, weights)[0][1], chance)
        asked = verb(text)
        if not isinstance(asked, ruled_out) and not _asks(asked) & frozen:
            return text


def _filled(form: str, chance: Random) -> str:
    """Each slot is drawn for itself, also one that stands twice."""
    parts: list[str] = []
    for part in form.split("{"):
        name, closed, rest = part.partition("}")
        parts.append(chance.choice(SLOTS[name]) + rest if closed else part)
    return "".join(parts)


def _ruled_out(*, lost: bool, one_way: bool) -> tuple[type[Verb], ...]:
    """What nobody could make good is not asked for.

    Of two databases that are deleted, or of users that only the deleted one had, nothing is left.
    And a loss that lasts is not healed, nor replaced by another one.
    """
    return (
        *((DeleteDatabase, AddUsers) if lost else ()),
        *((*NETWORK_FAULTS, Heal) if one_way else ()),
    )


def _asks(verb: Verb) -> frozenset[NodeName]:
    """The nodes that have to answer.  One that stands still would do it later, when nobody thinks
    of it any more: whoever reads the story could not tell."""
    match verb:
        case Operate():
            return frozenset(NodeName)
        case Recover(via) | SetHa(_, via) | AddUsers(_, via):
            return frozenset({via})
        case Service(_, _, node) | SetFault(_, node, _) | Srm(_, node):
            return frozenset({node})
        case Power(PowerAction.SHUTDOWN | PowerAction.REBOOT, node):
            return frozenset({node})
        case _:
            return frozenset()


def _frozen_after(verb: Verb, frozen: frozenset[NodeName]) -> frozenset[NodeName]:
    match verb:
        case Power(PowerAction.FREEZE, node):
            return frozen | {node}
        case Power(PowerAction.THAW | PowerAction.KILL | PowerAction.TERMINATE, node):
            return frozen - {node}
        case _:
            return frozen


def _settings(chance: Random) -> Settings:
    group = Group(
        automatic_fallback=chance.random() < AUTOMATIC_FALLBACK,
        split_brain=SplitBrain.HOME if chance.random() < SPLIT_BRAIN_HOME else SplitBrain.FAIL,
    )
    standby = chance.random() < ACTIVE_STANDBY
    users = Users(chance.choice(USERS), Mode.ACTIVE_STANDBY if standby else Mode.BALANCED)
    return Settings(group=group, users=users)
