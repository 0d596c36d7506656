"""The services of a node, all but the database: real processes, started, stopped and watched.

None outlives the daemon, however that ends: see `guard.py`.  What one service does is in
`service.py`; here is what concerns them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from srmd.core.services import DATABASE_SERVICE, ServiceState, ServiceStatus, UnknownService
from srmd.daemon.service import (
    Limits,
    NotRunning,
    OrderFailed,
    Service,
    ServiceSpec,
    StartFailed,
    StopFailed,
)

__all__ = [
    "Supervisor",
    "ServiceSpec",
    "Limits",
    "OrderFailed",
    "StartFailed",
    "StopFailed",
    "NotRunning",
    "UnknownService",
]


class Supervisor:
    """Runs the services of one node.  To be made, used and closed in one event loop.

    `on_change` is called with each new status; it must not raise.
    """

    def __init__(
        self,
        specs: Iterable[ServiceSpec],
        run_dir: Path,
        limits: Limits,
        on_change: Callable[[ServiceStatus], None],
    ) -> None:
        run_dir = run_dir.absolute()
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._run_dir = run_dir
        self._services: dict[str, Service] = {}
        self._closed = False
        slugs: dict[str, str] = {}
        for spec in specs:
            if spec.name == DATABASE_SERVICE:
                raise ValueError(f"service {spec.name}: the node runs it itself; leave it out")
            service = Service(spec, run_dir, limits, on_change)
            twin = slugs.setdefault(service.slug, spec.name)
            if spec.name in self._services or twin != spec.name:
                raise ValueError(
                    f"service {spec.name}: has the files ({service.slug}) of {twin}; rename one"
                )
            self._services[spec.name] = service

    def statuses(self) -> tuple[ServiceStatus, ...]:
        """All services, in the order of the configuration."""
        return tuple(service.status for service in self._services.values())

    @property
    def critical_ok(self) -> bool:
        """Every critical service that is activated runs and answers."""
        return all(service.started for service in self._activated() if service.spec.critical)

    @property
    def critical_starting(self) -> bool:
        """Every critical service that does not run is being started, within its limit."""
        coming = {ServiceState.STARTED, ServiceState.STARTING}
        critical = (service for service in self._activated() if service.spec.critical)
        return not self.critical_ok and all(one.status.state in coming for one in critical)

    def is_failed_over(self, name: str) -> bool:
        """A failover stops it, and a fallback starts it: it is critical and activated.

        Raises UnknownService.
        """
        spec = self._named(name).spec
        return spec.critical and spec.enabled

    async def start(self, name: str) -> None:
        """Start it, unless it runs, and wait until it answers.  Raises StartFailed."""
        if self._closed:
            raise StartFailed({name: "the supervisor is closed"})
        await self._named(name).start()

    async def stop(self, name: str) -> None:
        """Stop it and all that it started.  Raises StopFailed."""
        await self._named(name).stop()

    async def restart(self, name: str) -> None:
        await self.stop(name)
        await self.start(name)

    async def start_all(self) -> None:
        """Start every activated service; those that run stay as they are.

        Raises StartFailed for critical services only: what another one does shows in its status.
        """
        services = self._activated()
        failed = await _failed(self.start(service.spec.name) for service in services)
        critical = {name: note for name, note in failed.items() if self._named(name).spec.critical}
        if critical:
            raise StartFailed(critical, self._run_dir)

    async def stop_all(self) -> None:
        """Stop every activated critical service; the others serve on.  Raises StopFailed."""
        critical = [service for service in self._activated() if service.spec.critical]
        failed = await _failed(service.stop() for service in critical)
        if failed:
            raise StopFailed(failed)

    async def kill(self, name: str) -> None:
        """Let it crash (SIGKILL).  Raises NotRunning."""
        await self._named(name).kill()

    async def hang(self, name: str) -> None:
        """Let its process live and answer no more.  Raises NotRunning."""
        await self._named(name).hang()

    def notices_hangs(self, name: str) -> bool:
        """Its health is asked for."""
        return self._named(name).is_asked

    def block(self, name: str) -> None:
        """Let its starts fail from now on, over reboots too; if it runs, it runs on."""
        self._named(name).block()

    def unblock(self, name: str) -> None:
        self._named(name).unblock()

    async def close(self) -> None:
        """Stop everything for good; no start succeeds afterwards.  Raises StopFailed."""
        self._closed = True
        failed = await _failed(service.stop() for service in self._services.values())
        if failed:
            raise StopFailed(failed)

    def _activated(self) -> list[Service]:
        return [service for service in self._services.values() if service.spec.enabled]

    def _named(self, name: str) -> Service:
        try:
            return self._services[name]
        except KeyError:
            known = ", ".join(self._services)
            raise UnknownService(f"service {name}: unknown; this node has {known}") from None


async def _failed(orders: Iterable[Awaitable[None]]) -> dict[str, str]:
    """Carry out all orders at once, and say which services failed and why."""
    notes: dict[str, str] = {}
    for outcome in await asyncio.gather(*orders, return_exceptions=True):
        if isinstance(outcome, OrderFailed):
            notes |= outcome.notes
        elif outcome is not None:
            raise outcome
    return notes
