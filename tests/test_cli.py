"""The command line: what is typed, asked of the node, printed, and returned as exit code.

The node is a small HTTP server with canned answers; one story has real nodes, which are otherwise
in tests/lab and tests/real.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from srmd import __version__
from srmd.cli import Exit, main, parser, waiting
from srmd.cli.exits import COMMANDS, codes_of
from srmd.cli.manual import page as manual_page
from srmd.cli.output import labelled, table, wrapped
from srmd.cli.status import JAPANESE, page, possible
from srmd.cli.watch import BEGIN_PAGE, END_LINE, END_PAGE, OLD, compact, one_line
from srmd.core import handbook
from srmd.core.events import Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import REASONS, STATES, Language
from srmd.daemon import main as daemon
from srmd.lab.faultproxy import __main__ as faultproxy
from srmd.lab.pair import LabPair
from srmd.node.commands import offers
from srmd.shown import parse_half, parse_reason, parse_state
from srmd.store import database
from srmd.tables import FORMATS, render
from srmd.terminal import columns_of, longest

Capture = pytest.CaptureFixture[str]
Half = tuple[State, Reason]

NORMAL: Half = (State.NORMAL, Reason.NORMAL)
FAILING_OVER: Half = (State.FAILING_OVER, Reason.ON_ADMIN_REQUEST)
TAKING_OVER: Half = (State.TAKING_OVER, Reason.ON_ADMIN_REQUEST)
IDLE: Half = (State.IDLE, Reason.ON_ADMIN_REQUEST)
BACKUP: Half = (State.BACKUP, Reason.ON_ADMIN_REQUEST)
FAILED: Half = (State.FAILED_MODE, Reason.UNKNOWN)
INITIALIZING: Half = (State.INITIALIZING, Reason.INITIALIZATION)
SILENT: Half = (State.DOWN, Reason.UNKNOWN)
HA_OFF: Half = (State.UNKNOWN, Reason.HA_NOT_ENABLED)


def status(a: Half, b: Half, op: int = 1, *, ha: bool = True) -> dict[str, Any]:
    """What node a answers when the pair is like this."""

    def half(node: str, shown: Half) -> dict[str, Any]:
        state, reason = shown
        return {
            "node": node,
            "state": STATES[state].en,
            "srm_state": int(state),
            "reason": REASONS[reason].en,
            "since": None,
            "op": op,
        }

    return {
        "group": "lab",
        "ha_enabled": ha,
        "local": {**half("a", a), "version": "0.1.0"},
        "peer": {
            **half("b", b),
            "heard": True,
            "silent_s": 0.1,
            "beats_missed": 0,
            "seconds_to_peer_down": 0.8,
            "hears_us": True,
        },
        "services": [
            {"name": "Cisco XCP Router", "state": "STARTED", "note": "", "critical": True, "pid": 7}
        ],
        "database": {"state": "STARTED"},
        "users": {"assigned": {"a": 3, "b": 2}, "served": {"a": 3, "b": None}},
        "handbook": {
            "row": 1,
            "key": "normal",
            "cause": {"en": "All is well.", "ja": "正常"},
            "action": {"en": "Nothing to do.", "ja": "なし"},
        },
        "actions": [{"action": "failover", "node": "a"}, {"action": "failover", "node": "b"}],
    }


class FakeNode:
    """Answers as a node does; remembers what it was asked."""

    def __init__(self) -> None:
        self.statuses = [status(NORMAL, NORMAL)]
        """Given one by one; the last one again and again."""
        self.answers: dict[str, tuple[int, Any]] = {}
        """By method and path; everything else is 202."""
        self.asked: list[tuple[str, Any]] = []
        self.tokens: list[str | None] = []
        self.meant: list[str | None] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                is_json = self.headers.get("Content-Type") == "application/json"
                what = f"{self.command} {self.path}"
                fake.asked.append((what, json.loads(raw) if raw and is_json else raw))
                fake.tokens.append(self.headers.get("Authorization"))
                fake.meant.append(self.headers.get("X-SRMD-Node"))
                code, body = fake.answer(what)
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, what: str) -> tuple[int, Any]:
        if what in self.answers:
            return self.answers[what]
        if what == "GET /api/v1/status":
            return 200, self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return 202, {"op": 2, "detail": "taken up"}

    @property
    def ordered(self) -> list[tuple[str, Any]]:
        """What was asked, besides the status."""
        return [asked for asked in self.asked if asked[0] != "GET /api/v1/status"]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    fake = FakeNode()
    monkeypatch.setenv("SRMD_API", fake.url)
    monkeypatch.delenv("SRMD_TOKEN", raising=False)
    yield fake
    fake.close()


def srmd(*words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "srmd", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,
    )


# ---------------------------------------------------------------------------- words


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["failover", "--help"], ["fail"]])
def test_what_needs_no_node_imports_nothing_heavy(words: list[str]) -> None:
    program = f"""
