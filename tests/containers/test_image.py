"""The image alone: what is in it, as whom it runs, how it ends and how it is watched."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd import __version__
from tests.containers.engine import (
    COMPOSE,
    DEPLOY,
    IMAGE,
    USER_ID,
    exit_code,
    node_alone,
    pid,
    podman,
    state,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("up")

BASE = "docker.io/library/python:3.11-slim-bookworm"
ADDED_BYTES_MAX = 30_000_000
"""What we and our dependencies add to the base."""
STOP_LIMIT_S = 5.0
"""[limits] shutdown_s of the configuration: a stop takes no longer."""
CONFIG = COMPOSE / "node-a.toml"


@pytest.fixture
def volume() -> Iterator[str]:
    name = "srmd-test-state"
    podman("volume", "create", name)
    yield name
    podman("volume", "rm", "--force", name)


def answers(name: str) -> bool:
    return podman("exec", name, "srmd", "status", check=False).returncode == 0


def test_it_is_small_beside_its_base(capsys: pytest.CaptureFixture[str]) -> None:
    size, base = (
        int(podman("image", "inspect", "--format", "{{.Size}}", name).stdout)
        for name in (IMAGE, BASE)
    )
    with capsys.disabled():
        print(f"\nimage: {size / 1e6:.0f} MB, of which ours {(size - base) / 1e6:.1f} MB")
    assert size - base < ADDED_BYTES_MAX


def test_it_is_this_version_and_has_nothing_to_install_with() -> None:
    said = podman("run", "--rm", *("--network", "none"), IMAGE, "--version").stdout
    assert said == f"srmd {__version__}\n"
    code = """
