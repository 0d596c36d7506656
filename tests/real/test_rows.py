"""The documented pairs on real processes: real services, a real database, real restarts.

Each story reaches its row by the cause that the document gives, without any network fault, and
follows the recommended action back to row 1 with every user at home.
"""

from __future__ import annotations

import os
import signal

import pytest

from srmd.client import Rejected
from srmd.lab.pair import LabNode, LabPair, Value
from tests.real.conftest import OVERRIDES, USERS, Story, records, started

PROXY = "Cisco SIP Proxy"
ROUTER = "Cisco XCP Router"
ALL, HALF = USERS, USERS // 2

IDLE = "Idle/On Admin Request"
BACKUP = "Running in Backup Mode/On Admin Request"
CRITICAL_DOWN = "Failed Over with Critical Services Not Running/Critical Service Down"


def failed_mode(reason: str) -> str:
    return f"Running in Failed Mode/{reason}"


def fail_over_by_hand(story: Story) -> None:
    story.x.failover()
    story.reaches(IDLE, BACKUP)


def test_rows_2_3_4_manual_failover_and_fallback(story: Story) -> None:
    story.x.failover()
    story.passes("Failing Over/On Admin Request", "Taking Over/On Admin Request", row=2)
    story.reaches(IDLE, BACKUP)
    story.row(3)
    story.serve(0, ALL)
    stopped = {row["name"]: row["note"] for row in story.x.status()["services"]}
    assert stopped[PROXY] == stopped[ROUTER] == "Commanded out of service"
    story.x.fallback()
    story.passes("Taking Back/On Admin Request", "Falling Back/On Admin Request", row=4)
    story.ends_at_home()


def test_row_5_srm_of_the_idle_node_restarts(mirrored: Story) -> None:
    story = mirrored
    fail_over_by_hand(story)
    story.x.client.srm("restart")
    story.reaches("Idle/Initialization", BACKUP)
    story.row(5)
    states = {row["name"]: row["state"] for row in story.x.status()["services"]}
    assert states[PROXY] == "STOPPED"
    story.fall_back()


def test_row_6_srm_restarts_on_both_nodes(story: Story) -> None:
    fail_over_by_hand(story)
    story.x.client.srm("restart")
    story.y.client.srm("restart")
    story.reaches("Idle/Initialization", "Running in Backup Mode/Initialization")
    story.row(6)
    story.serve(0, ALL)
    story.fall_back()


def test_row_6_both_nodes_reboot(mirrored: Story) -> None:
    story = mirrored
    fail_over_by_hand(story)
    booted = [node.status()["local"]["boot_id"] for node in (story.x, story.y)]
    story.x.client.power("reboot")
    story.y.client.power("reboot")
    story.reaches("Idle/Initialization", "Running in Backup Mode/Initialization")
    assert booted[0] != story.x.status()["local"]["boot_id"]
    assert booted[1] != story.y.status()["local"]["boot_id"]
    story.row(6)
    story.fall_back()


def test_row_7_srm_of_the_backup_restarts(story: Story) -> None:
    fail_over_by_hand(story)
    story.y.client.srm("restart")
    story.reaches(IDLE, "Running in Backup Mode/Initialization")
    story.row(7)
    story.fall_back()


def test_row_7_the_process_of_the_backup_restarts(story: Story) -> None:
    fail_over_by_hand(story)
    assert story.y.terminate() == 0
    story.y.start()
    story.reaches(IDLE, "Running in Backup Mode/Initialization")
    story.fall_back()


def test_row_8_srm_of_the_backup_restarts_while_taking_over(mirrored: Story) -> None:
    story = mirrored
    story.x.failover()
    story.reaches("Failing Over/On Admin Request", "Taking Over/On Admin Request")
    story.y.client.srm("restart")
    story.passes("Failing Over/On Admin Request", "Taking Over/Initialization", row=8)
    story.reaches(IDLE, "Running in Backup Mode/Initialization")
    story.fall_back()


def test_row_9_srm_of_the_home_node_restarts_while_taking_back(story: Story) -> None:
    fail_over_by_hand(story)
    story.x.fallback()
    story.reaches("Taking Back/On Admin Request", "Falling Back/On Admin Request")
    story.x.client.srm("restart")
    story.passes("Taking Back/Initialization", "Falling Back/On Admin Request", row=9)
    story.ends_at_home()


