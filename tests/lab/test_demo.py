"""The demonstration and the pair of processes it plays on.  Real processes, real ports."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from srmd.cli import Exit, main
from srmd.client import Client, Unauthorized
from srmd.core.states import Reason, State
from srmd.lab import pair as pair_module
from srmd.lab.leash import processes_of
from srmd.lab.pair import NORMAL, LabError, LabPair, Port

DEMO = [sys.executable, "-m", "srmd.lab.demo", "--users", "51"]
DEMO_LIMIT_S = 100


def demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """The demonstration, with a folder of its own for temporary files."""
    return subprocess.Popen(
        [*DEMO, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def processes_that_know(folder: Path) -> list[str]:
    wanted = f"TMPDIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:
            pass
    return found


def test_the_demonstration_reaches_every_pair_and_leaves_nothing(tmp_path: Path) -> None:
    playing = demo(tmp_path)
    told, _ = playing.communicate(timeout=DEMO_LIMIT_S)
    assert playing.returncode == 0, told
    for line in ("Row 3:", "Row 12:", "Row 11:", "Row 16:", "no process and no file is left"):
        assert line in told
    assert list(tmp_path.iterdir()) == []
    assert processes_that_know(tmp_path) == []


def test_at_a_terminal_the_demonstration_takes_its_time(tmp_path: Path) -> None:
    """It passed in 6 s; in a pipe it still does, and `--pace 0` says so at a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 40, 0, 0))
    began_s = time.monotonic()
    playing = subprocess.Popen(
        [*DEMO, "--pace", "1"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    os.close(theirs)
    told = b""
    with suppress(OSError):  # so Linux ends it when the last of the other side has gone
        while read := os.read(ours, 65_536):
            told += read
    os.close(ours)
    assert playing.wait(DEMO_LIMIT_S) == 0, told
    assert time.monotonic() - began_s > 8 * 1.5, "each of the 8 steps waits once and a half"
    lines = told.decode().replace("\r\n", "\n").splitlines()
    assert "3 of 8. Cisco XCP Router crashes on node" in lines
    assert "  node b: Running in Backup Mode / Peer" in lines
    assert [line for line in lines if len(line) > 40] == []


@pytest.mark.parametrize("pace", ["-1", "61", "x", "nan"])
def test_a_pace_that_is_none_is_told(pace: str) -> None:
    done = subprocess.run(
        [*DEMO, "--pace", pace], capture_output=True, text=True, timeout=DEMO_LIMIT_S, check=False
    )
    assert done.returncode == 2
    assert "seconds from 0 to 60 are needed" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_cleans_up_too(tmp_path: Path, ending: signal.Signals) -> None:
    playing = demo(tmp_path)
    assert playing.stdout is not None
    for line in playing.stdout:
        if line.startswith("1 of 8. "):  # the first failover is under way
            break
    playing.send_signal(ending)
    told, _ = playing.communicate(timeout=DEMO_LIMIT_S)
    assert playing.returncode == 130, told
    assert list(tmp_path.iterdir()) == []
    assert processes_that_know(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
def test_a_killed_demonstration_leaves_nothing(tmp_path: Path) -> None:
    playing = demo(tmp_path)
    assert playing.stdout is not None
    with playing.stdout:
        while not playing.stdout.readline().startswith("1 of "):
            pass
    playing.kill()
    playing.wait()
    give_up_s = time.monotonic() + DEMO_LIMIT_S
    while processes_that_know(tmp_path) or any(tmp_path.iterdir()):
        assert time.monotonic() < give_up_s, processes_that_know(tmp_path)
        time.sleep(0.05)


def test_a_pair_that_stays_tells_its_addresses_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    playing = demo(tmp_path, "--stay")
    assert playing.stdout is not None
    told = ""
    for line in playing.stdout:
        told += line
        if line.startswith("Ctrl-C"):
            break
    (folder,) = tmp_path.iterdir()
    url = told.partition("node a: ")[2].split()[0]
    assert Client(url).status()["users"]["assigned"] == {"a": 26, "b": 25}
    assert (folder / "node-a" / "token").stat().st_mode & 0o777 == 0o600
    assert str(folder / "node-a" / "token") in told
    playing.send_signal(signal.SIGINT)
    rest, _ = playing.communicate(timeout=DEMO_LIMIT_S)
    assert playing.returncode == 0, rest
    assert list(tmp_path.iterdir()) == []
    assert processes_that_know(tmp_path) == []


def test_a_killed_node_comes_back_and_its_users_go_home() -> None:
    with LabPair() as pair:
        assert pair.look() == {"a": NORMAL, "b": NORMAL}
        pair.a.client.generate_users(11, "balanced", "user")
        pair.wait_until("users known to both", lambda: pair.served() == {"a": 6, "b": 5})
        pair.a.kill()
        assert pair.a.pid is None
        pair.wait_for(b=(State.BACKUP, Reason.PEER_DOWN))
        assert pair.served() == {"a": None, "b": 11}
        pair.a.start()
        pair.wait_for(a="Failed Over/Initialization", b=("Running in Backup Mode", "Peer Down"))
        pair.a.fallback()
        pair.wait_for(a=NORMAL, b=NORMAL)
        assert pair.a.terminate() == 0
    assert pair.left_behind == []
    assert processes_of(pair.mark) == {}
    assert not pair.folder.exists()


def test_a_suspended_node_is_taken_over_and_ends_in_order_when_it_wakes() -> None:
    """Told to end while its state was being saved, a node ended only by SIGKILL: under Python 3.11
    asyncio.wait_for loses a cancellation that arrives together with the result, so SRM ran on."""
    with LabPair() as pair:
        pair.a.suspend()
        # Asking node a would wait for its answer: only node b can tell now.
        pair.wait_until("b serves for a", lambda: pair.b.status()["local"]["reason"] == "Peer Down")
        assert pair.a.terminate() == 0
    assert processes_of(pair.mark) == {}


def test_overrides_reach_the_configuration_of_the_one_node() -> None:
    pair = LabPair({"group": {"name": "mine"}})
    try:
        pair.b.overrides["group"]["name"] = "another"
        pair.write_configs()
        pair.a.spawn()
        pair.b.spawn()
        for node in pair.nodes:
            node.wait_for_answer()
        pair.wait_for(a="Unknown/Unknown", b="Unknown/Unknown")
    finally:
        pair.close()


def test_the_port_of_a_program_that_has_not_begun_is_no_other_labs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once a node found it taken by another pair, in the second that it needed to start."""
    port = Port(socket.SOCK_DGRAM)
    port.vacate()
    monkeypatch.setattr(pair_module, "PORTS", range(port.number, port.number + 1))
    monkeypatch.setattr(pair_module, "PORT_TRIES_MAX", 1)
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with pytest.raises(LabError, match="all in use"):
                Port(kind)
        with socket.socket(type=socket.SOCK_DGRAM) as program:
            program.bind(("127.0.0.1", port.number))
    finally:
        port.release()


def test_a_node_whose_srm_does_not_run_shows_no_state() -> None:
    """It answers with Unknown, as it does before SRM has started: once a pair seemed to be Unknown
    that was only slow to start."""
    with LabPair() as pair:
        pair.a.client.srm("stop")
        assert pair.a.status()["local"]["state"] == "Unknown"
        assert pair.a.status()["handbook"]["key"] == "srm_stopped"
        assert pair.a.shown() is None
        pair.a.client.srm("start")
        assert pair.a.shown() is not None


def test_what_is_not_reached_is_told_with_the_story_and_the_logs() -> None:
    with LabPair() as pair, pytest.raises(LabError) as told:
        pair.wait_for(a="Idle/On Admin Request", within_s=0.2)
    story = str(told.value)
    assert story.startswith("not within 0.2 s: a Idle / On Admin Request")
    assert "a Normal / Normal  |  b Normal / Normal" in story
    assert '"event": "node.started"' in story


def test_a_node_that_cannot_start_is_an_error_at_once_with_its_own_words() -> None:
    pair = LabPair({"heartbeat": {"keep_alive_timeout_s": 0.01}})
    began_s = time.monotonic()
    with pytest.raises(LabError, match=r"heartbeat\.keep_alive_timeout_s"):
        pair.__enter__()
    assert time.monotonic() - began_s < 10
    assert not pair.folder.exists()


def test_the_commands_do_on_real_nodes_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    """A service is restarted within the delay, on any machine: nobody fails over for it."""
    with LabPair({"services": {"critical_service_delay_s": 60.0}}) as pair:
        asked = ["--config", str(pair.a.config_file)]
        assert main([*asked, "users", "generate", "10"]) == Exit.OK
        assert main([*asked, "fallback", "a"]) == Exit.REFUSED
        assert "Needed: " in capsys.readouterr().err
        assert main([*asked, "failover", "a"]) == Exit.OK
        pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
        assert main([*asked, "service", "start", "Cisco XCP Router"]) == Exit.REFUSED
        assert main([*asked, "fallback", "a"]) == Exit.OK
        assert main([*asked, "failover", "b"]) == Exit.OK
        assert main([*asked, "fallback", "b"]) == Exit.OK
        assert main([*asked, "failover", "c"]) == Exit.USAGE
        assert main([*asked, "ha", "disable"]) == Exit.OK
        assert main([*asked, "ha", "enable"]) == Exit.OK
        assert main([*asked, "srm", "restart"]) == Exit.OK
        assert main([*asked, "service", "restart", "Cisco", "SIP", "Proxy"]) == Exit.OK
        offered = {"action": "failover", "node": "b"}
        pair.wait_until("b may fail over", lambda: offered in pair.b.status()["actions"])
        assert main([*asked, "fault", "set", "moves"]) == Exit.OK
        assert main([*asked, "failover", "b"]) == Exit.FAILED
        pair.wait_for(
            a=(State.FAILED_MODE, Reason.TAKE_OVER_USERS_FAILED),
            b=(State.FAILED_MODE, Reason.TAKE_OVER_USERS_FAILED),
        )
        assert main([*asked, "fault", "clear", "moves"]) == Exit.OK
        assert main([*asked, "recover"]) == Exit.OK
        pair.wait_for(a=NORMAL, b=NORMAL)
        assert main([*asked, "node", "shutdown"]) == Exit.OK
        pair.wait_for(b=(State.BACKUP, Reason.PEER_REBOOT))


def test_only_the_token_of_the_pair_commands_it() -> None:
    with LabPair() as pair, pytest.raises(Unauthorized):
        Client(pair.a.client.url).act("failover", "a")
