"""Fault proxies as processes, ours and the real Toxiproxy, and where the real one is."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from srmd.lab.pair import Port

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / ".tools"
START_LIMIT_S = 20.0
REQUEST_LIMIT_S = 10.0

not_checked: list[str] = []
"""What could not be checked on this machine; the end of the run says so aloud."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a server, as far as clients look at it."""

    status: int
    content_type: str | None
    location: str | None
    body: str
    request_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Server:
    """A server of Toxiproxy's API that runs."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_LIMIT_S)
        with contextlib.closing(connection):
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body.encode() if body is not None else None, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(
                answer.status,
                answer.getheader("Content-Type"),
                answer.getheader("Location"),
                text,
                answer.getheader("X-Toxiproxy-Request-Id"),
            )


def absent(what: str, how: str) -> None:
    """Says aloud that something is not checked.  In CI it has to be there."""
    message = f"{what} is missing, so it is NOT CHECKED: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    not_checked.append(message)
    pytest.skip(message)


def tool(*names: str) -> Path:
    """A program of `make toxiproxy`; the first is its name on the PATH."""
    if found := shutil.which(names[0]):
        return Path(found)
    path = TOOLS.joinpath("toxiproxy", *names[1:])
    if not path.is_file():
        absent(names[0], "run `make toxiproxy` (needs Go and the Go module proxy)")
    return path


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has, and that the system gives to nobody who asks for any port."""
    port = Port(kind)
    port.release()
    return port.number


@contextlib.contextmanager
def ours(*args: str, port: int = 0, host: str = "127.0.0.1") -> Iterator[Server]:
    command = [sys.executable, "-m", "srmd.lab.faultproxy", "--host", host, "--port", str(port)]
    with _running([*command, "--seed", "1", *args]) as process:
        assert process.stdout
        line = process.stdout.readline().decode()
        found = re.search(r"listening on http://(\S+):(\d+) ", line)
        assert found, f"the fault proxy said: {line!r}"
        yield Server(found[1], int(found[2]))


@contextlib.contextmanager
def theirs() -> Iterator[Server]:
    """The real Toxiproxy."""
    program = tool("toxiproxy-server", "server")
    port = Port(socket.SOCK_STREAM)
    server = Server("127.0.0.1", port.number)
    environment = {**os.environ, "LOG_LEVEL": "error"}
    port.vacate()
    try:
        with _running([str(program), "-port", str(server.port)], environment):
            wait_for_api(server)
            yield server
    finally:
        port.release()


def wait_for_api(server: Server) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with socket.create_connection((server.host, server.port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline_s, f"nobody answers at {server.url}"


@contextlib.contextmanager
def _running(
    command: list[str], environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)
        if process.stdout:
            process.stdout.close()
