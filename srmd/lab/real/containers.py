"""Nodes that live in podman's containers: what is done to a machine is done to its container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Final

from srmd.client import Client, ClientError
from srmd.lab.real.looking import watching
from srmd.lab.scenario.stage import StageBroken, VerbFailed
from srmd.lab.scenario.verbs import NodeName, PowerAction

PROGRAM = "podman"
COMMAND_LIMIT_S = 60.0
"""One command of podman, on a busy machine; ours."""
STOP_LIMIT_S = 15
"""Longer than a node may take to end in good order; then podman kills it."""
GONE_LIMIT_S = 15.0
ANSWER_LIMIT_S = 30.0
"""How long a started node may need to answer."""
POLL_S = 0.05
SAID_CHARS_MAX = 300

COMMANDS: Final[Mapping[PowerAction, tuple[str, ...]]] = {
    PowerAction.KILL: ("kill", "--signal", "KILL"),
    PowerAction.TERMINATE: ("stop", "--time", str(STOP_LIMIT_S)),
    PowerAction.START: ("start",),
    PowerAction.FREEZE: ("pause",),
    PowerAction.THAW: ("unpause",),
}
"""What podman is told; a reboot and a shutdown are asked of the node itself."""
RUNNING, PAUSED = "running", "paused"


class Containers:
    """The containers of the two nodes.  Every method returns when it has happened."""

    def __init__(self, names: Mapping[NodeName, str], clients: Mapping[NodeName, Client]) -> None:
        """Raises StageBroken when podman or a container is not there."""
        self._names = names
        self._clients = clients
        self.silent: set[NodeName] = set()
        """Frozen, or off: asking for an address that nobody has takes a second each time."""
        for node in names:
            self._state(node)

    def do(self, action: PowerAction, node: NodeName) -> None:
        """Raises VerbFailed."""
        state = self._state(node)
        runs = state in (RUNNING, PAUSED)
        if runs is (action is PowerAction.START):
            raise VerbFailed(f"{self._names[node]} {'runs already' if runs else 'does not run'}")
        match action:
            case PowerAction.START:
                self._start(node)
            case PowerAction.FREEZE | PowerAction.KILL:
                self.silent.add(node)
                if state == PAUSED:  # podman leaves a paused container alone
                    self._podman(*COMMANDS[PowerAction.THAW], self._names[node])
                self._podman(*COMMANDS[action], self._names[node])
                if action is PowerAction.KILL:
                    self._wait_gone(node)
            case PowerAction.THAW:
                self._thaw(node)
            case PowerAction.TERMINATE:
                self._podman(*COMMANDS[action], self._names[node])
                self._wait_gone(node)
            case PowerAction.SHUTDOWN:
                self._clients[node].power(action.value)
                self._wait_gone(node)
            case PowerAction.REBOOT:
                self._clients[node].power(action.value)

    def thaw_all(self) -> None:
        """A frozen node must not outlive its story.  Raises StageBroken."""
        for node in tuple(self.silent):
            try:
                if self._state(node) == PAUSED:
                    self._thaw(node)
            except VerbFailed as failed:
                raise StageBroken(str(failed)) from failed

    def all_run(self) -> None:
        """What an earlier story has left paused or dead runs again.  Raises StageBroken."""
        for node in self._names:
            state = self._state(node)
            try:
                if state == PAUSED:
                    self._thaw(node)
                elif state != RUNNING:
                    self._start(node)
            except VerbFailed as failed:
                raise StageBroken(str(failed)) from failed

    def _start(self, node: NodeName) -> None:
        self._podman(*COMMANDS[PowerAction.START], self._names[node])
        self.silent.discard(node)
        client = watching(self._clients[node])
        self._until(lambda: _answers(client), node, "does not answer", ANSWER_LIMIT_S)

    def _thaw(self, node: NodeName) -> None:
        self._podman(*COMMANDS[PowerAction.THAW], self._names[node])
        self.silent.discard(node)

    def _wait_gone(self, node: NodeName) -> None:
        self._until(
            lambda: self._state(node) not in (RUNNING, PAUSED, "stopping"),
            node,
            "does not end",
            GONE_LIMIT_S,
        )
        self.silent.add(node)

    def _until(
        self, holds: Callable[[], bool], node: NodeName, otherwise: str, limit_s: float
    ) -> None:
        give_up_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() >= give_up_s:
                raise VerbFailed(f"{self._names[node]} {otherwise} within {limit_s:g} s")
            time.sleep(POLL_S)

    def _state(self, node: NodeName) -> str:
        """As podman calls it.  Raises StageBroken when there is no such container."""
        name = self._names[node]
        try:
            return self._podman("container", "inspect", "--format", "{{.State.Status}}", name)
        except VerbFailed as failed:
            raise StageBroken(f"{failed}; `{PROGRAM} ps --all` lists the containers") from failed

    @staticmethod
    def _podman(*arguments: str) -> str:
        """What it has said.  Raises VerbFailed, or StageBroken when there is no podman."""
        try:
            done = subprocess.run(
                [PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_LIMIT_S,
                check=False,
            )
        except OSError as failed:
            raise StageBroken(f"{PROGRAM}: {failed.strerror}; install it") from failed
        except subprocess.TimeoutExpired as late:
            command = " ".join(arguments)
            raise VerbFailed(f"{PROGRAM} {command}: not within {COMMAND_LIMIT_S:g} s") from late
        if done.returncode:
            said = done.stderr.strip()[-SAID_CHARS_MAX:]
            raise VerbFailed(f"{PROGRAM} {arguments[0]} ended with {done.returncode}: {said}")
        return done.stdout.strip()


def _answers(client: Client) -> bool:
    try:
        client.health()
    except ClientError:
        return False
    return True
