"""A booted Debian in systemd-nspawn, on the network of a `Host`: its systemd is real.

    with Container("a", host, root_file_system(), folder) as a:
        a.boot()
        a.run("systemctl", "is-system-running")
        a.lose_power()

All machines read one root file system and write to an overlay of their own, in a mount namespace
that ends with them.  Of the control groups each takes one of its own, and gives it back.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.machines.debian import MachineError, run
from tests.netns.hosts import Host

BOOT_LIMIT_S = 60.0
HALT_LIMIT_S = 60.0
COMMAND_LIMIT_S = 120.0
POLL_S = 0.05
NUMBERS: Final = itertools.count(1)
"""Several pairs of one process may be on at once, and share no control group."""
GROUPS: Final = Path("/sys/fs/cgroup")
HALT_SIGNAL = "SIGRTMIN+3"
ASKED_FOR_REBOOT: Final = 133
PROPAGATED: Final = Path("/run/systemd/nspawn/propagate")
NAMESPACES: Final = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--")
SETTLED: Final = frozenset({"running", "degraded"})


class Container:
    """One machine.  As a context it leaves nothing behind: no process, no group, no file."""

    def __init__(self, node: str, host: Host, root: Path, folder: Path) -> None:
        self.node = node
        self.host = host
        self.disk = folder / f"disk-{node}"
        """What was written: only what differs from the common root file system."""
        self._base = root
        self._overlay = (folder / f"root-{node}", folder / f"work-{node}")
        self._log = folder / f"nspawn-{node}.log"
        self._name = f"srmd-test-{os.getpid()}-{next(NUMBERS)}-{node}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        for made in (self.disk, *self._overlay):
            made.mkdir(mode=0o755)
        # The journal is kept where there is a folder for it.
        for name in ("etc", "root", "var", "var/log", "var/log/journal"):
            made = self.disk / name
            made.mkdir()
            if (root / name).exists():
                made.chmod((root / name).stat().st_mode)
        (self.disk / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        (self.disk / "etc/hostname").write_text(f"node-{node}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lose_power()
        for group in self._groups():
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        for left in (self.disk, *self._overlay, PROPAGATED / self._name):
            shutil.rmtree(left, ignore_errors=True)

    # Power.

    def boot(self) -> None:
        """Power on, and wait until systemd has settled.  Raises MachineError."""
        self.power_on()
        self.wait_until("it has booted", self.is_up, within_s=BOOT_LIMIT_S)

    def power_on(self) -> None:
        assert not self.is_on(), f"node {self.node} is on already"
        for group in self._groups():
            group.mkdir(exist_ok=True)
        root, work = self._overlay
        layers = f"lowerdir={self._base},upperdir={self.disk},workdir={work}"
        steps = (
            *(f"echo $$ > {group}/cgroup.procs" for group in self._groups()),
            f"mount -t overlay overlay -o {layers} {root}",
            'exec "$@"',
        )
        command = (
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
            *(f"--directory={root}", f"--machine={self._name}", f"--hostname=node-{self.node}"),
            f"--network-namespace-path={self.host.network}",
            *("--capability=CAP_NET_ADMIN", "--console=pipe", f"--kill-signal={HALT_SIGNAL}"),
        )
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", " && ".join(steps), "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_on(self) -> bool:
        return self._nspawn is not None and self._nspawn.poll() is None

    def is_up(self) -> bool:
        """It has booted; a unit that failed is for the test to find."""
        leader = self._leader()
        if leader is None:
            return False
        done = self._enter(leader, "systemctl", "is-system-running")
        return done.stdout.strip() in SETTLED

    def boot_id(self) -> str:
        return self.run("cat", "/proc/sys/kernel/random/boot_id").strip()

    def lose_power(self) -> None:
        """At once, in the middle of whatever it does."""
        leader = self._leader()
        if leader is not None:
            try:
                os.kill(leader, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went down by itself meanwhile
        if self._nspawn is not None:
            try:
                self._nspawn.wait(HALT_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(HALT_LIMIT_S)
            self._nspawn = None

    def has_halted(self) -> bool:
        """It has powered itself off."""
        return self._nspawn is not None and self._nspawn.poll() == 0

    def reboot(self) -> None:
        """In good order, until it is up again."""
        self.run("systemctl", "reboot")
        self.wait_until("it goes down for a reboot", self._has_asked_for_reboot)
        self.boot()

    def _has_asked_for_reboot(self) -> bool:
        """With --keep-unit nspawn leaves it to its own manager to start it again: to us."""
        return self._nspawn is not None and self._nspawn.poll() == ASKED_FOR_REBOOT

    # What is said to it.

    def run(self, *command: str, env: dict[str, str] | None = None) -> str:
        """Run a command as root, and return what it said.  Raises MachineError."""
        leader = self._leader()
        if leader is None:
            raise MachineError(f"node {self.node}: {' '.join(command)}: it is off\n{self._tail()}")
        done = self._enter(leader, *command, env=env)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise MachineError(
                f"node {self.node}: {' '.join(command)}: exit {done.returncode}\n{said}"
            )
        return done.stdout

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as `systemctl show` tells them."""
        said = self.run("systemctl", "show", name, f"--property={','.join(properties)}")
        return dict(line.split("=", 1) for line in said.splitlines())

    def journal(self, unit: str, **fields: str) -> list[dict[str, Any]]:
        """Records of a unit with these fields; read from outside, so also when it is off."""
        wanted = (f"{name}={value}" for name, value in fields.items())
        said = run(
            *("journalctl", "--directory", self.disk / "var/log/journal", "--output=json"),
            *("--no-pager", f"--unit={unit}", *wanted),
            limit_s=COMMAND_LIMIT_S,
        )
        return [json.loads(line) for line in said.splitlines()]

    def wait_until(self, what: str, holds: Callable[[], bool], *, within_s: float = 30.0) -> None:
        """Raises MachineError, with the end of the journal."""
        give_up_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() >= give_up_s:
                raise MachineError(
                    f"node {self.node}: not within {within_s:g} s: {what}\n{self._tail()}"
                )
            time.sleep(POLL_S)

    def _enter(
        self, leader: int, *command: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        words = (
            "nsenter",
            "-t",
            str(leader),
            *["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"],
            *command,
        )
        try:
            return subprocess.run(
                words,
                capture_output=True,
                text=True,
                timeout=COMMAND_LIMIT_S,
                check=False,
                env={"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **(env or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"node {self.node}: {' '.join(command)}: {error}") from error

    def _leader(self) -> int | None:
        """Its first process, as this machine sees it: the child of nspawn."""
        if not self.is_on():
            return None
        assert self._nspawn is not None
        pid = self._nspawn.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return next((int(child) for child in children if _is_init(int(child))), None)

    def _groups(self) -> list[Path]:
        """Our group in each hierarchy: in the unified one alone, or in those of version 1."""
        if (GROUPS / "cgroup.procs").exists():
            return [GROUPS / self._name]
        roots = sorted(path for path in GROUPS.iterdir() if not path.is_symlink())
        return [path / self._name for path in roots if _takes_processes(path)]

    def _tail(self) -> str:
        try:
            journal = run(
                *("journalctl", "--directory", self.disk / "var/log/journal", "--no-pager"),
                *("--lines=40", "--output=short-precise"),
                limit_s=COMMAND_LIMIT_S,
            )
        except MachineError as error:
            journal = str(error)
        said = self._log.read_text(errors="replace") if self._log.exists() else ""
        return f"--- the journal of node {self.node} ends:\n{journal}\n--- nspawn:\n{said}"


def _takes_processes(hierarchy: Path) -> bool:
    """A cpuset of version 1 takes none before it has processors; we can do without it."""
    return (hierarchy / "cgroup.procs").exists() and not (hierarchy / "cpuset.cpus").exists()


def _is_init(pid: int) -> bool:
    """The first process of a process namespace of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return numbers.split()[-1:] == ["1"]