import sys
from srmd.cli import main
main({words!r})
heavy = {{"aiohttp", "structlog", "asyncio", "sqlite3", "http", "ssl", "tomllib"}}
sys.exit(90 if heavy & set(sys.modules) else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_told_by_the_command_and_behind_other_words(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert main(["--api", "http://a:1", "--version"]) == 0
    assert capsys.readouterr().out == f"srmd {__version__}\n" * 2


def test_a_status_waits_for_no_import_that_it_does_not_use(node: FakeNode) -> None:
    program = """
import sys
from srmd.cli import main
code = main(["status"])
slow = {"dataclasses", "inspect", "difflib", "pathlib", "hmac", "shutil", "textwrap"}
print(sorted(slow & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stderr == "[]\n"


def test_the_fault_proxy_gets_its_words_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    monkeypatch.setattr(faultproxy, "main", run)
    words = ["--config", "proxies.json", "--help", "failovr", "--port", "0"]
    assert main(["faultproxy", *words]) == 7
    assert main(["--api", "http://a:1", "faultproxy"]) == 7
    assert given == [words, []]


def test_the_fault_proxy_has_a_help_of_its_own() -> None:
    done = srmd("faultproxy", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: srmd faultproxy")
    assert "--seed" in done.stdout
    assert srmd("faultproxy", "--no-such-option").returncode == Exit.USAGE


def test_the_help_lists_every_exit_code(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for code in Exit:
        assert f"\n  {code.value:<4} " in told


def every_parser(words: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield words
    for action in words._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from every_parser(parser.whole(command))


def test_the_help_of_every_command_ends_with_its_exit_codes() -> None:
    """33 of 40 help texts had none, against the README."""
    seen = set()
    for command in every_parser(parser.whole(parser.root())):
        path = command.prog
        *_, last = command.format_help().partition("\nexit codes:\n")
        codes = codes_of(path)
        assert last == "".join(f"  {code.value:<4} {codes[code]}\n" for code in sorted(codes)), path
        assert {Exit.OK, Exit.USAGE, Exit.INTERNAL} <= set(codes)
        found = [f"{code.value}" for code in sorted(codes)]
        if not any(isinstance(one, argparse._SubParsersAction) for one in command._actions):
            (told,) = re.findall(
                rf'\.SS "{re.escape(path)}"\n(?:.*\n)*?Exit codes: (.*)\.\n', manual_page()
            )
            assert re.findall(r"(?:^|, )(\d+)", re.sub(r"\(.*?\)", "", told)) == found
        seen.add(path)
    assert set(COMMANDS) <= seen
    assert len(seen) > 40


def test_the_exit_codes_of_run_are_those_of_the_daemon() -> None:
    assert (daemon.CONFIG_BAD, daemon.PORT_BUSY) == (Exit.CONFIG_BAD, Exit.PORT_BUSY)
    assert (daemon.STATE_LOCKED, daemon.STATE_DAMAGED) == (Exit.STATE_LOCKED, Exit.STATE_DAMAGED)
    assert daemon.DISK_REFUSES == Exit.DISK_REFUSES


@pytest.mark.parametrize(
    "words, told",
    [
        (["failovr", "a"], "did you mean failover"),
        (["service", "strat", "x"], "did you mean start or restart?"),
        (["status", "--jsn"], "did you mean --json?"),
        (["fault", "set", "databse"], "did you mean database?"),
        (["service"], "which command? list, start, stop"),
        ([], "which command? run, status"),
        (["failover"], "NODE"),
        (["failover", "a", "--time", "3"], "--time is not known here; did you mean --timeout?"),
        (["failover", "a", "--timeout", "0"], "more than 0"),
        (["failover", "a", "--timeout", "nan"], "more than 0"),
        (["users", "generate", "0"], "a whole number from 1 to 75000"),
        (["users", "generate", "9" * 5000], "a whole number from 1 to 75000"),
        (["users", "assign"], "either USER NODE, or --mode"),
        (["users", "assign", "alice"], "either USER NODE, or --mode"),
        (["users", "unassign"], "either USER, or --all"),
        (["explain", "Idle/Normal"], "two halves"),
        (["status", "--api", "localhost:80"], "an address is http://host:port"),
        (["status", "--api", "http://a:99999"], "an address is http://host:port"),
        (["status", "--token-file", "no-such-file"], "No such file"),
        (["status", "--config", "no-such-file"], "name a file that can be read"),
        (["users", "import", "no-such-file"], "No such file"),
    ],
)
def test_a_wrong_word_is_told_with_what_was_probably_meant(
    words: list[str], told: str, capsys: Capture
) -> None:
    assert main(words) == Exit.USAGE
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_token_cannot_be_given_on_the_command_line(capsys: Capture) -> None:
    assert main(["ha", "enable", "--token", "secret"]) == Exit.USAGE
    assert "did you mean --token-file?" in capsys.readouterr().err


# ---------------------------------------------------------------------------- node and token


def config(tmp_path: Path, url: str, token: str = "of-the-configuration") -> Path:
    """A configuration whose control address is that of the fake node."""
    file = tmp_path / "node.toml"
    file.write_text(f"""
[node]
id = "a"
state_dir = "state"
[group]
name = "lab"
[peer]
id = "b"
heartbeat = "127.0.0.1:1"
control = "http://127.0.0.1:1"
[control]
listen = "{url.removeprefix("http://")}"
token = "{token}"
[auth.keys]
k1 = "{"ab" * 32}"
""")
    return file


def test_the_command_line_wins_over_the_file_and_the_file_over_the_environment(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(config(tmp_path, node.url))
    token = tmp_path / "token"
    token.write_text("of-the-token-file\n")
    monkeypatch.setenv("SRMD_TOKEN", "of-the-environment")
    assert main(["fault", "set", "moves"]) == 0
    monkeypatch.setenv("SRMD_API", "http://127.0.0.1:1")
    assert main(["fault", "set", "moves", "--config", file]) == 0
    assert main(["--config", file, "fault", "set", "moves", "--token-file", str(token)]) == 0
    assert main(["--api", node.url, "fault", "set", "moves", "--config", file]) == 0
    assert node.tokens == [
        "Bearer of-the-environment",
        "Bearer of-the-configuration",
        "Bearer of-the-token-file",
        "Bearer of-the-configuration",
    ]


def test_a_node_that_listens_on_all_addresses_is_asked_on_this_machine(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SRMD_API")
    file = config(tmp_path, node.url.replace("127.0.0.1", "0.0.0.0"))
    assert main(["status", "--config", str(file)]) == 0


def test_without_a_node_the_address_and_the_way_out_are_told(capsys: Capture) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert main(["status", "--api", url]) == Exit.UNREACHABLE
    told = capsys.readouterr().err
    assert f"{url} does not answer as a node of srmd: connection refused" in told
    assert "srmd run --config FILE" in told
    assert "--api" in told


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"", b"\xff\xfe"])
def test_another_program_at_the_address_is_no_node(
    node: FakeNode, answer: bytes, capsys: Capture
) -> None:
    node.answers["GET /api/v1/status"] = (200, answer)
    assert main(["status"]) == Exit.UNREACHABLE
    assert "another program's port?" in capsys.readouterr().err


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "code, exit_code",
    [
        (400, Exit.USAGE),
        (403, Exit.UNAUTHORIZED),
        (404, Exit.USAGE),
        (409, Exit.REFUSED),
        (422, Exit.USAGE),
        (500, Exit.FAILED),
        (503, Exit.REFUSED),
    ],
)
def test_every_refusal_has_its_exit_code_and_the_words_of_the_node(
    node: FakeNode, code: int, exit_code: Exit, capsys: Capture
) -> None:
    node.answers["POST /api/v1/actions/failover"] = (
        code,
        {"error": "not like this", "needed": "both nodes in Normal"},
    )
    assert main(["failover", "a"]) == exit_code
    told = capsys.readouterr().err
    assert "not like this" in told
    assert ("both nodes in Normal" in told) == (code != 403)


def test_a_refused_token_is_told_by_where_it_came_from(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The node speaks of HTTP headers; who has typed the command gave a file or a variable."""
    node.answers["PUT /api/v1/faults/moves"] = (401, {"error": "send `Authorization: Bearer`"})
    token, file = tmp_path / "token", config(tmp_path, node.url)
    token.write_bytes(b"\xef\xbb\xbfof-the-token-file\r\n")  # by an editor of Windows

    def told(*words: str) -> str:
        assert main(["fault", "set", "moves", *words]) == Exit.UNAUTHORIZED
        said = capsys.readouterr().err
        assert "Authorization" not in said
        return said.partition("\n")[0]

    assert told() == f"srmd: {node.url} wants a token for this"
    by_file = told("--token-file", str(token))
    assert by_file == f"srmd: {node.url} does not take the token of --token-file {token}"
    by_config = told("--config", str(file))
    assert by_config == f"srmd: {node.url} does not take the token of control.token of {file}"
    monkeypatch.setenv("SRMD_TOKEN", "of-the-environment")
    source = "the environment's SRMD_TOKEN"
    assert told() == f"srmd: {node.url} does not take the token of {source}"
    assert node.tokens[1] == "Bearer of-the-token-file"


def test_one_wrong_field_is_told_once(node: FakeNode, capsys: Capture) -> None:
    problem = {"field": "node", "value": "''", "reason": "is too short"}
    refusal = {"error": "node: '' is too short", "problems": [problem]}
    node.answers["POST /api/v1/actions/fallback"] = (422, refusal)
    assert main(["fallback", ""]) == Exit.USAGE
    assert capsys.readouterr().err == "srmd: node: '' is too short\n"


@pytest.mark.parametrize("option", ["--api", "--config", "--token-file", "--ca"])
def test_an_empty_value_is_not_taken_for_the_default(
    node: FakeNode, option: str, capsys: Capture
) -> None:
    """`--api "$URL"` with an URL that is not set acted on whoever listened on 20075."""
    assert main(["fault", "set", "moves", option, ""]) == Exit.USAGE
    assert f"{option}: it is empty" in capsys.readouterr().err
    assert node.asked == []


@pytest.mark.parametrize("name", ["SRMD_API", "SRMD_CONFIG", "SRMD_CA"])
def test_an_empty_variable_is_not_taken_for_the_default(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv(name, "")
    assert main(["fault", "set", "moves"]) == Exit.USAGE
    assert f"{name}: it is empty" in capsys.readouterr().err


def test_a_service_without_a_name_is_not_asked(node: FakeNode, capsys: Capture) -> None:
    """It was a path that the API does not know, and told as such."""
    for words in ([""], [" ", ""]):
        assert main(["service", "start", *words]) == Exit.USAGE
        assert "`srmd service list` shows the names" in capsys.readouterr().err
    assert node.asked == []


def test_a_plain_port_that_is_asked_by_https_is_told_in_words(
    node: FakeNode, capsys: Capture
) -> None:
    url = node.url.replace("http:", "https:")
    assert main(["status", "--api", url]) == Exit.UNREACHABLE
    told = capsys.readouterr().err
    assert "does not speak TLS; a node without [tls] is http://" in told
    assert "wrong_version_number" not in told


def test_an_empty_file_of_users_is_told_as_one(
    node: FakeNode, tmp_path: Path, capsys: Capture
) -> None:
    """It was "a body is needed (text/csv)", though the file was there."""
    users = tmp_path / "users.csv"
    users.touch()
    assert main(["users", "import", str(users)]) == Exit.USAGE
    assert f"{users}: it is empty; its first line is the header" in capsys.readouterr().err
    assert node.asked == []


def test_a_bad_line_without_a_value_is_a_sentence(
    node: FakeNode, tmp_path: Path, capsys: Capture
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("\n")
    problem = {"line": 1, "value": "", "reason": "is no header: the file is empty"}
    node.answers["POST /api/v1/users/import"] = (422, {"error": "bad", "problems": [problem]})
    assert main(["users", "import", str(users)]) == Exit.USAGE
    assert "line 1 is no header: the file is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, told",
    [
        ("row-16", "did you mean row-16-network-cut or row-16-peer-down or row-16-srm-stopped?"),
        ("row-16-peer-dwn", "did you mean row-16-peer-down"),
        ("zzz", "no scenario has this name; srmd lab list has all"),
    ],
)
def test_a_wrong_name_of_a_scenario_is_told_with_those_that_were_meant(
    name: str, told: str, capsys: Capture
) -> None:
    assert main(["lab", "list", name]) == Exit.USAGE
    assert told in capsys.readouterr().err


def test_the_only_beginning_of_the_name_of_a_scenario_is_enough(capsys: Capture) -> None:
    assert main(["lab", "list", "row-16-peer"]) == 0
    assert capsys.readouterr().out.startswith("row-16-peer-down ")


def test_a_wrong_scenario_is_told_without_doubles(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("bogus = 1\n")
    assert main(["lab", "list", str(file)]) == Exit.USAGE
    told = capsys.readouterr().err
    assert "step: (missing): from 1 to 200 tables [[step]] are needed" in told
    names = re.findall(r"one of ([^\n]*)", told)[0].split(", ")
    assert len(names) == len(set(names)) > 3


@pytest.mark.parametrize("words, code", [(["status"], 130), (["status", "--check"], 3)])
def test_ctrl_c_while_the_command_is_loaded_is_quiet(words: list[str], code: int) -> None:
    """A traceback of the entry script, in the first moments."""
    program = (
        "import runpy, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'srmd.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.argv[1:] = %r\n"
        "runpy.run_module('srmd', run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program % words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")


def test_the_environment_names_the_configuration(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    file = config(tmp_path, node.url)
    monkeypatch.setenv("SRMD_CONFIG", str(file))
    monkeypatch.setenv("SRMD_API", "http://127.0.0.1:1")
    assert main(["fault", "set", "moves"]) == 0
    assert main(["config", "check"]) == 0
    # Beside --api it is not asked: the token of its node is not for another one.
    assert main(["--api", node.url, "fault", "set", "moves"]) == 0
    assert node.tokens == ["Bearer of-the-configuration", None]
    monkeypatch.delenv("SRMD_CONFIG")
    assert main(["run"]) == main(["config", "check"]) == Exit.USAGE
    assert "SRMD_CONFIG" in capsys.readouterr().err


def test_a_file_means_its_own_node_and_an_address_whatever_is_there(
    node: FakeNode, tmp_path: Path, capsys: Capture
) -> None:
    """`status --config X` showed a node of another group without a word."""
    file = config(tmp_path, node.url)
    node.answers["POST /api/v1/actions/failover"] = (
        421,
        {"error": "node a of group x answers here, and node a of group lab was meant"},
    )
    assert main(["failover", "a", "--config", str(file)]) == Exit.UNREACHABLE
    told = capsys.readouterr().err
    assert f"{node.url}: node a of group x answers here, and node a of group lab was" in told
    assert f"--api {node.url} asks whatever node is there" in told
    assert main(["status", "--api", node.url, "--config", str(file)]) == 0
    assert node.meant[-2:] == ["lab/a", None]


def test_every_bad_line_of_an_import_is_told(
    node: FakeNode, tmp_path: Path, capsys: Capture
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user_id,home_node\nalice,c\n")
    problem = {"line": 2, "value": "c", "reason": "no node of this group"}
    node.answers["POST /api/v1/users/import"] = (422, {"error": "1 bad", "problems": [problem]})
    assert main(["users", "import", str(users)]) == Exit.USAGE
    assert "line 2: c: no node of this group" in capsys.readouterr().err
    assert node.ordered == [("POST /api/v1/users/import", b"user_id,home_node\nalice,c\n")]


@pytest.mark.parametrize("code", [400, 413, 415, 422])
@pytest.mark.parametrize("place", [{}, {"line": 1}])
def test_a_file_that_cannot_be_used_is_wrong_usage(
    node: FakeNode, tmp_path: Path, code: int, place: dict[str, Any]
) -> None:
    """UTF-16 and an empty file ended with 2, a bad header and bad lines with 1."""
    users = tmp_path / "users.csv"
    users.write_text("user_id\nalice\n")
    problems = [{"value": "x", "reason": "bad", **place}]
    node.answers["POST /api/v1/users/import"] = (code, {"error": "bad", "problems": problems})
    assert main(["users", "import", str(users)]) == Exit.USAGE


@pytest.mark.parametrize("words", ["bogus verb", "cut", "freeze c"])
def test_wrong_words_for_the_lab_are_wrong_usage(words: str, capsys: Capture) -> None:
    """They ended with 3, as what the lab cannot do now."""
    assert main(["lab", "fault", *words.split()]) == Exit.USAGE
    assert f"lab fault: '{words}' is nothing that can be done" in capsys.readouterr().err


# ---------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    "words, asked",
    [
        ("srm stop", ("POST /api/v1/srm/stop", {})),
        ("node reboot", ("POST /api/v1/node/reboot", {})),
        ("node shutdown", ("POST /api/v1/node/shutdown", {})),
        ("fault set database", ("PUT /api/v1/faults/database", {})),
        ("fault clear moves", ("DELETE /api/v1/faults/moves", b"")),
        ("service kill Cisco XCP Router", ("POST /api/v1/services/Cisco%20XCP%20Router/kill", {})),
        ("service block ../x?y", ("POST /api/v1/services/..%2Fx%3Fy/block", {})),
        ("users assign alice b", ("POST /api/v1/users/assign", {"user": "alice", "home": "b"})),
        ("users assign --mode none", ("POST /api/v1/users/assign", {"mode": "none"})),
        ("users unassign --all", ("POST /api/v1/users/unassign", {"all": True})),
        ("users delete alice", ("POST /api/v1/users/delete", {"user": "alice"})),
        ("users delete --all", ("POST /api/v1/users/delete", {"all": True})),
        ("users unassign alice", ("POST /api/v1/users/unassign", {"user": "alice"})),
        (
            "users generate 7 --mode active-standby --prefix u",
            (
                "POST /api/v1/users/generate",
                {"count": 7, "mode": "active-standby", "prefix": "u"},
            ),
        ),
        ("failover a --no-wait", ("POST /api/v1/actions/failover", {"node": "a"})),
        ("fallback b --no-wait", ("POST /api/v1/actions/fallback", {"node": "b"})),
        ("recover --no-wait", ("POST /api/v1/actions/recover", {})),
        ("ha disable --no-wait", ("POST /api/v1/ha", {"enabled": False})),
        ("srm restart --no-wait", ("POST /api/v1/srm/restart", {})),
    ],
)
def test_a_command_is_one_request_and_tells_the_answer(
    node: FakeNode, words: str, asked: tuple[str, Any], capsys: Capture
) -> None:
    assert main(words.split()) == 0
    assert node.ordered == [asked]
    assert "taken up" in capsys.readouterr().out


def test_the_command_line_knows_how_many_users_a_database_holds() -> None:
    assert parser.USERS_MAX == database.USERS_MAX


def test_what_is_exported_is_printed_as_it_is(node: FakeNode, capsys: Capture) -> None:
    node.answers["GET /api/v1/users/export"] = (200, b"user_id,home_node\nalice,a\n")
    assert main(["users", "export"]) == 0
    assert capsys.readouterr().out == "user_id,home_node\nalice,a\n"


def test_an_export_that_is_refused_is_told(node: FakeNode, capsys: Capture) -> None:
    node.answers["GET /api/v1/users/export"] = (503, {"error": "the database is gone"})
    assert main(["users", "export"]) == Exit.REFUSED
    assert "the database is gone" in capsys.readouterr().err


def test_standard_input_can_be_imported(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    node.answers["POST /api/v1/users/import"] = (200, {"detail": "imported", "imported": 1})
    stdin = io.TextIOWrapper(io.BytesIO(b"user_id,home_node\nbob,b\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["users", "import", "-"]) == 0
    assert node.ordered == [("POST /api/v1/users/import", b"user_id,home_node\nbob,b\n")]
    assert capsys.readouterr().out == "imported (imported: 1)\n"


def test_a_long_list_of_users_is_asked_for_page_by_page(node: FakeNode, capsys: Capture) -> None:
    def user(name: str) -> dict[str, str | None]:
        return {"user_id": name, "home_node": "a", "serving_node": None}

    first, second = [user(f"u{i:04}") for i in range(1000)], [user("v")]
    node.answers["GET /api/v1/users?limit=1000&home=a"] = (200, {"users": first, "next": "u0999"})
    node.answers["GET /api/v1/users?after=u0999&limit=1000&home=a"] = (
        200,
        {"users": second, "next": None},
    )
    assert main(["users", "list", "--home", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first + second


def test_a_limited_list_asks_for_no_more_than_that(node: FakeNode, capsys: Capture) -> None:
    shown = {"user_id": "alice", "home_node": None, "serving_node": None}
    node.answers["GET /api/v1/users?limit=1"] = (200, {"users": [shown], "next": "alice"})
    assert main(["users", "list", "--limit", "1"]) == 0
    assert capsys.readouterr().out == "USER   HOME  SERVED BY\nalice  -     -\n"


# ---------------------------------------------------------------------------- waiting


@pytest.mark.parametrize(
    "words, story",
    [
        ("failover a", [(NORMAL, NORMAL), (FAILING_OVER, TAKING_OVER), (IDLE, BACKUP)]),
        ("failover b", [(NORMAL, NORMAL), (TAKING_OVER, FAILING_OVER), (BACKUP, IDLE)]),
        ("fallback a", [(IDLE, BACKUP), (NORMAL, BACKUP), (NORMAL, NORMAL)]),
        ("fallback a", [(IDLE, SILENT), (BACKUP, SILENT)]),
        ("recover", [(FAILED, FAILED), (INITIALIZING, FAILED), (NORMAL, NORMAL)]),
        ("ha enable", [(HA_OFF, HA_OFF), (INITIALIZING, HA_OFF), (NORMAL, NORMAL)]),
        ("srm restart", [(NORMAL, NORMAL), (INITIALIZING, NORMAL), (NORMAL, NORMAL)]),
    ],
)
def test_a_command_ends_when_its_pair_is_reached(
    node: FakeNode, words: str, story: list[tuple[Half, Half]], capsys: Capture
) -> None:
    node.statuses = [status(a, b, op) for op, (a, b) in enumerate(story)]
    assert main([*words.split(), "--timeout", "20"]) == 0
    assert len(node.statuses) == 1
    captured = capsys.readouterr()
    told = [line for line in captured.err.splitlines() if line.startswith("  a ")]
    assert len(told) == len(story) - 1  # each change is told once
    for half, name in zip(story[-1], "ab", strict=True):
        assert f"{name}     {STATES[half[0]].en}" in captured.out


def test_disabling_ends_when_both_are_unknown(node: FakeNode) -> None:
    node.statuses = [
        status(NORMAL, NORMAL),
        status(HA_OFF, NORMAL, 2, ha=False),
        status(HA_OFF, HA_OFF, 2, ha=False),
    ]
    assert main(["ha", "disable"]) == 0
    assert len(node.statuses) == 1


@pytest.mark.parametrize(
    "words, story",
    [
        ("failover a", [(NORMAL, NORMAL), (FAILING_OVER, TAKING_OVER), (FAILED, FAILED)]),
        ("fallback a", [(IDLE, BACKUP), (FAILED, FAILED)]),
        ("recover", [(FAILED, FAILED), (INITIALIZING, INITIALIZING), (FAILED, FAILED)]),
    ],
)
def test_running_in_failed_mode_is_a_failure(
    node: FakeNode, words: str, story: list[tuple[Half, Half]], capsys: Capture
) -> None:
    node.statuses = [status(a, b, op) for op, (a, b) in enumerate(story)]
    assert main([*words.split(), "--timeout", "20"]) == Exit.FAILED
    assert "srmd recover" in capsys.readouterr().err


def test_a_recover_that_fails_between_two_looks_is_seen_by_its_number(node: FakeNode) -> None:
    node.statuses = [status(FAILED, FAILED, 5), status(FAILED, FAILED, 7)]
    assert main(["recover", "--timeout", "20"]) == Exit.FAILED


def test_a_recover_that_has_not_begun_yet_is_no_failure(node: FakeNode, capsys: Capture) -> None:
    node.statuses = [status(FAILED, FAILED, 5)]
    assert main(["recover", "--timeout", "0.3"]) == Exit.TIMED_OUT
    assert "--timeout" in capsys.readouterr().err


def test_a_pair_that_rests_elsewhere_is_a_failure_before_the_timeout(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REST_S", 0.2)
    node.statuses = [status(NORMAL, NORMAL, 1), status(BACKUP, SILENT, 3)]
    assert main(["failover", "a"]) == Exit.FAILED


def test_a_node_that_is_away_for_a_while_is_waited_for(node: FakeNode, capsys: Capture) -> None:
    node.statuses = [status(NORMAL, NORMAL), status(INITIALIZING, NORMAL), status(NORMAL, NORMAL)]
    looks: Iterator[tuple[int, Any]] = iter([(200, b"not"), (200, b"yet")])
    plain: Callable[[str], tuple[int, Any]] = node.answer

    def answer(what: str) -> tuple[int, Any]:
        if what == "GET /api/v1/status" and len(node.statuses) == 2:
            return next(looks, None) or plain(what)
        return plain(what)

    node.answer = answer  # type: ignore[method-assign]
    assert main(["srm", "restart"]) == 0
    assert capsys.readouterr().err.count("does not answer; still asking") == 1


def test_a_node_that_stays_away_is_unreachable(node: FakeNode) -> None:
    node.answers["POST /api/v1/srm/restart"] = (202, {"op": None, "detail": "restarting"})
    first = [status(NORMAL, NORMAL)]

    def answer(what: str) -> tuple[int, Any]:
        if what == "GET /api/v1/status":
            return (200, first.pop()) if first else (200, b"gone")
        return 202, {"op": None, "detail": "restarting"}

    node.answer = answer  # type: ignore[method-assign]
    assert main(["srm", "restart", "--timeout", "0.3"]) == Exit.UNREACHABLE


def test_srm_is_a_service_by_its_name_and_a_restart_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    srm = "Cisco Server Recovery Manager"
    patient = {"keep_alive_timeout_s": 5.05, "initialization_keep_alive_timeout_s": 6.0}
    with LabPair({"heartbeat": patient}) as pair:
        monkeypatch.setenv("SRMD_API", pair.a.client.url)
        monkeypatch.setenv("SRMD_TOKEN", pair.a.token_file.read_text())
        assert main(["service", "stop", srm]) == 0
        assert capsys.readouterr().out == "SRM: stop done\n"
        assert {s["name"]: s["state"] for s in pair.a.client.services()}[srm] == "STOPPED"
        assert main(["service", "start", srm]) == 0
        assert capsys.readouterr().out == "SRM: start done\n"
        assert main(["service", "restart", *srm.split()]) == 0
        assert capsys.readouterr().out == "SRM: restart done\n"
        assert main(["srm", "restart"]) == 0
        told = capsys.readouterr()
        assert told.err.startswith("SRM: restart done\n")
        assert told.out == ("NODE  STATE / REASON\na     Normal / Normal\nb     Normal / Normal\n")
        assert main(["service", "hang", srm]) == Exit.REFUSED
        assert "start, stop, restart or kill it" in capsys.readouterr().err
    assert pair.left_behind == []


# ---------------------------------------------------------------------------- what is printed


def test_the_status_is_a_page_for_people(node: FakeNode, capsys: Capture) -> None:
    assert main(["status"]) == 0
    assert (
        capsys.readouterr().out
        == """\
group lab, high availability enabled
NODE  STATE   REASON  SRMSTATE  ASSIGNED  SERVED  HEARTBEAT
a     Normal  Normal         3         3       3  this node
b     Normal  Normal         3         2       -  heard 0.1 s ago

Row 1: All is well.
Recommended: Nothing to do.
Possible now: srmd failover a, srmd failover b

SERVICE           STATE    CRITICAL  NOTE
Cisco XCP Router  STARTED  yes
Database: STARTED
srmd that runs: a 0.1.0, b not told
"""
    )


@pytest.mark.parametrize(
    "language, said, name",
    [
        ("en", "Trouble, by symptom: ", "trouble.md"),
        ("ja", "症状別のトラブル対処: ", "trouble.ja.md"),
    ],
)
def test_a_status_that_is_not_well_points_to_the_page_by_symptom(
    language: str, said: str, name: str, node: FakeNode, capsys: Capture
) -> None:
    well = status(NORMAL, NORMAL)
    notice = {"key": "one_way", "en": "One way.", "ja": "片方向"}
    resting = {**well["handbook"], "stable": True}
    wanted = {**resting, "key": "manually_failed_over"}
    silent = {**resting, "key": "peer_down"}
    for answer, points in (
        ({**well, "handbook": resting}, False),
        ({**well, "handbook": wanted}, False),
        ({**well, "handbook": {**silent, "stable": False}}, False),
        ({**well, "handbook": silent}, True),
        ({**well, "notices": [notice]}, True),
    ):
        node.statuses = [answer]
        assert main(["status", "--lang", language]) == 0
        *_, last = capsys.readouterr().out.splitlines()
        assert last.startswith(said) is points
        if points:
            page = Path(last.removeprefix(said))
            assert (page.name, page.is_file()) == (name, True)


def every_offer() -> dict[str, list[dict[str, str]]]:
    """The commands that node a may offer, in each state beside each state of node b."""
    found = {}
    for mine, theirs, contact in itertools.product(State, State, Contact):
        machine = Node(
            mine, Reason.UNKNOWN, contact=contact, peer=Report(theirs, Reason.UNKNOWN, op=5)
        )
        found[f"{mine.name} {theirs.name} {contact.name}"] = [
            {"action": offer.command, "node": "a" if offer.here else "b"}
            for offer in offers(machine)
        ]
    return found


def test_every_command_that_is_told_as_possible_is_taken_as_it_is_typed() -> None:
    """`srmd recover a` was told in Running in Failed Mode, and refused as a wrong word."""
    seen = set()
    for where, actions in every_offer().items():
        answer = status(NORMAL, NORMAL) | {"actions": actions}
        told = possible(answer)
        assert len(told) == len(set(told)), where
        for language in ("en", "ja"):
            shown = page(answer, language)
            assert ", ".join(told) in " ".join(shown.split()), where
        for command in told:
            program, *words = command.split()
            assert program == "srmd"
            assert parser.parse(words).command_word == words[0]
            seen.add(command)
    assert seen == {
        *("srmd failover a", "srmd failover b", "srmd fallback a", "srmd fallback b"),
        "srmd recover",
    }


def test_a_recover_that_both_nodes_could_take_is_told_once() -> None:
    both = [{"action": "recover", "node": node} for node in ("a", "b")]
    assert possible(status(FAILED, FAILED) | {"actions": both}) == ["srmd recover"]


def test_the_status_for_programs_is_what_the_node_said(node: FakeNode, capsys: Capture) -> None:
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == status(NORMAL, NORMAL)


def test_the_topology_and_the_services_are_tables_or_json(node: FakeNode, capsys: Capture) -> None:
    topology = {
        "nodes": {"a": {"assigned": 3, "served": 0}, "b": {"assigned": 2, "served": None}},
        "unassigned": 1,
        "total": 6,
        "placement": {"a": "b", "b": "b"},
    }
    node.answers["GET /api/v1/users/topology"] = (200, {"detail": "topology", **topology})
    services = status(NORMAL, NORMAL)["services"]
    node.answers["GET /api/v1/services"] = (200, {"services": services})
    assert main(["users", "topology"]) == 0
    assert (
        capsys.readouterr().out
        == """\
NODE  ASSIGNED  SERVED  ITS USERS ARE SERVED BY
a            3       0  b
b            2       -  b

6 users, 1 of them without a home node
"""
    )
    unknown = {
        "nodes": {name: {"assigned": None, "served": None} for name in "ab"},
        "unassigned": None,
        "total": None,
        "placement": {"a": None, "b": None},
    }
    node.answers["GET /api/v1/users/topology"] = (200, {"detail": "topology", **unknown})
    assert main(["users", "topology"]) == 0
    assert (
        capsys.readouterr().out
        == """\
NODE  ASSIGNED  SERVED  ITS USERS ARE SERVED BY
a     -         -       -
b     -         -       -

The users are not known: the database has not been opened since the node started.
"""
    )
    node.answers["GET /api/v1/users/topology"] = (200, {"detail": "topology", **topology})
    assert main(["users", "topology", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == topology
    assert main(["service", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == services


def test_a_column_is_as_wide_as_it_looks() -> None:
    assert columns_of("標準 a") == 6
    assert table(("A", "B"), [("標準", 1), ("x", None)]) == "A     B\n標準  1\nx     -"


STEPS = "1. Repair the network.\n2. On node a, `srmd fallback a`."


def test_several_steps_stand_below_each_other_in_either_language(
    node: FakeNode, capsys: Capture
) -> None:
    shown = status(SILENT, BACKUP)
    shown["handbook"]["action"] = {"en": STEPS, "ja": "1. 修復します。\n2. `srmd fallback a`"}
    node.statuses = [shown]
    assert main(["status"]) == 0
    assert (
        "\nRecommended:\n"
        "  1. Repair the network.\n"
        "  2. On node a, `srmd fallback a`.\n"
        "Possible now: "
    ) in capsys.readouterr().out
    assert main(["status", "--lang", "ja"]) == 0
    assert (
        "\n推奨処置:\n  1. 修復します。\n  2. `srmd fallback a`\n実行できる操作: "
    ) in capsys.readouterr().out


def test_why_two_nodes_make_no_pair_is_told_in_either_language(
    node: FakeNode, capsys: Capture
) -> None:
    shown = status(SILENT, BACKUP)
    shown["mismatch"], shown["mismatch_ja"] = "group.name is 'x' there", "group.name は 'x' です"
    shown["notices"] = [{"en": "its heartbeats come back", "ja": "自ノードに戻っています"}]
    node.statuses = [shown]
    assert main(["status"]) == 0
    assert (
        "\nDoes not match the peer: group.name is 'x' there\nNotice: its heartbeats come back\n"
    ) in capsys.readouterr().out
    assert main(["status", "--lang", "ja"]) == 0
    assert (
        "\nピアと一致しない設定: group.name は 'x' です\n注意: 自ノードに戻っています\n"
    ) in capsys.readouterr().out


def test_a_long_step_goes_on_further_in() -> None:
    long = labelled("Recommended", f"1. {'word ' * 20}end\n2. short")
    assert long == f"Recommended:\n  1. {'word ' * 18}word\n    word end\n  2. short"


def test_the_status_can_be_read_in_japanese(node: FakeNode, capsys: Capture) -> None:
    node.statuses = [status(IDLE, NORMAL)]
    assert main(["status", "--lang", "ja"]) == 0
    assert (
        capsys.readouterr().out
        == """\
グループ lab、高可用性: 有効
ノード  状態      理由              SRMState  割り当て済み  受け持ち中  ハートビート
a       アイドル  管理者からの要求         2             3           3  このノード
b       標準      標準                     3             2           -  0.1 秒前に受信

第 1 行: 正常
推奨処置: なし
実行できる操作: srmd failover a, srmd failover b

サービス          状態              重要  備考
Cisco XCP Router  STARTED (実行中)  はい
データベース: STARTED (実行中)
実行中の srmd: a 0.1.0, b 不明
"""
    )


def test_every_word_of_the_status_has_its_japanese() -> None:
    """Pages that show everything there is to show: a word without translation is a KeyError."""
    unheard = status(NORMAL, SILENT, ha=False)
    unheard["mismatch"] = "group.name"
    unheard["notices"] = [{"en": "an echo", "ja": "エコー"}]
    unheard["actions"] = []
    unheard["handbook"]["row"] = None
    unheard["peer"].update(heard=False, beats_missed=4, seconds_to_peer_down=1.0)
    unheard["services"][0]["critical"] = False
    deaf = status(NORMAL, NORMAL)
    deaf["peer"].update(hears_us=False)
    unknown = status(NORMAL, NORMAL)
    unknown["peer"].update(silent_s=None)
    never = status(NORMAL, NORMAL)
    never["peer"].update(silent_s=None, heard=False)
    told = "\n".join(page(shown, "ja") for shown in (status(IDLE, BACKUP), unheard, deaf))
    told += page(unknown, "ja") + page(never, "ja")
    unsaid = [words for words in JAPANESE.values() if words.partition("{")[0] not in told]
    assert unsaid == []


def test_a_command_in_a_long_line_is_not_broken() -> None:
    lines = wrapped(f"{'word ' * 19}`srmd fallback a` and so on")
    assert lines == ["word " * 18 + "word", "  `srmd fallback a` and so on"]


def test_watching_tells_each_change_once_until_ctrl_c(node: FakeNode) -> None:
    node.statuses = [status(NORMAL, NORMAL, 1), status(NORMAL, NORMAL, 1), status(IDLE, BACKUP, 2)]
    watching = subprocess.Popen(
        [sys.executable, "-m", "srmd", "status", "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    seen = [json.loads(watching.stdout.readline())["local"]["state"] for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    rest, complaint = watching.communicate(timeout=30)
    assert seen == ["Normal", "Idle"]
    assert watching.returncode == Exit.INTERRUPTED
    assert rest == ""
    assert "Traceback" not in complaint


def test_at_a_terminal_the_page_is_drawn_anew_with_each_look(node: FakeNode) -> None:
    node.statuses = [status(NORMAL, NORMAL, 1), status(NORMAL, NORMAL, 1), status(IDLE, BACKUP, 2)]
    screen, terminal = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "srmd", "status", "--watch"],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    try:
        pages = drawn(screen, until="Running in Backup Mode")
        watching.send_signal(signal.SIGINT)
        _, complaint = watching.communicate(timeout=30)
    finally:
        watching.kill()
        os.close(terminal)
        os.close(screen)
    assert watching.returncode == Exit.INTERRUPTED
    assert b"Traceback" not in complaint
    assert pages[0] == ""  # nothing stands before the first page
    assert [page.splitlines()[0] for page in pages[1:]] == [
        f"group lab, high availability enabled{END_LINE}"
    ] * 3
    assert ["Idle" in page for page in pages[1:]] == [False, False, True]


def test_in_a_pipe_a_watch_appends_a_line_for_each_change(node: FakeNode) -> None:
    """It was the whole page each time."""
    node.statuses = [status(NORMAL, NORMAL, 1), status(NORMAL, NORMAL, 1), status(IDLE, BACKUP, 2)]
    watching = subprocess.Popen(
        [sys.executable, "-m", "srmd", "status", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    rest, complaint = watching.communicate(timeout=30)
    assert [line[22:] for line in lines] == [
        "a Normal / Normal, serves 3 of 3  |  b Normal / Normal, serves - of 2\n",
        "a Idle / On Admin Request, serves 3 of 3  |  b Running in Backup Mode / On Admin Request,"
        " serves - of 2\n",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  ", lines[0][:22])
    assert (rest, "Traceback" in complaint) == ("", False)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("columns, rows", [(40, 24), (80, 24), (200, 60), (20, 5)])
def test_the_page_of_a_watch_fits_the_screen(language: Language, columns: int, rows: int) -> None:
    down = (State.FAILED_OVER_SERVICES_DOWN, Reason.CRITICAL_SERVICE_DOWN)
    shown = status(down, (State.BACKUP, Reason.CRITICAL_SERVICE_DOWN))
    shown["services"].append({"name": "Cisco SIP Proxy", "state": "STOPPED", "critical": True})
    unused = {"name": "XCP Text", "state": "STOPPED", "critical": True, "note": "not activated"}
    shown["services"].append(unused)
    changes = [f"21:00:{second:02}Z  {one_line(shown, language)}" for second in range(20)]
    lines = compact(shown, language, changes, columns, rows)
    assert len(lines) <= rows
    wide = [one for one in lines if columns_of(one) > columns and columns_of(one) > longest(one)]
    assert wide == []
    text = "\n".join(lines)
    if rows > 5:
        assert "XCP Text" not in text, "what is not activated is not missed"
        assert "Cisco SIP Proxy" in text.replace("\n  ", " ")
        assert columns < 80 or "21:00:19Z" in text, "the newest change, where there is room"


def test_a_watched_node_that_goes_keeps_its_page(node: FakeNode) -> None:
    node.statuses = [status(NORMAL, NORMAL, 1)]
    screen, terminal = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "srmd", "status", "--watch"],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    try:
        drawn(screen, until="Possible now")
        node.answers["GET /api/v1/status"] = (200, b"no answer of srmd")
        pages = drawn(screen, until="no answer since")
    finally:
        watching.kill()
        watching.communicate(timeout=30)
        os.close(terminal)
        os.close(screen)
    assert "a  Normal / Normal" in pages[-1]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("colours", [True, False])
def test_the_page_of_a_watched_node_that_has_gone_is_marked_as_old_and_offers_nothing(
    language: Language, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on with "All is well" and "Possible now: srmd failover a", unmarked."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    fresh = compact(status(NORMAL, NORMAL), language, [], 100, 40)
    old = compact(
        status(NORMAL, NORMAL), language, [], 100, 40, gone="no answer since 21:00:00Z: x"
    )
    assert any("srmd failover a" in line for line in fresh)
    assert not any("\x1b" in line for line in fresh)
    assert not any("srmd failover" in line for line in old)
    assert old[0] == "no answer since 21:00:00Z: x"
    assert old[1] == OLD.say(language)
    body = [line for line in old[2:] if line]
    assert len(body) >= 4
    assert [line.strip().startswith("\x1b[2m") for line in body] == [colours] * len(body)
    assert len(compact(status(NORMAL, NORMAL), language, [], 40, 5, gone="gone " * 20)) == 5


def drawn(screen: int, until: str) -> list[str]:
    """The text that was drawn, cut at each clearing, as soon as a page with `until` is whole."""
    seen = b""
    give_up_s = time.monotonic() + 30
    while END_PAGE.encode() not in seen.partition(until.encode())[2]:
        readable, _, _ = select.select([screen], [], [], max(0, give_up_s - time.monotonic()))
        assert readable, f"{until} was not drawn: {seen!r}"
        seen += os.read(screen, 65536)
    return seen.decode(errors="replace").split(BEGIN_PAGE)


def test_a_reader_that_went_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "srmd", "states"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == Exit.BROKEN_PIPE


def test_japanese_does_not_stop_a_terminal_that_cannot_show_it() -> None:
    words = ("explain", "3/normal", "3/normal", "--lang", "ja")
    done = srmd(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr


def test_a_defect_is_one_line_and_its_own_exit_code(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("SRMD_DEBUG", raising=False)
    node.answers["GET /api/v1/services"] = (200, {"services": [{"no": "name"}]})
    assert main(["service", "list"]) == Exit.INTERNAL
    assert capsys.readouterr().err.startswith("srmd: internal error: KeyError: 'name'")


def test_a_node_that_does_not_answer_in_time_is_not_waited_for_longer(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        began_s = time.monotonic()
        assert main(["--api", url, "service", "start", "x", "--timeout", "0.2"]) == Exit.TIMED_OUT
        assert time.monotonic() - began_s < 5
    assert "no answer within 0.2 s" in capsys.readouterr().err


# ---------------------------------------------------------------------------- handbook and states


@pytest.mark.parametrize(
    "first, second, row",
    [
        ("Idle/On Admin Request", "Running in Backup Mode/On Admin Request", 3),
        ("running in backup mode / on admin request", "IDLE/on-admin-request", 3),
        ("2/on_admin_request", "4/on_admin_request", 3),
        ("アイドル/管理者からの要求", "バックアップモードで実行中/管理者からの要求", 3),
        (
            "フェールオーバー済み/重要なサービスが実行されていません/重要なサービス停止",
            "BACKUP/重要なサービス停止",
            12,
        ),
        (
            "Failed Over with Critical Services Not Running/Critical Service Down",
            "4/Critical Service Down",
            12,
        ),
        ("down", "Running in Backup Mode/Peer Down", 16),
        ("Running in Backup Mode/Peer Down", "-", 16),
    ],
)
def test_a_pair_is_explained_however_it_is_written(
    first: str, second: str, row: int, capsys: Capture
) -> None:
    assert main(["explain", first, second, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["row"] == row


def test_the_pair_as_it_is_now_is_explained_in_either_language(
    node: FakeNode, capsys: Capture
) -> None:
    node.statuses = [status(IDLE, BACKUP)]
    assert main(["explain"]) == 0
    english = capsys.readouterr().out
    assert english.startswith("a Idle / On Admin Request  |  b Running in Backup Mode")
    assert "3" in english.splitlines()[1]
    assert "srmd fallback a" in english
    assert main(["explain", "--lang", "ja"]) == 0
    japanese = capsys.readouterr().out
    assert japanese.startswith("a アイドル / 管理者からの要求")
    assert "srmd fallback a" in japanese


def test_the_pair_as_it_is_now_is_explained_with_the_notices_of_the_node(
    node: FakeNode, capsys: Capture
) -> None:
    """It said "All is well" while `srmd status` told of a suspect peer."""
    answer = status(NORMAL, NORMAL)
    answer["notices"] = [{"en": "Node b is suspect.", "ja": "異常の疑い。"}]
    answer["handbook"]["cause"] = {"en": "Not all is well.", "ja": "正常でない点があります。"}
    answer["handbook"]["action"] = {"en": "See below.", "ja": "下を参照。"}
    node.statuses = [answer]
    assert main(["explain"]) == 0
    said = capsys.readouterr().out
    assert "Notice: Node b is suspect." in said
    assert "Not all is well." in said
    assert "Nothing" not in said
    assert main(["explain", "--lang", "ja"]) == 0
    said = capsys.readouterr().out
    assert "注意: 異常の疑い。" in said
    assert "正常でない点があります。" in said
    assert main(["explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notices"] == answer["notices"]


def test_a_peer_that_was_not_heard_yet_is_not_explained_as_one_without_high_availability(
    node: FakeNode, capsys: Capture
) -> None:
    """While a node started, explain advised to correct settings, and status to start the peer."""
    answer = status((State.INITIALIZING, Reason.INITIALIZATION), (State.UNKNOWN, Reason.UNKNOWN))
    answer["handbook"].update(key="starting_peer_silent", row=None, i_am="home")
    node.statuses = [answer]
    assert main(["explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == "starting_peer_silent"


def test_the_advice_of_a_mismatch_is_that_of_the_node(node: FakeNode, capsys: Capture) -> None:
    """In row 24 it told to switch high availability on, whatever did not match."""
    unpaired: Half = (State.UNKNOWN, Reason.UNKNOWN)
    answer = status(unpaired, unpaired)
    answer["mismatch"] = "group.name is x there and y here"
    answer["handbook"].update(key="ha_not_enabled", row=24)
    answer["handbook"]["action"] = {"en": "Correct it.", "ja": "修正します。"}
    node.statuses = [answer]
    assert main(["explain"]) == 0
    said = capsys.readouterr().out
    assert "Correct it." in said
    assert "srmd ha enable" not in said


@pytest.mark.parametrize(
    "halves, told",
    [
        (["Idel/Normal", "3/normal"], "did you mean Idle?"),
        (["3/nrmal", "3/normal"], "did you mean Normal?"),
        (["13/normal", "3/normal"], "a number from 0 to 12"),
        (["Normal", "3/normal"], "has no reason"),
        (["", "3/normal"], "is no state"),
        (["down", "down"], "two silent nodes"),
    ],
)
def test_what_is_no_pair_is_told_with_what_was_meant(
    halves: list[str], told: str, capsys: Capture
) -> None:
    assert main(["explain", *halves]) == Exit.USAGE
    assert told in capsys.readouterr().err


DOCUMENT_STATES = {
    "正常 (Normal)": State.NORMAL,
    "[正常 (Normal)]": State.NORMAL,
    "「通常」": State.NORMAL,
    "アイドル (Idle)": State.IDLE,
    "バックアップモードで 実行中 (Running in Backup Mode)": State.BACKUP,
    "バックアップモード (Backup Mode)": State.BACKUP,
    "バックアップモード": State.BACKUP,
    "[バックアップがアクティブ化済み (Backup Activated)]": State.BACKUP,
    "バックアップがアクティブ (Backup Activated)": State.BACKUP,
    "[フェールオーバー完了 (Failed Over)]": State.FAILED_OVER,
    "フェールオーバー済み (Failed Over)": State.FAILED_OVER,
    "フェールオーバー済み/重要なサービスが実行されていません"
    " (Failed Over with Critical Services not Running)": State.FAILED_OVER_SERVICES_DOWN,
    "フェールオーバーがサービスに影響"
    " (Failover Affected Services)": State.FAILED_OVER_SERVICES_DOWN,
    "障害モードで実行中 (Running in Failed Mode)": State.FAILED_MODE,
    "Ｉｄｌｅ": State.IDLE,
}
"""Names as Cisco's document prints them, with its brackets, blanks and slips."""
DOCUMENT_REASONS = {
    "標準": Reason.NORMAL,
    "正常": Reason.NORMAL,
    "通常 (Normal)": Reason.NORMAL,
    "管理者からの要求 (On Admin Request)": Reason.ON_ADMIN_REQUEST,
    "管理者からの要求時": Reason.ON_ADMIN_REQUEST,
    "重要なサービス停止 (Critical Services Down)": Reason.CRITICAL_SERVICE_DOWN,
    "Critical Services Down": Reason.CRITICAL_SERVICE_DOWN,
    "ピア ダウン": Reason.PEER_DOWN,
    "データベース障害からの自動回復 (Auto Recover Database Failure)": (
        Reason.AUTO_RECOVER_DATABASE_FAILURE
    ),
    "データベースの自動リカバリに失敗": Reason.AUTO_RECOVERY_DATABASE_FAILURE,
    "データベースの自動リカバリに失敗 (Auto Recovery Database Failure)": (
        Reason.AUTO_RECOVERY_DATABASE_FAILURE
    ),
}


@pytest.mark.parametrize("name", DOCUMENT_STATES)
def test_every_name_of_a_state_that_ciscos_document_prints_is_understood(name: str) -> None:
    assert parse_state(name) is DOCUMENT_STATES[name]


@pytest.mark.parametrize("name", DOCUMENT_REASONS)
def test_every_name_of_a_reason_that_ciscos_document_prints_is_understood(name: str) -> None:
    assert parse_reason(name) is DOCUMENT_REASONS[name]


def test_a_half_may_be_typed_with_letters_of_full_width() -> None:
    half = "アイドル (Idle)／管理者からの要求時"
    assert parse_half(half) == (State.IDLE, Reason.ON_ADMIN_REQUEST)


def test_valid_names_are_listed_in_the_language_asked_for(capsys: Capture) -> None:
    assert main(["explain", "--lang", "ja", "x/標準", "標準/標準"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "「x」という状態はありません。次のいずれかを指定してください: 不明、初期化中、" in said
    assert "Initializing" not in said
    assert main(["explain", "--lang", "ja", "標準/ピアダウソ", "標準/標準"]) == Exit.USAGE
    assert "「ピア ダウン」のことですか" in capsys.readouterr().err
    assert main(["explain", "--lang", "ja", "down", "down"]) == Exit.USAGE
    assert "両ノードともハートビートが届かない" in capsys.readouterr().err


def test_a_row_is_explained_by_its_number_or_key(capsys: Capture) -> None:
    assert main(["explain", "--row", "12"]) == Exit.OK
    said = capsys.readouterr().out
    assert "12" in said.splitlines()[0]
    assert "Node a: Failed Over with Critical Services Not Running / Critical Service Down" in said
    assert "Node b: Running in Backup Mode / Critical Service Down" in said
    assert "srmd fallback a" in said
    assert main(["explain", "--row", "12", "--lang", "ja"]) == Exit.OK
    assert "ノード b: バックアップモードで実行中 / 重要なサービス停止" in capsys.readouterr().out
    assert main(["explain", "--row", "backup_peer_silent"]) == Exit.OK
    assert "Node a: Down State\n" in capsys.readouterr().out
    for row in handbook.ROWS:
        assert main(["explain", "--row", str(row.n or row.key), "--json"]) == Exit.OK
        assert json.loads(capsys.readouterr().out)["key"] == row.key


@pytest.mark.parametrize(
    "words, told",
    [
        (["--row", "25"], "--row '25': there is no such row; 1 to 24"),
        (["--row", "12", "idle/normal"], "leave STATE/REASON out"),
        (["--row", "None"], "--row 'None': there is no such row"),
    ],
)
def test_a_row_that_is_not_there_is_told(words: list[str], told: str, capsys: Capture) -> None:
    assert main(["explain", *words]) == Exit.USAGE
    assert told in capsys.readouterr().err


def test_every_name_of_a_state_and_a_reason_is_read_back() -> None:
    for state, text in STATES.items():
        for name in (text.en, text.ja, text.en.upper(), state.name, str(int(state))):
            assert parse_state(name) is state
    for reason, text in REASONS.items():
        for name in (text.en, reason.value):
            assert parse_reason(name) is reason
    assert parse_state("Backup Activated") is State.BACKUP
    assert parse_half("Failover Affected Services/Auto Recover Critical Service Down") == (
        State.FAILED_OVER_SERVICES_DOWN,
        Reason.AUTO_RECOVER_CRITICAL_SERVICE_DOWN,
    )


@pytest.mark.parametrize("format_", FORMATS)
def test_the_states_are_printed_from_the_table_itself(format_: str, capsys: Capture) -> None:
    assert main(["states", "--format", format_]) == 0
    assert capsys.readouterr().out == render(format_)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- config check, run


def test_a_good_file_is_shown_without_its_secrets(tmp_path: Path, capsys: Capture) -> None:
    file = config(tmp_path, "http://127.0.0.1:20075", token="do-not-show-me-at-all")
    assert main(["config", "check", str(file)]) == 0
    told = capsys.readouterr().out
    assert "heartbeat.keep_alive_timeout_s" in told
    assert "(hidden)" in told
    assert main(["config", "check", str(file), "--json"]) == 0
    as_json = capsys.readouterr().out
    assert json.loads(as_json)["values"]["node"]["id"] == "a"
    assert json.loads(as_json)["problems"] == []
    for secret in ("do-not-show-me-at-all", "ab" * 32):
        assert secret not in told + as_json


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[node]\nid = "a"\n[heartbeat]\nlisten = "nowhere"\n[nonsense]\n')
    assert main(["config", "check", str(file)]) == Exit.CONFIG_BAD
    told = capsys.readouterr().err
    for key in ("node.state_dir", "heartbeat.listen", "nonsense"):
        assert key in told
    assert main(["config", "check", str(file), "--json"]) == Exit.CONFIG_BAD
    assert len(json.loads(capsys.readouterr().out)["problems"]) >= 3


def test_run_with_a_bad_file_says_so_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[node]\n")
    done = srmd("run", "--config", str(file))
    assert done.returncode == Exit.CONFIG_BAD
    assert "node.id" in done.stderr
    assert "Traceback" not in done.stderr
