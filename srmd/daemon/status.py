"""What an operator sees: one picture of the pair as this node knows it.

States and reasons are shown with Cisco's names; the numbers are those of the counter `SRMState`.
What is not known (the users that a silent peer serves, or those of a database that has not been
opened since the node started) is null, not guessed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from srmd import __version__
from srmd.core import handbook
from srmd.core.services import SRM_SERVICE, ServiceState, ServiceStatus
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import MISMATCHES, REASONS, display
from srmd.node.commands import offers, shown_peer
from srmd.node.hints import (
    Hint,
    Outage,
    advice,
    certificate_hint,
    control_hint,
    databases_hint,
    hints,
    is_suspect,
    outage,
    peer_outage,
    replication_hint,
)
from srmd.node.saying import down_services
from srmd.store import disk

if TYPE_CHECKING:
    from srmd.daemon.node import ServerNode
    from srmd.node.users import Picture


def status(node: ServerNode) -> dict[str, Any]:
    """The answer to `GET /api/v1/status` and `srmd status --json`."""
    srm = node.srm
    machine = node.shown
    stopped = node.srm_state is ServiceState.STOPPED
    mine = (State.UNKNOWN, Reason.UNKNOWN) if stopped else (machine.state, machine.reason)
    theirs = shown_peer(machine, srm.mismatch) if srm is not None else None
    match = handbook.Match(handbook.SRM_STOPPED, "both") if stopped else handbook.find(mine, theirs)
    me, other = node.config.node.id, node.config.peer.id
    outages = _outages(node)
    notices = _notices(node, *outages)
    mismatch = srm.mismatch if srm is not None else None
    cause, action = advice(
        match.row, match.cause(me, other), match.action(me, other), mismatch, notices
    )
    return {
        "group": node.config.group.name,
        "ha_enabled": machine.ha,
        "srm": node.srm_state.value,
        "local": {
            "node": me,
            **half(*mine),
            "version": __version__,
            "since": node.since,
            "op": machine.op,
            "outage": _outage(outages[0]),
            "stage": machine.stage.value,
            "boot_id": node.memory.boot_id,
            "incarnation": node.memory.incarnation,
        },
        "peer": {**_peer(node), "outage": _outage(outages[1])},
        "services": services(node),
        "database": {
            "state": node.database.status.state.value,
            "note": node.database.status.note,
            **_content(node.database.picture),
            **_agreement(node),
        },
        "memory": _memory(node),
        "users": _users(node),
        "handbook": {
            "row": match.row.n,
            "key": match.row.key,
            "i_am": match.i_am,
            "stable": match.row.stable,
            "cause": {"en": cause.en, "ja": cause.ja},
            "action": {"en": action.en, "ja": action.ja},
        },
        "actions": actions(node),
        "mismatch": mismatch.en if mismatch is not None else None,
        "mismatch_ja": mismatch.ja if mismatch is not None else None,
        "notices": [{"key": one.key, "en": one.text.en, "ja": one.text.ja} for one in notices],
        "tls": node.tls.status(time.time()),
        "faults": node.database.faults,
        "counters": _counters(node),
        "process": {"tasks": len(asyncio.all_tasks())},
    }


def _outages(node: ServerNode) -> tuple[Outage | None, Outage | None]:
    """Outages of this node and of its peer: users that they have to serve and cannot."""
    srm, machine, picture = node.srm, node.shown, node.database.picture
    if srm is None:
        return None, None
    ours = outage(
        machine,
        picture,
        node.config.node.id,
        services=down_services(node.config, node.supervisor.statuses()),
        database_ok=node.database.ok,
        left_s=srm.critical_delay_left_s,
    )
    if srm.mismatch is not None:
        return ours, None
    last = srm.heartbeat.beats.last
    summary = last.summary if last is not None else None
    return ours, peer_outage(machine, picture, node.config.peer.id, summary)


def _outage(found: Outage | None) -> dict[str, Any] | None:
    if found is None:
        return None
    left_s = found.left_s
    return {
        "services": list(found.services),
        "unserved": found.unserved,
        "critical_service_delay_left_s": None if left_s is None else round(left_s, 3),
    }


def _notices(node: ServerNode, ours: Outage | None, theirs: Outage | None) -> list[Hint]:
    """All that an operator should know besides the row.  The mismatch is not told twice."""
    srm, unsaved = node.srm, node.saving.notice(node.config.node.id)
    me, peer = node.config.node.id, node.config.peer.id
    found: list[Hint] = []
    if srm is not None:
        presence = srm.heartbeat.presence()
        found += hints(
            node.shown,
            presence,
            me=me,
            peer=peer,
            ours=ours,
            theirs=theirs,
            displaced_count=srm.displaced_count,
        )
        mistakes = srm.heartbeat.beats.notices(time.monotonic())
        found += [Hint(key, text) for key, text in mistakes.items() if text != srm.mismatch]
        failed, ago_s = srm.peer.unanswered, srm.peer.called_ago_s
        if failed is not None and failed.stale:
            found.append(Hint("known_newer", MISMATCHES["known_newer"].naming(me=me, peer=peer)))
        elif failed is not None and ago_s is not None:
            found.append(control_hint(failed.why, failed.kind, ago_s, me=me, peer=peer))
        agreement = srm.peer.agreement
        if presence.heard and agreement.agrees is False and agreement.theirs is not None:
            counts = node.database.picture.content.users_count, agreement.theirs.users_count
            found.append(databases_hint(*counts, me=me, peer=peer))
        unread, interval_s = _unread(node), node.config.heartbeat.keep_alive_interval_s
        if unread is not None:
            behind = replication_hint(*unread, interval_s, me=me, peer=peer)
            found += [] if behind is None else [behind]
    for one in (node.tls.status(time.time()) or {}).get("certificates", ()):
        ends = certificate_hint(one["whose"], one["at"], one["days_left"], me=me, peer=peer)
        found += [] if ends is None else [ends]
    return [*found, *([] if unsaved is None else [Hint("not_durable", unsaved)])]


def half(state: State, reason: Reason) -> dict[str, Any]:
    """One node's state and reason, as they are shown."""
    return {
        "state": display(state, reason).en,
        "srm_state": int(state),
        "reason": REASONS[reason].en,
        "reason_id": reason.value,
    }


