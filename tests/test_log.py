"""The log: from the catalogue, without secrets, and never in the way of the daemon."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from srmd import library_log, log
from srmd.config import LogConfig, LogFormat, LogLevel
from srmd.core.states import Reason, State
from srmd.library_log import Complaint, LibraryLog
from srmd.line_writer import LineWriter, RotatedFile
from srmd.log import EVENTS, Journal, LogError, UnknownEvent
from srmd.secret import Secret

RECORDS_TOO_MANY = 3 * log.LOG_QUEUE_RECORDS


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def drained(fd: int) -> bytes:
    """Everything that is in the pipe until its other end is closed."""
    parts = []
    while part := os.read(fd, 65_536):
        parts.append(part)
    return b"".join(parts)


# Records.


def test_a_record_tells_when_who_and_what(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    running.get().warning("peer.down", silent_s=60.2)
    assert running.close()
    (record,) = records(tmp_path / "a.log")
    assert list(record) == ["ts", "mono_s", "level", "event", "node", "silent_s"]
    assert datetime.fromisoformat(record.pop("ts")).tzinfo is not None
    assert isinstance(record.pop("mono_s"), float)
    assert record == {"level": "warning", "event": "peer.down", "node": "a", "silent_s": 60.2}


def test_states_and_reasons_are_told_by_name(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    states = [State.BACKUP]
    running.get().info("node.state_changed", to=State.TAKING_OVER, why=Reason.PEER_DOWN, via=states)
    running.close()
    (record,) = records(tmp_path / "a.log")
    assert (record["to"], record["why"], record["via"]) == ("taking_over", "peer_down", ["backup"])


def test_below_the_level_nothing_is_written(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log", level=LogLevel.WARNING), "a")
    running.get().info("peer.heard")
    running.get().warning("peer.down")
    running.close()
    assert [record["event"] for record in records(tmp_path / "a.log")] == ["peer.down"]


def test_an_error_keeps_its_traceback_in_one_line(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    try:
        (tmp_path / "none").unlink()
    except OSError:
        running.get().exception("order.failed", order="move_users")
    running.close()
    (record,) = records(tmp_path / "a.log")
    assert record["level"] == "error"
    assert "FileNotFoundError: [Errno 2] No such file or directory" in record["exception"]


def test_whatever_a_field_holds_the_record_is_written(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    running.get().info("order.failed", path=tmp_path, raw=b"\xff", name="\udc80\n", odd=object)
    running.close()
    (record,) = records(tmp_path / "a.log")
    assert record["path"] == str(tmp_path)
    assert record["name"] == "\udc80\n"


def test_two_nodes_of_one_process_have_a_log_each(tmp_path: Path) -> None:
    logs = {node: log.start(LogConfig(file=tmp_path / f"{node}.log"), node) for node in "ab"}
    for running in logs.values():
        running.get().info("node.started")
        running.close()
    assert [records(tmp_path / f"{node}.log")[0]["node"] for node in "ab"] == ["a", "b"]


def test_at_a_terminal_a_record_is_made_for_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ours, theirs = pty.openpty()
    running = log.start(LogConfig(), "a", fd=theirs)
    running.get().warning("peer.down", silent_s=60.2, detail="no answer\n")
    assert running.close()
    line = os.read(ours, 1000).decode()
    os.close(ours)
    os.close(theirs)
    clock, _, rest = line.partition(" ")
    assert len(clock) == len("12:30:00.123")
    assert rest == 'warning peer.down [a] silent_s=60.2 detail="no answer\\n"\r\n'


def at_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, event: str, /, level: str = "info", **fields: Any
) -> list[str]:
    """The lines of one record at a terminal of so many columns, without its time."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    monkeypatch.setenv("TERM", "xterm-256color")
    running = log.start(LogConfig(), "a", fd=theirs)
    getattr(running.get(), level)(event, **fields)
    assert running.close()
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    return re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "12:30:00.123", text).splitlines()


