"""What a pair of real daemons promises beyond the rows: nothing lost, left, or wrongly blamed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from srmd.cli import Exit, main
from srmd.client import ClientError, Rejected
from srmd.config import load
from srmd.core.node import Node
from srmd.core.transitions import step
from srmd.lab.leash import processes_of
from srmd.lab.pair import PATIENCE_S, LabNode, LabPair, Value
from srmd.lab.records.reading import read
from srmd.lab.records.timeline import timeline
from srmd.wire.journal import Beats, Decided, Known, entry_from_json
from tests.real.conftest import NORMAL, USERS, Story, records

HALF = USERS // 2
GARBAGE_BURST = 20
"""Datagrams at once: so many of any size wait in a socket's buffer, and none is lost there."""


def test_a_frozen_node_does_not_blame_its_peer_and_yields(story: Story) -> None:
    """SIGSTOP longer than the timeout: the peer takes over; the frozen one wakes up and follows."""
    blamed = len(records(story.x, "peer.down"))
    story.x.suspend()
    try:
        story.pair.wait_until(
            "the peer took over", lambda: story.y.status()["local"]["srm_state"] == 4
        )
    finally:
        story.x.resume()
    story.reaches("Failed Over/Peer Down", "Running in Backup Mode/Peer Down")
    story.serve(0, USERS)
    story.fall_back()
    assert len(records(story.x, "peer.down")) == blamed


def test_high_availability_is_one_switch_for_both_nodes(mirrored: Story) -> None:
    story = mirrored
    story.x.client.set_ha(False)
    off = "Unknown/High Availability Not Enabled"
    story.reaches(off, off)
    story.row(24)
    story.serve(HALF, HALF)
    with pytest.raises(Rejected, match="Needed: "):
        story.x.client.act("failover", story.x.id)
    story.y.client.set_ha(True)
    story.ends_at_home()


def test_users_are_replicated_and_none_can_be_added_while_failed_over(story: Story) -> None:
    story.x.client.import_users(b"user_id,home_node\nreplicated,a\n")
    try:
        story.pair.wait_until(
            "the user at the peer", lambda: story.y.status()["users"]["assigned"]["a"] == HALF + 1
        )
        story.x.failover()
        story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
        for node in (story.x, story.y):
            with pytest.raises(Rejected, match="failed over"):
                node.client.generate_users(1, "balanced", "late")
        story.x.fallback()
        story.reaches(NORMAL, NORMAL)
    finally:
        story.x.client.unassign("replicated")
    story.ends_at_home()


def test_users_come_as_directories_export_them_and_go_again(story: Story) -> None:
    """A quoted header was refused; no user could be exported, and none deleted."""
    x, y = story.x.client, story.y.client
    before = x.export_users()
    try:
        x.import_users(b'"user_id","home_node"\r\n"f1","a"\r\n"f2","b"\r\n')
        with_both = x.export_users()
        assert set(with_both.splitlines()) - set(before.splitlines()) == {b"f1,a", b"f2,b"}
        story.pair.wait_until("the users at the peer", lambda: y.export_users() == with_both)
        assert y.import_users(with_both) == {
            "detail": "users imported",
            "added": 0,
            "unchanged": with_both.count(b"\n") - 1,
        }
        x.delete_users("f1")
        y.delete_users("f2")
        story.pair.wait_until(
            "both are gone from both", lambda: x.export_users() == y.export_users() == before
        )
        with pytest.raises(Rejected, match="user 'f1' does not exist"):
            y.delete_users("f1")
        y.import_users(b"user_id,home_node\nf1,b\n")
        story.pair.wait_until("f1 is back", lambda: b"f1,b\n" in x.export_users())
        story.x.failover()
        story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
        for client in (x, y):
            with pytest.raises(Rejected, match="added, changed or deleted while a node is failed"):
                client.delete_users("f1")
        story.x.fallback()
        story.reaches(NORMAL, NORMAL)
    finally:
        for user in ("f1", "f2"):
            with suppress(Rejected):
                x.delete_users(user)
    story.pair.wait_until(
        "the users of before", lambda: x.export_users() == y.export_users() == before
    )
    story.ends_at_home()


def test_an_import_with_bad_lines_changes_nothing_and_names_them_all(story: Story) -> None:
    with pytest.raises(Rejected) as refused:
        story.x.client.import_users(b"user_id,home_node\nfine,a\nbad,nowhere\n,a\n")
    assert [problem["line"] for problem in refused.value.problems] == [3, 4]
    assert story.x.status()["users"]["assigned"] == {"a": HALF, "b": HALF}


