"""What a pair of real daemons withstands: disks, name servers and peers that hang or refuse, SRM
restarted at any moment, and commands that come together."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from srmd.client import ClientError, Rejected
from srmd.lab.pair import LabNode, LabPair
from tests.real.conftest import NORMAL, OVERRIDES, USERS, Story, records, started

PROXY = "Cisco SIP Proxy"
HALF = USERS // 2
LATE_S = 0.15
"""How late a heartbeat may be while the node works hard and has a processor when it wants one; an
interval of the lab has 0.1 s."""
PATIENT = {"heartbeat": {"keep_alive_timeout_s": 1.95, "initialization_keep_alive_timeout_s": 4.0}}
"""Far below what hangs in these stories, far above what a busy machine makes of an interval."""
POOL_THREADS_MAX = (os.cpu_count() or 1) + 4
"""The loop's own pool of threads fills up to this when asked for more at once; see
ThreadPoolExecutor.  Twenty restarts that leak would leave more."""

HANGING = """
import pathlib, time
from srmd.store import nodestate
save = nodestate.save
def hangs(path, memory):
    while (path.parent / "disk-hangs").exists():
        time.sleep(0.01)
    save(path, memory)
nodestate.save = hangs
"""
"""Loaded by Python itself when a node starts (`sitecustomize`): its disk hangs while a file says
so."""

NAME_SERVER_HANGS = """
import pathlib, socket, sys, time
found = socket.getaddrinfo
def hangs(host, *rest, **options):
    if "invalid" in str(host):
        time.sleep(600)
    return found(host, *rest, **options)
socket.getaddrinfo = hangs
from srmd.daemon.main import run
sys.exit(run(pathlib.Path(sys.argv[1])))
"""


@contextmanager
def full_disk(node: LabNode) -> Iterator[None]:
    """No file of the node can grow any more: log, journal, memory and database."""
    assert node.pid is not None
    if not hasattr(resource, "prlimit"):
        pytest.skip("the limits of another process can be set on Linux only")
    before = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, before)


def at_once(*orders: Callable[[], object]) -> list[Exception | None]:
    """Give all orders in the same instant; what each of them raised."""
    gate = threading.Barrier(len(orders))
    raised: list[Exception | None] = [None] * len(orders)

    def give(index: int) -> None:
        gate.wait()
        try:
            orders[index]()
        except ClientError as error:
            raised[index] = error

    threads = [threading.Thread(target=give, args=(index,)) for index in range(len(orders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def asks(node: LabNode, action: str) -> Callable[[], object]:
    """The order of this moment, whether the node offers it or not."""
    return lambda: node.client.act(action, node.id)


def descriptors(node: LabNode) -> int:
    return len(list(Path(f"/proc/{node.pid}/fd").iterdir()))


def threads_of(node: LabNode) -> int:
    return len(list(Path(f"/proc/{node.pid}/task").iterdir()))


def downs(pair: LabPair) -> int:
    return sum(len(records(node, "peer.down")) for node in pair.nodes)


# ---------------------------------------------------------------------------- disk


def test_a_full_disk_never_stops_the_heartbeats(story: Story) -> None:
    """The database is full, so its users move; the memory cannot be saved, and the pair goes on."""
    before = downs(story.pair)
    with full_disk(story.x):
        story.reaches(
            "Failed Over with Critical Services Not Running/Database Failure",
            "Running in Backup Mode/Database Failure",
        )
        story.serve(0, USERS)
        assert story.y.status()["peer"]["heard"]
    story.reaches("Failed Over/Database Failure", "Running in Backup Mode/Database Failure")
    assert downs(story.pair) == before
    story.fall_back()


def test_srm_does_not_start_under_an_incarnation_that_it_could_forget(mirrored: Story) -> None:
    """With a full disk a restart is refused, with the reason; freed, it is one command away."""
    story = mirrored
    with full_disk(story.x):
        with pytest.raises(Rejected, match="SRM does not start"):
            story.x.client.srm("restart")
        note = next(
            row["note"] for row in story.x.status()["services"] if "Recovery" in row["name"]
        )
        assert note.startswith("not started: ")
    story.x.client.srm("start")
    story.pair.wait_until(
        "the pair hears each other",
        lambda: all(n.status()["peer"]["heard"] for n in story.pair.nodes),
    )
    story.pair.wait_until(
        "it settles",
        lambda: {n.status()["local"]["srm_state"] for n in story.pair.nodes} in ({3}, {4, 8}),
    )
    if story.y.status()["local"]["srm_state"] == 4:
        story.x.fallback()
    story.ends_at_home()


def test_a_disk_that_hangs_stops_neither_heartbeats_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that cannot be stored is acted upon after SAVE_LIMIT_S; SIGTERM ends the process,
    which waited for the hanging thread for ever once."""
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with LabPair(PATIENT) as pair:
        flag = pair.a.folder / "state" / "disk-hangs"
        flag.touch()
        pair.a.failover()
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
        assert downs(pair) == 0
        pair.wait_until(
            "that it was not stored is told", lambda: bool(records(pair.a, "node.save_failed"))
        )
        assert pair.a.terminate() == 0
    assert not pair.left_behind