CHANGE: dict[str, Any] = {
    "op": 4,
    "old_state": "Normal",
    "old_reason": "Normal",
    "state": "Taking Over",
    "reason": "Peer Down",
    "why": "The peer is gone: take its users, and those here stay here (R5, R12).",
}


def test_a_change_of_state_stands_out_within_the_width_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was one line of 300 columns, with the states at its end."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert at_terminal(80, monkeypatch, "node.state_changed", **CHANGE) == [
        "12:30:00.123 info    node.state_changed [a] Normal / Normal -> Taking Over /",
        "                     Peer Down",
        '                     op=4 why="The peer is gone: take its users, and those here',
        '                     stay here (R5, R12)."',
    ]
    assert at_terminal(40, monkeypatch, "peer.down", level="warning", silent_s=60.2, op=7) == [
        "12:30:00.123 warning peer.down [a]",
        "  silent_s=60.2 op=7",
    ]


def test_colour_is_for_terminals_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    change = at_terminal(120, monkeypatch, "node.state_changed", **CHANGE)
    assert change[0].startswith("\x1b[1;36m12:30:00.123 info    node.state_changed [a] Normal")
    assert change[1].startswith(" " * 21 + "\x1b[2mop=4")
    assert all(line.endswith("\x1b[0m") for line in change)
    (error,) = at_terminal(200, monkeypatch, "srm.failed", level="error")
    assert error.startswith("\x1b[1;31m")
    (info,) = at_terminal(200, monkeypatch, "srm.started")
    assert "\x1b" not in info
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as other:
            at = at_terminal(200, other, "srm.failed", level="error")
            other.setenv(name, value)
            ours, theirs = pty.openpty()
            running = log.start(LogConfig(), "a", fd=theirs)
            running.get().error("srm.failed")
            assert running.close()
            assert "\x1b" in at[0]
            assert b"\x1b" not in os.read(ours, 1000)
            os.close(ours)
            os.close(theirs)


def test_a_file_or_pipe_made_for_reading_has_no_colour_and_a_record_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    running = log.start(LogConfig(file=tmp_path / "a.log", format=LogFormat.PRETTY), "a")
    ours, theirs = os.pipe()
    piped = log.start(LogConfig(format=LogFormat.PRETTY), "a", fd=theirs)
    for one in (running, piped):
        one.get().error("node.state_changed", **CHANGE)
        assert one.close()
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        texts = [(tmp_path / "a.log").read_bytes(), pipe.read()]
    for text in texts:
        assert text.count(b"\n") == 1
        assert b"\x1b" not in text
        assert b"[a] Normal / Normal -> Taking Over / Peer Down op=4 why=" in text


@pytest.mark.parametrize("form", [LogFormat.AUTO, LogFormat.JSON])
def test_in_a_pipe_a_record_is_json(form: LogFormat) -> None:
    ours, theirs = os.pipe()
    running = log.start(LogConfig(format=form), "a", fd=theirs)
    running.get().info("peer.heard")
    assert running.close()
    os.close(theirs)
    assert json.loads(drained(ours))["event"] == "peer.heard"
    os.close(ours)


# The catalogue.


def test_every_event_has_a_name_a_meaning_an_advice_and_a_level() -> None:
    for name, info in EVENTS.items():
        noun, dot, happened = name.partition(".")
        assert name == name.lower(), name
        assert noun, name
        assert dot, name
        assert happened, name
        assert info.meaning.endswith("."), name
        assert info.advice.endswith("."), name
        assert info.level in ("info", "warning", "error"), name


def test_the_catalogue_is_in_order() -> None:
    assert list(EVENTS) == sorted(EVENTS)


def test_in_tests_an_unknown_event_raises(tmp_path: Path) -> None:
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    with pytest.raises(UnknownEvent, match=r"'peer\.vanished' is not in srmd\.log\.EVENTS"):
        running.get().info("peer.vanished")
    running.close()


def test_live_an_unknown_event_is_logged_as_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "STRICT", False)
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    running.get().info("peer.vanished", silent_s=1)
    running.close()
    (record,) = records(tmp_path / "a.log")
    assert (record["event"], record["unknown"]) == ("log.unknown_event", "peer.vanished")
    assert (record["level"], record["silent_s"]) == ("error", 1)