def _peer(node: ServerNode) -> dict[str, Any]:
    srm, machine = node.srm, node.shown
    shown = shown_peer(machine, srm.mismatch) if srm is not None else None
    lost = srm is not None and machine.contact in {Contact.SILENT, Contact.LEFT}
    silent = (State.DOWN if lost else State.UNKNOWN, Reason.UNKNOWN)
    presence = srm.heartbeat.presence() if srm is not None else None
    last = srm.heartbeat.beats.last if srm is not None else None
    return {
        "node": node.config.peer.id,
        "version": srm.peer.version if srm is not None else None,
        **half(*(shown or silent)),
        "since": srm.peer_since if srm is not None and shown is not None else None,
        "op": machine.peer.op if machine.peer is not None else None,
        "heard": presence is not None and presence.heard,
        "silent_s": None if presence is None else round(presence.silent_s, 3),
        "suspect": machine.contact is Contact.HEARD
        and presence is not None
        and is_suspect(presence),
        "beats_missed": None if presence is None else presence.beats_missed,
        "seconds_to_peer_down": None
        if presence is None or presence.seconds_to_peer_down is None
        else round(presence.seconds_to_peer_down, 3),
        "hears_us": shown is not None and machine.peer is not None and machine.peer.hears_us,
        "control_reachable": srm.peer.is_reachable if srm is not None else None,
        "control_error": srm.peer.why_unreachable if srm is not None else "",
        "control_error_ja": srm.peer.unanswered.why.ja
        if srm is not None and srm.peer.unanswered is not None
        else "",
        "control_called_ago_s": round(srm.peer.called_ago_s, 3)
        if srm is not None and srm.peer.called_ago_s is not None
        else None,
        "boot_id": last.boot_id if last is not None else None,
        "incarnation": last.incarnation if last is not None else None,
        "services_down": list(last.summary.services_down) if last is not None and shown else [],
        "database": last.summary.database if last is not None and shown else None,
    }


def services(node: ServerNode) -> list[dict[str, Any]]:
    """All services of the node: the database, the critical ones, and SRM itself."""
    rows = [_service(node.database.status), *map(_service, node.supervisor.statuses())]
    rows.append(
        {
            "name": SRM_SERVICE,
            "state": node.srm_state.value,
            "note": node.srm_note if node.srm_state is ServiceState.STOPPED else "",
            "critical": False,
            "pid": None,
        }
    )
    return rows


