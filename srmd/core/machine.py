"""The kernel: how a table of decisions becomes `step`.

A table has one entry per state; an entry is a tuple of rows, each for one event type:

    State.NORMAL: (
        on(PeerDown, take_over_from_silent_peer, State.TAKING_OVER),
        ignore(UsersMoved, because="..."),
        refuse(FallbackRequested, needs="..."),
    )

`Table` refuses to exist if a (state, event) pair is missing or answered twice.  No wildcards, and
the order of rows never matters.  Decisions are pure functions of the node and the event; they
change the state only through `go`.  `step` notes the facts an event brings before it asks for the
decision, and drops the answers to orders that were withdrawn since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from srmd.core.effects import Effect, StartServices
from srmd.core.events import (
    EVENTS,
    Event,
    FallbackDue,
    HealthChanged,
    OperationFailed,
    PeerDown,
    PeerHeard,
    PeerLeft,
    PlacementSeen,
    ServicesStarted,
    ServicesStopped,
    StayExpired,
    UsersMoved,
)
from srmd.core.node import Node, Timer, timers
from srmd.core.states import AWAY, OWN_STATES, Contact, Reason, Stage, State


@dataclass(frozen=True, slots=True)
class Step:
    """What one event does to a node."""

    node: Node
    effects: tuple[Effect, ...] = ()
    refusal: str | None = None
    """For a request that this state does not allow: what is needed."""
    why: str = ""
    """The rule that decided, in one sentence; `core.rule_texts` says which of its cases it was."""
    rule: str = ""
    """The name of the decision; empty where none was asked."""


E = TypeVar("E", bound=Event)
Decision = Callable[[Node, E], Step]


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the table: what a state makes of an event."""

    event: type[Any]
    decide: Callable[[Node, Any], Step]
    name: str
    why: str
    may_lead_to: tuple[State, ...]


def on(event: type[E], decide: Decision[E], *may_lead_to: State) -> Row:
    """The event asks for a decision, which may lead to these states (or stay)."""
    why = (decide.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    assert why, f"{decide.__name__}: a decision needs a docstring; logs and tables print it"
    return Row(event, decide, decide.__name__, " ".join(why.split()), may_lead_to)


def ignore(*events: type[Event], because: str) -> tuple[Row, ...]:
    """The events change nothing but the facts they bring."""
    return tuple(Row(event, lambda node, _: Step(node), "ignore", because, ()) for event in events)


def refuse(*requests: type[Event], needs: str) -> tuple[Row, ...]:
    """The requests are not allowed in this state; `needs` says which state is."""
    return tuple(
        Row(request, lambda node, _: Step(node, refusal=needs), "refuse", f"needs {needs}", ())
        for request in requests
    )


def go(
    node: Node,
    to: State,
    reason: Reason,
    *effects: Callable[[int], Effect],
    cause: Reason | None = None,
    stage: Stage = Stage.BEGUN,
) -> Step:
    """The only way to change state.  The timers and orders of the old state die with its `op`.

    Effects are given as functions of the new `op`.  `cause` defaults to the reason.  Services that
    are ordered to start get the whole critical service delay to come up, whatever was before.
    """
    op = node.newest_op + 1
    orders = tuple(effect(op) for effect in effects)
    lasting = node.lasting and not any(isinstance(order, StartServices) for order in orders)
    changed = replace(
        node,
        state=to,
        reason=reason,
        cause=cause or reason,
        op=op,
        stage=stage,
        lasting=lasting,
    )
    return Step(changed, orders)


ANSWERS = (
    ServicesStarted,
    ServicesStopped,
    UsersMoved,
    OperationFailed,
    StayExpired,
    FallbackDue,
)
"""Events that belong to one operation and mean nothing to the next."""


def observe(node: Node, event: Event) -> Node:
    """The node with the facts that the event brings, whatever is decided on them."""
    match event:
        case PeerHeard(report):
            # Of two that took over with the same op, one has to see that the other knows of it.
            later = report.op > node.op or (report.op == node.op and node.first)
            knows_us = report.hears_us and later
            serves_nobody = report.state in AWAY and report.op > node.op
            return replace(
                node,
                contact=Contact.HEARD,
                contact_before=node.contact,
                apart=node.apart and not (knows_us or serves_nobody),
                peer=report,
            )
        case PeerDown():
            return replace(node, contact=Contact.SILENT, apart=True)
        case PeerLeft():
            return replace(node, contact=Contact.LEFT, apart=True)
        case HealthChanged(health, lasting):
            return replace(node, health=health, lasting=lasting)
        case PlacementSeen(op):
            return replace(node, placed_op=max(node.placed_op, op))
        case _:
            return node


class Table:
    """The complete rules: a row for every state and event."""

    def __init__(self, rules: Mapping[State, tuple[Row, ...]]) -> None:
        """Raises TypeError when a pair is missing or answered twice, naming all of them."""
        self.cells: dict[tuple[State, type[Event]], Row] = {}
        wrong = []
        for state, rows in rules.items():
            for row in rows:
                if (state, row.event) in self.cells:
                    wrong.append(f"{state.name} answers {row.event.__name__} twice")
                self.cells[state, row.event] = row
        wrong += [
            f"{state.name} does not answer {event.__name__}"
            for state in OWN_STATES
            for event in EVENTS
            if (state, event) not in self.cells
        ]
        if wrong:
            raise TypeError("the transition table is not total: " + "; ".join(wrong))

    def step(self, node: Node, event: Event) -> Step:
        """Decide what the event does to the node."""
        if isinstance(event, ANSWERS) and event.op != node.op:
            return Step(node, why="an answer to a withdrawn order changes nothing")
        if isinstance(event, PeerHeard) and not event.beat and node.contact is not Contact.HEARD:
            return Step(node, why="only heartbeats prove life")
        row = self.cells[node.state, type(event)]
        step = row.decide(observe(node, event), event)
        assert step.node.state is node.state or step.node.state in row.may_lead_to, (
            f"{row.name} led from {node.state.name} to {step.node.state.name}, undeclared"
        )
        return replace(step, why=row.why, rule=row.name)


@dataclass(frozen=True, slots=True)
class Ready:
    """The order in which a driver carries out a step: save, tell, arm, act.

    Save before you speak: when `save` is set the new state is durable before the peer is told of it
    and before any effect starts.
    """

    save: bool
    tell: bool
    arm: frozenset[Timer]
    """Timers to start now, under the new `op`."""
    disarm: frozenset[Timer]
    act: tuple[Effect, ...]


def ready(before: Node, step: Step) -> Ready:
    """What a driver does about a step, made once here so that all drivers do the same."""
    after = step.node
    was, now = timers(before), timers(after)
    renewed = before.op != after.op
    return Ready(
        save=_memory(before) != _memory(after),
        tell=(before.op, before.stage, before.ha_stamp) != (after.op, after.stage, after.ha_stamp),
        arm=now if renewed else now - was,
        disarm=was if renewed else was - now,
        act=step.effects,
    )


def _memory(node: Node) -> tuple[State, Reason, Reason, int, bool, int]:
    """The part of a node that must survive a restart."""
    return (node.state, node.reason, node.cause, node.op, node.ha, node.ha_stamp)
