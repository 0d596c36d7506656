"""Playbooks: a conversation with one node, and a pair of nodes on a perfect link.

No time and no input or output: an order is answered when the story says so.  When an expectation
fails, the whole conversation is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from srmd.core.effects import Effect, MoveUsers, StartServices, StopServices
from srmd.core.events import (
    Booted,
    Event,
    HaSet,
    HealthChanged,
    OperationFailed,
    Order,
    PeerDown,
    PeerHeard,
    PeerLeft,
    Report,
    ServicesStarted,
    ServicesStopped,
    UsersMoved,
)
from srmd.core.machine import Step, ready
from srmd.core.node import Node, Policy
from srmd.core.states import Contact, Destination, Health, Reason, SplitBrain, Stage, Start, State
from srmd.core.transitions import step


def a_node(state: State, reason: Reason, *, peer: Report | None = None, **facts: object) -> Node:
    """A node at rest in a state, hearing its peer if a report is given."""
    contact = Contact.HEARD if peer is not None else Contact.NEVER
    known: dict[str, object] = {
        "state": state,
        "reason": reason,
        "cause": reason,
        "op": 10,
        "contact": contact,
        "contact_before": contact,
        "peer": peer,
    }
    known |= facts
    known.setdefault("apart", known["contact"] in {Contact.SILENT, Contact.LEFT})
    return Node(**known)  # type: ignore[arg-type]


def a_report(state: State, reason: Reason = Reason.NORMAL, op: int = 9, **facts: object) -> Report:
    return Report(state=state, reason=reason, op=op, **facts)  # type: ignore[arg-type]


DEFAULTS = Policy()


class Play:
    """A conversation with one node: `see` an event, expect where it leads and what it orders."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.said = [f"start: {node.state.name} / {node.reason.name}"]

    def see(
        self,
        event: Event,
        then: tuple[State, Reason] | None = None,
        do: Sequence[type[Effect] | Destination] | None = None,
        refused: bool = False,
        stage: Stage | None = None,
    ) -> Self:
        """`then` None: the state and reason stay.  `do`: the orders by type; a Destination stands
        for a move to it; None: not looked at."""
        was = (self.node.state, self.node.reason)
        result = step(self.node, event)
        self.node = result.node
        now = (self.node.state, self.node.reason)
        orders = [e.to if isinstance(e, MoveUsers) else type(e) for e in result.effects]
        self.said.append(
            f"{event}\n   -> {now[0].name} / {now[1].name}, {self.node.stage.name}, do {orders}"
            f", refusal {result.refusal!r} ({result.why})"
        )
        told = "\n".join(self.said)
        assert now == (then or was), f"expected {then or was}\n{told}"
        assert (result.refusal is not None) == refused, f"expected refused={refused}\n{told}"
        if do is not None:
            assert orders == list(do), f"expected orders {list(do)}\n{told}"
        if stage is not None:
            assert self.node.stage is stage, f"expected {stage}\n{told}"
        return self

    def answer(
        self, event: type[ServicesStarted | ServicesStopped | UsersMoved], **kw: object
    ) -> Self:
        """The present operation's answer."""
        return self.see(event(self.node.op), **kw)  # type: ignore[arg-type]


@dataclass
class Side:
    """One node of a `Pair` with a world of its own: services, database, a store that lasts."""

    name: str
    node: Node
    up: bool = True
    orders: list[Effect] = field(default_factory=list)
    services: bool = True
    broken: set[str] = field(default_factory=set)
    """"start": services will not start; "move": users cannot be moved; "slow": orders wait."""


