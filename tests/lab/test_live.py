"""A lab that runs by itself: started, broken, healed, looked at and ended by commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srmd.lab import live
from srmd.lab.leash import MARK

LIMIT_S = 60.0
PEER_DOWN = "Running in Backup Mode / Peer Down"
FAILED_OVER = "a Failed Over / Peer Down"


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The folder of a lab of this test alone."""
    monkeypatch.setenv(live.FOLDER_VARIABLE, str(tmp_path / "lab"))
    return dict(os.environ)


def srmd(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "srmd", "lab", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def until(what: str, env: dict[str, str]) -> None:
    """The lab shows this pair, in the end."""
    give_up_s = time.monotonic() + LIMIT_S
    while what not in (said := srmd(env, "status").stdout):
        assert time.monotonic() < give_up_s, said


def marked(folder: str) -> list[str]:
    """Processes whose command or environment names this folder of a pair, or its mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if folder.encode() in text and f"{MARK}=".encode() in text:
            found.append(process.name)
    return found


def test_a_lab_goes_up_is_broken_by_hand_and_goes_down_without_a_trace(
    env: dict[str, str], tmp_path: Path
) -> None:
    up = srmd(env, "up", "--users", "20")
    try:
        assert up.returncode == 0, up.stderr
        assert "a Normal / Normal  |  b Normal / Normal" in up.stdout
        assert "heartbeats_a_to_b" in up.stdout
        status = json.loads(srmd(env, "status", "--json").stdout)
        assert srmd(env, "up").returncode == 1

        cut = srmd(env, "fault", "cut", "heartbeats", "a", "to", "b")
        assert (cut.returncode, cut.stdout.splitlines()[0]) == (0, "done: cut heartbeats a to b")
        until(f"b {PEER_DOWN}", env)
        assert "cut_upstream" in srmd(env, "status").stdout
        wrong = srmd(env, "fault", "cut", "hartbeats")
        assert wrong.returncode == 2
        assert "did you mean: cut heartbeats" in wrong.stderr
        refused = srmd(env, "fault", "recover")
        assert refused.returncode == 3
        assert "Needed: both nodes in Running in Failed Mode" in refused.stderr

        assert srmd(env, "heal").returncode == 0
        until(FAILED_OVER, env)
        assert "cut_upstream" not in srmd(env, "status").stdout
        assert srmd(env, "fault", "fallback", "a").returncode == 0
        until("a Normal / Normal  |  b Normal / Normal", env)
    finally:
        down = srmd(env, "down")
    assert down.returncode == 0, down.stderr
    assert not Path(status["folder"]).exists()
    assert not (tmp_path / "lab").exists()
    assert marked(status["folder"]) == []
    gone = srmd(env, "status")
    assert (gone.returncode, "srmd lab up" in gone.stderr) == (4, True)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
def test_a_killed_holder_leaves_no_process_and_no_folder(env: dict[str, str]) -> None:
    """It left two nodes and a proxy that no command found, and their ports."""
    up = srmd(env, "up", "--users", "20")
    assert up.returncode == 0, up.stderr
    status = json.loads(srmd(env, "status", "--json").stdout)
    node, frozen = (status["nodes"][name]["pid"] for name in "ab")
    os.kill(frozen, signal.SIGSTOP)
    holder = int(Path(f"/proc/{node}/stat").read_text().rpartition(")")[2].split()[1])
    assert "srmd.lab.live" in Path(f"/proc/{holder}/cmdline").read_text()
    assert len(marked(status["folder"])) > 4
    os.kill(holder, signal.SIGKILL)
    give_up_s = time.monotonic() + LIMIT_S
    while marked(status["folder"]) or Path(status["folder"]).exists():
        assert time.monotonic() < give_up_s, marked(status["folder"])
        time.sleep(0.05)
    assert srmd(env, "status").returncode == 4
    again = srmd(env, "up", "--users", "20")
    assert again.returncode == 0, again.stderr
    assert srmd(env, "down").returncode == 0


def test_a_folder_that_is_no_lab_is_left_alone(env: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "lab"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    refused = srmd(env, "up")
    assert refused.returncode == 1
    assert "is not the folder of a lab" in refused.stderr
    assert (place / "thesis.txt").exists()


def test_what_a_killed_lab_left_is_cleared_away(env: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "lab"
    place.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / live.SOCKET))
    live._make(place)
    assert list(place.iterdir()) == []
    assert place.stat().st_mode & 0o777 == 0o700