# Secrets.


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.PRETTY])
def test_a_secret_is_written_nowhere(tmp_path: Path, form: LogFormat) -> None:
    secret = Secret("do-not-tell-anyone")
    running = log.start(LogConfig(file=tmp_path / "a.log", format=form), "a")
    logger = running.get().bind(bound=secret)
    logger.info("config.warning", nested={"keys": [secret]}, token="do-not-tell-anyone")
    try:
        int(str(secret))
    except ValueError:
        logger.exception("http.failed", headers={"authorization": "do-not-tell-anyone"})
    running.close()
    text = (tmp_path / "a.log").read_text(encoding="utf-8")
    assert "do-not-tell" not in text
    assert text.count("(hidden)") == 6


# A slow reader.


def test_a_sleeping_reader_does_not_stop_the_daemon_and_learns_what_it_missed() -> None:
    ours, theirs = os.pipe()
    running = log.start(LogConfig(), "a", fd=theirs)
    logger = running.get()
    for count in range(RECORDS_TOO_MANY):  # nobody reads: a log that waits would never get through
        logger.info("service.changed", count=count)
    assert not running.close(limit_s=0.05)
    lost = running.dropped
    assert lost >= RECORDS_TOO_MANY - 2 * log.LOG_QUEUE_RECORDS
    os.set_blocking(ours, False)
    written = os.read(ours, 1_000_000).count(b"\n")
    # One record at most is half written; the others are written or counted.
    assert RECORDS_TOO_MANY - lost - written in (0, 1)
    os.close(ours)  # wakes the thread, which finds nobody there


def test_a_reader_that_wakes_up_finds_the_gap_in_its_place() -> None:
    ours, theirs = os.pipe()
    running = log.start(LogConfig(), "a", fd=theirs)
    logger = running.get()
    for count in range(RECORDS_TOO_MANY):
        logger.info("service.changed", count=count)
    head = b""
    accepted = False
    while not accepted:  # there is room as soon as some records got through
        head += os.read(ours, 65_536)
        before = running.dropped
        logger.info("peer.heard")
        accepted = running.dropped == before
    drain = subprocess.Popen([sys.executable, "-c", "import sys; print(sys.stdin.read())"],
                             stdin=ours, stdout=subprocess.PIPE)  # fmt: skip
    assert running.close(limit_s=30)
    os.close(theirs)
    tail, _ = drain.communicate(timeout=30)
    os.close(ours)
    lines = [json.loads(line) for line in (head + tail).splitlines() if line.strip()]
    # One gap, or a second one if the last record found the queue full once more.
    gaps = [index for index, line in enumerate(lines) if line["event"] == "log.dropped"]
    assert sum(lines[gap]["count"] for gap in gaps) == running.dropped
    assert lines[gaps[-1] + 1]["event"] == "peer.heard"
    assert [line["count"] for line in lines[: gaps[0]]] == list(range(gaps[0]))


def test_a_reader_that_is_gone_is_counted_and_does_no_harm() -> None:
    ours, theirs = os.pipe()
    running = log.start(LogConfig(), "a", fd=theirs)
    os.close(ours)
    running.get().info("peer.heard")
    assert running.close()
    os.close(theirs)
    assert running.dropped == 1


def test_a_process_ends_although_the_reader_of_its_log_sleeps() -> None:
    program = """
from srmd import library_log, log
from srmd.config import LogConfig
running = log.start(LogConfig(), "a")
for count in range(5000):
    running.get().info("peer.heard", detail="x" * 100)
running.close(limit_s=0.05)
"""
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs) as process:
        os.close(theirs)
        assert process.wait(timeout=30) == 0
    os.close(ours)


def test_a_log_that_cannot_be_opened_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("", encoding="ascii")
    with pytest.raises(LogError, match=r"^log\.file: .*/x/a\.log: .*; name a file that can be"):
        log.start(LogConfig(file=tmp_path / "x" / "a.log"), "a")