import importlib.util as u, shutil
modules, programs = ("pip", "hatchling"), ("pip", "pip3")
print(*map(u.find_spec, modules), *map(shutil.which, programs))
"""
    for python in ("/opt/srmd/bin/python", "/usr/local/bin/python"):  # ours, and that of the base
        options = ("--rm", "--network", "none", "--entrypoint", python)
        assert podman("run", *options, IMAGE, "-c", code).stdout == "None None None None\n"


def test_the_base_can_be_pinned_by_its_digest(tmp_path: Path) -> None:
    """Both stages take it; a digest that is not there builds nothing."""
    recipe = DEPLOY / "Containerfile"
    froms = re.findall(r"^FROM (\S+)", recipe.read_text(), re.MULTILINE)
    assert froms == ["$BASE", "$BASE"]
    name = podman("image", "inspect", "--format", "{{index .RepoDigests 0}}", BASE).stdout.strip()
    assert re.fullmatch(r"docker\.io/library/python@sha256:[0-9a-f]{64}", name)
    lines = recipe.read_text().splitlines()
    short = tmp_path / "Containerfile"  # up to the first FROM: the rest takes minutes
    short.write_text("\n".join(lines[: lines.index("FROM $BASE AS build") + 1]) + "\n")
    build = ["build", "--quiet", "--pull=never", "--network=none", "--file", str(short)]
    build += ["--label", "srmd.image=test"]
    made = podman(*build, "--build-arg", f"BASE={name}", str(tmp_path)).stdout.strip()
    podman("image", "rm", made)
    other = f"{name[:-64]}{'0' * 64}"
    refused = podman(*build, "--build-arg", f"BASE={other}", str(tmp_path), check=False)
    assert refused.returncode != 0
    assert other in refused.stderr


def test_a_container_leaves_no_volume_without_a_name() -> None:
    """The image said VOLUME: each fault proxy left one behind."""
    before = podman("volume", "ls", "--quiet").stdout
    options = ("--detach", "--name", "srmd-test", "--network", "none")
    podman("run", *options, IMAGE, "faultproxy", "--host", "127.0.0.1")
    podman("rm", "--force", "--time", "0", "srmd-test")
    assert podman("volume", "ls", "--quiet").stdout == before


def test_a_wrong_configuration_ends_with_10_and_names_key_and_value(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.read_text().replace("0.0.0.0:20075", "0.0.0.0:99999"))
    with node_alone("srmd-test", config) as name:
        assert exit_code(name) == 10
        assert re.search(r"control\.listen: .*99999", podman("logs", name).stderr)


def test_a_missing_configuration_ends_with_10_and_names_the_file(tmp_path: Path) -> None:
    command = ("run", "--config", "/etc/srmd/other.toml")
    with node_alone("srmd-test", CONFIG, command=command) as name:
        assert exit_code(name) == 10
        assert "/etc/srmd/other.toml: 1 problem" in podman("logs", name).stderr


def test_a_second_node_on_the_same_volume_ends_with_12(volume: str) -> None:
    shared = f"--volume={volume}:/var/lib/srmd"
    with node_alone("srmd-test", CONFIG, shared) as first:
        wait_until("the first answers", lambda: answers(first))
        with node_alone("srmd-test-2", CONFIG, shared) as second:
            assert exit_code(second) == 12
        assert state(first) == "running"


def test_a_damaged_memory_ends_with_13(volume: str) -> None:
    where = Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume).stdout.strip())
    for file in ("node.json", "node.json.1"):
        (where / file).write_text("{")
        os.chown(where / file, USER_ID, USER_ID)
    os.chown(where, USER_ID, USER_ID)
    with node_alone("srmd-test", CONFIG, f"--volume={volume}:/var/lib/srmd") as name:
        assert exit_code(name) == 13


@pytest.mark.parametrize("number", ["TERM", "INT"])
def test_it_ends_with_0_and_in_time_when_it_is_told(number: str) -> None:
    with node_alone("srmd-test", CONFIG) as name:
        wait_until("it answers", lambda: answers(name))
        told_s = time.monotonic()
        podman("kill", "--signal", number, name)
        assert exit_code(name) == 0
        assert time.monotonic() - told_s < STOP_LIMIT_S
        assert '"event": "node.stopped"' in podman("logs", name).stdout


def test_it_ends_with_0_when_it_is_told_while_it_still_starts() -> None:
    """Process 1 ignored a SIGTERM before its imports were done; podman killed it after 10 s, with
    137.  Now its first act is to listen to that signal."""

    def listens() -> bool:
        status = Path(f"/proc/{pid(name)}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    with node_alone("srmd-test", CONFIG) as name:
        wait_until("it has a handler", listens)
        told_s = time.monotonic()
        podman("kill", "--signal", "TERM", name)
        assert exit_code(name) == 0
        assert time.monotonic() - told_s < STOP_LIMIT_S


def test_it_is_healthy_as_long_as_it_answers() -> None:
    with node_alone("srmd-test", CONFIG) as name:
        check = ("healthcheck", "run", name)
        wait_until("it is healthy", lambda: podman(*check, check=False).returncode == 0)
        os.kill(pid(name), signal.SIGSTOP)
        try:
            assert podman(*check, check=False).returncode == 1
        finally:
            os.kill(pid(name), signal.SIGCONT)
        wait_until("it is healthy again", lambda: podman(*check, check=False).returncode == 0)


def test_it_leaves_no_zombie_when_a_service_and_the_guard_of_another_are_killed() -> None:
    """It is process 1: what its children leave behind is its own to bury."""

    def processes() -> dict[int, tuple[str, str]]:
        rows = podman("top", name, "hpid", "state", "args").stdout.splitlines()[1:]
        split = [row.split(None, 2) for row in rows]
        return {
            int(number): (kind, command)
            for number, kind, command in split
            if number.isdigit()  # podman writes ? for one that has just gone
        }

    def of(service: str) -> tuple[set[int], set[int]]:
        """Its guard, and the program that plays it."""
        all_of = {n: c for n, (_, c) in processes().items() if c.split()[-1].endswith(service)}
        guards = {number for number, command in all_of.items() if "guard.py" in command}
        return guards, set(all_of) - guards

    with node_alone("srmd-test", CONFIG) as name:
        wait_until("services run", lambda: all(all(of(one)) for one in ("router", "proxy")))
        killed = of("router")[1] | of("proxy")[0]
        assert len(killed) == 2
        for number in killed:
            os.kill(number, signal.SIGKILL)
        wait_until("they are gone", lambda: not killed & set(processes()))
        wait_until("nothing of both is left", lambda: of("router") == of("proxy") == (set(), set()))
        assert "Z" not in {kind for kind, _ in processes().values()}
        assert state(name) == "running"
