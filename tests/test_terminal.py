"""What is printed fits the terminal, in both languages; files and pipes have no width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.cli.output import table
from srmd.core.states import Reason, State
from srmd.core.texts import Language
from srmd.terminal import columns_of, left_in, longest, unbroken, width_of, wrap, wrap_all
from tests.lab.records.test_timeline import split_brain
from tests.test_cli import FakeNode, status

LIMIT_S = 60.0
READ_BYTES = 65_536


def at_terminal(*words: str, columns: int, api: str = "", rows: int = 200) -> str:
    """All that the command prints at a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {**os.environ, "SRMD_API": api or "http://127.0.0.1:1", "LC_ALL": "C.UTF-8"}
    command = subprocess.Popen(
        [sys.executable, "-m", "srmd", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=env,
    )
    os.close(theirs)
    seen = b""
    try:
        while True:
            try:
                read = os.read(ours, READ_BYTES)
            except OSError:  # Linux says so when the last of the other side has gone
                break
            if not read:
                break
            seen += read
    finally:
        command.wait(LIMIT_S)
        os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def too_wide(printed: str, columns: int) -> list[str]:
    """The lines that are wider, but for a single command or path, which is not broken."""
    return [
        line
        for line in printed.splitlines()
        if columns_of(line) > columns and columns_of(line.strip()) > longest(line.strip())
    ]


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """One whose status has long names, a late heartbeat, an advice of three steps."""
    fake = FakeNode()
    down = (State.FAILED_OVER_SERVICES_DOWN, Reason.CRITICAL_SERVICE_DOWN)
    shown = status(down, (State.BACKUP, Reason.CRITICAL_SERVICE_DOWN))
    shown["peer"].update(beats_missed=3, hears_us=False)
    shown["handbook"]["action"] = {
        "en": "1. On node a, find the dead service with `srmd service list`.\n2. Start it.",
        "ja": "1. ノード a で `srmd service list` により、停止中を調べます。\n2. 開始します。",
    }
    shown["services"].append(
        {"name": "Cisco Presence Engine", "state": "STOPPED", "note": "Commanded out of service"}
    )
    fake.statuses = [shown]
    yield fake
    fake.close()


WORDS = [
    ("status",),
    ("service", "list"),
    ("explain",),
    ("explain", "--row", "15"),
    ("explain", "x/normal", "3/normal"),
    ("status", "--api", "http://127.0.0.1:1"),
    ("users", "generate", "no number"),
]
LANGUAGES: tuple[Language, ...] = ("en", "ja")


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("words", WORDS)
def test_no_line_is_wider_than_the_terminal(
    words: tuple[str, ...], language: Language, columns: int, node: FakeNode
) -> None:
    node.answers["GET /api/v1/services"] = (200, {"services": node.statuses[0]["services"]})
    spoken = words[0] in {"status", "explain"}
    printed = at_terminal(
        *words, *(["--lang", language] if spoken else []), columns=columns, api=node.url
    )
    assert printed.strip()
    assert too_wide(printed, columns) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_why_and_the_time_line_fit_too(language: Language, tmp_path: Path) -> None:
    split_brain(tmp_path / "r")
    for word in ("why", "timeline"):
        printed = at_terminal(word, str(tmp_path / "r"), "--lang", language, columns=40)
        assert len(printed.splitlines()) > 20
        assert too_wide(printed, 40) == []


def test_a_pipe_has_each_record_on_a_line(node: FakeNode) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "srmd", "status"],
        env={**os.environ, "SRMD_API": node.url, "COLUMNS": "40"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert "\na     Failed Over with Critical Services Not Running  Critical" in done.stdout


def test_a_table_goes_on_below_itself_before_it_becomes_blocks() -> None:
    rows = [("a", "Failed Over with Critical Services Not Running", 3)]
    head = ("NODE", "STATE", "SERVED")
    assert table(head, rows, columns=40).splitlines() == [
        "NODE  STATE                       SERVED",
        "a     Failed Over with Critical        3",
        "      Services Not Running",
    ]
    assert table(head, rows, columns=24).splitlines() == [
        "NODE    a",
        "STATE   Failed Over with",
        "        Critical",
        "        Services Not",
        "        Running",
        "SERVED  3",
    ]
    assert len(table(head, rows, columns=0).splitlines()) == 2


def test_japanese_is_broken_anywhere_but_before_a_mark_that_closes() -> None:
    assert wrap("開始します。次へ", 11) == ["開始しま", "す。次へ"]
    assert wrap("「標準」「標準」", 10) == ["「標準」", "「標準」"]
    assert wrap("手順: `srmd status` です", 16, further="  ") == [
        "手順:",
        "  `srmd status`",
        "  です",
    ]


def test_what_is_marked_unbroken_is_not_broken() -> None:
    assert wrap(f"now: {unbroken('srmd fallback a')}", 16) == ["now:", "srmd fallback a"]


def test_blanks_at_the_begin_are_kept_and_paragraphs_too() -> None:
    assert wrap_all("srmd: one two\n  three four\n\nend", 9) == (
        "srmd: one\n  two\n  three\n    four\n\nend"
    )
    assert wrap_all("as  it is" * 30, 0) == "as  it is" * 30


def test_columns_are_counted_as_a_terminal_does() -> None:
    assert columns_of("標準 a") == 6
    assert left_in("標準", 6) == "標準  "
    assert longest("a `srmd status` b") == 13


def test_a_file_has_no_width(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        assert width_of(file, default=0) == 0
        assert width_of(file) == 100