def test_a_database_locked_by_another_process_fails_over_and_repairs(mirrored: Story) -> None:
    """Heartbeats and timers go on meanwhile; the pair is never silent."""
    story = mirrored
    lost = len(records(story.y, "peer.down"))
    locker = sqlite3.connect(story.x.folder / "state" / "users.sqlite3", isolation_level=None)
    try:
        locker.execute("BEGIN EXCLUSIVE")
        story.reaches(
            "Failed Over with Critical Services Not Running/Database Failure",
            "Running in Backup Mode/Database Failure",
        )
    finally:
        locker.close()
    story.reaches("Failed Over/Database Failure", "Running in Backup Mode/Database Failure")
    story.fall_back()
    assert len(records(story.y, "peer.down")) == lost


def test_kill_9_leaves_no_orphan(story: Story) -> None:
    def services_of(node: LabNode) -> list[int]:
        return [row["pid"] for row in node.status()["services"] if row["pid"]]

    ours = services_of(story.x)
    assert ours
    story.x.kill()
    story.pair.wait_until("its services are gone", lambda: not any(map(runs, ours)))
    story.reaches(None, "Running in Backup Mode/Peer Down")
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    story.fall_back()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):  # it may go between the two
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_sigterm_ends_a_node_cleanly_and_is_no_reboot(story: Story) -> None:
    before = story.x.status()["local"]["boot_id"]
    assert story.x.terminate() == 0
    story.x.start()
    assert story.x.status()["local"]["boot_id"] == before
    comes_home(story)
    story.x.kill()
    story.x.start()
    assert story.x.status()["local"]["boot_id"] != before
    comes_home(story)


def test_a_node_that_reboots_says_nothing_of_its_former_life(mirrored: Story) -> None:
    """Its first answers were "Normal / Normal" and "0 users assigned": a monitor saw two nodes that
    are well and no user, while the peer served all of them."""
    story = mirrored
    before = story.x.status()["local"]
    story.x.client.power("reboot")
    answers: list[dict[str, Any]] = []
    give_up_s = time.monotonic() + 30.0
    while not answers or answers[-1]["users"]["assigned"]["a"] is None:
        assert time.monotonic() < give_up_s, answers[-1:]
        with suppress(ClientError):  # asked without a pause: it lasts some milliseconds
            answer = story.x.status()
            if answer["local"]["boot_id"] != before["boot_id"]:
                answers.append(answer)
    shown = {(answer["local"]["state"], answer["local"]["reason"]) for answer in answers}
    assert shown == {("Initializing", "Initialization")}
    assert all(answer["local"]["since"] > before["since"] for answer in answers)
    users = [answer["users"]["assigned"] for answer in answers]
    assert users[-1] == {"a": HALF, "b": HALF}
    assert all(known == {"a": None, "b": None} for known in users[:-1])
    comes_home(story)


def test_a_start_and_an_ordered_stop_leave_one_record_a_fact(story: Story) -> None:
    """A start told STARTING twice (without and with the process) and that 0 users had moved; an
    ordered stop was a warning."""
    started = len(records(story.x, "node.started"))
    assert story.x.terminate() == 0
    story.x.start()
    comes_home(story)
    began_s = story.logs(story.x, "node.started", beyond=started)["mono_s"]
    told: dict[str, tuple[str, str]] = {}
    for record in records(story.x, "service.changed"):
        if record["mono_s"] < began_s:
            continue
        news = (record["state"], record["note"])
        assert told.get(record["service"]) != news, record
        told[record["service"]] = news
    assert {state for state, _ in told.values()} == {"STARTED"}
    assert all(record["moved_count"] > 0 for record in records(story.x, "users.moved"))
    stops = records(story.x, "srm.stopped")
    assert stops
    assert {record["level"] for record in stops} == {"info"}


