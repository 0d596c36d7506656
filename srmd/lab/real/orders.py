"""What can be asked of a node over its API: services, faults, SRM, power, administration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final, assert_never

from srmd.client import Client, ClientError, Rejected
from srmd.lab.pair import LabError
from srmd.lab.scenario.stage import VerbFailed, VerbRefused
from srmd.lab.scenario.verbs import (
    AddUsers,
    AdminVerb,
    NodeName,
    Operate,
    Recover,
    Service,
    SetFault,
    SetHa,
    Srm,
)

ApiVerb = AdminVerb | Service | SetFault | Srm
"""What the API alone can do."""
API_VERBS: Final[tuple[type[ApiVerb], ...]] = (
    Operate,
    Recover,
    SetHa,
    AddUsers,
    Service,
    SetFault,
    Srm,
)

_added = itertools.count(1)


def order(verb: ApiVerb, clients: Mapping[NodeName, Client], ids: Mapping[NodeName, str]) -> None:
    """Returns when the node has answered.  Raises ClientError."""
    match verb:
        case Operate(operation=operation, node=node, via=via):
            clients[via].act(operation.value, ids[node])
        case Recover(via=via):
            clients[via].act("recover")
        case SetHa(enabled=enabled, via=via):
            clients[via].set_ha(enabled)
        case AddUsers(count=count, via=via):
            clients[via].generate_users(count, "balanced", f"added{next(_added)}-")
        case Service(action=action, name=name, node=node):
            clients[node].service(name, action.value)
        case SetFault(fault=fault, node=node, active=active):
            clients[node].set_fault(fault.value, active)
        case Srm(action=action, node=node):
            clients[node].srm(action.value)
        case _:
            assert_never(verb)


@dataclass(frozen=True, slots=True)
class Underway:
    """Work in another thread: looking goes on meanwhile."""

    future: Future[None]

    def done(self) -> bool:
        """Raises VerbRefused, VerbFailed, or what the work raises of the stage's own errors."""
        if not self.future.done():
            return False
        try:
            self.future.result()
        except Rejected as refused:
            raise VerbRefused(str(refused)) from refused
        except (ClientError, LabError) as failed:
            raise VerbFailed(str(failed)) from failed
        return True


def begun(executor: Executor, work: Callable[[], None]) -> Underway:
    return Underway(executor.submit(work))