def test_rows_12_11_a_service_is_killed_and_started(story: Story) -> None:
    story.x.client.service(PROXY, "kill")
    story.reaches(CRITICAL_DOWN, "Running in Backup Mode/Critical Service Down")
    story.row(12)
    story.serve(0, ALL)
    with pytest.raises(Rejected, match="Needed: "):
        story.x.client.act("fallback", story.x.id)
    story.x.client.service(PROXY, "start")
    story.reaches(
        "Failed Over/Critical Service Down", "Running in Backup Mode/Critical Service Down"
    )
    story.row(11)
    story.fall_back()


def test_row_12_a_hung_service_counts_as_down(mirrored: Story) -> None:
    story = mirrored
    story.x.client.service(ROUTER, "hang")
    story.reaches(CRITICAL_DOWN, "Running in Backup Mode/Critical Service Down")
    story.x.client.service(ROUTER, "start")
    story.reaches(
        "Failed Over/Critical Service Down", "Running in Backup Mode/Critical Service Down"
    )
    story.fall_back()


def test_row_11_the_home_node_reboots(mirrored: Story) -> None:
    story = mirrored
    story.x.client.service(PROXY, "kill")
    story.reaches(CRITICAL_DOWN, "Running in Backup Mode/Critical Service Down")
    story.x.client.power("reboot")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Critical Service Down")
    story.row(11)
    story.fall_back()


def test_a_service_that_is_back_within_the_delay_changes_nothing() -> None:
    """The delay is one in which any machine starts a service."""
    services = {"critical_service_delay_s": 60.0}
    pair = started({**OVERRIDES, "services": services})
    try:
        story = Story(pair, pair.a, pair.b)
        before = story.x.status()["local"]["op"]
        story.x.client.service(PROXY, "kill")
        story.x.client.service(PROXY, "start")
        story.ends_at_home()
        assert story.x.status()["local"]["op"] == before
    finally:
        pair.close()
    assert not pair.left_behind


def test_during_the_delay_no_node_says_that_all_is_well() -> None:
    """`srmd status` and `srmd explain` did, for 90 s, with a dead service and users unserved."""
    services = {"critical_service_delay_s": 600.0}
    pair = started({**OVERRIDES, "services": services})
    try:
        story = Story(pair, pair.a, pair.b)
        x, y = story.x, story.y
        story.pair.wait_until("no notices", lambda: x.status()["notices"] == [])
        assert x.status()["handbook"]["cause"]["en"].startswith("All is well")
        x.client.service(PROXY, "stop")
        for node, side in ((x, "local"), (y, "peer")):
            story.pair.wait_until(
                f"{node.id} tells of the outage",
                lambda node=node, side=side: node.status()[side]["outage"] is not None,  # type: ignore[misc]
            )
            answer = node.status()
            assert answer["handbook"]["row"] == 1
            assert answer[side]["outage"]["services"] == [PROXY]
            assert answer[side]["outage"]["unserved"] == USERS // 2
            assert not answer["handbook"]["cause"]["en"].startswith("All is well")
            assert "Nothing" not in answer["handbook"]["action"]["en"]
            assert PROXY in answer["notices"][0]["en"]
            assert PROXY in answer["notices"][0]["ja"]
        left_s = x.status()["local"]["outage"]["critical_service_delay_left_s"]
        assert 0 < left_s < 600
        x.client.service(PROXY, "start")
        for node in (x, y):
            story.pair.wait_until(
                f"{node.id} is well again",
                lambda node=node: node.status()["notices"] == [],  # type: ignore[misc]
            )
    finally:
        pair.close()
    assert not pair.left_behind


def test_with_a_control_channel_that_is_not_reached_no_node_says_that_all_is_well() -> None:
    """Row 1 said so above the line that told of it."""
    pair = LabPair(OVERRIDES)
    try:
        for node in pair.nodes:
            peer: dict[str, Value] = {"control": "http://127.0.0.1:1"}
            node.overrides["peer"] = peer
        pair.start()
        pair.wait_for(a="Normal/Normal", b="Normal/Normal")
        for node in pair.nodes:
            pair.wait_until(
                f"node {node.id} tells of it",
                lambda node=node: "control" in noticed(node),  # type: ignore[misc]
            )
            row = node.status()["handbook"]
            assert row["row"] == 1
            assert row["cause"]["en"].startswith("Both nodes are in Normal, but not all is well")
            assert row["action"]["ja"] == "「注意」の内容に従います。"
    finally:
        pair.close()
    assert not pair.left_behind