def test_a_device_is_no_log_file_because_it_cannot_be_moved() -> None:
    with pytest.raises(LogError, match=r"^log\.file: /dev/null: not a regular file"):
        log.start(LogConfig(file=Path("/dev/null")), "a")


# The journal.


def test_the_journal_keeps_the_inputs_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.jsonl", 1_000_000)
    for count in range(1000):
        journal.write({"event": "PeerHeard", "count": count})
    assert journal.close()
    written = records(tmp_path / "deep" / "journal.jsonl")
    assert [entry["count"] for entry in written] == list(range(1000))
    assert journal.dropped == 0


def test_the_journal_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    file, older = tmp_path / "journal.jsonl", tmp_path / "journal.jsonl.1"
    journal = Journal(file, 2_000)
    for count in range(500):
        journal.write({"count": count})
    assert journal.close()
    assert file.stat().st_size + older.stat().st_size <= 2_000
    kept = [entry["count"] for entry in records(older) + records(file)]
    assert kept == list(range(kept[0], 500))
    assert len(kept) >= 60


def test_a_restart_goes_on_with_the_journal_also_after_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b'{"count": 0}\n{"cou')
    journal = Journal(file, 100_000)
    journal.write({"count": 1})
    journal.close()
    assert file.read_bytes() == b'{"count": 0}\n{"cou\n{"count": 1}\n'


def test_an_entry_that_is_larger_than_the_journal_is_counted_and_marked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", 1_000)
    journal.write({"detail": "x" * 600})
    while journal.dropped == 0:  # the thread counts it; bounded by the time limit of the test
        os.sched_yield()
    journal.write({"count": 1})
    journal.close()
    assert records(tmp_path / "journal.jsonl") == [{"dropped": 1}, {"count": 1}]


