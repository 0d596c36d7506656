"""Everything that a scenario can have done to a pair, done in virtual time."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from typing import Final, assert_never

from srmd.config import Config
from srmd.lab.scenario.configured import NoSuchSetting, timers_of, with_setting
from srmd.lab.scenario.stage import VerbFailed, VerbRefused, must_be_off
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    AddUsers,
    Clone,
    Configure,
    DeleteDatabase,
    DropNext,
    FileAction,
    Heal,
    HoldUntilDeadline,
    KeepFiles,
    NetworkFault,
    NodeName,
    Operate,
    Power,
    PowerAction,
    PutClock,
    Recover,
    Service,
    SetFault,
    SetHa,
    SetKey,
    Srm,
    Verb,
)
from srmd.lab.simulated.flows import Flow, Outcome, TimeLimit, Work, WorkFailed
from srmd.lab.simulated.moments import Life
from srmd.lab.simulated.network import Broken
from srmd.lab.simulated.node import End, NotNow, ServerBoot, SimulatedNode
from srmd.lab.simulated.pair import KEYS, Pair, secret
from srmd.store.database import AssignmentMode, UserDatabaseError
from srmd.store.epochs import NEVER_OPENED
from srmd.store.memory import MemoryUserDatabase
from srmd.store.nodestate import NodeMemory
from srmd.wire.control import Action

API_LIMIT_S: Final = 60.0
"""How long a call to a node's API may take; a service may need its whole time to start."""
USED_UP_SLACK_S: Final = 2.0
"""Beyond the time in which so many heartbeats are sent."""
POLLS_PER_INTERVAL: Final = 64
GONE_POLL_S: Final = 2.0**-6
GONE_LIMIT_S: Final = 15.0


Asked = Callable[[ServerBoot], Work[None]]
"""What is asked of a node."""


