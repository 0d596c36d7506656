"""`srmd status --check`: the level and the line of a plugin, whatever the pair or the node does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Formatter
from threading import Thread
from typing import Any

import pytest

from srmd.cli import main
from srmd.cli.check import JAPANESE, Level, is_check, report
from srmd.core.states import Reason, State
from srmd.shown import Half
from tests.test_cli import status

NORMAL = (State.NORMAL, Reason.NORMAL)
IDLE = (State.IDLE, Reason.ON_ADMIN_REQUEST)
BACKUP = (State.BACKUP, Reason.ON_ADMIN_REQUEST)
OFF = (State.UNKNOWN, Reason.HA_NOT_ENABLED)
DOWN = (State.DOWN, Reason.UNKNOWN)
FAILED = (State.FAILED_MODE, Reason.CRITICAL_SERVICE_DOWN)
PERFDATA = re.compile(r"[a-z_]+=(U|-?[0-9.]+s?);[0-9.]*;[0-9.]*;[0-9.]+")
BOUND_S = 60.0

Change = Callable[[dict[str, Any]], object]


def pair(a: Half, b: Half, served: tuple[int | None, int | None], *changes: Change) -> Any:
    """What node a answers, with 3 users at home on a and 2 on b."""
    found = status(a, b, ha=a != OFF)
    found["srm"] = "STARTED"
    found["users"]["served"] = dict(zip("ab", served, strict=True))
    for change in changes:
        change(found)
    return found


def peer(**fields: Any) -> Change:
    return lambda found: found["peer"].update(fields)


def whole(**fields: Any) -> Change:
    return lambda found: found.update(fields)


UNHEARD = peer(heard=False, silent_s=61.0, beats_missed=4, hears_us=False)
STOPPED_ROUTER = {"name": "R", "state": "STOPPED", "note": "killed", "critical": True}


@pytest.mark.parametrize(
    "answer,level,text",
    [
        (pair(NORMAL, NORMAL, (3, 2)), Level.OK, "all 5 users are served"),
        (pair(IDLE, BACKUP, (0, 5)), Level.WARNING, "all 5 users are served"),
        (
            pair((State.TAKING_OVER, Reason.PEER_DOWN), DOWN, (3, None), UNHEARD),
            Level.WARNING,
            "node a: Taking Over / Peer Down, node b: Down State",
        ),
        (
            pair((State.INITIALIZING, Reason.INITIALIZATION), DOWN, (0, None), UNHEARD),
            Level.WARNING,
            "node a: Initializing / Initialization, node b: Down State",
        ),
        (pair(BACKUP, DOWN, (5, None), UNHEARD), Level.WARNING, "all 5 users are served"),
        (pair(OFF, OFF, (3, 2)), Level.WARNING, "high availability is disabled"),
        (
            pair(NORMAL, NORMAL, (3, 2), peer(suspect=True, beats_missed=3)),
            Level.WARNING,
            "3 heartbeats of node b are overdue",
        ),
        (pair(NORMAL, NORMAL, (3, 2), peer(beats_missed=2)), Level.WARNING, "2 heartbeats"),
        (pair(NORMAL, NORMAL, (3, 2), peer(suspect=False, beats_missed=2)), Level.OK, "all 5"),
        (
            pair(NORMAL, NORMAL, (3, 2), peer(hears_us=False)),
            Level.WARNING,
            "node b does not receive the heartbeats of node a",
        ),
        (
            pair(NORMAL, NORMAL, (3, 2), peer(control_reachable=False, control_error="a|b\nc")),
            Level.WARNING,
            "the control channel of node b is not reached: a/b",
        ),
        (
            pair(
                NORMAL,
                NORMAL,
                (3, 2),
                peer(
                    control_reachable=False,
                    control_error="HTTP status 503",
                    control_called_ago_s=30.4,
                ),
            ),
            Level.WARNING,
            "the control channel of node b was not reached 30 s ago: HTTP status 503",
        ),
        (
            pair(
                NORMAL,
                NORMAL,
                (3, 2),
                whole(database={"state": "STARTED", "agrees_with_peer": False}),
            ),
            Level.WARNING,
            "the user databases of the nodes differ",
        ),
        (
            pair(NORMAL, NORMAL, (3, 2), whole(mismatch="group name")),
            Level.WARNING,
            "the settings of the nodes do not match: group name",
        ),
        (
            pair(NORMAL, NORMAL, (3, 2), whole(notices=[{"en": "an echo", "ja": "エコー"}])),
            Level.WARNING,
            "an echo",
        ),
        (
            pair(
                NORMAL,
                NORMAL,
                (3, 2),
                peer(control_reachable=False, control_error="no answer in time"),
                whole(notices=[{"key": "control", "en": "A long text.", "ja": "長い文。"}]),
            ),
            Level.WARNING,
            "SRMD WARNING - the control channel of node b is not reached: no answer in time; all",
        ),
        (
            pair(NORMAL, NORMAL, (3, None)),
            Level.WARNING,
            "node a serves 3 of 5 users; how many node b serves is not known",
        ),
        (
            pair(
                NORMAL,
                NORMAL,
                (0, 2),
                whole(
                    users={"assigned": {"a": None, "b": None}, "served": {"a": 0, "b": 2}},
                    database={"state": "STOPPED"},
                ),
            ),
            Level.WARNING,
            "the users are not known, because the database of node a is STOPPED",
        ),
        (
            pair(NORMAL, NORMAL, (0, 2), whole(services=[STOPPED_ROUTER])),
            Level.CRITICAL,
            "3 of 5 users are served by no node",
        ),
        (pair(NORMAL, NORMAL, (5, 2)), Level.CRITICAL, "2 users are served by both nodes"),
        (pair(FAILED, FAILED, (3, 2)), Level.CRITICAL, "all 5 users are served"),
        (
            pair(IDLE, DOWN, (0, None), UNHEARD),
            Level.CRITICAL,
            "node a serves 0 of 5 users, and node b is not heard",
        ),
        (pair(OFF, DOWN, (3, None), UNHEARD), Level.CRITICAL, "node b is not heard"),
        (
            pair((State.UNKNOWN, Reason.UNKNOWN), DOWN, (3, None), UNHEARD, whole(srm="STOPPED")),
            Level.CRITICAL,
            "SRM does not run on node a",
        ),
    ],
)
def test_the_level_is_that_of_the_worst(answer: Any, level: Level, text: str) -> None:
    found, line = report(answer)
    said, bar, figures = line.partition(" | ")
    assert (found, said.startswith(f"SRMD {level.name} - ")) == (level, True), line
    assert text in said
    assert bar
    assert "\n" not in line
    assert all(PERFDATA.fullmatch(figure) for figure in figures.split(" "))


def test_the_figures_are_written_as_plugins_write_them() -> None:
    assert report(pair(NORMAL, NORMAL, (0, 2), whole(services=[STOPPED_ROUTER])))[1] == (
        "SRMD CRITICAL - 3 of 5 users are served by no node;"
        " node a: Normal / Normal, node b: Normal / Normal"
        " | users=5;;;0 served=2;;;0 unserved=3;;0;0 served_twice=0;;0;0 srm_state=3;;;0"
        " peer_srm_state=3;;;0 silent=0.1s;;;0 heartbeats_missed=0;;;0 services_down=1;;;0"
    )
    unknown = report(pair(IDLE, DOWN, (0, None), UNHEARD))[1]
    assert "users=5;;;0 served=U;;;0 unserved=U;;0;0 served_twice=U;;0;0" in unknown


def test_why_the_nodes_make_no_pair_is_said_in_japanese() -> None:
    wrong = whole(mismatch="a clone", mismatch_ja="クローン", notices=[{"en": "x", "ja": "エコー"}])
    _, line = report(pair(NORMAL, NORMAL, (3, 2), wrong), "ja")
    assert "クローン" in line
    assert "エコー" in line
    assert "a clone" not in line


def test_all_that_is_said_is_said_in_japanese() -> None:
    for english, japanese in JAPANESE.items():
        fields = [
            sorted(name for _, name, _, _ in Formatter().parse(text) if name)
            for text in (english, japanese)
        ]
        assert fields[0] == fields[1], english
    level, line = report(pair(IDLE, BACKUP, (0, 5)), "ja")
    assert (level, line.partition(" | ")[0]) == (
        Level.WARNING,
        "SRMD WARNING - 全ユーザ 5 人がサービスを受けています;"
        " ノード a: アイドル / 管理者からの要求,"
        " ノード b: バックアップモードで実行中 / 管理者からの要求",
    )


@pytest.mark.parametrize(
    "words,is_one",
    [
        (["status", "--check"], True),
        (["--api", "http://a:1", "status", "--bogus", "--check"], True),
        (["--api=http://a:1", "status", "--check"], True),
        (["status"], False),
        (["lab", "status", "--check"], False),
        (["explain", "status", "--check"], False),
    ],
)
def test_the_words_of_a_check_are_known_before_they_are_parsed(
    words: list[str], is_one: bool
) -> None:
    assert is_check(words) == is_one


# ---------------------------------------------------------------------------- the command


class Server:
    """Answers every request with this."""

    def __init__(self) -> None:
        self.code, self.body = 200, b"{}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.code)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    found = capsys.readouterr()
    assert found.err == ""
    assert found.out.count("\n") == 1, found.out
    return found.out


@pytest.mark.parametrize(
    "answer,level,text",
    [
        ((403, b'{"error": "Host is not local"}'), 3, "Host is not local"),
        ((401, b'{"error": "a token is needed"}'), 3, "wants a token for this"),
        ((500, b'{"error": "a mistake in srmd"}'), 3, "a mistake in srmd"),
        ((503, b'{"error": "too many connections"}'), 2, "too many connections"),
        ((200, b"<html>"), 2, "does not answer as a node of srmd"),
        ((200, b"{}"), 3, "the answer is no status of srmd (KeyError: 'users')"),
    ],
)
def test_an_answer_that_is_none_has_its_level_too(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, bytes],
    level: int,
    text: str,
) -> None:
    server.code, server.body = answer
    assert main(["status", "--check", "--api", server.url]) == level
    line = one_line(capsys)
    assert line.startswith(f"SRMD {Level(level).name} - ")
    assert text in line


def test_a_node_that_does_not_answer_is_critical(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert main(["status", "--check", "--api", url]) == 2
        assert "connection refused" in one_line(capsys)
        mute.listen()  # the connection is made, and nobody answers
        monkeypatch.setattr("srmd.cli.check.LIMIT_S", 0.1)
        assert main(["--api", url, "status", "--check"]) == 2
        assert "no answer within 0.1 s" in one_line(capsys)


@pytest.mark.parametrize(
    "words,text",
    [
        (["--bogus"], "--bogus is not known here"),
        (["extra"], "extra is not known here"),
        (["--lang", "fr"], "fr"),
        (["--api"], "expected one argument"),
        (["--api", "ftp://x"], "an address is http://host:port"),
        (["--json"], "leave out --watch and --json"),
        (["--watch"], "leave out --watch and --json"),
        (["--config", "/nonexistent/node.toml"], "/nonexistent/node.toml"),
        (["--token-file", "/nonexistent/token"], "/nonexistent/token"),
    ],
)
def test_a_question_that_is_wrong_is_unknown(
    capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    assert main(["status", "--check", *words]) == 3
    line = one_line(capsys)
    assert line.startswith("SRMD UNKNOWN - ")
    assert text in line


def test_the_problem_of_a_file_stands_on_the_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """ "nosuch: 1 problem" was all that it said."""
    missing = tmp_path / "nosuch.toml"
    assert main(["status", "--check", "--config", str(missing)]) == 3
    line = one_line(capsys)
    assert line.startswith(f"SRMD UNKNOWN - {missing}: 1 problem; ")
    assert "No such file" in line
    assert "name a file that can be read" in line


def test_help_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--check", "--help"]) == 3
    assert "exit codes of --check" in capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("debug", ["", "1"])
def test_a_defect_and_ctrl_c_are_unknown(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    debug: str,
) -> None:
    def crash(*_: object) -> None:
        raise error

    monkeypatch.setenv("SRMD_DEBUG", debug)
    monkeypatch.setattr("srmd.cli.status.status", crash)
    assert main(["status", "--check"]) == 3
    assert one_line(capsys).startswith("SRMD UNKNOWN - ")


@pytest.mark.parametrize("output", ["/dev/full", "closed"])
@pytest.mark.parametrize("answers", [True, False])
def test_where_nothing_can_be_printed_the_level_is_unknown(
    tmp_path: Path, server: Server, output: str, answers: bool
) -> None:
    """Python's own end, 120 for a stream that cannot be flushed, is no level; nor is OK, which a
    check with a closed standard output ended with."""
    server.body = json.dumps(pair(NORMAL, NORMAL, (3, 2))).encode()
    url = server.url if answers else "http://127.0.0.1:9"
    redirected = ">&-" if output == "closed" else f">{output}"
    ended = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" -m srmd status --check --api {url} {redirected}',
            sys.executable,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stderr=subprocess.PIPE,
        timeout=BOUND_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (3, b"")


def test_ctrl_c_while_the_node_is_asked_is_unknown(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(BOUND_S)
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-m", "srmd", "status", "--check", "--api", url],
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        ) as asking:
            connection, _ = mute.accept()
            asking.send_signal(signal.SIGINT)
            said, _ = asking.communicate(timeout=BOUND_S)
            connection.close()
    assert (asking.returncode, said) == (3, b"SRMD UNKNOWN - interrupted\n")
