"""Records in the journal's own protocol, read back by a journald that this test plays."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd import journald, log
from srmd.config import LogConfig, LogFormat
from srmd.journald import RECORD_BYTES_MAX, VALUE_BYTES_MAX, JournalSocket, field_name, record
from srmd.log import LogError

BOUND_S = 10.0


def read(datagram: bytes) -> dict[str, str]:
    """The fields of a record, as journald takes it apart."""
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            (size,) = struct.unpack("<Q", rest[:8])
            value, end = rest[8 : 8 + size], rest[8 + size : 9 + size]
            assert end == b"\n"
            rest = rest[9 + size :]
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "socket")
    monkeypatch.setattr(log, "JournalSocket", lambda: JournalSocket(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(BOUND_S)
        yield listening


def test_a_record_has_its_fields_in_the_journal(journal: socket.socket) -> None:
    running = log.start(LogConfig(format=LogFormat.JOURNALD), "a")
    running.get().warning("peer.down", silent_s=60.2, beats_missed=4)
    assert running.close()
    fields = read(journal.recv(200_000))
    assert float(fields.pop("SRMD_MONO_S")) > 0
    assert fields == {
        "MESSAGE": "peer.down [a] silent_s=60.2 beats_missed=4",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "srmd",
        "SRMD_EVENT": "peer.down",
        "SRMD_NODE": "a",
        "SRMD_SILENT_S": "60.2",
        "SRMD_BEATS_MISSED": "4",
    }


def test_a_field_without_a_value_is_absent_from_the_journal(journal: socket.socket) -> None:
    """Where there was no row, `SRMD_ROW=null` was found by whoever looked for rows."""
    running = log.start(LogConfig(format=LogFormat.JOURNALD), "a")
    running.get().warning("peer.down", silent_s=None, beats_missed=0)
    assert running.close()
    fields = read(journal.recv(200_000))
    assert "SRMD_SILENT_S" not in fields
    assert fields["MESSAGE"] == "peer.down [a] beats_missed=0"
    assert fields["SRMD_BEATS_MISSED"] == "0"


def test_a_traceback_is_one_record_of_many_lines(journal: socket.socket) -> None:
    running = log.start(LogConfig(format=LogFormat.JOURNALD), "a")
    running.get().error("srm.failed", exc_info=ValueError("why"))
    assert running.close()
    fields = read(journal.recv(200_000))
    assert fields["PRIORITY"] == "3"
    assert fields["MESSAGE"].splitlines() == ["srm.failed [a]", "ValueError: why"]


def test_without_a_journald_the_log_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "JournalSocket", lambda: JournalSocket(str(tmp_path / "nobody")))
    with pytest.raises(LogError, match=r"log\.format: journald: .*; use auto or json"):
        log.start(LogConfig(format=LogFormat.JOURNALD), "a")


def test_while_journald_is_away_records_are_lost_and_counted(
    journal: socket.socket, tmp_path: Path
) -> None:
    running = log.start(LogConfig(format=LogFormat.JOURNALD), "a")
    (tmp_path / "socket").unlink()
    running.get().warning("peer.down", silent_s=60.2)
    assert running.close()
    assert running.dropped == 1


def test_a_record_is_bounded_and_keeps_what_comes_first() -> None:
    long = "x" * 10 * VALUE_BYTES_MAX
    fields = {"MESSAGE": "peer.down", "SRMD_EVENT": "peer.down"}
    written = record(fields | {f"SRMD_{number}": long for number in range(100)})
    assert len(written) <= RECORD_BYTES_MAX
    assert read(written) | fields == read(written)


@pytest.mark.parametrize(
    "name, right",
    [
        ("SRMD_silent_s", "SRMD_SILENT_S"),
        ("_PID", "F_PID"),
        ("9a", "F9A"),
        ("a b-ü", "A_B__"),
        ("x" * 100, "X" * 64),
    ],
)
def test_a_field_has_a_name_that_journald_takes(name: str, right: str) -> None:
    assert field_name(name) == right


def test_the_journal_is_told_from_another_pipe() -> None:
    ours, theirs = os.pipe()
    try:
        status = os.fstat(theirs)
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert journald.is_journal(theirs, env)
        assert not journald.is_journal(theirs, {})
        assert not journald.is_journal(theirs, {"JOURNAL_STREAM": "0:0"})
    finally:
        os.close(ours)
        os.close(theirs)
    assert not journald.is_journal(theirs, env)


def test_auto_writes_to_the_journal_where_standard_output_is_the_journal(
    journal: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.pipe()
    try:
        status = os.fstat(theirs)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        running = log.start(LogConfig(), "a", fd=theirs)
        running.get().info("srm.started", incarnation=1)
        assert running.close()
    finally:
        os.close(ours)
        os.close(theirs)
    assert read(journal.recv(200_000))["SRMD_EVENT"] == "srm.started"
