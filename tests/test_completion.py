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
from srmd.cli.offering import FILES
from srmd.cli.parser import root, whole
from srmd.config import shipped
from srmd.lab.scenario.phrases import PHRASES, SERVICE_SLOT, following, verb
from tests.shells import Shell
from tests.test_cli import NORMAL, FakeNode, status

Capture = pytest.CaptureFixture[str]

BIN = Path(sys.executable).parent


def offered(line: str) -> list[str] | None:
    """The words for a line with the cursor at its end; None: files."""
    *before, begun = split(line)[0][1:]
    found = [offer.word for offer in offers(whole(root()), before, begun)]
    return None if found == [FILES] else found


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
        ("srmd lab fault cut heart", ["heartbeats"]),
        ("srmd lab fault cut heartbeats a t", ["to"]),
        ("srmd lab fault freeze ", ["node"]),
        ("srmd lab fault kill service 'Cisco SIP", ["Cisco SIP Proxy"]),
        ("srmd lab fault kill service 'Cisco SIP Proxy' on ", ["a", "b"]),
        ("srmd lab fault drop next ", ["3"]),
        ("srmd lab fault no such verb ", []),
        ("srmd lab run row-12-service-d", [FILES, "row-12-service-dies"]),
        ("srmd lab list row-12", [FILES, "row-12-service-dies", "row-12-service-hangs"]),
        ("srmd explain --row 2", ["2", "20", "21", "22", "23", "24"]),
        ("srmd explain --row=backup_p", ["backup_peer_silent"]),
        ("srmd explain idle/o", ["idle/on_admin_request"]),
        ("srmd explain idle/normal dow", ["down"]),
        ("srmd faultproxy --le", ["--lenient"]),
        ("srmd completion ", ["bash", "zsh", "fish"]),
        ("srmd completion --", ["--help"]),  # --words is for the scripts
        ("srmd failover --api http://127.0.0.1:1 ", []),  # only the pair knows its nodes
        ("srmd nonsense ", []),
        ("srmd nonsense --", []),
        ("srmd recover extra --", []),
    ],
)
def test_a_begun_word_is_offered_what_the_command_takes_there(line: str, words: list[str]) -> None:
    assert offered(line) == words


@pytest.mark.parametrize(
    "line",
    ["srmd --config ", "srmd run --config=", "srmd config check ", "srmd why x", "srmd init "],
)
def test_where_a_file_is_wanted_the_shell_offers_files(line: str) -> None:
    assert offered(line) is None


ON_NODE_A = f"--config {shipped() / 'node-a.toml'}"


@pytest.mark.parametrize(
    "line, words",
    [
        (f"srmd failover {ON_NODE_A} ", ["a", "b"]),
        (f"srmd {ON_NODE_A} users list --home ", ["a", "b"]),
        (f"srmd users assign {ON_NODE_A} someone ", ["a", "b"]),
        (f"srmd service {ON_NODE_A} ", []),
        (f"srmd service kill {ON_NODE_A} 'Cisco Pres", ["Cisco Presence Engine"]),
        ("srmd failover --config /no/such/file ", []),
    ],
)
def test_nodes_and_services_of_a_node_that_is_down_are_those_of_its_file(
    line: str, words: list[str]
) -> None:
    assert offered(line) == words


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A node that answers, with names of its own."""
    fake = FakeNode()
    answer = status(NORMAL, NORMAL)
    answer["local"]["node"], answer["peer"]["node"] = "tokyo", "osaka"
    answer["services"] = [
        {"name": "Cisco SIP Proxy", "state": "STARTED", "critical": True},
        {"name": "$HOME; it's", "state": "STOPPED", "critical": True},
    ]
    fake.statuses = [answer]
    yield fake
    fake.close()


def test_nodes_and_services_are_those_of_the_pair_that_answers(node: FakeNode) -> None:
    assert offered(f"srmd failover --api {node.url} ") == ["tokyo", "osaka"]
    assert offered(f"srmd --api={node.url} failover t") == ["tokyo"]
    line = f"srmd service stop --api {node.url} 'Cisco SIP Proxy' "
    assert offered(line) == ["$HOME; it's"], "those that are named already are not offered again"


def every(parser: argparse.ArgumentParser, line: str) -> Iterator[tuple[str, str]]:
    """Each command of the parser, as a line and what completes it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield line, name
                yield from every(whole(command), f"{line}{name} ")


def test_what_is_offered_for_a_verb_is_a_verb() -> None:
    """Whatever is chosen at each TAB, the line ends as a verb that the lab takes."""

    def walk(said: list[str], left: int) -> Iterator[list[str]]:
        nexts = list(following(said)) if left else []
        if not nexts:
            yield said
        for word in nexts:
            yield from walk([*said, word.replace(SERVICE_SLOT, "Cisco SIP Proxy")], left - 1)

    ends = [" ".join(words) for words in walk([], 14) if words]
    assert len(ends) > 150
    for end in ends:
        verb(end)
    firsts = {end.split()[0] for end in ends}
    assert {phrase.example.split()[0] for phrase in PHRASES} <= firsts


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
        ("srmd service kill 'Cisco Pr", "srmd service kill Cisco Presence Engine"),
        ('srmd service kill "Cisco Pr', "srmd service kill Cisco Presence Engine"),
        ("srmd service kill Cisco\\ Pr", "srmd service kill Cisco Presence Engine"),
        ("srmd lab fault cut hea", "srmd lab fault cut heartbeats"),
        ("srmd lab run row-12-service-d", "srmd lab run row-12-service-dies"),
        ("srmd lab run /etc/hostn", "srmd lab run /etc/hostname"),
        ("srmd explain idle/on", "srmd explain idle/on_admin_request"),
    ],
)
def test_a_tab_in_bash_completes(typed: str, shown: str, tmp_path: Path) -> None:
    with Shell(["bash", "--norc", "--noprofile", "-i"], BIN, tmp_path) as bash:
        bash.run("export SRMD_API=http://127.0.0.1:1")  # no node of this machine is asked
        bash.run("source <(srmd completion bash)")
        assert bash.completed(typed).startswith(shown)
