"""SRM inside its node: what it makes of reports, and what its end leaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from srmd.config import Config
from srmd.core import transitions
from srmd.core.events import Event, PeerHeard, PeerLeft, Report, StayExpired
from srmd.core.machine import Step
from srmd.core.node import Node, Timer
from srmd.core.services import SRM_SERVICE
from srmd.core.states import Contact, Reason, Start, State
from srmd.daemon import driver as driver_module
from srmd.daemon import node as node_module
from srmd.daemon import upkeep
from srmd.daemon.database import Database
from srmd.daemon.facade import Done, Refused, ServiceAction, SrmAction
from srmd.daemon.monitor import Monitor
from srmd.daemon.node import End, ServerNode
from srmd.daemon.notify import Notify
from srmd.daemon.srm import Srm
from srmd.daemon.supervisor import Limits, Supervisor
from srmd.daemon.tls import Tls
from srmd.log import start as start_log
from srmd.node.memory import Boot, wake
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, Summary
from tests.daemon.nodes import Records, config_of, unread

BOUND_S = 10.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110  # conditions of the product have no event
            await asyncio.sleep(0.002)


class Written:
    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def write(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)


@dataclass
class Host:
    """A node around SRM: real database and supervisor, no services, a disk that can be slow."""

    config: Config
    memory: NodeMemory
    supervisor: Supervisor
    database: Database
    log: Records = field(default_factory=Records)
    journal: Written = field(default_factory=Written)
    disk_free: asyncio.Event = field(default_factory=asyncio.Event)
    stored: list[NodeMemory] = field(default_factory=list)
    outlived: list[int] = field(default_factory=list)
    outlive_pause_s: float = 0.0

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.log)
        self.tls = Tls(None, self.log)

    async def store(self, memory: NodeMemory) -> None:
        self.memory = memory
        await self.disk_free.wait()
        self.stored.append(memory)

    def save_failed(self, error: OSError) -> None:
        self.log.error("node.save_failed", error=str(error))

    def state_changed(self, before: Node, result: Step) -> None: ...

    def outlive(self, incarnation: int) -> float:
        self.outlived.append(incarnation)
        return self.outlive_pause_s


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    config = config_of("a", tmp_path)
    limits = Limits(start_s=1, stop_s=1, health_interval_s=1, health_s=1)
    supervisor = Supervisor([], config.node.state_dir / "run", limits, lambda _: None)
    database = Database(config.node.state_dir, ("a", "b"), 1.0, lambda _: None, lambda: None)
    await database.start()
    memory = replace(
        wake(None, config, Boot("boot", "os boot", "2026-01-01"), rebooted=False)[0], incarnation=1
    )
    host = Host(config, memory, supervisor, database)
    host.disk_free.set()
    yield host
    await database.close()


@pytest.fixture
async def srm(host: Host) -> AsyncIterator[Srm]:
    made = Srm(host, Start.RESTART)
    running = asyncio.create_task(made.run())
    await until(lambda: made.driver.node.state is State.INITIALIZING)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    made.close()


def beat(seq: int, state: State = State.NORMAL, *, leaving: bool = False, op: int = 1) -> Heartbeat:
    report = Report(state, Reason.NORMAL, op=op)
    return Heartbeat("b", "lab", "boot", 1, seq, leaving, 0, 0, report, SUMMARY)


SUMMARY = Summary(
    assigned=0,
    served=0,
    services_down=(),
    database=True,
    db_id="",
    users_revision=0,
    placement_op=0,
    relogin=(120, 537),
)


def put(srm: Srm, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The events that reach the driver from now on."""
    events: list[Event] = []
    real = srm.driver.put

    def noted(event: Event) -> bool:
        events.append(event)
        return real(event)

    monkeypatch.setattr(srm.driver, "put", noted)
    return events


