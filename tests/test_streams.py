"""Standard streams that are closed, full or without a reader, and bytes that are not text."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from srmd.cli import Exit
from srmd.config import shipped
from tests.test_cli import FakeNode

LIMIT_S = 60.0
READER_LIMIT_S = 45.0
"""For a long command to notice that nobody reads; each of those here would run for longer."""
SOURCE = Path(__file__).parents[1]
SRMD = [sys.executable, "-m", "srmd"]
COMMANDS = (
    "--version",
    "--help",
    "status",
    "status --json",
    "states",
    "explain 3/normal 3/normal",
    "service list",
    "users list",
    "completion bash",
    "config check {config}",
    "lab list",
    "prove --help",
    "failover a --no-wait",
)
"""One of each kind: with and without a node, long and short, programs of their own."""


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    fake = FakeNode()
    services = fake.statuses[0]["services"]
    fake.answers["GET /api/v1/services"] = (200, {"services": services})
    page: dict[str, object] = {"users": [], "next": None}
    fake.answers["GET /api/v1/users?after=&limit=1000"] = (200, page)
    monkeypatch.setattr(fake, "answer", answering(fake, page))
    monkeypatch.setenv("SRMD_API", fake.url)
    monkeypatch.delenv("SRMD_TOKEN", raising=False)
    yield fake
    fake.close()


def answering(fake: FakeNode, page: object) -> object:
    usual = fake.answer
    return lambda what: (200, page) if what.startswith("GET /api/v1/users") else usual(what)


def shell(command: str, streams: str) -> subprocess.CompletedProcess[str]:
    words = command.format(config=shipped() / "node-a.toml")
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m srmd {words} {streams}', sys.executable],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize(
    "streams, why",
    [(">&-", "it is closed"), (">/dev/full", "No space left on device")],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_that_cannot_be_written_is_no_defect(
    node: FakeNode, command: str, streams: str, why: str
) -> None:
    """It was exit code 70, "a defect of srmd", or a success without an answer."""
    done = shell(command, streams)
    assert done.returncode == Exit.BROKEN_PIPE, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"srmd: the answer cannot be written to standard output: {why}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_needs_other_streams(node: FakeNode, command: str, streams: str) -> None:
    usual, done = shell(command, ""), shell(command, streams)
    assert (done.returncode, done.stdout) == (usual.returncode, usual.stdout)


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_a_complaint_that_cannot_be_written_changes_no_exit_code(streams: str) -> None:
    assert shell("states --format bogus", streams).returncode == Exit.USAGE
    assert shell("status --api http://127.0.0.1:9", streams).returncode == Exit.UNREACHABLE


def test_users_cannot_be_read_from_a_closed_standard_input(node: FakeNode) -> None:
    done = shell("users import -", "<&-")
    assert (done.returncode, done.stderr) == (Exit.USAGE, "srmd: -: Bad file descriptor\n")


@pytest.mark.parametrize(
    "words",
    [
        ("service", "start", b"\xff"),
        ("status", "--api", b"http://\xff:1"),
        ("users", "list", "--after", b"\xff"),
        ("users", "assign", b"\xff", "a"),
        ("failover", b"\xff", "--no-wait"),
        ("explain", b"\xff"),
        ("config", "check", b"\xff"),
        ("why", b"\xff", "--op", "1"),
    ],
)
def test_bytes_that_are_not_text_are_no_defect(node: FakeNode, words: tuple[str | bytes]) -> None:
    done = subprocess.run(
        [*SRMD, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode not in {Exit.INTERNAL, -signal.SIGABRT}, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("token", [b"\xff\xfe", "t\u00f6ken".encode(), "\u30c8".encode()])
def test_a_token_that_is_no_text_is_told_and_not_shown(node: FakeNode, token: bytes) -> None:
    done = subprocess.run(
        [*SRMD, "status"],
        env={**os.environb, b"SRMD_TOKEN": token},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert done.stderr == b"srmd: SRMD_TOKEN: one line of ASCII with the token is needed\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_server_with_closed_streams_gives_their_numbers_to_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"exec {sys.executable} -m srmd faultproxy --port {port} <&- >&- 2>&-"
    process = subprocess.Popen(["sh", "-c", command])
    try:
        give_up_s = time.monotonic() + LIMIT_S
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < give_up_s
        standard = {Path(f"/proc/{process.pid}/fd/{fd}").readlink() for fd in range(3)}
        assert standard == {Path(os.devnull)}
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True


# ---------------------------------------------------------------------------- readers that go away


def lose_the_reader(words: str, env: Mapping[str, str], cwd: Path, *, after_a_line: bool) -> None:
    """Run the command, close its output, and wait for its end: at once, and without a traceback."""
    process = subprocess.Popen(
        [*SRMD, *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        if after_a_line:
            assert process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
        assert process.wait(READER_LIMIT_S) == Exit.BROKEN_PIPE, complaint
        assert "Traceback" not in complaint
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    "words",
    [
        "prove --bound full --processes 1",
        "prove --bound full --processes 2",
        "sim --seeds 1000000 --jobs 1",
        "sim --seeds 1000000 --jobs 2",
        "sweep --weeks 5000 --loss 1%,2%,3%,4% --jobs 2",
        "status --watch",
    ],
)
def test_a_long_command_ends_when_nobody_reads_it_any_more(
    node: FakeNode, tmp_path: Path, words: str
) -> None:
    """`srmd prove | head -1` calculated on for minutes."""
    source = {"PYTHONPATH": str(SOURCE)}
    lose_the_reader(words, source, tmp_path, after_a_line=words.startswith(("prove", "status")))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
@pytest.mark.parametrize("words", ["run", "soak --minutes 30"])
def test_a_lab_that_nobody_reads_any_more_is_cleaned_up(tmp_path: Path, words: str) -> None:
    lose_the_reader(f"lab {words}", {"TMPDIR": str(tmp_path)}, SOURCE, after_a_line=True)
    # A lab that was not even made is removed by its leash, which sees the end of its holder.
    give_up_s = time.monotonic() + LIMIT_S
    while left := list(tmp_path.iterdir()):
        assert time.monotonic() < give_up_s, left
        time.sleep(0.05)
