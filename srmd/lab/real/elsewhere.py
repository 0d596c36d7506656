"""A pair that runs already, somewhere: what its API allows can be played there.

With proxies between the nodes, named as ours are, faults of the network can be played there too;
with the containers that the nodes are, power as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from srmd.client import Client, ClientError
from srmd.lab.real.containers import Containers
from srmd.lab.real.deadline import hold_until_deadline
from srmd.lab.real.looking import Looking, watching
from srmd.lab.real.network import Network
from srmd.lab.real.orders import API_VERBS, Underway, begun, order
from srmd.lab.scenario.reading import WITHIN
from srmd.lab.scenario.running import AT_HOME, missing
from srmd.lab.scenario.stage import Look, NotHome, StageBroken, VerbFailed
from srmd.lab.scenario.story import Group, Settings
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    Heal,
    HoldUntilDeadline,
    NodeName,
    Power,
    PowerAction,
    Verb,
)

BY_API = (PowerAction.REBOOT,)
"""A node that is off has no API to be started by."""
NO_PROXIES = "a pair elsewhere: the proxies between its nodes are not known (--faults)"


class ElsewhereStage:
    """Two nodes by their addresses.  Nothing is configured there."""

    name = "elsewhere"

    def __init__(
        self,
        clients: Mapping[NodeName, Client],
        timers: Mapping[str, float],
        network: Network | None = None,
        containers: Containers | None = None,
    ) -> None:
        """Raises StageBroken: both nodes have to answer, and to be a pair; so have the proxies.

        Containers that do not run are started.
        """
        self._clients = clients
        self._timers = timers
        self._network = network
        self._containers = containers
        if containers is not None:
            containers.all_run()
        self._ids = self._asked_ids()
        if network is not None:
            network.find()
        watchers = {node: watching(client) for node, client in clients.items()}
        self._looking = Looking(watchers, self._ids)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-verb")

    def __enter__(self) -> Self:
        """Raises StageBroken, NotHome: then nothing can be played."""
        try:
            self._ready()
        except StageBroken:
            self._executor.shutdown(cancel_futures=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    @property
    def timers(self) -> Mapping[str, float]:
        return self._timers

    def unfit(self, settings: Settings) -> str | None:
        if settings.timers or settings.group != Group():
            return "the settings of a pair elsewhere are not changed from here"
        return None

    def prepare(self, settings: Settings) -> None:
        """Users are made where there are none; those that are there are kept.

        Nothing but healing is done to bring the pair home, because it is not ours.
        """
        self._ready()
        try:
            client = self._clients[NodeName.A]
            assigned = client.status()["users"]["assigned"].values()
            if None in assigned:
                raise StageBroken(f"{client.url} has not opened its database: see srmd status")
            if not sum(assigned):
                client.generate_users(settings.users.count, settings.users.mode.value, "user")
        except ClientError as failed:
            raise StageBroken(str(failed)) from failed

    def _ready(self) -> None:
        """Faults that an interrupted run has left are healed.  Raises StageBroken, NotHome."""
        self.heal()
        if self._containers is not None:
            self._containers.all_run()
        self._wait_home()

    def _wait_home(self) -> None:
        """A state that passes may do so.  Raises NotHome, at once where an action is needed."""
        give_up_s = self.now_s() + WITHIN.seconds(self._timers)
        while missing(AT_HOME, look := self.look()):
            way = self._way_home()
            if way is None and self.now_s() < give_up_s:
                continue
            first = "see `srmd explain`" if way is None else f"`{way}`"
            raise NotHome(
                f"the pair is not at home, where every play begins ({look}): "
                f"bring the pair home first ({first}), then run this again"
            )

    def _way_home(self) -> str | None:
        """The command that brings the pair home, as a node offers it; None when none does."""
        for client in self._clients.values():
            try:
                offered = client.status()["actions"]
            except ClientError:
                continue
            for action, node in ((one["action"], one["node"]) for one in offered):
                if action == "fallback":
                    return f"srmd fallback {node}"
                if action == "recover":
                    return "srmd recover"
        return None

    def evidence(self) -> dict[str, str]:
        """Their logs are on their machines."""
        return {}

    def cannot(self, verb: Verb) -> str | None:
        if isinstance(verb, (*API_VERBS, Heal)):
            return None
        if isinstance(verb, NETWORK_FAULTS):
            return None if self._network is not None else NO_PROXIES
        if isinstance(verb, Power) and (verb.action in BY_API or self._containers is not None):
            return None
        return f"a pair elsewhere: {type(verb).__name__} cannot be done over its API"

    def now_s(self) -> float:
        return time.monotonic()

    def look(self) -> Look:
        return self._looking.look(() if self._containers is None else self._containers.silent)

    def begin(self, verb: Verb) -> Underway:
        return begun(self._executor, lambda: self._do(verb))

    def lift(self, verb: Verb) -> Underway:
        network = self._network
        assert network is not None, f"{verb} was never done here"
        assert isinstance(verb, NETWORK_FAULTS), verb
        return begun(self._executor, lambda: network.lift(verb, self._timers))

    def heal(self) -> None:
        if self._containers is not None:
            self._containers.thaw_all()
        if self._network is not None:
            self._network.heal()

    def _do(self, verb: Verb) -> None:
        network = self._network
        if isinstance(verb, API_VERBS):
            order(verb, self._clients, self._ids)
        elif isinstance(verb, HoldUntilDeadline) and network is not None:
            receiver = self._clients[verb.direction.receiver]
            hold_until_deadline(network, verb, self._timers, receiver)
        elif isinstance(verb, NETWORK_FAULTS) and network is not None:
            network.do(verb, self._timers)
        elif isinstance(verb, Heal) and network is not None:
            network.heal(verb)
        elif isinstance(verb, Power) and self._containers is not None:
            self._containers.do(verb.action, verb.node)
        elif isinstance(verb, Power):
            self._clients[verb.node].power(verb.action.value)
        elif not isinstance(verb, Heal):
            raise VerbFailed(self.cannot(verb) or "")

    def _asked_ids(self) -> dict[NodeName, str]:
        try:
            answers = {node: client.status() for node, client in self._clients.items()}
        except ClientError as failed:
            raise StageBroken(str(failed)) from failed
        ids = {node: str(answer["local"]["node"]) for node, answer in answers.items()}
        peers = {node.other: str(answer["peer"]["node"]) for node, answer in answers.items()}
        if ids != peers:
            raise StageBroken(f"{ids[NodeName.A]} and {ids[NodeName.B]} are not a pair: {peers}")
        return ids
