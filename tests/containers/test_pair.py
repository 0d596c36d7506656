"""The pair of the compose file: shut in, quiet about its secrets, and with a memory."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from srmd.config import load
from tests.containers.engine import (
    COMPOSE,
    NAMES,
    NETWORK,
    OTHERS,
    SECRETS,
    USER_ID,
    Pair,
    in_container,
    inspected,
    pid,
    podman,
    script,
)

ALL = (*NAMES.values(), *OTHERS)
NORMAL = "Normal / Normal"


def status_of(number: int) -> dict[str, str]:
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("name", ALL)
def test_nothing_runs_as_root_or_can_become_it(pair: Pair, name: str) -> None:
    processes = podman("top", name, "hpid").stdout.split()[1:]
    assert processes
    for number in map(int, processes):
        status = status_of(number)
        assert status["Uid"].split() == [str(USER_ID)] * 4, status["Name"]
        assert status["Gid"].split() == [str(USER_ID)] * 4, status["Name"]
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0, f"{status['Name']}: {kind}"
        assert status["NoNewPrivs"] == "1", status["Name"]


@pytest.mark.parametrize("name", ALL)
def test_its_root_cannot_be_written_and_its_resources_are_bounded(pair: Pair, name: str) -> None:
    mounts = Path(f"/proc/{pid(name)}/mounts").read_text().splitlines()
    (root,) = [fields[3].split(",") for line in mounts if (fields := line.split())[1] == "/"]
    assert "ro" in root
    host = inspected(name)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert 0 < host["Memory"] <= 256 * 2**20
    assert 0 < host["PidsLimit"] <= 200


def test_a_node_can_write_its_state_and_nothing_that_lasts(pair: Pair) -> None:
    code = """
import pathlib
for folder in ("/", "/etc", "/etc/srmd", "/opt/srmd", "/var/lib/srmd"):
    try:
        (pathlib.Path(folder) / "probe").touch()
        print(folder)
    except OSError:
        pass
pathlib.Path("/var/lib/srmd/probe").unlink()
"""
    assert in_container("srmd-node-a", code) == "/var/lib/srmd\n"


def test_there_is_no_way_out_and_no_name_to_be_looked_up(pair: Pair) -> None:
    """Heartbeats of a trial stopped while a resolver looked for a peer whose name had vanished."""
    routes = in_container("srmd-node-a", "print(open('/proc/net/route').read())").splitlines()[1:]
    devices = {fields[0]: fields[1] for line in routes if (fields := line.split())}
    assert list(devices.values()) == ["004D590A"], "only the network of the pair, 10.89.77.0/24"
    (network,) = json.loads(podman("network", "inspect", NETWORK).stdout)
    assert network["internal"]
    assert not network["dns_enabled"]
    for node in NAMES:
        peer = load(COMPOSE / f"node-{node}.toml").config.peer
        ip_address(peer.heartbeat.host)  # raises for a name
        ip_address(peer.control.removeprefix("http://").partition(":")[0])


def test_secrets_are_files_for_the_node_alone_and_are_seen_nowhere_else(pair: Pair) -> None:
    code = """
import os
print(*(oct(os.stat(f"/etc/srmd/secrets/{name}").st_mode) for name in ("key", "token")))
"""
    assert in_container("srmd-node-a", code) == "0o100400 0o100400\n"
    secrets = [(SECRETS / name).read_text().strip() for name in ("key", "token")]
    for name in ALL:
        logs = podman("logs", name)
        seen = [podman("inspect", name).stdout, logs.stdout, logs.stderr]
        for number in map(int, podman("top", name, "hpid").stdout.split()[1:]):
            folder = Path(f"/proc/{number}")
            seen += [(folder / file).read_text() for file in ("environ", "cmdline")]
        for secret in secrets:
            assert len(secret) == 64
            assert not any(secret in text for text in seen), name


def test_every_line_of_standard_output_is_json_with_an_event(pair: Pair) -> None:
    for name in (*NAMES.values(), "srmd-faults"):
        lines = podman("logs", name).stdout.splitlines()
        assert lines
        assert all(json.loads(line)["event"] for line in lines), name
    for node in NAMES.values():
        assert not podman("logs", node).stderr


def test_the_logs_of_all_are_left_in_a_folder(pair: Pair, tmp_path: Path) -> None:
    script("logs", str(tmp_path / "logs"))
    left = {
        str(file.relative_to(tmp_path / "logs"))
        for file in (tmp_path / "logs").rglob("*")
        if file.is_file() and "plays" not in file.parts
    }
    assert left == {
        *(f"node-{node}/{file}" for node in "ab" for file in ("log.jsonl", "stderr.log")),
        *(f"node-{node}/journal.jsonl" for node in "ab"),
        *("faultproxy.jsonl", "faultproxy.log", "toxiproxy.log"),
    }


def test_memory_and_users_outlive_the_containers(pair: Pair) -> None:
    """A node failed over by hand still is, when both containers were removed and made anew."""
    a = pair.clients["a"]
    if not sum(a.status()["users"]["assigned"].values()):
        a.generate_users(100, "balanced", "user")
    assigned = a.status()["users"]["assigned"]
    incarnation = a.status()["local"]["incarnation"]
    a.act("failover", "a")
    pair.reaches(a="Idle / On Admin Request", b="Running in Backup Mode / On Admin Request")
    op = a.status()["local"]["op"]

    script("down")
    script("up")

    pair.reaches(a="Idle / Initialization", b="Running in Backup Mode / Initialization")
    local = a.status()["local"]
    assert a.status()["users"]["assigned"] == assigned
    assert local["incarnation"] == incarnation + 1
    assert local["op"] >= op
    pair.does("fallback", "a")
    pair.reaches(a=NORMAL, b=NORMAL)
