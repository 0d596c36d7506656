"""A service that runs a command of the user's: it is STARTED when it answers, its hang is noticed,
and nothing of it or of its health check outlives the node."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srmd.core.services import ServiceState
from srmd.lab.leash import processes_of
from srmd.lab.pair import HOST, LabNode, LabPair, Port

ROUTER = "Cisco XCP Router"
SLOW_S = 2.5
"""From the start of the command until its port answers: longer than the critical service delay."""
DELAY_S = 1.0
SERVICE = """
import socket, sys, time
time.sleep(float(sys.argv[2]))
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listening.accept()
    client.sendall(b"well")
    client.close()
"""
CHECK = """
import os, socket, sys, time
if os.path.exists("check hangs"):
    open("it hangs", "w").close()
    time.sleep(600)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as service:
    sys.exit(service.recv(4) != b"well")
"""


class Commands:
    """A pair whose XCP Router is a command that answers on a port, after a while."""

    def __init__(self) -> None:
        self.pair = LabPair(
            {"services": {"critical_service_delay_s": DELAY_S, "start_limit_s": 60.0}}
        )
        self.ports = {node.id: Port(socket.SOCK_STREAM) for node in self.pair.nodes}
        self.pair.write_configs()
        for node in self.pair.nodes:
            port = self.ports[node.id]
            port.vacate()
            for name, text in (("service.py", SERVICE), ("check.py", CHECK)):
                (node.folder / name).write_text(text)
            self._add_service(node, port.number)

    def _add_service(self, node: LabNode, port: int) -> None:
        def command(name: str, *more: object) -> str:
            words = (sys.executable, "-I", "-S", node.folder / name, port, *more)
            return ", ".join(f'"{word}"' for word in words)

        with node.config_file.open("a") as config:
            config.write(
                f'\n[[services.service]]\nname = "{ROUTER}"\n'
                f"command = [{command('service.py', SLOW_S)}]\n"
                f"health_command = [{command('check.py')}]\n"
                "health_interval_s = 2\nhealth_limit_s = 4\n"
            )

    def start(self) -> None:
        """Only the processes: what the nodes do then is the story."""
        for node in self.pair.nodes:
            node.spawn()
        for node in self.pair.nodes:
            node.wait_for_answer()

    def answers(self, node: LabNode) -> bool:
        try:
            with socket.create_connection((HOST, self.ports[node.id].number), timeout=5) as service:
                return service.recv(4) == b"well"
        except OSError:
            return False

    def router(self, node: LabNode) -> dict[str, Any]:
        [found] = [row for row in node.status()["services"] if row["name"] == ROUTER]
        return dict(found)

    def run_dir(self, node: LabNode) -> Path:
        """The working directory of services and health checks."""
        [found] = node.folder.rglob("run")
        return found


@pytest.fixture
def commands() -> Iterator[Commands]:
    made = Commands()
    yield made
    made.pair.close()
    for port in made.ports.values():
        port.release()
    assert not made.pair.left_behind


def test_a_command_is_started_when_its_first_health_check_passes(commands: Commands) -> None:
    """It was STARTED when its process had lived for 0.1 s: at a fallback users were sent to a node
    that refused them.  And the delay was over before it answered: at its very first start a node
    went from Initializing to Failing Over."""
    pair = commands.pair
    commands.start()
    began_s = time.monotonic()
    passed: set[str] = set()
    while any(node.status()["local"]["srm_state"] != 3 for node in pair.nodes):
        assert time.monotonic() < began_s + 60, passed
        for node in pair.nodes:
            passed.add(node.status()["local"]["state"])
            if commands.router(node)["state"] == ServiceState.STARTED.value:
                assert commands.answers(node)
    assert passed <= {"Initializing", "Normal"}
    pair.a.failover()
    pair.wait_for(a="Idle/On Admin Request", b="Running in Backup Mode/On Admin Request")
    assert not commands.answers(pair.a)
    pair.a.fallback()
    pair.wait_for(a="Normal/Normal", b="Normal/Normal")
    assert commands.answers(pair.a)


def test_a_command_that_hangs_fails_its_node_over(commands: Commands) -> None:
    """It stayed STARTED, and both nodes Normal, for ever."""
    pair = commands.pair
    commands.start()
    pair.wait_for(a="Normal/Normal", b="Normal/Normal")
    pair.a.client.service(ROUTER, "hang")
    pair.wait_for(
        a="Failed Over with Critical Services Not Running/Critical Service Down",
        b="Running in Backup Mode/Critical Service Down",
    )
    assert commands.router(pair.a)["note"] == "not answering"
    pair.a.client.service(ROUTER, "start")
    pair.wait_for(a="Failed Over/Critical Service Down")
    assert commands.answers(pair.a)


def test_a_health_check_that_hangs_dies_with_its_node(commands: Commands) -> None:
    pair = commands.pair
    commands.start()
    pair.wait_for(a="Normal/Normal", b="Normal/Normal")
    run_dir = commands.run_dir(pair.a)
    (run_dir / "check hangs").touch()
    pair.wait_until("a check hangs", (run_dir / "it hangs").exists)
    pair.a.kill()
    here = str(pair.a.folder)
    pair.wait_until(
        "nothing of node a is left",
        lambda: not [one for one in processes_of(pair.mark).values() if here in one],
    )