def _service(status: ServiceStatus) -> dict[str, Any]:
    return {
        "name": status.name,
        "state": status.state.value,
        "note": status.note,
        "critical": status.critical,
        "pid": status.pid,
    }


def _content(picture: Picture) -> dict[str, Any]:
    known = picture.is_known
    return {
        "db_id": picture.db_id if known else None,
        "users_revision": picture.revision if known else None,
        "placement_op": picture.placement_op if known else None,
        "users_count": picture.content.users_count if known else None,
        "digest": f"{picture.content.digest:016x}" if known else None,
    }


def _memory(node: ServerNode) -> dict[str, Any]:
    """The memory is durable, so a restart begins from the state that is shown; or its fault."""
    failure = node.saving.failure
    fault = disk.fault_of(failure) if failure is not None else None
    return {
        "durable": failure is None,
        "fault": fault.value if fault is not None else None,
    }


def _agreement(node: ServerNode) -> dict[str, Any]:
    """The result of the comparison with the peer's database."""
    srm = node.srm
    heard = srm is not None and srm.heartbeat.presence().heard
    agreement = srm.peer.agreement if srm is not None and heard else None
    theirs = agreement.theirs if agreement is not None else None
    unread = _unread(node)
    return {
        "peer_unread": unread[0] if unread is not None else None,
        "peer_unread_s": round(unread[1], 3) if unread is not None and unread[0] else None,
        "agrees_with_peer": agreement.agrees if agreement is not None else None,
        "peer_users_count": theirs.users_count if theirs is not None else None,
    }


def _unread(node: ServerNode) -> tuple[int, float] | None:
    """Changes of our users that the peer has not read, and for how long; None: not known.

    What it has read shows only in what it asks for; where both databases are known to be equal, it
    has all by other ways.
    """
    srm = node.srm
    if srm is None or not srm.heartbeat.presence().heard or not node.database.picture.is_known:
        return None
    reading = srm.peer.reading
    if reading.since_s is None or srm.peer.agreement.agrees:
        return 0, 0.0
    return reading.unread_count, time.monotonic() - reading.since_s


def _users(node: ServerNode) -> dict[str, Any]:
    picture = node.database.picture
    known = picture.is_known
    nodes = sorted((node.config.node.id, node.config.peer.id))
    me = node.config.node.id
    served_there = None
    if node.srm is not None and node.srm.heartbeat.presence().heard:
        last, peer = node.srm.heartbeat.beats.last, node.machine.peer
        # The control channel may have told a newer state than the beat that has the number.
        same = last is not None and peer is not None and last.report.op == peer.op
        served_there = last.summary.served if last is not None and same else None
    return {
        "assigned": {home: picture.assigned_to(home) if known else None for home in nodes},
        "served": {name: node.served_count() if name == me else served_there for name in nodes},
        "unassigned": picture.unassigned if known else None,
        "placement": {home: picture.serving_of(home) if known else None for home in nodes},
    }


def actions(node: ServerNode) -> list[dict[str, str]]:
    """The administrator's actions that are possible now, each with the node it names."""
    if node.srm is None or not node.srm.may_speak:
        return []
    me, other = node.config.node.id, node.config.peer.id
    return [
        {"action": offer.command, "node": me if offer.here else other}
        for offer in offers(node.shown)
    ]


def _counters(node: ServerNode) -> dict[str, Any]:
    srm = node.srm
    return {
        "heartbeats_sent": srm.heartbeat.sent_count if srm else 0,
        "heartbeats_late": srm.heartbeat.punctuality.counts() if srm else {},
        "heartbeats_latest_s": round(srm.heartbeat.punctuality.latest_s, 6) if srm else 0.0,
        "heartbeats_received": srm.heartbeat.beats.received_count if srm else 0,
        "heartbeats_rejected": dict(srm.heartbeat.beats.rejected) if srm else {},
        "control_rejected": dict(node.control_rejected),
        "send_error": srm.heartbeat.send_error if srm else None,
        "transitions": node.transition_count,
        "log_dropped": node.log_dropped(),
        "journal_dropped": node.journal.dropped,
        "promises_broken": dict(node.monitor.broken),
    }