# ---------------------------------------------------------------------------- network


def test_a_name_server_that_hangs_holds_up_neither_start_nor_end(tmp_path: Path) -> None:
    pair = LabPair()
    try:
        pair.a.overrides["peer"] = {"heartbeat": "b.invalid:9", "control": "http://b.invalid:9"}
        pair.write_configs()
        pair.a.vacate()
        with (tmp_path / "said").open("wb") as said:
            command = [sys.executable, "-c", NAME_SERVER_HANGS, str(pair.a.config_file)]
            process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            alone = "Running in Backup Mode/Peer Down During Initialization"
            pair.wait_for(a=alone)
            process.send_signal(signal.SIGTERM)
            assert process.wait(9.5) == 0, (tmp_path / "said").read_text()
        finally:
            process.kill()
            process.wait()
    finally:
        pair.close()


def test_a_mute_control_port_of_the_peer_delays_nothing(tmp_path: Path) -> None:
    """It takes connections and never answers: heartbeats carry every report."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        pair = LabPair(PATIENT)
        for node in pair.nodes:
            node.overrides["peer"] = {"control": url}
        with pair:
            pair.a.failover()
            pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
            with pytest.raises(Rejected, match="does not answer on its control channel"):
                pair.b.client.act("fallback", "a")
            pair.a.fallback()
            pair.wait_for(a=NORMAL, b=NORMAL)
            assert downs(pair) == 0
            pair.a.client.power("shutdown")
            pair.wait_for(b="Running in Backup Mode/Peer Reboot")
            assert downs(pair) == 0, "it waited for the silence"
        assert not pair.left_behind


# ---------------------------------------------------------------------------- SRM, power, commands


def test_twenty_restarts_of_srm_leak_nothing(story: Story) -> None:
    story.x.client.srm("restart")
    story.ends_at_home()
    descriptors_before, threads_before = descriptors(story.x), threads_of(story.x)
    incarnation = story.x.status()["local"]["incarnation"]
    for _ in range(10):
        refused = at_once(*[lambda: story.x.client.srm("restart")] * 2)
        assert refused == [None, None]
    assert story.x.status()["local"]["incarnation"] == incarnation + 20
    settle(story)
    story.pair.wait_until(
        "as many descriptors as before", lambda: descriptors(story.x) <= descriptors_before + 1
    )
    assert threads_of(story.x) <= threads_before + POOL_THREADS_MAX
    assert not records(story.x, "srm.failed")


def settle(story: Story) -> None:
    """Wherever the pair has ended, it comes home by the actions that it offers."""
    story.pair.wait_until("the pair comes home", lambda: is_home(story))
    story.ends_at_home()


def is_home(story: Story) -> bool:
    with suppress(ClientError):  # a node is off, or the pair went on between question and order
        for node in (story.x, story.y):
            for offered in node.status()["actions"]:
                if offered["action"] in {"fallback", "recover"}:
                    node.client.act(offered["action"], offered["node"])
        return all(node.status()["handbook"]["row"] == 1 for node in (story.x, story.y))
    return False


def test_srm_restarts_in_every_phase_of_a_failover_and_of_a_fallback(mirrored: Story) -> None:
    story = mirrored
    for pause_s in (0.0, 0.02, 0.1, 0.3, 0.55):
        for node in (story.x, story.y):
            story.x.failover()
            threading.Event().wait(pause_s)  # the moment is what this story varies
            node.client.srm("restart")
            settle(story)


def test_both_nodes_are_told_to_fail_over_in_the_same_instant(story: Story) -> None:
    """One of them turns round and takes the users; both never end with nobody serving."""
    for _ in range(3):
        at_once(asks(story.x, "failover"), asks(story.y, "failover"))
        story.pair.wait_until(
            "one is Idle and one in Backup",
            lambda: {n.status()["local"]["srm_state"] for n in story.pair.nodes} == {2, 4},
        )
        story.pair.wait_until(
            "one of them serves all users",
            lambda: set(story.pair.served().values()) == {0, USERS},
        )
        settle(story)


def test_of_commands_that_come_together_one_is_taken_up(mirrored: Story) -> None:
    story = mirrored
    raised = at_once(
        *[asks(story.x, "failover")] * 4, asks(story.x, "fallback"), asks(story.x, "recover")
    )
    assert sum(error is None for error in raised) == 1
    assert all(isinstance(error, Rejected) and error.status == 409 for error in raised if error)
    story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
    story.fall_back()


def test_a_service_cannot_be_started_into_a_manual_failover(story: Story) -> None:
    """Once it overtook the stop of the services, and both nodes ended in Failed Mode."""
    story.x.failover()
    with pytest.raises(Rejected, match="fallback"):
        story.x.client.service(PROXY, "start")
    story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
    story.fall_back()


def test_the_backup_reboots_while_it_takes_over(story: Story) -> None:
    story.x.failover()
    story.passes("Failing Over/On Admin Request", "Taking Over/On Admin Request", row=2)
    story.y.client.power("reboot")
    story.pair.wait_until(
        "somebody serves all users again",
        lambda: sum(count or 0 for count in story.pair.served().values()) == USERS,
    )
    settle(story)


def boot_id(story: Story) -> str | None:
    """Of node x; None while it does not answer or its SRM has not started."""
    with suppress(ClientError):
        shown = story.x.status()
        return str(shown["local"]["boot_id"]) if shown["srm"] == "STARTED" else None
    return None


def has_rebooted(story: Story, unlike: set[str | None]) -> None:
    story.pair.wait_until("the node is back", lambda: boot_id(story) not in unlike)


def test_a_reboot_while_srm_restarts_leaves_one_srm(story: Story) -> None:
    """The restart made a second SRM behind the reboot's back once, and the port was taken."""
    for _ in range(3):
        unlike = {None, boot_id(story)}
        at_once(
            lambda: story.x.client.srm("restart"),
            lambda: story.x.client.power("reboot"),
            lambda: story.x.client.srm("restart"),
        )
        has_rebooted(story, unlike)
        settle(story)
    assert story.x.pid is not None