def noticed(node: LabNode) -> list[str]:
    return [notice["key"] for notice in node.status()["notices"]]


def test_row_13_the_database_fails(story: Story) -> None:
    story.x.client.set_fault("database", True)
    story.reaches(
        "Failed Over with Critical Services Not Running/Database Failure",
        "Running in Backup Mode/Database Failure",
    )
    story.row(13)
    story.x.client.power("reboot")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Database Failure")
    story.fall_back()


def test_row_13_the_file_of_the_database_is_gone(mirrored: Story) -> None:
    """The node gets a new database at its reboot, and all users from its peer."""
    story = mirrored
    for file in (story.x.folder / "state").glob("users.sqlite3*"):
        file.unlink()
    story.reaches(
        "Failed Over with Critical Services Not Running/Database Failure",
        "Running in Backup Mode/Database Failure",
    )
    story.x.client.power("reboot")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Database Failure")
    story.fall_back()
    assert story.x.status()["users"]["assigned"] == {"a": HALF, "b": HALF}


def services_do_not_start(story: Story) -> None:
    fail_over_by_hand(story)
    story.x.client.service(ROUTER, "block")
    story.x.fallback()
    reason = "Start of Critical Services Failed"
    story.reaches(failed_mode(reason), failed_mode(reason))
    story.row(14)
    story.x.client.service(ROUTER, "unblock")


def test_row_14_services_do_not_start_then_recover(story: Story) -> None:
    services_do_not_start(story)
    story.y.recover()
    story.ends_at_home()


def test_row_14_services_do_not_start_then_reboot(mirrored: Story) -> None:
    story = mirrored
    services_do_not_start(story)
    story.x.client.power("reboot")
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Reboot")
    story.fall_back()


def test_row_15_a_service_dies_on_the_backup_of_an_idle_node(story: Story) -> None:
    fail_over_by_hand(story)
    story.y.client.service(PROXY, "kill")
    story.reaches(failed_mode("Critical Service Down"), failed_mode("Critical Service Down"))
    story.row(15)
    story.y.recover()
    story.ends_at_home()


def test_row_16_the_home_node_is_killed(mirrored: Story) -> None:
    story = mirrored
    story.x.kill()
    story.reaches(None, "Running in Backup Mode/Peer Down")
    story.pair.wait_until("row 16", lambda: story.y.status()["handbook"]["row"] == 16)
    assert story.y.status()["peer"]["state"] == "Down State"
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    story.serve(0, ALL)
    story.fall_back()


def test_row_16_srm_stops_and_its_services_run_on(story: Story) -> None:
    pids = {row["name"]: row["pid"] for row in story.x.status()["services"]}
    story.x.client.srm("stop")
    story.reaches(None, "Running in Backup Mode/Peer Down")
    story.x.client.srm("start")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    assert {row["name"]: row["pid"] for row in story.x.status()["services"]} == pids
    story.fall_back()


def test_row_17_the_home_node_reboots(story: Story) -> None:
    story.x.client.power("reboot")
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Reboot")
    story.fall_back()


def test_row_17_the_home_node_shuts_down(mirrored: Story) -> None:
    story = mirrored
    story.x.client.power("shutdown")
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    story.pair.wait_until("its process ended", lambda: story.x.pid is None)
    story.pair.wait_until("row 17", lambda: story.y.status()["handbook"]["row"] == 17)
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Reboot")
    story.fall_back()


def test_row_17_the_machine_of_the_home_node_goes_down(story: Story) -> None:
    """The peer takes over on the announcement, and never waits for the silence."""
    waited = len(records(story.y, "peer.down"))
    assert story.x.go_down() == 0
    story.reaches(None, "Running in Backup Mode/Peer Reboot")
    assert len(records(story.y, "peer.down")) == waited
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Reboot")
    story.fall_back()


def stop_together(story: Story) -> None:
    """Neither waits for the other's end, and begins to take over."""
    for node in (story.x, story.y):
        assert node.pid is not None
        os.kill(node.pid, signal.SIGTERM)
    story.pair.wait_until("both ended", lambda: story.x.pid is None and story.y.pid is None)


def test_row_18_the_home_node_comes_late_and_with_a_dead_service(mirrored: Story) -> None:
    story = mirrored
    story.x.client.service(ROUTER, "block")
    stop_together(story)
    story.y.start()
    story.reaches(None, "Running in Backup Mode/Peer Down During Initialization")
    story.x.start()
    backup = "Running in Backup Mode/Peer Down During Initialization"
    story.reaches("Failed Over with Critical Services Not Running/Initialization", backup)
    story.row(18)
    story.x.client.service(ROUTER, "unblock")
    story.x.client.service(ROUTER, "start")
    story.reaches("Failed Over/Initialization", backup)
    story.row(18)
    story.fall_back()


