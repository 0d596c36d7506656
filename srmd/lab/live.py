"""A lab that keeps running: a pair with proxies in between, broken and healed by hand.

`srmd lab up` starts a process that holds the pair; the other commands talk to it over a socket in
a folder that only its owner may enter.  One request and one answer a connection, both one line of
JSON: {"do": "cut heartbeats a->b"}, {"ask": "status"}, {"ask": "down"}.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import srmd
from srmd.lab.real.stage import RealStage
from srmd.lab.scenario.phrases import NotAVerb, verb
from srmd.lab.scenario.stage import StageBroken, VerbFailed, VerbRefused
from srmd.lab.scenario.story import Settings, Users
from srmd.lab.scenario.verbs import NodeName
from srmd.signals import STOPS, WOULD_KILL, ignore

FOLDER_VARIABLE = "SRMD_LAB"
SOCKET = "lab.sock"
LOG = "lab.log"
REQUEST_BYTES_MAX = 65_536
ANSWER_BYTES_MAX = 1_000_000
REQUEST_LIMIT_S = 5.0
"""How long somebody who has connected may take to say what he wants."""
VERB_LIMIT_S = 200.0
"""Longer than the longest call to a node."""
UP_LIMIT_S = 60.0
DOWN_LIMIT_S = 60.0
POLL_S = 0.05
BACKLOG = 8
LOG_CHARACTERS_SHOWN = 2000
ENDINGS = (*STOPS, signal.SIGHUP)
"""Signals that end the lab in good order."""

Json = dict[str, Any]


class NoLab(Exception):
    """No lab runs; the message says how to start one."""


class LabRuns(Exception):
    """A lab runs already."""


class CannotStart(Exception):
    """The lab did not come up; the message has the end of what it said."""


class SaidNo(Exception):
    """The lab did not do it; the message is the lab's."""


def folder() -> Path:
    """Where the running lab is found: SRMD_LAB, or a folder of this user among the temporary."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(tempfile.gettempdir()) / f"srmd-lab-{os.getuid()}"


def up(users: int, *, clocks: bool = False) -> Json:
    """Starts the process that holds the lab, and gives its status once the pair is in row 1.

    Raises LabRuns or CannotStart.
    """
    place = folder()
    _make(place)
    log = place / LOG
    importable = [str(Path(srmd.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "srmd.lab.live", str(place), str(users), str(int(clocks))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, importable))},
            start_new_session=True,
        )
    try:
        return _first_status(process, log)
    except BaseException:
        process.terminate()  # it cleans up; killed, it would leave its nodes
        process.wait(DOWN_LIMIT_S)
        shutil.rmtree(place, ignore_errors=True)
        raise


def _first_status(process: subprocess.Popen[bytes], log: Path) -> Json:
    """Raises CannotStart."""
    give_up_s = time.monotonic() + UP_LIMIT_S
    while True:
        try:
            return ask({"ask": "status"})
        except NoLab:
            ended = process.poll() is not None
            if ended or time.monotonic() >= give_up_s:
                why = "ended" if ended else f"is not up within {UP_LIMIT_S:g} s"
                said = log.read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]
                raise CannotStart(f"the lab {why}: {said}") from None
        time.sleep(POLL_S)


def do(text: str) -> None:
    """One verb on the running lab.  Raises NoLab or SaidNo."""
    ask({"do": text})


def status() -> Json:
    """Raises NoLab or SaidNo."""
    return ask({"ask": "status"})


def down() -> None:
    """Ends the lab; returns when nothing is left of it.  Raises NoLab or SaidNo."""
    ask({"ask": "down"})
    give_up_s = time.monotonic() + DOWN_LIMIT_S
    while folder().exists():
        if time.monotonic() >= give_up_s:
            raise SaidNo(f"{folder()} is still there after {DOWN_LIMIT_S:g} s")
        time.sleep(POLL_S)


def ask(request: Json) -> Json:
    """One request to the process that holds the lab.  Raises NoLab or SaidNo."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(VERB_LIMIT_S)
            connection.connect(str(folder() / SOCKET))
            connection.sendall(json.dumps(request).encode() + b"\n")
            raw = _line(connection, ANSWER_BYTES_MAX)
    except (FileNotFoundError, ConnectionRefusedError) as none:
        raise NoLab("no lab runs; start one with: srmd lab up") from none
    except OSError as failed:
        raise SaidNo(f"the lab does not answer: {failed}") from failed
    try:
        answer = json.loads(raw)
    except ValueError as bad:
        raise SaidNo("the lab ended before it answered") from bad
    if not isinstance(answer, dict) or "error" in answer:
        raise SaidNo(str(answer.get("error") if isinstance(answer, dict) else answer))
    return answer


