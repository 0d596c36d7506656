"""The servers of the proxies: our fault proxy for heartbeats, Toxiproxy for control where found.

The real Toxiproxy is looked for in the environment (a URL in SRMD_TOXIPROXY), in the project's own
tools, and on PATH.  Without it our fault proxy carries control calls too, and says so.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import srmd
from srmd.lab.leash import MARK
from srmd.lab.pair import Port
from srmd.lab.scenario.stage import StageBroken

HOST = "127.0.0.1"
URL_VARIABLE = "SRMD_TOXIPROXY"
OFF = "off"
"""The value of the variable that says: our own, even where another is found."""
TOOLS = (".tools/toxiproxy/server", ".tools/bin/toxiproxy-server")
"""Where `make toxiproxy` puts it, below the checkout."""
PROGRAM = "toxiproxy-server"
START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
POLL_S = 0.02
READY_PREFIX = "faultproxy: listening on "


class Server:
    """A server as a child process."""

    def __init__(self, command: list[str], mark: str, log: Path) -> None:
        """`mark` lets the lab find the process again."""
        self._log = log
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SRMD_")}
        importable = [str(Path(srmd.__file__).parent.parent), kept.get("PYTHONPATH", "")]
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,  # a pipe that nobody empties would stop a talkative server
                    stderr=output,
                    env={
                        **kept,
                        "PYTHONPATH": os.pathsep.join(filter(None, importable)),
                        MARK: mark,
                    },
                    start_new_session=True,  # Ctrl-C is for us; healing needs the server
                )
        except OSError as failed:
            raise StageBroken(f"{command[0]}: {failed.strerror}; is it a program?") from failed

    def wait_until(self, ready: Callable[[], str | None]) -> str:
        """What `ready` gives at last.  Raises StageBroken."""
        give_up_s = time.monotonic() + START_LIMIT_S
        while (found := ready()) is None:
            ended = self._process.poll()
            if ended is not None or time.monotonic() >= give_up_s:
                why = (
                    f"ended with {ended}"
                    if ended is not None
                    else f"not within {START_LIMIT_S:g} s"
                )
                said = self._log.read_text(errors="replace").strip()[-500:]
                raise StageBroken(f"a proxy server did not start: {why}; {said}")
            time.sleep(POLL_S)
        return found

    def line(self) -> str | None:
        """The first line that it has said; None when it has said none yet."""
        first, end, _ = self._log.read_text(errors="replace").partition("\n")
        return first if end else None

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_LIMIT_S)


def start_fault_proxy(mark: str, folder: Path, seed: int) -> tuple[Server, str, str]:
    """Ours: (server, its URL, what it says of itself).  Raises StageBroken."""
    command = [sys.executable, "-m", "srmd.lab.faultproxy", "--host", HOST, "--port", "0"]
    command += ["--seed", str(seed), "--events", str(folder / "faultproxy.jsonl")]
    server = Server(command, mark, folder / "faultproxy.log")
    try:
        said = server.wait_until(server.line)
    except BaseException:
        server.close()
        raise
    if not said.startswith(READY_PREFIX):
        server.close()
        raise StageBroken(f"the fault proxy said {said!r}, not where it listens")
    return server, said.removeprefix(READY_PREFIX).split()[0], said


def find_toxiproxy(env: Mapping[str, str] = os.environ) -> str | None:
    """The URL or the program of a real Toxiproxy; None when there is none, or none is wanted."""
    named = env.get(URL_VARIABLE, "")
    if named:
        return None if named == OFF else named
    checkout = Path(srmd.__file__).parent.parent
    built = [str(checkout / tool) for tool in TOOLS if os.access(checkout / tool, os.X_OK)]
    return built[0] if built else shutil.which(PROGRAM)


def start_toxiproxy(program: str, mark: str, folder: Path) -> tuple[Server, str]:
    """The real one: (server, its URL).  Raises StageBroken."""
    port = Port(socket.SOCK_STREAM)
    port.vacate()
    try:
        return _toxiproxy_on(port.number, program, mark, folder)
    finally:
        port.release()


def _toxiproxy_on(port: int, program: str, mark: str, folder: Path) -> tuple[Server, str]:
    command = [program, "-host", HOST, "-port", str(port)]
    server = Server(command, mark, folder / "toxiproxy.log")

    def answers() -> str | None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            return None
        return f"http://{HOST}:{port}"

    try:
        return server, server.wait_until(answers)
    except BaseException:
        server.close()
        raise
