"""Two machines on which the guide is followed, command by command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from tests.machines import guide
from tests.machines.container import Container
from tests.machines.debian import PROJECT, run
from tests.machines.guide import Block
from tests.machines.looking import HostClient, Nodes
from tests.netns.hosts import Host

INSTALL: Final = "A pair in ten commands"
WITH_TLS: Final = "The same with TLS"
CONFIGURE: Final = 2
"""The block of the installation in whose place the one for TLS is followed."""
BACK: Final = "Back again"
UNIT: Final = "srmd.service"
NORMAL: Final = "Normal / Normal"
USERS: Final = 500
LOCK: Final = PROJECT / "requirements-runtime.lock"
"""Lies beside the wheel."""
TIMERS_S: Final = {
    "keep_alive_timeout_s": 3.9,
    "initialization_keep_alive_timeout_s": 20,
    "critical_service_delay_s": 15,
    "start_limit_s": 60,
}
"""What replaces the guide's timers here: long enough for a start on a busy machine."""


class Installed:
    """Both machines; as a context they are gone at its end."""

    def __init__(
        self,
        hosts: tuple[Host, Host],
        root: Path,
        wheels: Path,
        folder: Path,
        *,
        tls: bool = False,
        timers: Literal["cisco", "fast"] = "fast",
    ) -> None:
        a, b = hosts
        self._tls = tls
        self._timers = timers
        (wheel,) = wheels.glob("srmd-*.whl")
        self._wheel = wheel.name
        self._addresses = {"A": a.address, "B": b.address}
        self.machines = {
            "a": Container("a", a, root, folder),
            "b": Container("b", b, root, folder),
        }
        for machine in self.machines.values():
            _furnish(machine.disk, wheels)
        wheel_of_a = self.machines["a"].disk / "root" / wheel.name
        wheel_of_a.write_bytes(wheel.read_bytes())
        _introduce(self.machines["a"], self.machines["b"])
        self._stack = ExitStack()

    @property
    def a(self) -> Container:
        return self.machines["a"]

    @property
    def b(self) -> Container:
        return self.machines["b"]

    def __enter__(self) -> Self:
        for machine in self.machines.values():
            self._stack.enter_context(machine)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def boot(self) -> None:
        for machine in self.machines.values():
            machine.power_on()
        for machine in self.machines.values():
            machine.wait_until("it has booted", machine.is_up, within_s=60)

    def install(self) -> None:
        """The first sections of the guide, from an empty machine to a first failover."""
        sections = guide.read().sections
        blocks = list(sections[INSTALL])
        if self._tls:
            blocks[CONFIGURE : CONFIGURE + 1] = sections[WITH_TLS]
        self.follow(tuple(blocks))

    def follow(
        self, blocks: tuple[Block, ...], after_each: Callable[[], None] = lambda: None
    ) -> None:
        """Run the commands of a section, each where it says.  Raises MachineError."""
        for block in blocks:
            for node in block.nodes:
                for command in block.commands:
                    self._type(node, command)
                    after_each()

    def _type(self, node: str, command: str) -> None:
        variables = f"{guide.read().variables}\n{self._variables()}"
        self._shell(node, f"{variables}\n{command}")
        if " init pair " in command and self._timers == "fast":
            for name, value_s in TIMERS_S.items():
                self._shell(
                    node, f"sed -i 's/^{name} = [0-9.]*/{name} = {value_s}/' pair/*/node.toml"
                )

    def _shell(self, node: str, script: str) -> None:
        self.machines[node].run("bash", "-euo", "pipefail", "-c", f"cd\n{script}")

    def _variables(self) -> str:
        """What a reader puts in the place of the examples; no package index is reached."""
        return "\n".join(
            (
                *(f"{name}={address}" for name, address in self._addresses.items()),
                f"WHEEL={self._wheel} TIMERS={self._timers}",
                "export PIP_NO_INDEX=1 PIP_FIND_LINKS=~/wheels",
            )
        )

    # The pair.

    @cached_property
    def nodes(self) -> Nodes:
        token = (self.a.disk / "etc/srmd/token").read_text().strip()
        return Nodes(
            {
                node: HostClient(machine.host.address, machine.host, token, self._ca(machine))
                for node, machine in self.machines.items()
            }
        )

    def _ca(self, machine: Container) -> Path | None:
        """As it is at each call."""
        return machine.disk / "etc/srmd/ca.crt" if self._tls else None

    def srmd(self, node: str, *words: str) -> str:
        """The command line, on that machine."""
        return self.machines[node].run(
            "/opt/srmd/bin/srmd", "--config", "/etc/srmd/node.toml", *words
        )

    def is_home(self) -> None:
        """Both Normal, and each user with the home node.  Raises MachineError."""
        self.nodes.wait_for(NORMAL, NORMAL)
        half = {"a": USERS // 2, "b": USERS // 2}

        def holds() -> bool:
            status = self.nodes.status("a")
            return status is not None and status["users"]["served"] == half

        self.nodes.wait_until(f"users served {half}", holds)

    def repair(self) -> None:
        """Everything is switched on and started that a story may have left otherwise."""
        for machine in self.machines.values():
            if not machine.is_on():
                machine.boot()
            machine.run("systemctl", "start", UNIT)

    def comes_home(self) -> None:
        """By the action that srmd itself recommends for what the pair shows, if any."""
        self.nodes.wait_until("the pair has settled", self._has_settled)
        for node in self.machines:
            if self.nodes.shown(node) != NORMAL and self._is_failed_over(node):
                self.srmd(node, "fallback", node)
        self.is_home()

    def _has_settled(self) -> bool:
        at_home = all(self.nodes.shown(node) == NORMAL for node in self.machines)
        return at_home or any(self._is_failed_over(node) for node in self.machines)

    def _is_failed_over(self, node: str) -> bool:
        """Its users can be brought back."""
        mine, peers = (
            self.nodes.shown(which) or "" for which in (node, "b" if node == "a" else "a")
        )
        return mine.startswith(("Failed Over / ", "Idle / ")) and peers.startswith(
            "Running in Backup Mode / "
        )


def _furnish(disk: Path, wheels: Path) -> None:
    """What a fresh machine with network would find elsewhere: the wheels that srmd depends on."""
    kept = disk / "root" / "wheels"
    kept.mkdir()
    (disk / "root" / LOCK.name).write_bytes(LOCK.read_bytes())
    for wheel in wheels.glob("*.whl"):
        if not wheel.name.startswith("srmd-"):
            (kept / wheel.name).write_bytes(wheel.read_bytes())


def _introduce(a: Container, b: Container) -> None:
    """Root of `a` may log in to `b`, and knows it."""
    home = a.disk / "root/.ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "id_ed25519", limit_s=30)
    (home / "config").write_text("Host *\n    StrictHostKeyChecking accept-new\n")
    there = b.disk / "root/.ssh"
    there.mkdir(mode=0o700, exist_ok=True)
    (there / "authorized_keys").write_text((home / "id_ed25519.pub").read_text())