class Operator:
    """Who does things to a pair: the administrator, and whoever breaks it."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._life = Life(pair.moments)
        self._added = itertools.count(1)
        self._memories: dict[NodeName, tuple[NodeMemory | None, str]] = {}
        self._databases: dict[NodeName, MemoryUserDatabase | None] = {}
        """Copies of what the nodes keep."""

    def begin(self, verb: Verb) -> Flow[None]:
        """Raises VerbFailed or VerbRefused by its result."""
        return Flow(self._life, self._do(verb))

    def lift(self, fault: NetworkFault) -> None:
        self._pair.network.lift(fault, self._timers)

    def heal(self) -> None:
        """All faults of the network end, and frozen nodes go on."""
        for node in self._pair.nodes.values():
            if node.frozen:
                node.thaw()
        self._pair.network.heal()

    @property
    def _timers(self) -> dict[str, float]:
        return timers_of(self._pair.a.config)

    def _do(self, verb: Verb) -> Work[None]:
        try:
            yield from self._carry_out(verb)
        except NotNow as refused:
            raise VerbRefused(str(refused)) from refused
        except NoSuchSetting as wrong:
            raise VerbFailed(str(wrong)) from wrong

    def _carry_out(self, verb: Verb) -> Work[None]:
        pair = self._pair
        match verb:
            case HoldUntilDeadline():
                yield from self._hold_until_deadline(verb)
            case DropNext():
                yield from self._drop_next(verb)
            case Heal():
                pair.network.heal(verb)
            case Operate(operation=operation, node=node, via=via):
                action, named = Action(operation.value), node.value
                yield from self._ask(via, lambda boot: _void(boot.act(action, named)))
            case Recover(via=via):
                named = via.value
                yield from self._ask(via, lambda boot: _void(boot.act(Action.RECOVER, named)))
            case SetHa(enabled=enabled, via=via):
                yield from self._ask(via, lambda boot: _void(boot.set_ha(enabled=enabled)))
            case AddUsers(count=count, via=via):
                prefix, mode = f"added{next(self._added)}-", AssignmentMode.BALANCED
                yield from self._ask(via, lambda boot: boot.add_users(count, mode, prefix))
            case Service(action=what, name=name, node=node):
                yield from self._ask(node, lambda boot: boot.service(name, what))
            case SetFault(fault=fault, node=node, active=active):
                yield from self._ask(node, lambda boot: boot.fault(fault, active=active))
            case Srm(action=order, node=node):
                yield from self._ask(node, lambda boot: boot.order_srm(order))
            case Power():
                yield from self._power(verb)
            case DeleteDatabase(node=node):
                pair.nodes[node].database.rows = None
                boot = pair.nodes[node].boot
                if boot is not None:
                    boot.database.look_soon()
            case KeepFiles():
                self._keep_files(verb)
            case Configure(key=key, value=value, node=node):
                machine = pair.nodes[node]
                machine.config = with_setting(machine.config, key, value)
            case Clone():
                self._clone(verb)
            case PutClock():
                pass  # no node looks at the time of day, here or elsewhere
            case SetKey(right=right, node=node):
                machine = pair.nodes[node]
                machine.config = _with_key(machine.config, pair.seed, right=right, node=node)
            case _:
                assert isinstance(verb, NETWORK_FAULTS), verb
                pair.network.do(verb, self._timers)

    def _ask(self, node: NodeName, work: Asked) -> Work[None]:
        """A call to the API of a node."""
        answer: Outcome[None] = Outcome()
        self._life.after(API_LIMIT_S, lambda: answer.fail(TimeLimit("no answer in time")))
        try:
            self._pair.nodes[node].asked(work, answer)
            yield answer
        except NotNow:
            raise
        except (Broken, TimeLimit) as failed:
            raise VerbFailed(f"node {node.value}: {failed}") from failed
        except (WorkFailed, UserDatabaseError) as refused:
            raise VerbRefused(f"node {node.value}: {refused}") from refused

    def _drop_next(self, fault: DropNext) -> Work[None]:
        """Done when all of them are dropped."""
        network, timers = self._pair.network, self._timers
        interval_s = timers["keep_alive_interval"]
        network.do(fault, timers)
        give_up_s = self._pair.now_s + (fault.count + 1) * interval_s + USED_UP_SLACK_S
        while network.left_to_drop(fault, timers):
            if self._pair.now_s >= give_up_s:
                network.lift(fault, timers)
                raise VerbFailed(f"{fault.count} heartbeats did not come in time")
            yield interval_s / POLLS_PER_INTERVAL
        network.lift(fault, timers)

    def _hold_until_deadline(self, fault: HoldUntilDeadline) -> Work[None]:
        """Done an interval after the deadline: the receiver has decided.

        What was held is let go so that it arrives at the deadline itself, and counts (R13).
        """
        pair, timers = self._pair, self._timers
        pair.network.do(fault, timers)
        boot = pair.nodes[fault.direction.receiver].boot
        deadline_s = None if boot is None or boot.srm is None else boot.srm.beats.deadline_s
        if deadline_s is None:
            pair.network.lift(fault, timers)
            raise VerbFailed("no deadline runs: the receiver counts its peer as down already")
        yield max(0.0, deadline_s - pair.costs.latency_s - pair.now_s)
        pair.network.lift(fault, timers)
        yield timers["keep_alive_interval"]

    def _power(self, verb: Power) -> Work[None]:
        node, name = self._pair.nodes[verb.node], verb.node.value
        if node.runs is (verb.action is PowerAction.START):
            raise VerbFailed(f"node {name} {'runs already' if node.runs else 'does not run'}")
        match verb.action:
            case PowerAction.REBOOT:
                yield from self._ask(verb.node, lambda boot: boot.power(End.REBOOT))
            case PowerAction.SHUTDOWN:
                yield from self._ask(verb.node, lambda boot: boot.power(End.SHUTDOWN))
                yield from self._wait_gone(verb.node)
            case PowerAction.KILL:
                node.kill()
            case PowerAction.TERMINATE:
                node.terminate()
                yield from self._wait_gone(verb.node)
            case PowerAction.START:
                node.start()
                while node.boot is None and node.runs:
                    yield GONE_POLL_S
            case PowerAction.FREEZE:
                node.freeze()
            case PowerAction.THAW:
                node.thaw()
            case _:
                assert_never(verb.action)

    def _clone(self, verb: Clone) -> None:
        original = verb.node if verb.active else verb.node.other
        me, peer = original.value, original.other.value
        machine = self._pair.nodes[verb.node.other]
        machine.config = dataclasses.replace(
            machine.config,
            node=dataclasses.replace(machine.config.node, id=me),
            peer=dataclasses.replace(machine.config.peer, id=peer),
        )

    def _keep_files(self, verb: KeepFiles) -> None:
        name, what = verb.node, verb.what
        node = self._pair.nodes[name]
        if verb.needs_node_off and node.runs:
            raise VerbFailed(must_be_off(verb))
        match verb.action:
            case FileAction.LOSE:
                if what.memory:
                    node.memory, node.database.epoch = None, NEVER_OPENED
                if what.database:
                    node.database.rows = None
            case FileAction.COPY:
                if what.memory:
                    self._memories[name] = (node.memory, node.database.epoch)
                if what.database:
                    self._databases[name] = copy.deepcopy(node.database.rows)
            case FileAction.RESTORE:
                needed = (self._memories,) * what.memory + (self._databases,) * what.database
                if not all(name in copies for copies in needed):
                    raise VerbFailed(f"no copy of the {what.value} was made")
                if what.memory:
                    node.memory, node.database.epoch = self._memories[name]
                if what.database:
                    self._put_back(node, copy.deepcopy(self._databases[name]))
            case _:
                assert_never(verb.action)

    def _put_back(self, node: SimulatedNode, kept: MemoryUserDatabase | None) -> None:
        """Into the database that is there: a node that runs does not see that it is another."""
        if kept is None or node.database.rows is None:
            node.database.rows = kept
        else:
            node.database.rows.put_back(kept)
        if node.boot is not None:
            node.boot.database.look_soon()

    def _wait_gone(self, name: NodeName) -> Work[None]:
        give_up_s = self._pair.now_s + GONE_LIMIT_S
        while self._pair.nodes[name].runs:
            if self._pair.now_s >= give_up_s:
                raise VerbFailed(f"node {name.value} does not end within {GONE_LIMIT_S:g} s")
            yield GONE_POLL_S


def _void(work: Work[int]) -> Work[None]:
    yield from work


def _with_key(config: Config, seed: int, *, right: bool, node: NodeName) -> Config:
    """What stands in the file of key k1."""
    name = KEYS[0]
    held = secret(seed, name) if right else secret(seed, name, "wrong", node.value)
    keys = {**config.auth.keys, name: held}
    return dataclasses.replace(config, auth=dataclasses.replace(config.auth, keys=keys))
