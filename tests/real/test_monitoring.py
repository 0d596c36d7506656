"""What machines ask a pair of real daemons: `srmd status --check`, and whether a node serves."""

from __future__ import annotations

import http.client
import subprocess
import sys
from functools import partial

from srmd.lab.pair import LabNode
from tests.real.conftest import USERS, Story

HALF = USERS // 2
BOUND_S = 60.0


def check(node: LabNode) -> tuple[int, str]:
    """Exit code and line of the plugin."""
    done = subprocess.run(
        [sys.executable, "-m", "srmd", "status", "--check", "--api", node.client.url],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout


def asked(node: LabNode, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(node.control, timeout=BOUND_S)
    try:
        connection.request(method, f"/api/v1/{path}")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert bool(body) == (method == "GET")
    return response.status


def serving(story: Story) -> tuple[int, int]:
    found = {
        method: [asked(node, method, "serving") for node in (story.x, story.y)]
        for method in ("GET", "HEAD")
    }
    assert found["GET"] == found["HEAD"]
    return found["GET"][0], found["GET"][1]


def rests_at(story: Story, level: int, text: str) -> str:
    """Both nodes say so, as soon as each has heard of the other; the line of the backup."""
    for node in (story.x, story.y):
        is_there = partial(_is_at, node, level)
        story.pair.wait_until(f"{node.id} is at level {level}", is_there)
        assert text in check(node)[1]
    return check(story.y)[1]


def _is_at(node: LabNode, level: int) -> bool:
    return check(node)[0] == level


def test_a_monitor_and_a_balancer_follow_a_pair_over_a_failover(mirrored: Story) -> None:
    story = mirrored
    story.ends_at_home()
    well = rests_at(story, 0, f"all {USERS} users are served")
    assert f"users={USERS};;;0 served={USERS};;;0 unserved=0;;0;0 served_twice=0;;0;0" in well
    assert serving(story) == (200, 200)
    story.x.failover()
    story.reaches("Idle/On Admin Request", "Running in Backup Mode/On Admin Request")
    story.serve(0, USERS)
    rests_at(story, 1, f"all {USERS} users are served")
    assert serving(story) == (503, 200)
    assert [asked(node, "HEAD", "health") for node in (story.x, story.y)] == [200, 200]
    story.fall_back()


def test_a_node_that_does_not_answer_is_critical_and_its_backup_a_warning(story: Story) -> None:
    story.x.kill()
    story.pair.wait_until(
        "y serves all users", lambda: story.y.status()["users"]["served"][story.y.id] == USERS
    )
    story.pair.wait_until(
        "y is in backup mode", lambda: story.y.status()["local"]["srm_state"] == 4
    )
    code, line = check(story.x)
    assert (code, line.partition(" - ")[0]) == (2, "SRMD CRITICAL")
    assert "connection refused" in line
    code, line = check(story.y)
    assert (code, line.partition(" - ")[0]) == (1, "SRMD WARNING")
    assert f"node {story.x.id}: Down State" in line
    story.x.start()
    story.reaches("Failed Over/Initialization", "Running in Backup Mode/Peer Down")
    story.fall_back()