async def test_a_report_that_was_overtaken_changes_nothing(
    srm: Srm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats that are delayed on their way, and the control channel is not: the peer's older
    "Normal" came after its "Failing Over" and let us take users that it still served."""
    srm.heard(beat(1))
    await until(lambda: srm.driver.node.contact is Contact.HEARD)
    told = put(srm, monkeypatch)
    srm.told(beat(4, State.FAILING_OVER, op=9))
    srm.heard(beat(2))
    srm.told(beat(3))
    assert [event.report.state for event in told if isinstance(event, PeerHeard)] == [
        State.FAILING_OVER
    ]
    srm.heard(beat(4, State.FAILING_OVER, op=9))
    srm.heard(beat(5, State.NORMAL, op=10))
    assert isinstance(told[-1], PeerHeard)
    assert told[-1].report.op == 10


async def test_what_is_told_by_the_control_channel_is_no_proof_of_life(
    srm: Srm, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(srm, monkeypatch)
    srm.told(beat(1))
    assert told == []
    assert srm.driver.node.contact is Contact.NEVER


async def test_after_the_goodbye_every_beat_says_goodbye(
    srm: Srm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The regular beats took it back until SRM had stopped, and the peer heard a living node."""
    await srm.leave()
    assert srm.heartbeat.beat().leaving
    assert srm.compose(99).leaving
    put_events = put(srm, monkeypatch)
    srm.heard(beat(1, leaving=True))
    assert put_events == [PeerLeft()]


async def test_a_service_that_changes_while_srm_stops_harms_nobody(host: Host) -> None:
    """The change raised in the supervisor once, in the middle of its own work."""
    srm = Srm(host, Start.RESTART)
    running = asyncio.create_task(srm.run())
    await until(lambda: srm.driver.node.state is State.INITIALIZING)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    host.database.set_fault(True)
    await host.database.check()
    srm.health_changed()
    srm.close()


async def test_srm_that_never_ran_gives_its_port_back(host: Host) -> None:
    srm = Srm(host, Start.RESTART)
    port = srm.heartbeat._socket.getsockname()[1]
    running = asyncio.create_task(srm.run())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    srm.close()
    listen = replace(host.config.heartbeat.listen, port=port)
    host.config = replace(host.config, heartbeat=replace(host.config.heartbeat, listen=listen))
    again = Srm(host, Start.RESTART)
    again.close()


async def test_a_decision_whose_save_was_cut_off_is_not_remembered(host: Host) -> None:
    srm = Srm(host, Start.RESTART)
    running = asyncio.create_task(srm.run())
    await until(lambda: srm.spoken.op == 1)
    host.disk_free.clear()
    srm.peer_down(0.0)
    await until(lambda: srm.driver.node.state is State.TAKING_OVER)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    srm.close()
    assert (srm.memory_now().state, srm.memory_now().op) == (State.INITIALIZING, 1)


@pytest.mark.parametrize("incarnation", [1, 7])
async def test_a_lost_incarnation_is_told_once(srm: Srm, host: Host, incarnation: int) -> None:
    """Also where the peer knows the same incarnation: the memory was lost in the first one, or the
    machine was put back to a snapshot while it ran."""
    for number in (1, 2):
        srm.heard(replace(beat(number), hears_incarnation=incarnation, hears_seq=2**40))
    assert host.outlived == [incarnation]


async def test_what_we_have_sent_is_no_lost_incarnation(srm: Srm, host: Host) -> None:
    last = srm.heartbeat.beat()
    srm.heard(replace(beat(1), hears_incarnation=1, hears_seq=last.seq))
    await until(lambda: srm.driver.node.contact is Contact.HEARD)
    assert host.outlived == []


async def test_who_cannot_go_above_so_soon_again_is_unknown_and_says_why(
    srm: Srm, host: Host
) -> None:
    """The peer receives another node of our id, and SRM was restarted three times a second; or a
    memory was put back twice.  Only the first of these was told."""
    host.outlive_pause_s = 120.0
    srm.heard(replace(beat(1), hears_incarnation=7, hears_seq=3))
    await until(lambda: srm.driver.node.state is State.UNKNOWN)
    assert srm.mismatch is not None
    assert srm.mismatch.en.startswith("node b has received messages with node.id a and numbers")
    for cause in ("another node a sends to node b", "lost its memory", "within 120 s"):
        assert cause in srm.mismatch.en
    for cause in ("別のノード a", "記憶が失われた", "120 秒以内"):
        assert cause in srm.mismatch.ja
    srm.heard(replace(beat(2), hears_incarnation=7, hears_seq=4))
    assert srm.driver.node.state is State.UNKNOWN
    srm.heard(beat(3))
    await until(lambda: srm.driver.node.state is not State.UNKNOWN)


async def test_a_told_report_that_acknowledges_another_node_does_not_end_the_mismatch(
    srm: Srm, host: Host
) -> None:
    """The mismatch was gone for a heartbeat after each report by the control channel."""
    host.outlive_pause_s = 120.0
    srm.heard(beat(1))
    await until(lambda: srm.driver.node.contact is Contact.HEARD)
    srm.heard(replace(beat(2), hears_incarnation=7, hears_seq=3))
    await until(lambda: srm.driver.node.state is State.UNKNOWN)
    srm.told(replace(beat(3), hears_incarnation=7, hears_seq=4))
    assert srm.mismatch is not None


async def test_before_a_run_has_decided_no_heartbeat_leaves(host: Host) -> None:
    """The state that is remembered is of a former run: a peer that heard it with the incarnation
    of this one took the node for what it had been."""
    host.memory = replace(host.memory, state=State.BACKUP, reason=Reason.PEER_DOWN, op=7)
    host.disk_free.clear()
    srm = Srm(host, Start.RESTART)
    sent: list[State] = []
    compose = srm.compose
    srm.compose = lambda *numbered: _noted(sent, compose(*numbered))  # type: ignore[method-assign]
    running = asyncio.create_task(srm.run())
    next_beat_s = srm.heartbeat.beats.next_beat_s
    await until(
        lambda: (
            srm.heartbeat.beats.next_beat_s
            > next_beat_s + host.config.heartbeat.keep_alive_interval_s
        )
    )
    assert sent == []
    host.disk_free.set()
    await until(lambda: len(sent) > 1)
    assert set(sent) == {State.BACKUP}
    assert srm.spoken.reason is Reason.INITIALIZATION
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _noted(sent: list[State], heartbeat: Heartbeat) -> Heartbeat:
    sent.append(heartbeat.report.state)
    return heartbeat


# ---------------------------------------------------------------------------- in its node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ServerNode]:
    config = config_of("a", tmp_path)
    log = start_log(config.log, "a")
    made = ServerNode(unread, config, None, log, Notify(None), rebooted=False)
    yield made
    with suppress(RuntimeError):  # the story has powered it off
        await made.power_off(End.STOPPED)
    log.close()


async def test_srm_cannot_be_started_twice_while_the_node_powers_on(node: ServerNode) -> None:
    """The HTTP side listens before SRM runs; a second SRM found its own port busy."""
    on = asyncio.create_task(node.power_on())
    await asyncio.sleep(0)
    outcome = await node.order_srm(SrmAction.START)
    await on
    assert outcome.detail == "SRM runs already"
    assert node.memory.incarnation == 1


class SlowDisk:
    """Holds up what a node stores until it is let go, one by one."""

    def __init__(self, node: ServerNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[asyncio.Event] = []
        self._store = node.store
        monkeypatch.setattr(node, "store", self._held)

    async def _held(self, memory: NodeMemory) -> None:
        let_go = asyncio.Event()
        self.waiting.append(let_go)
        await let_go.wait()
        await self._store(memory)

    async def let_go(self, number: int) -> None:
        await until(lambda: len(self.waiting) >= number)
        self.waiting[number - 1].set()


REMEMBERED = [
    (State.NORMAL, Reason.NORMAL),
    (State.BACKUP, Reason.PEER_DOWN),
    (State.FAILED_OVER, Reason.PEER_DOWN),
    (State.FAILED_MODE, Reason.CRITICAL_SERVICE_DOWN),
]


@pytest.mark.parametrize("state,reason", REMEMBERED)
async def test_a_node_that_starts_is_initializing_from_its_first_answer_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, reason: Reason
) -> None:
    """The HTTP side answers before SRM has decided; it showed the state of the former run, and a
    node that reboots showed Normal while its peer served all users."""
    config = config_of("a", tmp_path)
    boot = Boot("boot", "os boot", "2026-01-01T00:00:00.000+00:00")
    fresh, _ = wake(None, config, boot, rebooted=False)
    memory = replace(fresh, state=state, reason=reason, cause=reason, op=7, incarnation=3)
    log = start_log(config.log, "a")
    node = ServerNode(unread, config, memory, log, Notify(None), rebooted=True)
    disk = SlowDisk(node, monkeypatch)

    def seen() -> tuple[str, str, int, str]:
        answer = node.status()
        [srm] = [row for row in answer["services"] if row["name"] == SRM_SERVICE]
        assert srm["state"] == answer["srm"]
        assert answer["actions"] == []
        local = answer["local"]
        assert local["since"] > memory.since
        return answer["srm"], local["state"], local["srm_state"], local["reason"]

    assert seen() == ("STARTING", "Initializing", 1, "Initialization")
    on = asyncio.create_task(node.power_on())
    await until(lambda: disk.waiting != [])
    assert seen() == ("STARTING", "Initializing", 1, "Initialization")
    assert isinstance(await node.set_ha(False), Refused)
    await disk.let_go(1)  # the incarnation
    await on
    assert seen() == ("STARTED", "Initializing", 1, "Initialization")
    assert node.memory.state is state, "only SRM decides on the state that is remembered"
    await disk.let_go(2)  # what SRM decided
    await until(lambda: node.srm is not None and node.srm.may_speak)
    assert node.status()["local"]["op"] > 7
    monkeypatch.undo()
    await node.power_off(End.STOPPED)
    log.close()


async def test_the_users_of_a_database_that_was_not_opened_yet_are_not_known(
    node: ServerNode,
) -> None:
    """A monitor that asked in the first milliseconds of a reboot was told that there were none."""
    unknown = {"a": None, "b": None}
    shown = node.status()
    assert shown["users"] == {
        "assigned": unknown,
        "served": {"a": 0, "b": None},
        "unassigned": None,
        "placement": unknown,
    }
    content = {key: shown["database"][key] for key in ("db_id", "users_revision", "placement_op")}
    assert set(content.values()) == {None}
    topology = await node.topology()
    assert isinstance(topology, Done)
    assert (topology.result["total"], topology.result["unassigned"]) == (None, None)
    await node.power_on()
    assert node.status()["users"]["assigned"] == {"a": 0, "b": 0}
    await node.database.stop()
    assert node.status()["users"]["assigned"] == {"a": 0, "b": 0}, "known from then on"


async def test_no_srm_is_started_behind_the_back_of_a_node_that_goes_down(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.power_on()
    off = asyncio.create_task(node.power_off(End.REBOOT))
    await asyncio.sleep(0)
    outcome = await node.order_srm(SrmAction.RESTART)
    await off
    assert isinstance(outcome, Refused)
    assert outcome.kind == "unavailable"
    assert node.srm is None


async def test_a_disk_that_hangs_bounds_the_stop_of_srm(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.power_on()

    async def hangs(memory: NodeMemory) -> None:
        node.memory = memory
        await asyncio.Event().wait()

    monkeypatch.setattr(node_module, "SAVE_LIMIT_S", 0.05)
    monkeypatch.setattr(node, "store", hangs)
    async with asyncio.timeout(BOUND_S):
        await node.order_srm(SrmAction.STOP)
        outcome = await node.order_srm(SrmAction.START)
    assert isinstance(outcome, Refused)
    assert node.srm is None
    assert node.srm_note == "not started: the disk did not answer within 0.05 s"


def broken(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """So many decisions of a driver fail, as for want of memory.  Counts those that did."""
    failed: list[int] = []
    real = transitions.step

    def step(node: Node, event: Event) -> Step:
        if len(failed) < times:
            failed.append(1)
            raise MemoryError
        return real(node, event)

    monkeypatch.setattr(driver_module, "step", step)
    return failed


async def test_a_node_that_lacks_memory_even_to_start_srm_again_ends(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stay without SRM for good: a new process starts it again."""

    def fails() -> float:
        raise MemoryError

    monkeypatch.setattr(node._backoff, "failed", fails)
    broken(monkeypatch, times=1)
    await node.power_on()
    with pytest.raises(MemoryError):
        async with asyncio.timeout(BOUND_S):
            await node.run()


async def test_srm_that_ends_by_an_internal_error_starts_again_after_a_growing_pause(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed dead, and the watchdog was fed all the same."""
    monkeypatch.setattr(upkeep, "PAUSE_FIRST_S", 0.02)
    monkeypatch.setattr(node_module, "FAILED_LOOK_S", 0.01)
    node._backoff = upkeep.Backoff()
    failed = broken(monkeypatch, times=3)
    await node.power_on()
    await until(lambda: node.srm is None)
    assert "ended by an internal error: " in node.srm_note
    assert "MemoryError" in node.srm_note
    assert "; it starts again in " in node.srm_note
    async with asyncio.timeout(BOUND_S):
        await until(lambda: len(failed) == 3)
        await until(lambda: node._srm_failed)
        await node.passed()  # returns when SRM has come past something again
    assert node.srm is not None
    assert node.memory.incarnation == 4
    assert node.srm_note == ""
    text = (node.config.node.state_dir / "log.jsonl").read_text
    await until(lambda: text().count('"srm.started"') == 4)
    records = [json.loads(line) for line in text().splitlines()]
    pauses = [one["restart_s"] for one in records if one["event"] == "srm.failed"]
    assert pauses == [0.02, 0.04, 0.08]


async def test_while_srm_is_down_by_a_defect_the_node_gives_no_sign_of_life(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, times=1)
    await node.power_on()
    await until(lambda: node.srm is None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):  # less than the first pause
            await node.passed()
    await node.order_srm(SrmAction.START)  # an administrator does not wait for the pause
    async with asyncio.timeout(BOUND_S):
        await node.passed()
    assert node.memory.incarnation == 2


async def test_an_srm_that_was_stopped_meanwhile_stays_stopped(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PAUSE_FIRST_S", 0.05)
    node._backoff = upkeep.Backoff()
    broken(monkeypatch, times=1)
    await node.power_on()
    await until(lambda: node.srm is None)
    restarting = node._restarting
    assert restarting is not None
    await node.order_srm(SrmAction.STOP)
    async with asyncio.timeout(BOUND_S):
        await asyncio.wait({restarting})
        await node.passed()
    assert node.srm is None
    assert node.srm_note == "Commanded out of service"


@pytest.mark.parametrize("what", ["a timer", "the health", "the look-up of the peer"])
async def test_no_part_of_srm_dies_alone(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Each of these printed a traceback, and SRM ran on without it."""

    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    if what == "the look-up of the peer":
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fails)
    await node.power_on()
    srm = node.srm
    assert srm is not None
    if what == "a timer":
        monkeypatch.setattr(srm.driver, "_ring", fails)
        srm.driver._ring_at(time.monotonic(), Timer.STAY, StayExpired(1))
    elif what == "the health":
        monkeypatch.setattr(srm._health, "told", fails)
        srm.health_changed()
    await until(lambda: node.srm is None)
    assert "MemoryError" in node.srm_note


async def test_work_that_has_to_go_on_begins_again_when_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check of the database died once, and a repaired database stayed down."""
    monkeypatch.setattr(upkeep, "PAUSE_FIRST_S", 0.01)
    monkeypatch.setattr(upkeep, "PAUSE_LONGEST_S", 0.02)
    log, begun = Records(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise MemoryError

    async with asyncio.timeout(BOUND_S):
        await upkeep.kept_up("database check", work, log)
    assert log.names() == ["task.failed"] * 3
    assert [fields["restart_s"] for _, fields in log.records] == [0.01, 0.02, 0.02]


async def test_twenty_starts_and_stops_leave_no_task(node: ServerNode) -> None:
    await node.power_on()
    await until(lambda: node.srm is not None and node.srm.heartbeat.sent_count > 0)
    await asyncio.sleep(0)
    before = {task.get_name() for task in asyncio.all_tasks()}
    for _ in range(20):
        await node.order_srm(SrmAction.STOP)
        await node.order_srm(SrmAction.START)
    await until(lambda: node.srm is not None and node.srm.heartbeat.sent_count > 0)
    await until(lambda: len(asyncio.all_tasks()) <= len(before) + 1)
    assert node.memory.incarnation == 21


async def test_a_node_that_just_started_adds_no_user_while_its_peer_is_in_backup(
    node: ServerNode,
) -> None:
    await node.power_on()
    srm = node.srm
    assert srm is not None
    await until(lambda: srm.spoken.state is State.INITIALIZING and srm.spoken.op > 0)
    backup = Report(State.BACKUP, Reason.PEER_DOWN, op=9)
    srm.driver.spoken = replace(srm.spoken, contact=Contact.HEARD, peer=backup)
    outcome = await node.generate_users(1, "balanced", "late")
    assert isinstance(outcome, Refused)
    assert "failed over" in outcome.detail
    srm.driver.spoken = replace(srm.spoken, peer=Report(State.NORMAL, Reason.NORMAL, op=9))
    assert not isinstance(await node.generate_users(1, "balanced", "late"), Refused)


async def test_a_service_is_named_in_any_capitals_and_by_a_beginning(node: ServerNode) -> None:
    await node.power_on()
    stopped = await node.service("a cisco DB", ServiceAction.STOP)
    assert stopped == Done("A Cisco DB: stop done")
    assert not node.database.ok
    restarted = await node.service("server", ServiceAction.RESTART)
    assert isinstance(restarted, Done)
    assert restarted.detail.startswith("SRM: restart done; the former configuration is kept: ")
    unknown = await node.service("Nosuch", ServiceAction.STOP)
    assert isinstance(unknown, Refused)
    assert (unknown.kind, unknown.detail) == (
        "not_found",
        "service Nosuch: unknown; this node has A Cisco DB, Cisco Server Recovery Manager",
    )