def test_a_node_that_says_goodbye_is_not_heard_again(mirrored: Story) -> None:
    """Its beats after the goodbye said that it stays, and the peer waited for its silence."""
    story = mirrored
    goodbyes = len(records(story.y, "peer.left"))
    story.x.client.power("shutdown")
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    story.pair.wait_until("its process ended", lambda: story.x.pid is None)
    left = story.logs(story.y, "peer.left", beyond=goodbyes)["mono_s"]
    assert not [row for row in records(story.y, "peer.heard") if row["mono_s"] > left]
    assert not [row for row in records(story.y, "peer.down") if row["mono_s"] > left]
    story.x.start()
    settle(story)


# ---------------------------------------------------------------------------- standing still, work


def test_time_spent_suspended_is_not_counted_against_an_operation() -> None:
    """Frozen in Failing Over for longer than a transition may take; the peer has done its part."""
    pair = started(
        {
            **OVERRIDES,
            "heartbeat": {
                "keep_alive_timeout_s": 8.0,
                "initialization_keep_alive_timeout_s": 9.0,
            },
        }
    )
    try:
        story = Story(pair, pair.a, pair.b)
        story.x.overrides["limits"] = {"transition_s": 2.0}
        pair.write_configs()
        story.x.client.srm("restart")
        story.ends_at_home()
        story.x.failover()
        story.passes("Failing Over/On Admin Request", "Taking Over/On Admin Request", row=2)
        story.x.suspend()
        pair.wait_until("frozen for longer", passed(3.5))
        story.x.resume()
        story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
        story.fall_back()
    finally:
        pair.close()
    assert not pair.left_behind


def passed(seconds: float) -> Callable[[], bool]:
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= until_s


def test_an_import_of_25000_users_makes_no_heartbeat_late() -> None:
    both = {"a": 12_500, "b": 12_500}
    with LabPair(PATIENT) as pair:

        def imports() -> None:
            lines = "".join(f"user{n:05d},{'ab'[n % 2]}\n" for n in range(25_000))
            added = pair.a.client.import_users(f"user_id,home_node\n{lines}".encode())
            assert added["added"] == 25_000
            pair.wait_until(
                "all are at the peer",
                lambda: pair.b.status()["users"]["assigned"] == both,
            )

        before = [scheduled_s(node) for node in pair.nodes]
        silent_s = silences(pair, imports)
        after = [scheduled_s(node) for node in pair.nodes]
        assert len(silent_s) > 50
        assert max(silent_s) < 0.1 + LATE_S * slowdown(before, after)
        assert downs(pair) == 0
        pair.a.failover()
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
        pair.wait_until("b serves all", lambda: pair.served() == {"a": 0, "b": 25_000})
    assert not pair.left_behind


def scheduled_s(node: LabNode) -> tuple[float, float]:
    """How long the node's loop ran, and how long it waited for a processor; see
    sched-stats in the documentation of Linux."""
    ran_ns, waited_ns, _ = Path(f"/proc/{node.pid}/schedstat").read_text().split()
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


def slowdown(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> float:
    """How much longer everything took than on a machine without other work: 1.0 there."""
    spent_s = [
        (ran_s - ran_before_s, waited_s - waited_before_s)
        for (ran_before_s, waited_before_s), (ran_s, waited_s) in zip(before, after, strict=True)
    ]
    return max((ran_s + waited_s) / ran_s for ran_s, waited_s in spent_s)


def silences(pair: LabPair, meanwhile: Callable[[], None]) -> list[float]:
    """How long each node had not heard the other, looked at again and again meanwhile."""
    silent_s: list[float] = []
    done = threading.Event()

    def watch(node: LabNode) -> None:
        while not done.wait(0.005):
            silent_s.append(node.status()["peer"]["silent_s"])

    watchers = [threading.Thread(target=watch, args=(node,)) for node in pair.nodes]
    for watcher in watchers:
        watcher.start()
    try:
        meanwhile()
    finally:
        done.set()
        for watcher in watchers:
            watcher.join()
    return silent_s
