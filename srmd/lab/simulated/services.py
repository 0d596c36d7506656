"""The services of a simulated node: nothing runs, but starts and stops take their time.

As `daemon.service`: orders end in STARTED or STOPPED, the last one wins, and nobody restarts a
service that has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from srmd.config import ServiceConfig, ServicesConfig
from srmd.core.services import (
    COMMANDED_OUT_OF_SERVICE,
    DATABASE_SERVICE,
    ServiceState,
    ServiceStatus,
)
from srmd.lab.simulated.flows import Flow, Outcome, Work, WorkFailed
from srmd.lab.simulated.moments import Life

FAILURES_MIN = 2
"""Failed health checks before a service counts as hung, as `daemon.service`."""
BLOCKED = "exited with code 78: it is blocked"
KILLED = "killed by signal 9"
WITHDRAWN = "its start was withdrawn"


class StartFailed(WorkFailed):
    """A critical service does not run."""


class NotRunning(WorkFailed):
    """The order needs a running service."""


@dataclass(frozen=True, slots=True)
class ServiceCosts:
    """How long starts and stops take, in seconds."""

    start_s: float
    stop_s: float


class Service:
    """One service of one boot of a node."""

    def __init__(
        self,
        life: Life,
        status: ServiceStatus,
        config: ServicesConfig,
        row: ServiceConfig,
        *,
        costs: ServiceCosts,
        blocked: set[str],
        on_change: Callable[[], None],
    ) -> None:
        self.status = status
        self.enabled = row.enabled
        self._row = row
        self._life = life
        self._config = config
        self._costs = costs
        self._blocked = blocked
        self._on_change = on_change
        self._order: Outcome[None] = Outcome()
        self._order.succeed(None)
        self._wanted = False
        self._run = 0
        """Counts its processes: what was planned for one means nothing to the next."""
        self._withdrawn = 0
        """How often orders under way were withdrawn."""

    @property
    def started(self) -> bool:
        return self.status.state is ServiceState.STARTED

    def start(self) -> Work[None]:
        """Raises StartFailed."""
        name = self.status.name
        if not self.enabled:
            raise StartFailed(f"{name} did not start: it is not activated in the configuration")
        self._wanted = True
        order = yield from self._turn()
        note = ""
        if not self.started:
            self._become(ServiceState.STARTING)
            withdrawn = self._withdrawn
            yield min(self._costs.start_s, self._config.start_limit_s)
            note = WITHDRAWN if withdrawn != self._withdrawn else self._why_not()
            self._become(ServiceState.STOPPED if note else ServiceState.STARTED, note)
            self._run += 1
        order.succeed(None)
        if note:
            raise StartFailed(f"{name} did not start: {note}")

    def stop(self) -> Work[None]:
        self._wanted = False
        order = yield from self._turn()
        if self.status.state is ServiceState.STARTED:
            self._become(ServiceState.STOPPING)
            yield min(self._costs.stop_s, self._config.stop_limit_s)
        if self.enabled:
            self._become(ServiceState.STOPPED, COMMANDED_OUT_OF_SERVICE)
        order.succeed(None)

    def withdraw(self) -> None:
        """The order under way was withdrawn: a start is given up, a stop ends by force."""
        self._withdrawn += 1
        if self.status.state is ServiceState.STARTING:
            self._become(ServiceState.STOPPED, WITHDRAWN)
        elif self.status.state is ServiceState.STOPPING:
            self._become(ServiceState.STOPPED, COMMANDED_OUT_OF_SERVICE)

    def kill(self, note: str = KILLED) -> None:
        """Raises NotRunning."""
        self._must_run()
        self._become(ServiceState.STOPPED, note)

    def hang(self) -> None:
        """It answers no more; its health checks fail, and then it is killed.  A command without a
        health check hangs unnoticed.  Raises NotRunning."""
        self._must_run()
        if not self._row.is_asked:
            return
        run, interval_s = self._run, self._config.interval_s(self._row)
        limit_s = self._config.limit_s(self._row)
        failures_max = max(FAILURES_MIN, math.ceil(limit_s / interval_s))

        def give_up() -> None:
            if self.started and self._run == run:
                self.kill("not answering")

        self._life.after(failures_max * interval_s, give_up)

    def _turn(self) -> Work[Outcome[None]]:
        """Orders are carried out one after the other."""
        before, mine = self._order, Outcome[None]()
        self._order = mine
        yield before
        return mine

    def _why_not(self) -> str:
        """Why a start did not succeed; empty when it did."""
        if not self._wanted:
            return "a later order stopped it"
        if self.status.name in self._blocked:
            return BLOCKED
        if self._costs.start_s >= self._config.start_limit_s:
            return f"no answer within {self._config.start_limit_s:g} s"
        return ""

    def _must_run(self) -> None:
        if not self.started:
            raise NotRunning(
                f"service {self.status.name}: {self.status.state.value}, and only a running one can"
                " do this: start it first"
            )

    def _become(self, state: ServiceState, note: str = "") -> None:
        if (state, note) != (self.status.state, self.status.note):
            self.status = replace(self.status, state=state, note=note, since_s=self._life.now_s)
            self._on_change()


class Services:
    """All services of a node but the database."""

    def __init__(
        self,
        life: Life,
        config: ServicesConfig,
        costs: ServiceCosts,
        blocked: set[str],
        on_change: Callable[[], None],
    ) -> None:
        self._life = life
        self._services = {
            row.name: Service(
                life,
                ServiceStatus(
                    name=row.name,
                    state=ServiceState.STOPPED,
                    note="" if row.enabled else "not activated",
                    critical=row.critical,
                    since_s=life.now_s,
                ),
                config,
                row,
                costs=costs,
                blocked=blocked,
                on_change=on_change,
            )
            for row in config.service
            if row.name != DATABASE_SERVICE
        }

    def named(self, name: str) -> Service:
        return self._services[name]

    def statuses(self) -> tuple[ServiceStatus, ...]:
        return tuple(service.status for service in self._services.values())

    @property
    def critical_ok(self) -> bool:
        return all(service.started for service in self._critical())

    @property
    def critical_starting(self) -> bool:
        """Every critical one that does not run is being started."""
        coming = {ServiceState.STARTED, ServiceState.STARTING}
        return not self.critical_ok and all(
            service.status.state in coming for service in self._critical()
        )

    def start_all(self) -> Work[None]:
        """Every activated one; raises StartFailed for critical ones."""
        flows = [
            (service, self.flow(service.start()))
            for service in self._services.values()
            if service.enabled
        ]
        failed = []
        for service, flow in flows:
            try:
                yield flow
            except StartFailed as error:
                if service.status.critical:
                    failed.append(str(error))
        if failed:
            raise StartFailed("; ".join(failed))

    def stop_all(self) -> Work[None]:
        """Every activated critical one."""
        yield from [self.flow(service.stop()) for service in self._critical()]

    def withdraw(self) -> None:
        """SRM stops, and with it the orders that it gave."""
        for service in self._services.values():
            service.withdraw()

    def close(self) -> Work[None]:
        yield from [self.flow(service.stop()) for service in self._services.values()]

    def flow(self, work: Work[None]) -> Flow[None]:
        return Flow(self._life, work)

    def _critical(self) -> Iterable[Service]:
        return [
            service
            for service in self._services.values()
            if service.enabled and service.status.critical
        ]
