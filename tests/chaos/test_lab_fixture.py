"""Chaos tests in a few lines, as the README shows them; and that they can fail.

No conftest names the plugin: pytest has found it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from srmd.config import shipped
from srmd.lab.api import Lab
from srmd.lab.scenario.phrases import NotAVerb
from srmd.lab.scenario.running import StoryFailed

NORMAL = "Normal / Normal"
BACKUP = "Running in Backup Mode / Peer Down"


def test_a_project_that_asks_for_no_lab_does_not_pay_for_it(tmp_path: Path) -> None:
    """Every run of pytest loads the plugin.  The fixture is there, and none of what it needs."""
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\n\ndef test_theirs(request):\n"
        "    assert request.config.pluginmanager.has_plugin('srmd-lab')\n"
        "    assert not {'aiohttp', 'srmd.lab.real', 'srmd.lab.scenario'} & sys.modules.keys()\n",
        encoding="utf-8",
    )
    theirs = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        theirs, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_way_silence_never_makes_two_masters(lab: Lab) -> None:
    lab.cut("heartbeats", "a->b")
    lab.expect(b=BACKUP, within="keep_alive_timeout + move_limit")
    lab.expect(a="Failed Over / Peer Down", b=BACKUP, served={"a": "none", "b": "all"})
    lab.stays(a="Failed Over / Peer Down", b=BACKUP, length="3 * keep_alive_timeout")
    lab.heal()
    lab.do("fallback a")


def test_three_lost_heartbeats_change_nothing(lab: Lab) -> None:
    lab.stays(a=NORMAL, b=NORMAL, meanwhile="drop next 3 heartbeats", length="keep_alive_interval")


def test_a_command_that_makes_no_sense_now_is_refused(lab: Lab) -> None:
    lab.refused("recover")


def test_an_expectation_that_does_not_come_true_fails_with_what_was_seen(lab: Lab) -> None:
    with pytest.raises(StoryFailed, match="it was a Normal / Normal") as failed:
        lab.expect(a="Idle / On Admin Request", within="2 * keep_alive_interval")
    assert lines_shown(failed) == [__file__]


def test_words_that_are_none_are_told_at_the_line_of_the_test(lab: Lab) -> None:
    with pytest.raises(NotAVerb, match="did you mean: cut heartbeats both ways") as failed:
        lab.cut("hartbeats")
    assert lines_shown(failed) == [__file__]


def lines_shown(failed: pytest.ExceptionInfo[Exception]) -> list[str]:
    """The files that pytest shows of a failure; sixty lines of ours stood there."""
    return [str(entry.path) for entry in failed.traceback.filter(failed)]


def test_a_whole_scenario_file_can_be_played(lab: Lab) -> None:
    lab.run(shipped() / "scenarios" / "row-03-manual-failover.toml")


SOMEBODY_ELSES_CLIENT = """
import sys
from toxiproxy import Toxiproxy

port, name, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]
server = Toxiproxy()
server.update_api_consumer("127.0.0.1", port)
proxy = server.get_proxy(name)
if what == "cut":
    proxy.add_toxic(type="timeout", stream="upstream", attributes={"timeout": 0})
else:
    proxy.destroy_toxic("timeout_upstream")
"""
"""toxiproxy-python has one global endpoint: a process for each server."""


def with_somebody_elses_client(lab: Lab, link: str, what: str) -> None:
    wired = lab.stage.wired
    url = wired.urls[link.partition("_")[0]]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SOMEBODY_ELSES_CLIENT,
            url.rpartition(":")[2],
            wired.network.name_of(link),
            what,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_partition_made_by_toxiproxy_python_is_a_partition(lab: Lab) -> None:
    links = ("heartbeats_a_to_b", "heartbeats_b_to_a", "control_a_to_b", "control_b_to_a")
    for link in links:
        with_somebody_elses_client(lab, link, "cut")
    lab.expect(a=BACKUP, b=BACKUP, row=16)
    for link in links:
        with_somebody_elses_client(lab, link, "heal")
    failed = "Running in Failed Mode / Unknown"
    lab.expect(a=failed, b=failed, row=21)
    lab.do("recover")


def test_ctrl_c_heals_and_leaves_nothing(tmp_path: Path) -> None:
    """A run is interrupted in the middle of a partition: no process and no file stays."""
    story = tmp_path / "story.toml"
    story.write_text(
        'shows = [1]\ntitle = { en = "t", ja = "題" }\nstory = { en = "s", ja = "話" }\n'
        '[[step]]\ndo = ["cut all", "freeze node a"]\nexpect = { a = "down" }\n'
        '[[step]]\nstays = { a = "down" }\nfor = "60s"\n',
        encoding="utf-8",
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "srmd", "lab", "run", str(story)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:  # ends with the process; pytest-timeout bounds it
            if "reached  a down" in line:
                break
        process.send_signal(2)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "heal" in said
    assert list(temporary.iterdir()) == []
