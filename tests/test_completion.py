"""What the TAB key offers, by the parser and in a real bash.  zsh and fish: tests/package."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.cli import Exit, main
from srmd.cli.completion import SCRIPTS, offers, split
from srmd.cli.parser import root, whole
from tests.shells import Shell

Capture = pytest.CaptureFixture[str]

BIN = Path(sys.executable).parent


def offered(line: str) -> list[str] | None:
    """The words for a line with the cursor at its end; None: files."""
    *before, begun = split(line)[1:]
    found = offers(whole(root()), before, begun)
    return None if found is None else [offer.word for offer in found]


@pytest.mark.parametrize(
    "line, words",
    [
        ("srmd fai", ["failover"]),
        ("srmd fa", ["failover", "fallback", "fault", "faultproxy"]),
        ("srmd service ", ["list", "start", "stop", "restart", "kill", "hang", "block", "unblock"]),
        ("srmd service ki", ["kill"]),
        ("srmd fault set ", ["database", "moves"]),
        ("srmd status --j", ["--json"]),
        ("srmd status --ch", ["--check"]),
        ("srmd status --lang ", ["en", "ja"]),
        ("srmd status --lang=j", ["ja"]),
        ("srmd --api http://a:1 ex", ["explain"]),
        ("srmd --api=http://a:1 ex", ["explain"]),
        ("srmd service kill --timeout 5 --ap", ["--api"]),
        ("srmd init pair --names a b --ti", ["--timers"]),
        ("srmd init pair --names a ", []),
        ("srmd 'fai", ["failover"]),
        ('srmd "service" st', ["start", "stop"]),
        ("srmd lab ru", ["run"]),
        ("srmd lab fault cut heart", []),
        ("srmd faultproxy --le", ["--lenient"]),
        ("srmd completion ", ["bash", "zsh", "fish"]),
        ("srmd completion --", ["--help"]),  # --words is for the scripts
        ("srmd failover ", []),  # only the pair knows its nodes
        ("srmd nonsense ", []),
        ("srmd nonsense --", []),
        ("srmd recover extra --", []),
    ],
)
def test_a_begun_word_is_offered_what_the_command_takes_there(line: str, words: list[str]) -> None:
    assert offered(line) == words


@pytest.mark.parametrize(
    "line",
    ["srmd --config ", "srmd run --config=", "srmd config check ", "srmd lab run x", "srmd init "],
)
def test_where_a_file_is_wanted_the_shell_offers_files(line: str) -> None:
    assert offered(line) is None


def every(parser: argparse.ArgumentParser, line: str) -> Iterator[tuple[str, str]]:
    """Each command of the parser, as a line and what completes it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield line, name
                yield from every(whole(command), f"{line}{name} ")


def test_no_command_is_left_out() -> None:
    commands = list(every(whole(root()), "srmd "))
    assert len(commands) > 40
    assert not [line + name for line, name in commands if name not in (offered(line) or [])]


def test_the_whole_grammar_is_read_with_the_standard_library_alone() -> None:
    """A wheel is built where none of our dependencies is installed."""
    program = """
import sys
from srmd.cli.completion import SCRIPTS
from srmd.cli.manual import page
page()
sys.exit(90 if {"aiohttp", "structlog", "asyncio"} & set(sys.modules) else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_meanings_are_told_where_the_shell_shows_them(capsys: Capture) -> None:
    assert main(["completion", "zsh", "--words", "recov"]) == Exit.OK
    assert main(["completion", "fish", "--words", "recov"]) == Exit.OK
    meaning = "bring the pair out of Running in Failed Mode"
    assert capsys.readouterr().out == f"recover:{meaning}\nrecover\t{meaning}\n"


def test_only_bash_replaces_what_stands_behind_an_equals_sign(capsys: Capture) -> None:
    assert main(["completion", "bash", "--words", "srmd status --lang=j"]) == Exit.OK
    assert main(["completion", "zsh", "--words", "status", "--lang=j"]) == Exit.OK
    assert main(["completion", "zsh", "--words", "status", "--js"]) == Exit.OK
    assert capsys.readouterr().out == "ja\n--lang=ja\n--json:JSON, for programs\n"


def test_the_words_asked_about_are_not_run(capsys: Capture) -> None:
    assert main(["completion", "fish", "--words", "--help", "--version", "no"]) == Exit.OK
    assert capsys.readouterr().out == "node\tpower of this node\n"


def test_a_shell_without_a_script_is_refused(capsys: Capture) -> None:
    assert main(["completion", "tcsh"]) == Exit.USAGE
    assert "bash, zsh, fish" in capsys.readouterr().err
    assert main(["completion", "bash"]) == Exit.OK
    assert capsys.readouterr().out == SCRIPTS["bash"]


@pytest.mark.parametrize(
    "typed, shown",
    [
        ("srmd fai", "srmd failover"),
        ("srmd service ki", "srmd service kill"),
        ("srmd --api http://127.0.0.1:1 stat", "srmd --api http://127.0.0.1:1 stat"),
        ("srmd status --js", "srmd status --json"),
        ("srmd status --lang=j", "srmd status --lang=ja"),
        ("srmd config check /etc/host", "srmd config check /etc/host"),
    ],
)
def test_a_tab_in_bash_completes(typed: str, shown: str, tmp_path: Path) -> None:
    with Shell(["bash", "--norc", "--noprofile", "-i"], BIN, tmp_path) as bash:
        bash.run("source <(srmd completion bash)")
        assert bash.completed(typed).startswith(shown)
