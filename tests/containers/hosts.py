"""Two hosts with a podman each, and what systemd does with the unit of a node there.

A host is a network of its own (tests/netns) and a view of the file system of its own: its /etc and
its /dev/shm are copies that end with it, so the guide's commands are run as they are printed.  No
machine is booted: `Unit` starts and stops the commands that stand in the unit file.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final

from tests.containers.engine import COMMAND_LIMIT_S, ROOT
from tests.netns.hosts import Host

UNIT: Final = "srmd-container.service"
UNITS: Final = Path("/etc/systemd/system")
FOLDER: Final = ROOT / "deploy" / "podman"
CLONE_NEWNS: Final = 0x00020000
END_LIMIT_S: Final = 40.0
RESTART_S: Final = 0.2
"""Of the unit's RestartSec, so that a test need not wait."""


class Machine:
    """A host on which commands are typed."""

    def __init__(self, node: str, host: Host, folder: Path) -> None:
        self.node = node
        self.host = host
        self.home = folder / node
        for name in ("etc", "work", "storage", "run", "bin"):
            (self.home / name).mkdir(parents=True)
        self._env = {**os.environ, **self._settings()}
        host.do(_leave_mounts)
        layers = f"lowerdir=/etc,upperdir={self.home}/etc,workdir={self.home}/work"
        host.run("mount", "-t", "overlay", "overlay", "-o", layers, "/etc")
        host.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")  # the locks of this podman
        self.is_system("running")
        (self.home / "bin/systemctl").write_text(f'#!/bin/sh\ncat "{self.home}/is-system"\n')
        (self.home / "bin/systemctl").chmod(0o755)
        self.unit: Unit | None = None

    def _settings(self) -> dict[str, str]:
        """podman's, as .ci/podman has them, but for the places."""
        kept = self.home / "containers.conf"
        plain = Path(os.environ["CONTAINERS_CONF"]).read_text()
        kept.write_text(re.sub(r'tmp_dir = ".*"', f'tmp_dir = "{self.home}/run/libpod"', plain))
        storage = self.home / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.home}/storage"\n'
            f'runroot = "{self.home}/run"\n'
        )
        return {
            "CONTAINERS_CONF": str(kept),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "PATH": f"{self.home}/bin{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
        }

    def is_system(self, state: str) -> None:
        """What `systemctl is-system-running` says from now on."""
        (self.home / "is-system").write_text(f"{state}\n")

    def types(self, script: str) -> str:
        """Run it in root's home, and return what it said.  Raises AssertionError."""
        return self.finishes("bash", "-euo", "pipefail", "-c", script)

    def finishes(self, *command: str) -> str:
        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                env=self._env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_LIMIT_S,
                check=False,
            )

        done = self.host.do(work)
        said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"{self.node}: {command} ended with {done.returncode}\n{said}"
        return done.stdout

    def starts(self, command: list[str], output: Path) -> subprocess.Popen[str]:
        def work() -> subprocess.Popen[str]:
            with output.open("a") as file:
                return subprocess.Popen(
                    command,
                    env=self._env,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    text=True,
                )

        return self.host.do(work)

    def systemctl(self, *words: str) -> None:
        """What the guide asks of systemd."""
        match words:
            case ("daemon-reload",):
                if self.unit is not None and not self.unit.is_active:
                    self.unit = None
            case ("enable", "--now", name) | ("start", name):
                self.unit = self.unit or Unit(self, name)
                self.unit.start()
            case ("disable", "--now", _) | ("stop", _):
                self._loaded().stop()
            case ("restart", _):
                self._loaded().stop()
                self._loaded().start()
            case ("reload", _):
                self._loaded().reload()
            case _:
                raise AssertionError(f"systemctl {' '.join(words)} is not played here")

    def _loaded(self) -> Unit:
        assert self.unit is not None, "no unit is loaded"
        return self.unit

    def close(self) -> None:
        if self.unit is not None:
            self.unit.stop()
        self.finishes("podman", "rm", "--all", "--force", "--time", "0")
        mounted = self.finishes("findmnt", "--noheadings", "--list", "--output", "TARGET")
        for place in mounted.split():
            if place.startswith(f"{self.home}/"):
                self.host.run("umount", place)
        self.host.run("umount", "--lazy", "/etc")
        shutil.rmtree(self.home / "storage")  # hundreds of megabytes


class Unit:
    """The unit file as systemd runs it: its commands, its restarts, its end."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self.journal = machine.home / "journal"
        self.exits: list[int] = []
        """How podman has ended, each time."""
        text = machine.finishes("cat", str(UNITS / name)).replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and line[0] not in "#;["]
        self._values = [(key, value) for key, _, value in (line.partition("=") for line in lines)]
        self._process: subprocess.Popen[str] | None = None
        self._watch: threading.Thread | None = None
        self._stopping = threading.Event()

    def all_of(self, key: str) -> list[str]:
        return [value for name, value in self._values if name == key]

    @property
    def is_active(self) -> bool:
        return self._watch is not None and self._watch.is_alive()

    def start(self) -> None:
        assert not self.is_active
        self._stopping.clear()
        self._spawn()
        self._watch = threading.Thread(target=self._keep_up)
        self._watch.start()

    def stop(self) -> None:
        if not self.is_active:
            return
        self._stopping.set()
        for line in self.all_of("ExecStop"):
            self._command(line)
        assert self._watch is not None
        assert self._process is not None
        if self._process.poll() is None:  # it has made no container yet that could be stopped
            self._process.terminate()
        self._watch.join(END_LIMIT_S)
        assert not self._watch.is_alive(), "podman has not ended"

    def reload(self) -> None:
        for line in self.all_of("ExecReload"):
            self._command(line)

    def _keep_up(self) -> None:
        """Restart=on-failure, with RestartPreventExitStatus."""
        (codes,) = self.all_of("RestartPreventExitStatus")
        never = set(map(int, codes.split()))
        while True:
            assert self._process is not None
            code = self._process.wait()
            self.exits.append(code)
            for line in self.all_of("ExecStopPost"):
                self._command(line)
            if code == 0 or code in never or self._stopping.wait(RESTART_S):
                return
            self._spawn()

    def _spawn(self) -> None:
        (line,) = self.all_of("ExecStart")
        self._process = self._machine.starts(self._words(line), self.journal)

    def _command(self, line: str) -> None:
        may_fail = line.startswith("-")
        try:
            self._machine.finishes(*self._words(line.removeprefix("-")))
        except AssertionError:
            if not may_fail:
                raise

    def _words(self, line: str) -> list[str]:
        """A line as systemd splits it: variables of EnvironmentFile, and $$ for one $."""
        variables: dict[str, str] = {}
        for file in self.all_of("EnvironmentFile"):
            for given in self._machine.finishes("cat", file).splitlines():
                key, _, value = given.partition("=")
                variables[key] = value

        filled = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], line)
        return shlex.split(filled.replace("$$", "$"))


def _leave_mounts() -> None:
    """The calling thread mounts for itself alone from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
