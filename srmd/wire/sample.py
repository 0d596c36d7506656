"""A heartbeat as a busy pair sends it, for benchmarks and tests."""

from __future__ import annotations

from srmd.core.events import Report
from srmd.core.states import Health, Reason, State
from srmd.wire.heartbeat import Heartbeat, Summary


def sample_heartbeat(seq: int = 1, *, sender: str = "a", group: str = "group-1") -> Heartbeat:
    """Number `seq` of a node in backup mode, with two services down and 25,000 users."""
    return Heartbeat(
        sender=sender,
        group=group,
        boot_id="0b7c3d1e-8f52-4a7e-9b60-5d2f1c4e7a90",
        incarnation=7,
        seq=seq,
        leaving=False,
        hears_incarnation=5,
        hears_seq=4711,
        report=Report(
            state=State.BACKUP,
            reason=Reason.CRITICAL_SERVICE_DOWN,
            op=42,
            health=Health.SERVICE_DOWN,
            ha_stamp=3,
        ),
        summary=Summary(
            assigned=12_500,
            served=25_000,
            services_down=("Cisco XCP Router", "Cisco Presence Engine"),
            database=True,
            db_id="4d0f9a62-13c5-4b8e-a7d1-6e2b90c8f354",
            users_revision=25_017,
            placement_op=42,
            relogin=(120, 537),
        ),
    )
