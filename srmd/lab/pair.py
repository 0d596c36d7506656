"""A pair of nodes as real processes on this machine, with fast timers; it leaves no trace.

    with LabPair() as pair:
        pair.a.failover()
        pair.wait_for(a="Idle/On Admin Request", b=(State.BACKUP, Reason.ON_ADMIN_REQUEST))
        pair.b.kill()

Each node has its own folder, ports, configuration and log; key and token are random.  Whatever a
test wants different stands in `node.overrides` (section, key, value) before the pair is started:
also the peer's addresses, so that a fault proxy can stand between the two.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import srmd
from srmd.client import Client, ClientError, Json, Unreachable
from srmd.core.services import ServiceState
from srmd.core.states import Reason, State
from srmd.lab.leash import MARK, Leash, kill, processes_of
from srmd.secret import Secret
from srmd.shown import Half, Shown, pair_of, parse_half, parse_reason, parse_state, written

Value = str | float | bool
Sections = dict[str, dict[str, Value]]
Want = str | tuple[State | str, Reason | str]
"""What a node shall show: `"Idle/On Admin Request"`, or state and reason apart."""

FAST: Mapping[str, Mapping[str, Value]] = {
    "node": {"reboot_s": 0.5},
    "group": {"name": "lab"},
    "heartbeat": {
        "keep_alive_interval_s": 0.1,
        "keep_alive_timeout_s": 0.95,
        "initialization_keep_alive_timeout_s": 4.0,
    },
    "control": {"call_timeout_s": 2.0},
    "services": {
        "critical_service_delay_s": 1.0,
        "start_limit_s": 5.0,
        "stop_limit_s": 3.0,
        "health_interval_s": 0.2,
        "health_limit_s": 1.0,
    },
    "users": {"move_limit_s": 5.0, "database_check_interval_s": 0.2},
    "limits": {"transition_s": 20.0, "shutdown_s": 5.0},
    "relogin": {"lower_limit_s": 2, "upper_limit_s": 6},
    "log": {"level": "info", "format": "json"},
}
"""Timers that make a story take seconds.  The timeout is no multiple of the interval on purpose.

A busy machine may delay a heartbeat by some intervals, and start two processes a second apart: the
timeouts have room for that, or one node would take over from the other that is well.  The critical
service delay is shorter than a start may take there: a start that is under way is waited for.
"""

NORMAL: Half = (State.NORMAL, Reason.NORMAL)
HOST = "127.0.0.1"
PORTS = range(20_100, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of those is in the way."""
PORT_TRIES_MAX = 100
POLL_S = 0.02
PATIENCE_S = 60.0
"""Limit of a wait for a condition where nothing else is said.  A wait that succeeds ends at
once, so the bound is for the busiest machine, not for the usual one."""
STOP_LIMIT_S = 30.0
"""How long a node may need to end in good order; then it is killed."""
GONE_LIMIT_S = 30.0
"""How long the services of a killed node may need to die with it."""
HISTORY_MAX = 200
LOG_TAIL_LINES = 15


class LabError(Exception):
    """The pair did not do what it should; the message has the story and the end of the logs."""


class Port:
    """A port of this machine for a program that takes no open socket, and for no other lab.

    Its number is held in the other protocol too, for as long as this lives: so another lab that
    looks for a port passes it by, also while the program has not begun yet, or is down.  (Once a
    node found its port taken by another pair, in the second that it needed to start.)
    """

    def __init__(self, kind: socket.SocketKind) -> None:
        """Raises LabError when none is found."""
        other = socket.SOCK_STREAM if kind is socket.SOCK_DGRAM else socket.SOCK_DGRAM
        for self.number in random.sample(PORTS, PORT_TRIES_MAX):
            self._place, self._guard = socket.socket(type=kind), socket.socket(type=other)
            try:
                self._guard.bind((HOST, self.number))
                self._place.bind((HOST, self.number))
            except OSError:
                self.release()
            else:
                return
        raise LabError(f"{PORT_TRIES_MAX} ports of {PORTS.start}-{PORTS.stop} tried, all in use")

    def vacate(self) -> None:
        """The program may bind it now."""
        self._place.close()

    def release(self) -> None:
        """It is everybody's again."""
        self._place.close()
        self._guard.close()


