"""Checks paths, interfaces and ports of a configuration on this machine, for `srmd config check`.

`srmd run` does not ask this: a node starts without the program of a service, and says which one.
What no user could use is a problem.  What only this user cannot use is a warning, because the node
may run as another one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path
from urllib.parse import urlsplit

from srmd.config.values import Address, Config
from srmd.strict_toml import Reader, one_of, shown

NETWORK = Path("/proc/sys/net/ipv4")
"""Linux tells here which ports it gives to outgoing connections."""
INTERFACES = Path("/sys/class/net")
MOUNTS = Path("/proc/self/mounts")
OF_THE_KERNEL = frozenset(
    [
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "debugfs",
        "tracefs",
        "securityfs",
        "configfs",
        "devpts",
        "bpf",
        "pstore",
    ]
)
"""File systems in which no user can make a file; `access` says that root may."""
SHEBANG_BYTES_MAX = 256
"""The kernel reads no more of a first line; longer ones are not judged."""


def judge_machine(reader: Reader, config: Config) -> None:
    """Notes folders and files that cannot be, commands that cannot be executed, interfaces that are
    not there, and ports that an outgoing connection may hold."""
    _judge_zones(reader, config)
    _judge_port(reader, "heartbeat.listen", config.heartbeat.listen)
    _judge_port(reader, "control.listen", config.control.listen)
    if reader.fine("node.state_dir"):
        _judge_folder(reader, "node.state_dir", config.node.state_dir)
    if config.log.file is not None and reader.fine("log.file"):
        _judge_file(reader, "log.file", config.log.file)
    for number, service in enumerate(config.services.service, start=1):
        if not service.enabled:
            continue
        commands = {"command": service.command, "health_command": service.health_command}
        for name, command in commands.items():
            key = f"services.service {number}.{name}"
            if command and reader.fine(key):
                _judge_command(reader, key, command[0], config.node.run_dir)


def _judge_zones(reader: Reader, config: Config) -> None:
    """A zone is the name of an interface of this machine, also in the address of the peer."""
    hosts = {
        "heartbeat.listen": config.heartbeat.listen.host,
        "control.listen": config.control.listen.host,
        "peer.heartbeat": config.peer.heartbeat.host,
        "peer.control": urlsplit(config.peer.control).hostname or "",
    }
    for key, host in hosts.items():
        _, _, zone = host.partition("%")
        known = sorted(each.name for each in INTERFACES.glob("*")) if zone else []
        if known and zone not in known and reader.fine(key):
            reader.warn(key, host, f"no interface {zone} is here now; {one_of(known, zone)}")


def _judge_port(reader: Reader, key: str, listen: Address) -> None:
    """An outgoing connection may hold the port when the node starts."""
    try:
        low, high = map(int, (NETWORK / "ip_local_port_range").read_text("ascii").split())
        reserved = (NETWORK / "ip_local_reserved_ports").read_text("ascii").strip()
    except (OSError, ValueError):
        return  # only Linux says it
    spans = [span.partition("-") for span in reserved.split(",") if span]
    kept = any(int(first) <= listen.port <= int(last or first) for first, _, last in spans)
    if low <= listen.port <= high and not kept and reader.fine(key):
        right = (
            f"an outgoing connection of this machine may hold it ({low} to {high} are for them); "
            f"choose another, or sysctl net.ipv4.ip_local_reserved_ports={listen.port}"
        )
        reader.warn(key, str(listen), right)


def _judge_folder(reader: Reader, key: str, path: Path) -> None:
    """A folder that can be written to, or made."""
    there = _nearest(path)
    if not there.is_dir():
        reader.problem(key, str(path), f"{there} is a file; name a folder that is there or can be")
    elif (kind := _file_system(there)) in OF_THE_KERNEL:
        right = f"{there} is of the kernel ({kind}), and takes no files; name another folder"
        reader.problem(key, str(path), right)
    elif not os.access(there, os.W_OK | os.X_OK):
        what = "write to it" if there == path else f"make it below {there}"
        reader.warn(key, str(path), _only_others(f"may not {what}"))


def _judge_file(reader: Reader, key: str, path: Path) -> None:
    """A file that can be appended to, or made."""
    if not _exists(path):
        _judge_folder(reader, key, path.parent)
    elif not path.is_file():
        reader.problem(key, str(path), f"it is {_kind(path.stat().st_mode)}; name a file")
    elif not os.access(path, os.R_OK | os.W_OK):
        reader.warn(key, str(path), _only_others("may not write to it"))


def _judge_command(reader: Reader, key: str, program: str, run_dir: Path) -> None:
    """A program that can be executed, found as `srmd run` will find it."""
    value = shown(program)
    if "/" not in program:
        if shutil.which(program) is None:
            right = f"not found in PATH ({os.environ.get('PATH', '')}); name it with its folder"
            reader.problem(key, value, right)
        return
    path = run_dir / program
    try:
        mode = path.stat().st_mode
    except PermissionError:
        reader.warn(key, value, _only_others("may not look at it"))
        return
    except OSError as failed:
        place = "" if path == Path(program) else f" ({path})"
        right = f"{failed.strerror}{place}; name a program that is there"
        reader.problem(key, value, right)
        return
    if not stat.S_ISREG(mode):
        reader.problem(key, value, f"it is {_kind(mode)}; name a program")
    elif not mode & 0o111:
        reader.problem(key, value, f"it is not executable; chmod +x {path}")
    elif not os.access(path, os.X_OK):
        reader.warn(key, value, _only_others("may not execute it"))
    elif (interpreter := _interpreter(path)) is not None and not _exists(interpreter):
        right = f"its first line names {interpreter}, which is not there"
        reader.problem(key, value, right)


def _interpreter(path: Path) -> Path | None:
    """The program that executes a script; None for what is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.read(SHEBANG_BYTES_MAX)
    except OSError:
        return None
    if not first.startswith(b"#!") or b"\n" not in first:
        return None
    words = first[2:].partition(b"\n")[0].split()
    return Path(os.fsdecode(words[0])) if words else None


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    return next((each for each in (path, *path.parents) if _exists(each)), path)


def _file_system(path: Path) -> str:
    """The kind that holds the path; empty where the system does not tell."""
    try:
        rows = [line.split() for line in MOUNTS.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return ""
    kinds = {row[1]: row[2] for row in rows}  # of two at one place the later one is seen
    real = path.resolve()
    return next((kinds[str(each)] for each in (real, *real.parents) if str(each) in kinds), "")


def _exists(path: Path) -> bool:
    """Something is there, as far as this user may look."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"


def _only_others(what: str) -> str:
    try:
        me = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        me = str(os.geteuid())
    return f"user {me} {what}; the user that runs the node must be able to"
