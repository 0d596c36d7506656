"""What a node keeps on its disk: put back from a copy, lost, or not taken by a full disk."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from srmd.lab.pair import LabNode, LabPair
from srmd.lab.real import files
from srmd.lab.real.wired import WiredPair
from srmd.lab.scenario.story import Settings
from srmd.lab.scenario.verbs import Channel, Cut, Direction, FileAction, Files
from tests.real.conftest import USERS, Story, records, started
from tests.real.test_robust import full_disk

LIMIT_S = 60.0
HOME = "Normal/Normal"
AWAY, BACKUP = "Idle/On Admin Request", "Running in Backup Mode/On Admin Request"


def offered(node: LabNode, action: str) -> bool:
    return {"action": action, "node": node.id} in node.status()["actions"]


def database(story: Story, action: FileAction) -> None:
    folder = story.x.folder
    files.do(action, Files.DATABASE, folder / "state", folder / "copies")


def agree(story: Story, count: int) -> None:
    """Both databases hold so many users, and both nodes say that they are the same."""

    def seen() -> bool:
        held = [node.status()["database"] for node in (story.x, story.y)]
        alike = all(one["agrees_with_peer"] is True for one in held)
        return alike and [one["users_count"] for one in held] == [count, count]

    story.pair.wait_until(f"both hold {count} users and say so", seen, within_s=60)


@pytest.fixture
def changed() -> Iterator[Story]:
    """A pair of its own, to which users are added."""
    pair = started({})
    yield Story(pair, pair.a, pair.b)
    pair.close()


def test_a_database_set_back_under_a_running_node_is_seen_and_comes_to_agree(
    changed: Story,
) -> None:
    """Nothing was opened, so no epoch tells it: number and digest do, when both nodes rest.

    The new users get the revisions of those that are lost, and the peer has read these before.
    """
    agree(changed, USERS)
    database(changed, FileAction.COPY)
    changed.x.client.generate_users(100, "balanced", "lost")
    agree(changed, USERS + 100)
    database(changed, FileAction.RESTORE)
    changed.x.client.generate_users(100, "balanced", "new")
    agree(changed, USERS + 200)
    seen = [record for node in changed.pair.nodes for record in records(node, "users.differ")]
    assert USERS + 100 in {record["users_count"] for record in seen}
    assert any(records(node, "users.agree") for node in changed.pair.nodes)
    for node in changed.pair.nodes:
        for record in records(node, "users.differ"):
            assert record["level"] == "error"


def test_an_old_database_with_higher_numbers_neither_unserves_users_nor_fails_an_order() -> None:
    """Its placement outranked each order of the running nodes: Running in Failed Mode, and each
    recovery failed again.  Before that the users of a were placed on b, and nobody served them."""
    with LabPair() as pair:
        a, b = pair.a, pair.b
        a.client.generate_users(USERS, "balanced", "user")
        story = Story(pair, b, a)
        for _ in range(2):
            a.failover()
            pair.wait_for(a=AWAY, b=BACKUP)
            a.fallback()
            pair.wait_for(a=HOME, b=HOME)
        a.failover()
        pair.wait_for(a=AWAY, b=BACKUP)
        old_op = b.status()["database"]["placement_op"]
        for node in pair.nodes:
            node.kill()
        database(story, FileAction.COPY)
        for node in pair.nodes:
            shutil.rmtree(node.folder / "state")
            node.spawn()
        pair.wait_for(a=HOME, b=HOME)
        assert max(node.status()["local"]["op"] for node in pair.nodes) < old_op
        database(story, FileAction.RESTORE)

        def at_home() -> bool:
            half = USERS // 2
            placed = [node.status()["database"]["placement_op"] for node in pair.nodes]
            return pair.served() == {"a": half, "b": half} and min(placed) > old_op

        pair.wait_until("each serves its own", at_home, within_s=LIMIT_S)
        assert records(a, "users.placed_again")
        a.failover()
        pair.wait_for(a=AWAY, b=BACKUP)
        a.fallback()
        pair.wait_for(a=HOME, b=HOME)
        pair.wait_until("each serves its own again", at_home, within_s=LIMIT_S)
        assert not [record for node in pair.nodes for record in records(node, "order.failed")]


def test_users_who_cannot_be_placed_again_are_told_by_a_notice_until_they_are() -> None:
    """Both nodes Normal, "All is well", and nobody served the users of a: only the log knew it.

    The control channel is refused, for the peer would send its newer placement.
    """
    wired = WiredPair(Settings())
    try:
        pair = wired.pair
        a, b = pair.a, pair.b
        half = wired.settings.users.count // 2

        def placed(node: str) -> Callable[[], bool]:
            return lambda: all(
                one.status()["users"]["placement"]["a"] == node
                and one.status()["database"]["users_count"] == 2 * half
                for one in pair.nodes
            )

        pair.wait_for(a=HOME, b=HOME)
        a.failover()
        pair.wait_for(a=AWAY, b=BACKUP)
        pair.wait_until("both databases place the users on b", placed("b"), within_s=LIMIT_S)
        story = Story(pair, a, b)
        database(story, FileAction.COPY)
        a.fallback()
        pair.wait_for(a=HOME, b=HOME)
        pair.wait_until("both databases place them on a", placed("a"), within_s=LIMIT_S)
        wired.network.do(Cut(Channel.CONTROL, Direction.BOTH, refuse=True), wired.timers)
        a.client.set_fault("moves", active=True)
        database(story, FileAction.RESTORE)
        words = f"The user database of node a places {half} users on the wrong node"

        def told() -> bool:
            return any(notice["en"].startswith(words) for notice in a.status()["notices"])

        pair.wait_until("node a says so", told, within_s=LIMIT_S)
        logged = "the log has it too"
        pair.wait_until(logged, lambda: bool(records(a, "users.displaced")), within_s=LIMIT_S)
        seen = a.status()
        assert (seen["handbook"]["row"], seen["users"]["served"]["a"]) == (1, 0)
        assert seen["handbook"]["action"]["en"] == "Do what the notices say."
        a.client.set_fault("moves", active=False)

        def well() -> bool:
            return pair.served() == {"a": half, "b": half} and not told()

        pair.wait_until(
            "each serves its own, and that is not told any more", well, within_s=LIMIT_S
        )
    finally:
        wired.close()


def test_a_manual_failover_on_a_full_disk_is_stored_as_soon_as_the_disk_takes_it() -> None:
    """R2: the services of an Idle node stay stopped, also when its process is killed and starts.

    No heartbeat helps: the peer is gone, and with it every save of its mark.
    """
    with LabPair() as pair:
        a = pair.a
        with full_disk(a):
            pair.a.failover()
            pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
            pair.wait_until("a says so", lambda: a.status()["memory"]["durable"] is False)
            assert a.status()["memory"]["fault"] == "full"
            notice = a.status()["notices"][0]
            assert "The state of node a is not stored: no space left on the disk." in notice["en"]
            assert (
                "ノード a の状態が保存されていません: ディスクの空き容量がありません。"
                in notice["ja"]
            )
            pair.b.kill()
        pair.wait_until("it is stored", lambda: a.status()["memory"]["durable"] is True)
        assert Story(pair, a, pair.b).logs(a, "node.saved")["state"] == "IDLE"
        a.kill()
        a.start()
        pair.wait_for(a="Idle/Initialization")
        running = {row["name"] for row in a.status()["services"] if row["state"] != "STOPPED"}
        assert running == {"A Cisco DB", "Cisco Server Recovery Manager"}


def test_high_availability_switched_off_on_a_full_disk_stays_off_after_a_crash() -> None:
    with LabPair() as pair:
        with full_disk(pair.a):
            pair.a.client.set_ha(False)
            pair.wait_until("a says so", lambda: not pair.a.status()["memory"]["durable"])
            pair.b.kill()
        pair.wait_until("it is stored", lambda: pair.a.status()["memory"]["durable"])
        pair.a.kill()
        pair.a.start()
        assert pair.a.status()["ha_enabled"] is False


def ended(pair: LabPair, limit_bytes: int | None = None) -> tuple[int, str]:
    """Exit code and last words of a node that cannot start; its files cannot outgrow the limit."""

    def limited() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    pair.a.vacate()
    done = subprocess.run(
        [sys.executable, "-m", "srmd", "run", "--config", str(pair.a.config_file)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=limited,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def stopped() -> Iterator[LabPair]:
    """The files of a pair; no node runs."""
    pair = LabPair()
    pair.write_configs()
    yield pair
    pair.close()


@pytest.mark.parametrize("limit_bytes", [0, 64])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_full_disk_at_the_start_is_no_damage_and_systemd_tries_again(
    stopped: LabPair, fresh: bool, limit_bytes: int
) -> None:
    """At 0 bytes not even the lock can name its owner, at 64 the memory does not fit."""
    if not fresh:
        stopped.start()
        for node in stopped.nodes:
            node.terminate()
    code, said = ended(stopped, limit_bytes)
    assert code == 14
    folder = stopped.a.folder / "state"
    assert said.splitlines()[-1] == (
        f"srmd: node a is not started, because its state cannot be stored in {folder}: "
        "no space left on the disk; free space on its file system"
    )
    assert "kernel" not in said
    unit = Path("deploy/systemd/srmd.service").read_text(encoding="utf-8")
    kept_down = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert kept_down is not None
    assert "14" not in kept_down[1].split()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_without_permission_is_tried_again(stopped: LabPair) -> None:
    state = stopped.a.folder / "state"
    state.mkdir(mode=0o500)
    code, said = ended(stopped)
    assert (code, "no permission to write there" in said) == (14, True)


def test_a_state_directory_that_cannot_be_one_is_the_configurations_fault(
    stopped: LabPair,
) -> None:
    (stopped.a.folder / "state").write_text("a file")
    code, _ = ended(stopped)
    assert code == 10


def test_an_empty_database_in_the_place_of_a_known_one_is_reported(stopped: LabPair) -> None:
    """The memory of the node knows better; the users come from the peer."""
    stopped.start()
    stopped.a.client.generate_users(10, "balanced", "user")
    story = Story(stopped, stopped.a, stopped.b)
    agree(story, 10)
    stopped.a.terminate()
    for file in (stopped.a.folder / "state").glob("users.sqlite3*"):
        file.unlink()
    (stopped.a.folder / "state" / "users.sqlite3").touch()
    stopped.a.start()
    assert story.logs(stopped.a, "database.lost")["level"] == "warning"
    agree(story, 10)


def test_after_a_reboot_a_record_says_that_the_database_is_back(story: Story) -> None:
    """The fault by command ends with the boot that it was given to."""
    before = len(records(story.x, "node.started"))
    story.x.client.set_fault("database", True)
    story.logs(story.x, "database.failed")
    story.x.client.power("reboot")
    assert story.logs(story.x, "node.started", beyond=before)["database"] == "STARTED"
    assert not story.x.status()["faults"]["database"]
    story.pair.wait_until("a can fall back", lambda: offered(story.x, "fallback"))
    story.fall_back()