class LabNode:
    """One node of the pair: its files, its process, its API."""

    def __init__(self, node: str, folder: Path, mark: str, token: Secret) -> None:
        self.id = node
        self.folder = folder
        self.config_file = folder / "node.toml"
        self.log_file = folder / "log.jsonl"
        self.token_file = folder / "token"
        self.overrides: Sections = {}
        self.environment: dict[str, str] = {}
        """What the process finds in its environment besides ours."""
        self.arguments: tuple[str, ...] = ()
        """Further words of its `srmd run`."""
        self.source = Path(srmd.__file__).parent.parent
        """The folder from which it imports srmd."""
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = (Port(socket.SOCK_DGRAM), Port(socket.SOCK_STREAM))
        self.heartbeat, self.control = (f"{HOST}:{port.number}" for port in self._ports)
        self.client = Client(f"http://{self.control}", token)

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process, and wait until its SRM runs.  Raises LabError."""
        self.spawn()
        self.wait_for_answer()

    def spawn(self) -> None:
        """Only start the process."""
        running = self._process is not None and self._process.poll() is None
        assert not running, f"node {self.id} runs already"
        self.vacate()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SRMD_")}
        importable = [str(self.source), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(filter(None, importable))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "srmd", "run", "--config", str(self.config_file)),
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**kept, **self.environment, "PYTHONPATH": path, MARK: self._mark},
                start_new_session=True,  # Ctrl-C is for us; we end the nodes in order
            )

    def wait_for_answer(self) -> None:
        """SRM runs, and the API tells so.  Raises LabError when the process ends, or in the end."""
        give_up_s = time.monotonic() + PATIENCE_S
        while self.shown() is None:
            if self.pid is None:
                raise LabError(f"node {self.id} ended at once\n{self.log_tail()}")
            if time.monotonic() >= give_up_s:
                text = f"node {self.id} does not answer within {PATIENCE_S:g} s"
                raise LabError(f"{text}\n{self.log_tail()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when the process is gone."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM, as a service manager does it; its exit code."""
        return self._end(signal.SIGTERM)

    def go_down(self) -> int:
        """SIGPWR, as when the machine goes down; its exit code."""
        return self._end(signal.SIGPWR)

    def suspend(self) -> None:
        """SIGSTOP: the whole process stands still until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"node {self.id} was not started"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a suspended process would not hear of it
        try:
            return process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait(STOP_LIMIT_S)

    # The administrator's actions, asked of this node about itself as soon as it offers them: a
    # node that shows its own state may know the state of its peer a heartbeat later.  A test
    # of a refusal asks `client.act`.

    def failover(self) -> Json:
        return self._once_offered("failover")

    def fallback(self) -> Json:
        return self._once_offered("fallback")

    def recover(self) -> Json:
        return self._once_offered("recover")

    def _once_offered(self, action: str) -> Json:
        """Raises LabError when the node does not offer it within the bound."""
        wanted = {"action": action, "node": self.id}
        give_up_s = time.monotonic() + PATIENCE_S
        while wanted not in self.offered():
            if time.monotonic() >= give_up_s:
                text = f"node {self.id} does not offer {action} within {PATIENCE_S:g} s"
                raise LabError(f"{text}\n{self.log_tail()}")
            time.sleep(POLL_S)
        return self.client.act(action, self.id)

    def offered(self) -> list[dict[str, str]]:
        """The actions that the node offers; none while it does not answer."""
        try:
            actions: list[dict[str, str]] = self.status()["actions"]
        except Unreachable:
            return []
        return actions

    def status(self) -> Json:
        return self.client.status()

    def shown(self) -> Shown | None:
        """What SRM shows of its node; None while the node does not answer or SRM does not run.

        A node answers before its SRM has started, and shows Unknown then: that is not yet a state.
        """
        try:
            status = self.client.status()
        except ClientError:
            return None
        return pair_of(status)[0] if status["srm"] == ServiceState.STARTED.value else None

    def log_tail(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return "\n".join([f"--- the log of node {self.id} ends:", *lines[-LOG_TAIL_LINES:]])

    def vacate(self) -> None:
        """Its process may bind its ports; nobody else's lab may."""
        for port in self._ports:
            port.vacate()

    def release(self) -> None:
        """Its ports are everybody's again."""
        for port in self._ports:
            port.release()