def test_a_service_manager_learns_all_of_a_node(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready when the node answers, its state, a sign of life again and again, the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        assert story.x.terminate() == 0
        story.x.spawn()

        def told_until(*words: str) -> list[str]:
            told: list[str] = []
            for _ in range(300):
                told.append(manager.recv(4096).decode())
                if told[-1].startswith(words):
                    return told
            raise AssertionError(f"none of {words} in {told}")

        told_until("READY=1")
        assert story.x.shown() is not None, "it says that it is ready and does not answer"
        told = told_until("STATUS=Normal / Normal", "STATUS=Failed Over / Initialization")
        told += told_until("WATCHDOG=1")
        assert not [word for word in told if word.startswith("STOPPING")]
        assert story.x.terminate() == 0
        told_until("STOPPING=1\nEXTEND_TIMEOUT_USEC=")
    monkeypatch.undo()
    story.x.start()
    comes_home(story)


def comes_home(story: Story) -> None:
    """Whether the start was quicker than the peer's timeout is the machine's affair."""

    def states() -> tuple[int, int]:
        x, y = (node.status()["local"]["srm_state"] for node in (story.x, story.y))
        return x, y

    story.pair.wait_until("the pair has settled", lambda: states() in {(3, 3), (8, 4)})
    if states() == (8, 4):
        story.x.fallback()
    story.ends_at_home()


def test_garbage_on_every_port_changes_counters_only(story: Story) -> None:
    before = story.x.status()["local"]["op"]
    garbage = [os.urandom(size) for size in range(0, 1400, 7)] + [b"SRMD" + os.urandom(60)]
    host, _, port = story.x.heartbeat.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for burst in batched(garbage, GARBAGE_BURST):
            counted = rejected_count(story.x) + len(burst)
            for data in burst:
                udp.sendto(data, (host, int(port)))
            story.pair.wait_until(
                f"{counted} are counted",
                lambda counted=counted: rejected_count(story.x) == counted,  # type: ignore[misc]
            )
    with pytest.raises(Rejected):
        story.x.client.call("POST", "/control/v1/report", body={"type": "ReportMessage"})
    assert story.x.status()["counters"]["control_rejected"]
    assert story.x.status()["local"]["op"] == before
    story.ends_at_home()


def batched(items: list[bytes], size: int) -> list[list[bytes]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def rejected_count(node: LabNode) -> int:
    counted: dict[str, int] = node.status()["counters"]["heartbeats_rejected"]
    return sum(counted.values())


def test_a_page_that_points_its_name_at_a_node_reads_nothing(story: Story) -> None:
    """Its browser sends that name as the Host; the token was no help, for reading needs none."""
    for host, status in (("evil.example", 403), (story.x.control, 200), ("localhost", 200)):
        connection = HTTPConnection(story.x.control, timeout=10)
        try:
            connection.request("GET", "/api/v1/users", headers={"Host": host})
            answer = connection.getresponse()
            assert (answer.status, b"control.allowed_hosts" in answer.read()) == (
                status,
                status == 403,
            )
        finally:
            connection.close()


def test_a_take_over_leaves_a_record_of_where_its_time_went(mirrored: Story) -> None:
    story = mirrored
    events = ("failover.completed", "alarm.srm_failover")
    before = {event: len(records(story.y, event)) for event in events}
    story.x.kill()
    story.reaches(None, "Running in Backup Mode/Peer Down")
    record, alarm = (story.logs(story.y, event, beyond=count) for event, count in before.items())
    assert record["reason"] == "peer_down"
    assert record["beats_missed"] >= 8
    assert record["deadline_to_decision_s"] >= 0
    last_beat_to_deadline_s = record["last_beat_to_decision_s"] - record["deadline_to_decision_s"]
    assert last_beat_to_deadline_s >= 0.95 - 1e-4
    assert record["saved_to_users_moved_s"] >= 0.5
    parts = ("decision_to_saved_s", "saved_to_users_moved_s", "users_moved_to_backup_s")
    assert sum(record[part] for part in parts) == pytest.approx(
        record["decision_to_backup_s"], abs=1e-4
    )
    assert (alarm["from_node"], alarm["to_node"], alarm["reason"]) == (
        story.x.id,
        story.y.id,
        "Peer Down",
    )
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    story.fall_back()


def test_the_journal_replays_to_the_same_transitions(story: Story) -> None:
    """Every input is there: the pure machine, fed with them, decides as the live one did."""
    story.x.failover()
    story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
    story.fall_back()
    replayed = 0
    for node in (story.x, story.y):
        machine: Node | None = None
        for line in (node.folder / "state" / "journal.jsonl").read_text().splitlines(True):
            if not line.endswith("\n"):
                break  # the node is writing it now
            match entry_from_json(json.loads(line)):
                case Known(node=known, boot=boot):
                    assert boot or machine == known, "a checkpoint is the node as it is"
                    machine = known
                case Decided(event=event, state=state, reason=reason, op=op):
                    assert machine is not None
                    machine = step(machine, event).node
                    assert (machine.state, machine.reason, machine.op) == (state, reason, op)
                    replayed += 1
                case other:
                    assert isinstance(other, Beats)
    assert replayed > 50


def test_the_time_line_of_stopped_nodes_shows_no_split_brain(story: Story) -> None:
    """SIGTERM and an announced shutdown leave `srm.stopped` in the log as well; it was drawn as
    "SRM stopped", and after the take-over the users as served by BOTH nodes."""
    began_s = time.monotonic()
    assert story.x.go_down() == 0
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    story.x.start()
    comes_home(story)
    assert story.x.terminate() == 0
    story.reaches(None, "Running in Backup Mode/Peer Down")
    assert story.y.terminate() == 0
    story.y.start()
    story.x.start()
    comes_home(story)
    records = read([story.x.folder, story.y.folder])
    assert (records.damaged, records.foreign) == ([], []), "nothing else of a node's is read"
    line = timeline(records)
    seen = [bar for bar in line.bars if bar.to_s > line.at_s(began_s)]
    assert not [bar for bar in seen if bar.kind == "users_both"]
    off = [bar.lane for bar in seen if bar.kind == "off"]
    assert off.count(f"node {story.x.id}") == 2
    assert off.count(f"node {story.y.id}") == 1


def test_nothing_secret_is_in_log_or_journal(story: Story) -> None:
    secrets = [story.x.token_file.read_text(), (story.x.folder / "k1.key").read_text()]
    for node in (story.x, story.y):
        for file in (node.log_file, node.folder / "state" / "journal.jsonl"):
            text = file.read_text()
            assert not any(secret in text for secret in secrets)


def test_a_second_start_on_the_same_folder_or_port_is_refused_in_one_line(story: Story) -> None:
    async def second(config: Path) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "srmd", "run", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
        return process.returncode, said.decode()

    code, said = asyncio.run(second(story.x.config_file))
    assert code == 12
    assert "in use by process" in said
    other = story.x.folder / "other.toml"
    other.write_text(story.x.config_file.read_text().replace('"state"', '"other"'))
    code, said = asyncio.run(second(other))
    assert code == 11
    assert "in use" in said
    assert said.count("\n") == 1


def test_a_node_whose_memory_was_lost_is_believed_again(mirrored: Story) -> None:
    """Its incarnation starts at 1; the peer's heartbeats tell what it was, and it starts above."""
    story = mirrored
    lost = len(records(story.x, "node.incarnation_lost"))
    story.x.kill()
    for file in (story.x.folder / "state").glob("node.json*"):
        file.unlink()
    story.reaches(None, "Running in Backup Mode/Peer Down")
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    story.logs(story.x, "node.incarnation_lost", beyond=lost)
    story.fall_back()


def blames_the_key(node: LabNode) -> bool:
    status = node.status()
    return (
        (status["local"]["state"], status["local"]["reason"]) == ("Unknown", "Unknown")
        and status["handbook"]["row"] == 24
        and "different secrets" in (status["mismatch"] or "")
    )


def test_a_pair_with_different_keys_is_unknown_on_both_nodes() -> None:
    """R11, row 24; the right key and an SRM restart make it a pair again."""
    pair = LabPair()
    try:
        wrong = pair.b.folder / "k1.key"
        right = wrong.read_text()
        wrong.write_text("00" * 32)
        pair.write_configs()
        for node in pair.nodes:
            node.spawn()
        for node in pair.nodes:
            node.wait_for_answer()
        pair.wait_until(
            "both nodes are Unknown in row 24, and say why",
            lambda: all(map(blames_the_key, pair.nodes)),
        )
        wrong.write_text(right)
        pair.b.client.srm("restart")
        pair.wait_for(a=NORMAL, b=NORMAL)
    finally:
        pair.close()
    assert not pair.left_behind
    assert not processes_of(pair.mark)


def test_a_restart_of_srm_says_which_changes_of_the_file_need_more(story: Story) -> None:
    node, kept = story.x, story.x.config_file.read_text()
    changed = kept.replace("health_interval_s = 0.2", "health_interval_s = 0.25")
    changed = changed.replace('format = "json"', 'format = "auto"')
    changed = changed.replace("keep_alive_timeout_s = 0.95", "keep_alive_timeout_s = 0.96")
    try:
        node.config_file.write_text(changed)
        assert node.client.srm("restart")["detail"] == (
            "SRM: restart done; changed and not used yet: services.health_interval_s needs srmd "
            "node reboot; log.format needs a restart of srmd run"
        )
        node.config_file.write_text(kept.replace("[heartbeat]", "[heartbeats]"))
        detail = node.client.srm("restart")["detail"]
        assert detail.startswith("SRM: restart done; the former configuration is kept: ")
    finally:
        node.config_file.write_text(kept)
    assert node.client.srm("restart")["detail"] == "SRM: restart done"
    comes_home(story)


def test_a_command_with_a_file_asks_no_other_node(
    story: Story, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The ports of a new pair were taken by another one, whose token is public: `srmd failover`
    acted on that pair, and `srmd status --config` showed it without a word."""
    for name in ("token", "k1.key"):
        shutil.copy(story.x.folder / name, tmp_path / name)
    file, text = tmp_path / "node.toml", story.x.config_file.read_text()
    file.write_text(text.replace('name = "lab"', 'name = "mine"'))
    for words in (["status"], ["failover", story.x.id], ["status", "--json"]):
        assert main([*words, "--config", str(file)]) == Exit.UNREACHABLE
        told = capfd.readouterr()
        assert f"node {story.x.id} of group lab answers here" in told.err
        assert not told.out
    assert main(["status", "--config", str(story.x.config_file)]) == 0
    story.row(1)


@pytest.mark.parametrize(
    "listen,reached", [("[::]", "127.0.0.1"), ("[::]", "[::1]"), ("[::1]", "[::1]")]
)
def test_a_pair_speaks_by_all_addresses_of_this_machine(listen: str, reached: str) -> None:
    """On `[::]` no heartbeat left for an IPv4 peer, the control port refused IPv4, and the check of
    the configuration had said that all is well."""
    pair = LabPair()
    try:
        beats, calls = (
            {n.id: n.heartbeat for n in pair.nodes},
            {n.id: n.control for n in pair.nodes},
        )
        for node, peer in ((pair.a, "b"), (pair.b, "a")):
            node.overrides = {
                "heartbeat": {"listen": beats[node.id].replace("127.0.0.1", listen)},
                "control": {"listen": calls[node.id].replace("127.0.0.1", listen)},
                "peer": {
                    "heartbeat": beats[peer].replace("127.0.0.1", reached),
                    "control": "http://" + calls[peer].replace("127.0.0.1", reached),
                },
            }
            node.client.url = "http://" + calls[node.id].replace("127.0.0.1", reached)
        pair.write_configs()
        for node in pair.nodes:
            load(node.config_file)
        pair.start()
        pair.a.client.generate_users(2, "balanced", "user")
        pair.a.failover()
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
        assert pair.b.status()["peer"]["control_reachable"]
        pair.wait_until("b serves all users", lambda: pair.served() == {"a": 0, "b": 2})
    finally:
        pair.close()


def test_a_node_told_to_stop_twice_stops(story: Story) -> None:
    assert story.x.pid is not None
    os.kill(story.x.pid, signal.SIGTERM)
    assert story.x.terminate() == 0
    story.x.start()
    comes_home(story)


def test_the_backup_of_an_idle_node_that_does_not_receive_it_offers_no_fallback() -> None:
    """It offered `srmd fallback a`.  Node a, which took node b for down, then took all users from
    it; where the control channel was cut too, the command was refused without the reason."""
    with LabPair() as pair:
        pair.a.failover()
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
        peer: dict[str, Value] = {"heartbeat": "127.0.0.1:1"}
        pair.b.overrides["peer"] = peer
        pair.write_configs()
        pair.b.client.srm("restart")
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/Initialization")
        pair.wait_until("node a is heard, and does not hear", lambda: is_deaf(pair.b, "Idle"))
        pair.wait_until("node a takes node b for down", lambda: pair.a.offered() != [])
        assert pair.b.offered() == []
        with pytest.raises(Rejected) as refused:
            pair.b.client.act("fallback", "a")
        assert "Node a does not receive the heartbeats of node b: repair the network" in str(
            refused.value
        )
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/Initialization")


def is_deaf(node: LabNode, state: str) -> bool:
    """The peer is heard in this state, and does not receive the node."""
    peer = node.status()["peer"]
    return peer["heard"] and peer["state"] == state and not peer["hears_us"]
