"""Containers and the network between them are broken: by scenario files, and by podman itself."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.containers.engine import (
    ADDRESSES,
    NAMES,
    NETWORK,
    SCENARIOS,
    Pair,
    pid,
    podman,
    script,
)

NORMAL = "Normal / Normal"
ALONE = "Running in Backup Mode / Peer Down"
SPLIT = "Running in Failed Mode / Unknown"
TABLE = "srmd_test"


@pytest.mark.parametrize(
    "scenario",
    [
        "row-16-peer-down",  # kill, start
        "ours-frozen-node-wakes-up",  # pause, unpause
        "row-17-home-node-shuts-down",  # a container that ends by itself
        "row-14-home-node-reboots",
        "row-16-network-cut",
        "ours-one-way-loss",
        "ours-control-cut",  # the partition of Toxiproxy
        "row-13-database-fails",  # terminate, start
    ],
)
def test_a_scenario_passes_against_the_containers(
    pair: Pair, scenario: str, tmp_path: Path
) -> None:
    file = SCENARIOS / f"{scenario}.toml"
    done = script("run", str(file), "--quiet", "--journal", str(tmp_path))
    plays = [json.loads(play.read_text()) for play in tmp_path.glob("*.json")]
    assert plays
    assert {play["verdict"] for play in plays} == {"passed"}, done.stdout


def test_a_pair_that_is_not_at_home_is_told_in_one_line(pair: Pair) -> None:
    """It was 85 errors and 27 skipped scenarios."""
    script("srmd", "failover", "a")
    done = script("run", str(SCENARIOS), "--quiet", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "bring the pair home first (`srmd fallback a`)" in line
    script("srmd", "fallback", "a")
    pair.reaches(a=NORMAL, b=NORMAL)


def test_the_time_line_of_what_was_played_last_has_both_nodes_the_link_and_the_story(
    pair: Pair,
) -> None:
    script("run", str(SCENARIOS / "row-16-network-cut.toml"), "--quiet")
    lines = script("timeline").stdout.splitlines()
    assert lines[0].startswith("The network between the nodes is cut: ")
    for lane in ("story", "node a", "node b", "users a", "link"):
        assert any(re.match(rf"\s+[+-][\d.]+ s  {lane}\b", line) for line in lines), lane
    assert any("verdict: passed" in line for line in lines)


def test_control_calls_run_through_the_real_toxiproxy(pair: Pair) -> None:
    """Ours tells of itself under a path that the real one does not have."""
    assert b"seed" in urlopen("http://10.89.77.21:8474/srm/v1/server", timeout=5).read()
    with pytest.raises(HTTPError, match="404"):
        urlopen("http://10.89.77.22:8474/srm/v1/server", timeout=5)
    assert b"2.12.0" in urlopen("http://10.89.77.22:8474/version", timeout=5).read()


def test_a_container_is_stopped_in_time_and_its_peer_takes_over(pair: Pair) -> None:
    podman("stop", "--time", "15", NAMES["a"])
    assert podman("inspect", "--format", "{{.State.ExitCode}}", NAMES["a"]).stdout == "0\n"
    pair.reaches(b=ALONE)
    podman("start", NAMES["a"])
    pair.reaches(a="Failed Over / Initialization", b=ALONE)
    pair.does("fallback", "a")
    pair.reaches(a=NORMAL, b=NORMAL)


def test_a_disconnected_node_is_found_in_split_brain_and_recovered(pair: Pair) -> None:
    """Its address, route and interface are gone: heartbeats can be neither sent nor received."""
    podman("network", "disconnect", NETWORK, NAMES["a"])
    try:
        pair.reaches(a="(does not answer)", b=ALONE)
        inside = podman("exec", NAMES["a"], "srmd", "status", "--json").stdout
        assert json.loads(inside)["local"]["node"] == "a", "the health check does not need the net"
    finally:
        podman("network", "connect", "--ip", ADDRESSES["a"], NETWORK, NAMES["a"])
    pair.reaches(a=SPLIT, b=SPLIT)
    pair.does("recover", "a")
    pair.reaches(a=NORMAL, b=NORMAL)


def test_heartbeats_lost_one_way_in_the_kernel_leave_one_backup(pair: Pair) -> None:
    """nftables in the container's own network: our proxies have no part in it."""
    with dropped("b", "udp dport 22001"):
        pair.reaches(a="Failed Over / Peer Down", b=ALONE)
    pair.does("fallback", "a")
    pair.reaches(a=NORMAL, b=NORMAL)


@contextmanager
def dropped(node: str, what: str) -> Iterator[None]:
    """This node receives nothing of the kind, until the end of the block."""

    def nft(words: str) -> None:
        number = str(pid(NAMES[node]))
        subprocess.run(["nsenter", "-n", "-t", number, "nft", words], check=True, timeout=10)

    nft(f"add table inet {TABLE}")
    try:
        nft(f"add chain inet {TABLE} input {{ type filter hook input priority 0; }}")
        nft(f"add rule inet {TABLE} input {what} drop")
        yield
    finally:
        nft(f"delete table inet {TABLE}")