def test_an_entry_is_taken_as_it_is_at_that_moment(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", 100_000)
    entry = {"count": 1}
    journal.write(entry)
    entry["count"] = 2
    journal.close()
    assert records(tmp_path / "journal.jsonl") == [{"count": 1}]


def test_the_writing_thread_outlives_a_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended, and every later line was lost."""
    failed = threading.Event()
    next_line = LineWriter._next

    def fails_once(writer: LineWriter) -> bytes | None:
        if not failed.is_set():
            failed.set()
            raise MemoryError
        return next_line(writer)

    monkeypatch.setattr(LineWriter, "_next", fails_once)
    path = tmp_path / "lines"
    writer = LineWriter(RotatedFile(path, 1000), capacity=10, name="lines", lost=lambda _: b"")
    assert failed.wait(10.0)
    writer.write(b"one\n")
    assert writer.close(10.0)
    assert path.read_bytes() == b"one\n"


def test_after_closing_entries_are_counted_as_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", 100_000)
    assert journal.close()
    journal.write({"count": 1})
    assert journal.close()
    assert journal.dropped == 1


# Files that another program moves, removes or shortens.


def written_until(running: Journal | log.Log, file: Path, count: int) -> None:
    """Wait until the file has so many lines; bounded by the time limit of the test."""
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        os.sched_yield()


@pytest.mark.parametrize("disturb", ["moved", "removed"])
def test_a_line_goes_to_the_file_that_has_the_name(tmp_path: Path, disturb: str) -> None:
    """The log went on into the file that logrotate had moved, or into a removed one: nowhere."""
    file, older = tmp_path / "a.log", tmp_path / "a.log-20260101"
    running = log.start(LogConfig(file=file), "a")
    running.get().info("peer.heard")
    written_until(running, file, 1)
    if disturb == "moved":
        file.rename(older)
    else:
        file.unlink()
    running.get().info("peer.left")
    running.get().info("peer.heard")
    assert running.close()
    assert [record["event"] for record in records(file)] == ["peer.left", "peer.heard"]
    assert running.dropped == 0
    if disturb == "moved":
        assert [record["event"] for record in records(older)] == ["peer.heard"]


def test_a_file_that_was_shortened_keeps_its_bound(tmp_path: Path) -> None:
    """copytruncate: the size was counted on, and the half-empty file was moved too early."""
    file = tmp_path / "journal.jsonl"
    journal = Journal(file, 2_000)
    journal.write({"detail": "x" * 700})
    written_until(journal, file, 1)
    os.truncate(file, 0)
    journal.write({"detail": "y" * 700})
    assert journal.close()
    assert records(file) == [{"detail": "y" * 700}]
    assert not (tmp_path / "journal.jsonl.1").exists()


def test_a_file_that_cannot_be_made_again_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    journal = Journal(folder / "journal.jsonl", 2_000)
    journal.write({"count": 0})
    written_until(journal, folder / "journal.jsonl", 1)
    (folder / "journal.jsonl").unlink()
    folder.rmdir()
    journal.write({"count": 1})
    journal.close()
    assert journal.dropped == 1


def test_a_pipe_that_took_the_name_of_the_log_stops_nothing(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    journal = Journal(file, 2_000)
    file.unlink()
    os.mkfifo(file)
    journal.write({"count": 0})
    assert journal.close()
    assert journal.dropped == 1


# What libraries complain of.


@pytest.fixture
def own_logging() -> Iterator[None]:
    """The process is left as it was."""
    root, hooks = logging.getLogger(), (sys.unraisablehook, threading.excepthook)
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers
    sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logging.raiseExceptions = True


def test_a_flood_of_tracebacks_is_one_record_and_a_count(
    tmp_path: Path, own_logging: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """asyncio wrote a hundred a second to standard error when descriptors ran out."""
    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    running.take_library_records()
    asyncio_log = logging.getLogger("asyncio")
    for number in range(300):
        details = f"socket.accept() out of system resource\nsocket: <fd={number}>"
        asyncio_log.error(details, exc_info=OSError(errno.EMFILE, "Too many open files"))
    asyncio_log.error("Task was destroyed but it is pending!")
    assert running.close()
    exhausted, other = records(tmp_path / "a.log")
    assert (exhausted["event"], exhausted["level"]) == ("descriptors.exhausted", "error")
    assert exhausted["detail"] == "socket.accept() out of system resource"
    assert exhausted["error"] == "[Errno 24] Too many open files"
    assert (other["event"], other["level"]) == ("library.complained", "error")
    assert capfd.readouterr() == ("", "")


def test_what_was_left_out_is_told_with_the_next_of_its_kind() -> None:
    told: list[Complaint] = []
    clock = [0.0]
    handler = LibraryLog(told.append, clock=lambda: clock[0])
    for at_s in (0.0, 1.0, 9.0, 11.0, 12.0):
        clock[0] = at_s
        handler.handle(
            logging.LogRecord("aiohttp", logging.WARNING, "", 0, "late %s", ("x",), None)
        )
    assert [(one.text, one.left_out_count) for one in told] == [("late x", 0), ("late x", 2)]


def test_the_kinds_of_complaints_are_bounded() -> None:
    told: list[Complaint] = []
    handler = LibraryLog(told.append, clock=lambda: 0.0)
    for number in range(1000):
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, f"text {number}", (), None))
    assert len(told) == library_log.KINDS_MAX + 1


@pytest.mark.parametrize("where", ["a thread", "a destructor", "a warning"])
def test_what_python_itself_complains_of_is_a_record(
    tmp_path: Path, own_logging: None, where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    class Bad:
        def __del__(self) -> None:
            raise ValueError("mine")

    running = log.start(LogConfig(file=tmp_path / "a.log"), "a")
    running.take_library_records()
    if where == "a thread":
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
    elif where == "a destructor":
        Bad().__del__  # noqa: B018 - it is not called here, but when the object goes
    else:
        logging.getLogger("py.warnings").warning("%s", "is deprecated")
    assert running.close()
    (record,) = records(tmp_path / "a.log")
    assert record["event"] == "library.complained"
    assert capfd.readouterr() == ("", "")