class Pair:
    """Two nodes, every report delivered at once, until `cut`.

    `history` holds every pair of (state, reason) that was passed through, as a tuple (a, b).
    """

    def __init__(self, policy: Policy = DEFAULTS) -> None:
        self.a = Side("a", Node(first=True, policy=policy))
        self.b = Side("b", Node(first=False, policy=policy))
        self.broken_ways: set[tuple[str, str]] = set()
        self.history: list[tuple[tuple[State, Reason], tuple[State, Reason]]] = []
        self.log: list[str] = []

    def sides(self) -> tuple[Side, Side]:
        return self.a, self.b

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    @property
    def now(self) -> tuple[tuple[State, Reason], tuple[State, Reason]]:
        a, b = self.a.node, self.b.node
        return (a.state, a.reason), (b.state, b.reason)

    def start(self) -> Self:
        """Both SRMs start and find each other: row 1."""
        for side in self.sides():
            self.feed(side, Booted(Start.REBOOT))
        return self.run()

    def feed(self, side: Side, event: Event) -> Step:
        before = side.node
        result = step(before, event)
        side.node = result.node
        todo = ready(before, result)
        side.orders.extend(todo.act)
        if (before.state, before.reason) != (side.node.state, side.node.reason):
            self.history.append(self.now)
            self.log.append(f"{side.name}: {side.node.state.name} / {side.node.reason.name}")
        return result

    def request(self, side: Side, event: Event) -> Self:
        result = self.feed(side, event)
        assert result.refusal is None, f"{event} refused in {side.node.state.name}\n" + "\n".join(
            self.log
        )
        return self.run()

    def hear(self, listener: Side) -> bool:
        """The listener hears its peer's present report; True if that changed it."""
        speaker = self.other(listener)
        if not (speaker.up and listener.up) or (speaker.name, listener.name) in self.broken_ways:
            return False
        before = listener.node
        self.feed(listener, PeerHeard(speaker.node.report()))
        return before != listener.node

    def carry_out(self, side: Side) -> bool:
        """The oldest order of a side is carried out, and answered."""
        if not side.up or not side.orders or "slow" in side.broken:
            return False
        order = side.orders.pop(0)
        match order:
            case StartServices(op):
                fine = "start" not in side.broken
                if fine:
                    side.services = True
                    self.set_health(side, Health.OK)
                self.feed(
                    side, ServicesStarted(op) if fine else OperationFailed(op, Order.START_SERVICES)
                )
            case StopServices(op):
                side.services = False
                self.set_health(side, Health.SERVICE_DOWN, lasting=True)
                self.feed(side, ServicesStopped(op))
            case MoveUsers(op):
                fine = "move" not in side.broken
                self.feed(side, UsersMoved(op) if fine else OperationFailed(op, Order.MOVE_USERS))
        return True

    def set_health(self, side: Side, health: Health, lasting: bool = False) -> None:
        if (side.node.health, side.node.lasting) != (health, lasting):
            self.feed(side, HealthChanged(health, lasting))

    def run(self, rounds: int = 60) -> Self:
        """Deliver and carry out until nothing changes."""
        for _ in range(rounds):
            changed = [self.hear(side) for side in self.sides()]
            changed += [self.carry_out(side) for side in self.sides()]
            if not any(changed):
                return self
        raise AssertionError("the pair does not come to rest:\n" + "\n".join(self.log[-20:]))

    def break_service(self, side: Side, health: Health = Health.SERVICE_DOWN) -> Self:
        """A critical service (or the database) stays down for the delay."""
        self.set_health(side, health)
        self.set_health(side, health, lasting=True)
        return self.run()

    def repair(self, side: Side) -> Self:
        self.set_health(side, Health.OK)
        return self.run()

    def cut(self, from_: Side, to: Side) -> Self:
        self.broken_ways.add((from_.name, to.name))
        return self

    def heal(self) -> Self:
        self.broken_ways.clear()
        return self.run()

    def crash(self, side: Side) -> Self:
        side.up = False
        return self

    def miss(self, side: Side) -> Self:
        """The side's heartbeat timeout passes without its peer."""
        self.feed(side, PeerDown())
        return self.run()

    def leave(self, side: Side) -> Self:
        """The node of a side announces a reboot and goes down."""
        side.up = False
        self.feed(self.other(side), PeerLeft())
        return self.run()

    def back(self, side: Side, start: Start) -> Self:
        """SRM starts with what it had stored; the orders and answers of its past are lost."""
        kept = side.node
        side.up = True
        side.orders.clear()
        side.node = Node(
            state=kept.state,
            reason=kept.reason,
            cause=kept.cause,
            op=kept.op,
            ha=kept.ha,
            ha_stamp=kept.ha_stamp,
            first=kept.first,
            policy=kept.policy,
            health=kept.health,
            lasting=kept.lasting,
        )
        if start is Start.REBOOT:
            side.services = False
            side.node = replace(side.node, health=Health.SERVICE_DOWN, lasting=False)
        self.feed(side, Booted(start))
        return self.run()


__all__ = ["HaSet", "Pair", "Play", "Side", "SplitBrain", "a_node", "a_report"]
