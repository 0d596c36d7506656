"""What a node says of itself in a heartbeat, besides the state of its machine."""

from __future__ import annotations

from collections.abc import Iterable

from srmd.config import Config
from srmd.core.node import Node
from srmd.core.services import ServiceState, ServiceStatus
from srmd.node.identity import Number
from srmd.node.users import Picture
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, Summary, cut_services


def summary_of(
    config: Config,
    picture: Picture,
    services: Iterable[ServiceStatus],
    *,
    served: int,
    database_ok: bool,
) -> Summary:
    return Summary(
        assigned=picture.assigned_to(config.node.id),
        served=served,
        services_down=cut_services(down_services(config, services)),
        database=database_ok,
        db_id=picture.db_id,
        users_revision=picture.revision,
        placement_op=picture.placement_op,
        relogin=relogin_of(config),
    )


def down_services(config: Config, services: Iterable[ServiceStatus]) -> tuple[str, ...]:
    """Critical services that are activated and do not run."""
    activated = {row.name for row in config.services.service if row.enabled}
    return tuple(
        status.name
        for status in services
        if status.critical and status.name in activated and status.state is not ServiceState.STARTED
    )


def heartbeat_of(
    config: Config,
    memory: NodeMemory,
    spoken: Node,
    summary: Summary,
    *,
    seq: int,
    acknowledged: Number,
    leaving: bool,
) -> Heartbeat:
    return Heartbeat(
        sender=config.node.id,
        group=config.group.name,
        boot_id=memory.boot_id,
        incarnation=memory.incarnation,
        seq=seq,
        leaving=leaving,
        hears_incarnation=acknowledged[0],
        hears_seq=acknowledged[1],
        report=spoken.report(),
        summary=summary,
    )


def relogin_of(config: Config) -> tuple[int, int]:
    """Client Re-Login Lower and Upper Limit, in seconds."""
    return (int(config.relogin.lower_limit_s), int(config.relogin.upper_limit_s))
