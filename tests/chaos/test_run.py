"""`srmd lab run` on real processes, and against a pair that somebody else runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from srmd.config import shipped
from srmd.core.states import Reason, State
from srmd.lab import live
from srmd.lab.pair import LabPair

SCENARIOS = shipped() / "scenarios"
LIMIT_S = 100.0


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return lab("run", *words, **env)


def lab(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "srmd", "lab", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, **env},
    )


def test_a_run_tells_its_story_and_leaves_its_results(tmp_path: Path) -> None:
    junit, journal = tmp_path / "junit.xml", tmp_path / "journal"
    done = run(
        SCENARIOS / "row-03-manual-failover.toml",
        SCENARIOS / "row-16-network-cut.toml",
        *("--junit", junit, "--journal", journal, "--seed", "7"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
    assert "reached  a Idle / On Admin Request" in done.stdout
    assert ET.parse(junit).getroot().get("failures") == "0"
    played = [json.loads(file.read_text()) for file in sorted(journal.glob("*.json"))]
    assert {row for one in played for row in one["rows"]} >= {1, 2, 3, 4, 16, 21}
    assert all(one["invariants_checked_count"] > 0 for one in played)


def test_a_story_that_is_not_true_fails_with_1_and_leaves_the_logs(tmp_path: Path) -> None:
    story = tmp_path / "wrong.toml"
    story.write_text(
        'shows = [1]\ntitle = { en = "t", ja = "題" }\nstory = { en = "s", ja = "話" }\n'
        '[[step]]\ndo = "cut heartbeats a->b"\n'
        'stays = { b = "Normal / Normal" }\nfor = "2 * keep_alive_timeout"\n',
        encoding="utf-8",
    )
    done = run(story, "--journal", tmp_path / "journal")
    assert done.returncode == 1
    assert "wrong.toml, line 4: did not stay: b Normal / Normal" in done.stdout
    log = (tmp_path / "journal" / "wrong" / "node-b-log.jsonl").read_text()
    assert '"event": "peer.down"' in log


def test_control_runs_through_our_own_proxy_where_no_toxiproxy_is_wanted() -> None:
    done = run(SCENARIOS / "ours-control-cut.toml", SRMD_TOXIPROXY="off")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "control calls run through our own fault proxy" in done.stdout


def test_scenarios_are_played_against_a_pair_that_runs_already() -> None:
    """What needs the machine of the pair is skipped with its reason."""
    with LabPair({"users": {"move_rate_per_s": 200.0}}) as pair:
        done = run(
            SCENARIOS / "row-03-manual-failover.toml",
            SCENARIOS / "row-12-service-dies.toml",
            SCENARIOS / "row-16-peer-down.toml",
            *("--against", pair.a.client.url, pair.b.client.url),
            *("--config", pair.a.config_file),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped  row-16-peer-down: a pair elsewhere: Power cannot be done" in done.stdout
    assert "2 skipped" in done.stdout
    assert not pair.left_behind


def test_a_pair_that_is_not_at_home_is_told_once_with_the_way_home(tmp_path: Path) -> None:
    """It was told by each scenario: 85 errors, and no word of what to do."""
    with LabPair({"users": {"move_rate_per_s": 200.0}}) as pair:
        pair.a.client.act("failover", "a")
        pair.wait_for(
            (State.IDLE, Reason.ON_ADMIN_REQUEST), (State.BACKUP, Reason.ON_ADMIN_REQUEST)
        )
        there = (
            *("--against", pair.a.client.url, pair.b.client.url),
            *("--config", pair.a.config_file, "--quiet", "--journal", tmp_path),
        )
        done = run(*there)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "srmd: the pair is not at home, where every play begins (a Idle / On Admin Request  |  "
            "b Running in Backup Mode / On Admin Request): bring the pair home first "
            "(`srmd fallback a`), then run this again\n"
        )
        assert not list(tmp_path.iterdir())


def test_a_play_that_leaves_the_pair_away_from_home_ends_the_run(tmp_path: Path) -> None:
    leaves = tmp_path / "1-leaves.toml"
    leaves.write_text(
        'shows = [3]\n[[step]]\ndo = "failover a"\n'
        'expect = { a = "Idle / On Admin Request" }\nrow = 3\n'
    )
    with LabPair({"users": {"move_rate_per_s": 200.0}}) as pair:
        there = ("--against", pair.a.client.url, pair.b.client.url)
        done = run(
            *(leaves, SCENARIOS / "row-03-manual-failover.toml"),
            *(SCENARIOS / "row-12-service-dies.toml", *there, "--config", pair.a.config_file),
        )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 error;" in done.stdout
    assert (
        "bring the pair home first (`srmd fallback a`), then run this again; plays not begun: 2"
        in (done.stdout)
    )


def test_faults_of_the_network_are_played_through_the_proxies_of_a_pair_elsewhere(
    tmp_path: Path,
) -> None:
    place = {live.FOLDER_VARIABLE: str(tmp_path / "lab")}
    up = lab("up", **place)
    assert up.returncode == 0, up.stderr
    try:
        status = json.loads(lab("status", "--json", **place).stdout)
        nodes, proxies = status["nodes"], status["proxies"]
        there = (
            "--against",
            nodes["a"]["api"],
            nodes["b"]["api"],
            "--config",
            nodes["a"]["config"],
        )
        faults = ("--faults", proxies["heartbeats"], proxies["control"])
        done = run(
            SCENARIOS / "row-16-network-cut.toml",
            SCENARIOS / "ours-one-way-loss.toml",
            *there,
            *faults,
            *("--fault-prefix", status["prefix"]),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "skipped" not in done.stdout
        links = json.loads(lab("status", "--json", **place).stdout)["links"]
        assert all(link.endswith("well") for link in links)

        unnamed = run(*there, *faults)
        assert unnamed.returncode == 2
        assert "has no proxy heartbeats_a_to_b; needed are" in unnamed.stderr
    finally:
        down = lab("down", **place)
    assert down.returncode == 0, down.stderr


def test_faults_without_a_pair_are_refused() -> None:
    done = run("--faults", "http://127.0.0.1:9", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "give --against" in done.stderr


def test_containers_without_a_pair_are_refused() -> None:
    done = run("--containers", "one", "other")
    assert done.returncode == 2
    assert "give --against" in done.stderr


def test_against_addresses_where_nobody_is_ends_with_2() -> None:
    nobody = "http://127.0.0.1:9"
    done = run("--against", nobody, nobody, "--config", shipped() / "node-a.toml")
    assert done.returncode == 2
    assert "does not answer" in done.stderr
