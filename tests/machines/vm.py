"""A virtual machine of QEMU with srmd in it, on a tap of a host's bridge.

    with VirtualMachine("a", lab, image, folder, disk) as a:
        a.power_on()
        a.run("date -s @0")         # in the machine
        a.qmp("set_link", name="n0", up=False)
        a.cut_power()

The processor is emulated (tcg), so it works where there is no KVM, slowly.
Source: QEMU Machine Protocol reference (qapi), version 7.2.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.machines.debian import KEPT, MachineError, root_file_system, run
from tests.netns.hosts import Host

LABINIT: Final = Path(__file__).with_name("labinit.sh")
DISK_MB: Final = 900
NODE_DISK_MB: Final = 128
MEMORY_MB: Final = 384
BOOT_LIMIT_S = 150.0
COMMAND_LIMIT_S = 60.0
END_LIMIT_S = 15.0
IMAGE_LIMIT_S = 300.0
BRIDGE: Final = "br0"
ADDRESSES: Final = {"a": "10.80.0.1", "b": "10.80.0.2"}
LAB_ADDRESS: Final = "10.80.0.254"
PREFIX: Final = 24


def image() -> Path:
    """The common disk, read only for all machines.  The first call makes it."""
    root = root_file_system()
    key = hashlib.sha256(LABINIT.read_bytes() + root.name.encode()).hexdigest()[:8]
    made = KEPT / f"vm-{key}.img"
    if made.exists():
        return made
    tree, disk = KEPT / f"tree-{os.getpid()}", KEPT / f"disk-{os.getpid()}"
    try:
        run("cp", "-a", root, tree, limit_s=IMAGE_LIMIT_S)
        shutil.copy(LABINIT, tree / "sbin" / "labinit")
        (tree / "sbin" / "labinit").chmod(0o755)
        _file_system(tree, disk, DISK_MB)
        disk.rename(made)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        disk.unlink(missing_ok=True)
    return made


def node_disk(tree: Path, disk: Path) -> Path:
    """The disk of one node, with srmd, its configuration and its state: it outlives a power cut."""
    return _file_system(tree, disk, NODE_DISK_MB)


def _file_system(tree: Path, disk: Path, size_mb: int) -> Path:
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, disk, f"{size_mb}M", limit_s=IMAGE_LIMIT_S)
    return disk


def add_bridge(lab: Host) -> None:
    """What all machines are plugged into, and the lab itself."""
    lab.run("ip", "link", "add", BRIDGE, "type", "bridge")
    lab.run("ip", "addr", "add", f"{LAB_ADDRESS}/{PREFIX}", "dev", BRIDGE)
    lab.run("ip", "link", "set", BRIDGE, "up")


class VirtualMachine:
    """One machine; as a context it leaves no process behind."""

    def __init__(self, node: str, lab: Host, image: Path, folder: Path, disk: Path) -> None:
        self.node = node
        self._lab = lab
        self._image = image
        self._disk = disk
        self._console = folder / f"console-{node}.log"
        self._qmp_path = folder / f"qmp-{node}"
        self._shell_path = folder / f"shell-{node}"
        self._qmp: _Lines | None = None
        self._shell: _Lines | None = None
        self._qemu: subprocess.Popen[bytes] | None = None
        tap = f"tap-{node}"
        lab.run("ip", "tuntap", "add", tap, "mode", "tap")
        lab.run("ip", "link", "set", tap, "master", BRIDGE, "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._qemu is not None:
            self._qemu.kill()
            self._ended()

    def power_on(self) -> None:
        """Switch on; `wait_until_up` waits."""
        assert self._qemu is None, f"machine {self.node} is on"
        root = root_file_system()
        for path in (self._qmp_path, self._shell_path):
            path.unlink(missing_ok=True)
        number = sorted(ADDRESSES).index(self.node) + 1
        append = (
            "console=ttyS0 root=/dev/vda rw panic=-1 quiet mitigations=off net.ifnames=0 "
            f"init=/sbin/labinit lab.address={ADDRESSES[self.node]}/{PREFIX}"
        )
        command = (
            *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max"),
            *("-m", str(MEMORY_MB), "-display", "none", "-nodefaults", "-no-reboot"),
            *("-kernel", str(root / "vmlinuz"), "-initrd", str(root / "initrd.img")),
            *("-append", append, "-monitor", "none", "-serial", f"file:{self._console}"),
            *("-chardev", f"socket,id=shell,path={self._shell_path},server=on,wait=off"),
            *("-serial", "chardev:shell"),
            *("-qmp", f"unix:{self._qmp_path},server=on,wait=off"),
            "-drive",
            f"file={self._image},if=virtio,format=raw,snapshot=on,cache=unsafe",
            *("-drive", f"file={self._disk},if=virtio,format=raw,cache=unsafe"),
            *("-netdev", f"tap,id=n0,ifname=tap-{self.node},script=no,downscript=no"),
            "-device",
            f"virtio-net-pci,netdev=n0,mac=52:54:00:00:00:0{number},romfile=",
        )
        self._qemu = self._lab.do(
            lambda: subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        self._qmp = self._connected(self._qmp_path)
        self._shell = self._connected(self._shell_path)
        self._qmp.line(END_LIMIT_S)  # its greeting
        self.qmp("qmp_capabilities")

    def wait_until_up(self) -> None:
        """Its shell answers.  Raises MachineError."""
        self._talk().until("ready", BOOT_LIMIT_S)

    def cut_power(self) -> None:
        """At once; what was not written to the disk is lost."""
        assert self._qmp is not None
        self._qmp.say(json.dumps({"execute": "quit"}))
        self._ended()

    def qmp(self, command: str, **arguments: Any) -> None:
        """Tell the machine's hardware something.  Raises MachineError."""
        assert self._qmp is not None, f"machine {self.node} is off"
        self._qmp.say(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self._qmp.line(COMMAND_LIMIT_S))
            if "return" in answer:
                return
            if "error" in answer:
                raise MachineError(f"{command} {arguments}: {answer['error']}")

    def run(self, command: str) -> str:
        """Run a line in the machine's own shell, as root.  Raises MachineError."""
        talk = self._talk()
        talk.say(command)
        said = talk.until("exit ", COMMAND_LIMIT_S)
        if said[-1] != "exit 0":
            raise MachineError(f"machine {self.node}: {command}: {' '.join(said)}")
        return "\n".join(said[:-1])

    def _talk(self) -> _Lines:
        assert self._shell is not None, f"machine {self.node} is off"
        return self._shell

    def _connected(self, path: Path) -> _Lines:
        assert self._qemu is not None
        give_up_s = time.monotonic() + END_LIMIT_S
        while True:
            try:
                return _Lines(path, self._tail)
            except OSError as error:
                if self._qemu.poll() is not None and self._qemu.stderr is not None:
                    said = self._qemu.stderr.read().decode(errors="replace")
                    raise MachineError(f"machine {self.node}: QEMU ended: {said}") from error
                if time.monotonic() >= give_up_s:
                    raise MachineError(f"machine {self.node}: {path.name}: {error}") from error
            time.sleep(0.05)

    def _ended(self) -> None:
        assert self._qemu is not None
        for lines in (self._qmp, self._shell):
            if lines is not None:
                lines.close()
        try:
            self._qemu.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._qemu.kill()
            self._qemu.wait(END_LIMIT_S)
        if self._qemu.stderr is not None:
            self._qemu.stderr.close()
        self._qemu = self._qmp = self._shell = None

    def _tail(self) -> str:
        said = self._console.read_text(errors="replace") if self._console.exists() else ""
        return f"--- the console of machine {self.node} ends:\n{said[-3000:]}"


class _Lines:
    """Lines over a socket of QEMU, with a limit on each wait."""

    def __init__(self, path: Path, tail: Callable[[], str]) -> None:
        self._tail = tail
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._rest = b""

    def say(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")

    def line(self, limit_s: float) -> str:
        """The next line.  Raises MachineError."""
        give_up_s = time.monotonic() + limit_s
        while b"\n" not in self._rest:
            self._socket.settimeout(max(0.01, give_up_s - time.monotonic()))
            try:
                piece = self._socket.recv(65_536)
            except TimeoutError as error:
                text = f"no answer within {limit_s:g} s\n{self._tail()}"
                raise MachineError(text) from error
            if not piece:
                raise MachineError(f"the machine has ended\n{self._tail()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace").strip()

    def until(self, word: str, limit_s: float) -> list[str]:
        """All lines up to the first that begins so."""
        give_up_s = time.monotonic() + limit_s
        said: list[str] = []
        while not said or not said[-1].startswith(word):
            said.append(self.line(give_up_s - time.monotonic()))
        return said

    def close(self) -> None:
        self._socket.close()