def test_row_19_users_cannot_be_taken_over(story: Story) -> None:
    story.y.client.set_fault("moves", True)
    story.x.failover()
    reason = "Cisco Server Recovery Manager Take Over Users Failed"
    story.reaches(failed_mode(reason), failed_mode(reason))
    story.row(19)
    story.y.client.set_fault("moves", False)
    story.x.recover()
    story.ends_at_home()


def test_row_20_users_cannot_be_taken_back(mirrored: Story) -> None:
    story = mirrored
    fail_over_by_hand(story)
    story.x.client.set_fault("moves", True)
    story.x.fallback()
    reason = "Cisco Server Recovery Manager Take Back Users Failed"
    story.reaches(failed_mode(reason), failed_mode(reason))
    story.row(20)
    story.x.client.set_fault("moves", False)
    story.x.recover()
    story.ends_at_home()


def test_row_21_srm_restarts_in_failed_mode(story: Story) -> None:
    services_do_not_start(story)
    story.y.client.srm("restart")
    story.reaches(failed_mode("Unknown"), failed_mode("Unknown"))
    story.row(21)
    story.x.recover()
    story.ends_at_home()


def home_node_is_failed_over_and_well(story: Story) -> None:
    story.x.client.service(PROXY, "kill")
    story.reaches(CRITICAL_DOWN, "Running in Backup Mode/Critical Service Down")
    story.x.client.service(PROXY, "start")
    story.reaches(
        "Failed Over/Critical Service Down", "Running in Backup Mode/Critical Service Down"
    )


def test_row_22_the_database_of_the_backup_fails(story: Story) -> None:
    home_node_is_failed_over_and_well(story)
    story.y.client.set_fault("database", True)
    story.reaches(
        "Running in Backup Mode/Auto Recover Database Failure",
        "Failed Over with Critical Services Not Running/Auto Recovery Database Failure",
    )
    story.row(22)
    shown = [node.status()["local"]["state"] for node in (story.x, story.y)]
    assert shown == ["Backup Activated", "Failover Affected Services"]
    story.y.client.set_fault("database", False)
    story.pair.wait_until("y is well", lambda: story.y.status()["local"]["srm_state"] == 8)
    story.y.fallback()
    story.ends_at_home()


def test_row_23_a_service_of_the_backup_dies(mirrored: Story) -> None:
    story = mirrored
    home_node_is_failed_over_and_well(story)
    story.y.client.service(ROUTER, "kill")
    story.reaches(
        "Running in Backup Mode/Auto Recover Database Failure",
        "Failed Over with Critical Services Not Running/Auto Recover Critical Service Down",
    )
    story.row(23)
    story.y.client.service(ROUTER, "start")
    story.pair.wait_until("y is well", lambda: story.y.status()["local"]["srm_state"] == 8)
    story.y.fallback()
    story.ends_at_home()


def test_row_24_high_availability_on_one_node_only(story: Story) -> None:
    def configure(enabled: bool) -> None:
        story.y.overrides.setdefault("group", {})["ha_enabled"] = enabled
        story.pair.write_configs()

    configure(False)
    story.y.client.srm("restart")
    story.pair.wait_until(
        "both Unknown",
        lambda: all(node.status()["local"]["srm_state"] == 0 for node in (story.x, story.y)),
    )
    story.row(24)
    assert story.x.status()["mismatch"] == "high availability is enabled on one node only"
    configure(True)
    story.x.client.srm("restart")
    story.y.client.srm("restart")
    story.ends_at_home()


def test_row_10_automatic_fallback() -> None:
    group = {"automatic_fallback": True, "automatic_fallback_wait_s": 0.5}
    pair: LabPair = started({**OVERRIDES, "group": group})
    try:
        story = Story(pair, pair.a, pair.b)
        story.x.client.service(PROXY, "kill")
        story.reaches(CRITICAL_DOWN, "Running in Backup Mode/Critical Service Down")
        story.x.client.service(PROXY, "start")
        story.passes("Taking Back/Automatic Fallback", "Falling Back/Automatic Fallback", row=10)
        story.ends_at_home()
    finally:
        pair.close()
    assert not pair.left_behind