class LabPair:
    """Two nodes, `a` and `b`.  As a context it starts both, and always cleans up."""

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, Value]] | None = None,
        *,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """`overrides` are settings of both nodes; `on_change` hears of each change seen."""
        self.mark = secrets.token_hex(8)
        self.folder = Path(tempfile.gettempdir()) / f"srmd-lab-{self.mark}"
        self._leash = Leash(self.mark, self.folder)
        self.folder.mkdir(0o700)  # after the leash: it removes the folder, whatever interrupts us
        self.left_behind: list[str] = []
        """Processes that `close` had to kill because their node had left them; none is right."""
        self._on_change = on_change
        self._history: deque[str] = deque(maxlen=HISTORY_MAX)
        self._last: dict[str, Half | None] = {}
        self._began_s = time.monotonic()
        token, self._key = secrets.token_urlsafe(24), secrets.token_hex(32)
        self.a, self.b = (self._made(node, Secret(token)) for node in ("a", "b"))
        for node in self.nodes:
            node.overrides = {name: dict(keys) for name, keys in (overrides or {}).items()}

    @property
    def nodes(self) -> tuple[LabNode, LabNode]:
        return (self.a, self.b)

    def _made(self, node: str, token: Secret) -> LabNode:
        folder = self.folder / f"node-{node}"
        folder.mkdir()
        made = LabNode(node, folder, self.mark, token)
        made.token_file.touch(0o600)
        made.token_file.write_text(token.text())
        (folder / "k1.key").touch(0o600)
        (folder / "k1.key").write_text(self._key)
        return made

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Write the configurations, start both nodes, and wait until both are Normal."""
        self.write_configs()
        for node in self.nodes:
            node.spawn()  # both before either answers: a node waits for its peer only so long
        for node in self.nodes:
            node.wait_for_answer()
        self.wait_for(a=NORMAL, b=NORMAL, within_s=PATIENCE_S)

    def write_configs(self) -> None:
        """Also for later: a node reads its file when it starts, SRM when it restarts."""
        for node, peer in ((self.a, self.b), (self.b, self.a)):
            node.config_file.write_text(_toml(_settings(node, peer)))

    def wait_for(
        self, a: Want | None = None, b: Want | None = None, *, within_s: float = PATIENCE_S
    ) -> None:
        """Both nodes show this of themselves, asked one right after the other.

        None: whatever that node shows, or whether it lives.

        Raises LabError with what they showed instead, and how they came there.
        """
        wanted = {
            node.id: _half(want)
            for node, want in zip(self.nodes, (a, b), strict=True)
            if want is not None
        }
        give_up_s = time.monotonic() + within_s
        while True:
            now = self.look()
            if all(now[node] == half for node, half in wanted.items()):
                return
            if time.monotonic() >= give_up_s:
                raise LabError(self._story(wanted, within_s))
            time.sleep(POLL_S)

    def look(self) -> dict[str, Half | None]:
        """What each node shows of itself now, None as in `LabNode.shown`."""
        now = {}
        for node in self.nodes:
            shown = node.shown()
            now[node.id] = None if shown is None else shown.half
        if now != self._last:
            self._last = now
            line = _line(now)
            self._history.append(f"{time.monotonic() - self._began_s:7.2f} s  {line}")
            if self._on_change is not None:
                self._on_change(line)
        return now

    def served(self) -> dict[str, int | None]:
        """Users that each node says to serve; None when it does not answer."""
        found: dict[str, int | None] = {}
        for node in self.nodes:
            try:
                found[node.id] = node.status()["users"]["served"][node.id]
            except ClientError:
                found[node.id] = None
        return found

    def wait_until(
        self, what: str, holds: Callable[[], bool], *, within_s: float = PATIENCE_S
    ) -> None:
        """Any other condition; `what` names it where it does not come true (LabError).

        While a node that it asks does not answer, it does not hold.
        """
        give_up_s = time.monotonic() + within_s
        while not _holds(holds):
            if time.monotonic() >= give_up_s:
                raise LabError(f"not within {within_s:g} s: {what}\n{self._past()}")
            time.sleep(POLL_S)

    def close(self) -> None:
        """End all processes and remove all files.  Safe to call twice."""
        for node in self.nodes:
            node.terminate()
            node.release()
        give_up_s = time.monotonic() + GONE_LIMIT_S
        while (left := processes_of(self.mark)) and time.monotonic() < give_up_s:
            time.sleep(POLL_S)
        for pid, command in left.items():
            self.left_behind.append(f"{pid} {command}")
            kill(pid)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._leash.close()

    def _story(self, wanted: Mapping[str, Half], within_s: float) -> str:
        return f"not within {within_s:g} s: {_line(wanted)}\n{self._past()}"

    def _past(self) -> str:
        logs = "\n".join(node.log_tail() for node in self.nodes)
        return "\n".join(["what the nodes showed:", *self._history, logs])


def _settings(node: LabNode, peer: LabNode) -> Sections:
    made: Sections = {name: dict(keys) for name, keys in FAST.items()}
    own: Sections = {
        "node": {"id": node.id, "state_dir": "state"},
        "peer": {"id": peer.id, "heartbeat": peer.heartbeat, "control": f"http://{peer.control}"},
        "heartbeat": {"listen": node.heartbeat},
        "control": {"listen": node.control, "token.file": node.token_file.name},
        "auth": {"active": "k1"},
        "auth.keys": {"k1.file": "k1.key"},
    }
    for sections in (own, node.overrides):
        for name, keys in sections.items():
            made.setdefault(name, {}).update(keys)
    return made


def _toml(sections: Sections) -> str:
    """JSON's texts, numbers and truths are TOML's too; a dotted key is a table of its own."""
    blocks = []
    for name, keys in sections.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        blocks.append("\n".join([f"[{name}]", *lines, ""]))
    return "\n".join(blocks)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except Unreachable:
        return False


def _half(want: Want) -> Half:
    if isinstance(want, str):
        return parse_half(want)
    state, reason = want
    return (
        state if isinstance(state, State) else parse_state(state),
        reason if isinstance(reason, Reason) else parse_reason(reason),
    )


def _line(halves: Mapping[str, Half | None]) -> str:
    return "  |  ".join(
        f"{node} {written(half) if half else '(SRM does not answer)'}"
        for node, half in halves.items()
    )