class Holder:
    """The process that holds the pair."""

    def __init__(self, place: Path, stage: RealStage) -> None:
        self._place = place
        self._stage = stage
        self._ends = False

    def serve(self) -> None:
        """Until somebody asks for the end.  One request at a time: a verb changes the pair."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(str(self._place / SOCKET))
            server.listen(BACKLOG)
            while not self._ends:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(REQUEST_LIMIT_S)
                    try:
                        answer = self._answer(_line(connection, REQUEST_BYTES_MAX))
                        connection.sendall(json.dumps(answer).encode() + b"\n")
                    except OSError as gone:
                        print(f"a request was not finished: {gone}", flush=True)

    def _answer(self, raw: bytes) -> Json:
        try:
            request = json.loads(raw)
        except ValueError:
            return {"error": "the request is no JSON"}
        if not isinstance(request, dict):
            return {"error": "the request is no object"}
        match request:
            case {"do": str(text)}:
                return self._do(text)
            case {"ask": "status"}:
                return self._status()
            case {"ask": "down"}:
                self._ends = True
                return {}
            case _:
                return {"error": f"the request is unknown: {', '.join(request)}"}

    def _do(self, text: str) -> Json:
        print(text, flush=True)
        try:
            doing = self._stage.begin(verb(text))
            give_up_s = time.monotonic() + VERB_LIMIT_S
            while not doing.done():
                if time.monotonic() >= give_up_s:
                    return {"error": f"not done within {VERB_LIMIT_S:g} s"}
                time.sleep(POLL_S / 10)
        except (NotAVerb, VerbFailed, VerbRefused, StageBroken) as failed:
            return {"error": str(failed)}
        return {}

    def _status(self) -> Json:
        wired = self._stage.wired
        look = self._stage.look()
        try:
            links = wired.network.shown()
        except StageBroken as failed:
            links = [str(failed)]
        return {
            "pair": str(look),
            "rows": {
                node.value: None if (view := look.views[node]) is None else view.row or view.row_key
                for node in NodeName
            },
            "folder": str(wired.pair.folder),
            "token_file": str(wired.pair.a.token_file),
            "nodes": {
                node.value: {
                    "api": lab.client.url,
                    "heartbeat": lab.heartbeat,
                    "pid": lab.pid,
                    "config": str(lab.config_file),
                    "log": str(lab.log_file),
                }
                for node, lab in wired.nodes.items()
            },
            "proxies": wired.urls,
            "prefix": wired.network.prefix,
            "seed": wired.seed,
            "links": links,
        }


def _make(place: Path) -> None:
    """The folder of a lab, for its owner alone.  Raises LabRuns or CannotStart."""
    if place.exists():
        try:
            ask({"ask": "status"})
        except NoLab:
            _must_be_ours(place)
            shutil.rmtree(place)  # left by a lab that was killed
        except SaidNo as busy:
            raise LabRuns(f"a lab runs already in {place}, and is busy: {busy}") from busy
        else:
            raise LabRuns(f"a lab runs already in {place}; end it with: srmd lab down")
    try:
        place.mkdir(mode=0o700)
    except OSError as failed:
        raise CannotStart(
            f"{place}: {failed.strerror}; name another in {FOLDER_VARIABLE}"
        ) from failed


def _must_be_ours(place: Path) -> None:
    """Nothing is removed that a lab has not made."""
    found = place.lstat()
    names = {file.name for file in place.iterdir()} if stat.S_ISDIR(found.st_mode) else {"?"}
    if found.st_uid != os.getuid() or names - {SOCKET, LOG}:
        raise CannotStart(f"{place} is not the folder of a lab; name another in {FOLDER_VARIABLE}")


def _line(connection: socket.socket, bytes_max: int) -> bytes:
    """Up to the end of the line, or of the connection."""
    raw = bytearray()
    while not raw.endswith(b"\n") and len(raw) <= bytes_max:
        part = connection.recv(4096)
        if not part:
            break
        raw += part
    return bytes(raw)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(place: Path, users: int, *, clocks: bool) -> int:
    """Holds a lab until it is told to end, and leaves nothing."""
    ignore(WOULD_KILL)  # none ends it and leaves the pair
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    code = 0
    stage = RealStage(tell=lambda line: print(line, flush=True))
    try:
        stage.prepare(Settings(users=Users(count=users), clocks=clocks))
        Holder(place, stage).serve()
    except KeyboardInterrupt:
        code = 130
    except StageBroken as broken:
        print(broken, flush=True)
        code = 2
    finally:
        ignore(ENDINGS)  # cleaning up is not to be interrupted
        stage.close()
        if code != 2:  # otherwise whoever started us reads the log first
            shutil.rmtree(place, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), clocks=sys.argv[3] == "1"))
