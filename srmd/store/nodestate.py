"""What SRM itself remembers over a restart: one small file per node, `state_dir/node.json`.

It is not kept in the user database, because SRM must decide and remember while the database is
down.  The rules of the file:

- A save is whole or absent: written beside, synced, renamed over, the directory synced.
- The file carries a checksum and a schema version; what does not fit is damage, never a guess.
- It tells the oldest schema whose readers understand it (`reader_min`).  Such a reader passes over
  facts that it does not know, and its next save leaves them out: so a node goes back to the srmd
  that it had before (docs/versions.md).
- The last good file stays as `node.json.1`.  It stands in for a damaged one, and the caller is
  told, because the node may then have forgotten its last transition.
- One process at a time owns the directory (`lock_state_dir`).

All of this is ours; Cisco does not document how SRM remembers.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from srmd.core.states import OWN_STATES, Reason, State
from srmd.store import durable

NODE_FILE = "node.json"
LOCK_FILE = "lock"
SCHEMA = 1
READER_MIN = 1
"""The oldest schema whose readers understand our files.  A fact that is added leaves it as it is,
and its absence is understood too.  A fact that changes its meaning, or a new state or reason,
raises it to `SCHEMA`: then there is no way back."""
FILE_BYTES_MAX = 64 * 1024
"""A file that is larger was not written by us."""

JsonObject = dict[str, object]

MIGRATIONS: dict[int, Callable[[JsonObject], JsonObject]] = {}
"""From the schema of the key to the next one.  Add a step with each new schema, never edit one."""


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """All that a node must know to go on where it was."""

    node_id: str
    state: State
    reason: Reason
    cause: Reason
    op: int
    since: str
    """Wall-clock time (ISO 8601) of the last transition: shown to people, never compared."""
    ha: bool
    ha_stamp: int
    incarnation: int
    boot_id: str
    """Identity of this start of SRM."""
    os_boot_id: str
    """Identity of this boot of the node."""
    clean_stop: bool
    peer_heartbeat_mark: JsonObject | None = None
    """The newest heartbeat accepted, as the wire describes it: older ones are replays."""
    peer_control_mark: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A memory that was read.  `note` is set when it is not the newest one: log it."""

    memory: NodeMemory
    note: str | None = None


class DamagedMemory(Exception):
    """The node's memory cannot be trusted; an administrator decides."""

    def __init__(self, path: Path, what: str, way_out: str) -> None:
        super().__init__(f"{path}: {what}; {way_out}")
        self.path = path
        self.what = what
        self.way_out = way_out


class StateDirLocked(Exception):
    """Another process owns the state directory.  `pid` is None when it has not said who it is."""

    def __init__(self, state_dir: Path, pid: int | None) -> None:
        owner = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{state_dir}: in use by {owner}; stop it, or give this node a state_dir of its own"
        )
        self.state_dir = state_dir
        self.pid = pid


def load(path: Path) -> Loaded | None:
    """What the node remembers, or None when it never saved anything.

    Falls back to the previous file when the newest is damaged or missing, and says so in `note`.
    Raises DamagedMemory when neither is good, or when a newer srmd wrote the file; OSError when
    the disk cannot be read.
    """
    previous = previous_of(path)
    try:
        memory = _read(path)
        if memory is not None:
            return Loaded(memory)
        damage = "missing"
    except _Damage as error:
        damage = str(error)
    try:
        memory = _read(previous)
    except _Damage as error:
        raise DamagedMemory(
            path,
            f"{damage}, and {previous.name} as well: {error}",
            "restore one of them from a copy, or remove both: the node then starts as new",
        ) from error
    if memory is not None:
        return Loaded(memory, f"{path}: {damage}; went on with the previous memory, {previous}")
    if damage == "missing":
        return None
    raise DamagedMemory(
        path, damage, "restore it from a copy, or remove it: the node then starts as new"
    )


def save(path: Path, memory: NodeMemory) -> None:
    """Make the memory durable: when this returns it survives kill -9 and loss of power.

    Raises OSError as it comes.  Whatever happens, and at whatever point the process dies, `load`
    then finds the old memory or the new one.
    """
    assert memory.state in OWN_STATES, memory.state
    encoded = _encode(memory)
    if len(encoded) > FILE_BYTES_MAX:
        raise ValueError(f"{path}: a memory of {len(encoded)} bytes (at most {FILE_BYTES_MAX})")
    durable.write(path, encoded, before=partial(_keep_previous, path))


def previous_of(path: Path) -> Path:
    return path.with_name(path.name + ".1")


class StateDirLock:
    """Exclusive ownership of a state directory, until `release` or the end of the process."""

    def __init__(self, state_dir: Path, fd: int) -> None:
        self.state_dir = state_dir
        self._fd: int | None = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def lock_state_dir(state_dir: Path) -> StateDirLock:
    """Own the directory (made if missing), or raise StateDirLocked with the owner's process id.

    The lock belongs to the open file, so it ends with the process, however that ends; the lock
    file itself stays and only names the last owner.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    except BlockingIOError:
        owner = os.read(fd, 32).strip()
        os.close(fd)
        raise StateDirLocked(state_dir, int(owner) if owner.isdigit() else None) from None
    except BaseException:
        os.close(fd)
        raise
    return StateDirLock(state_dir, fd)


class _Damage(Exception):
    """One file is not a memory; the text says what is wrong with it."""


def _read(path: Path) -> NodeMemory | None:
    """The memory in this file, None when there is no file.  Raises _Damage."""
    try:
        with path.open("rb") as file:
            encoded = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(encoded) > FILE_BYTES_MAX:
        raise _Damage(f"larger than {FILE_BYTES_MAX} bytes")
    try:
        outer = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise _Damage(f"not JSON ({error})") from error
    if not isinstance(outer, dict) or not isinstance(outer.get("memory"), dict):
        raise _Damage("not a node memory (a JSON object with `schema`, `sha256` and `memory`)")
    schema, inner = outer.get("schema"), outer["memory"]
    if type(schema) is not int:
        raise _Damage(f"schema: {schema!r} is not a number")
    if outer.get("sha256") != _checksum(schema, inner):
        raise _Damage("the checksum does not match the content")
    if schema > SCHEMA:
        least = inner.get("reader_min", schema)
        if type(least) is not int or least > SCHEMA:
            # The older file beside it may be readable, but would silently undo what was done since.
            raise DamagedMemory(
                path,
                f"schema {schema} can be read from schema {least} on, and this srmd has {SCHEMA}",
                "start the srmd that wrote it",
            )
    while schema < SCHEMA:
        if schema not in MIGRATIONS:
            raise _Damage(f"schema {schema} is unknown")
        inner = MIGRATIONS[schema](inner)
        schema += 1
    return _decode(inner)


def _decode(inner: JsonObject) -> NodeMemory:
    def field(name: str, kind: type) -> object:
        value = inner.get(name)
        if type(value) is not kind:
            raise _Damage(f"{name}: {value!r} is not of type {kind.__name__}")
        return value

    def text(name: str) -> str:
        return cast(str, field(name, str))

    def count(name: str) -> int:
        value = cast(int, field(name, int))
        if value < 0:
            raise _Damage(f"{name}: {value} is negative")
        return value

    def flag(name: str) -> bool:
        return cast(bool, field(name, bool))

    def mark(name: str) -> JsonObject | None:
        return None if inner.get(name) is None else cast(JsonObject, field(name, dict))

    def reason(name: str) -> Reason:
        value = text(name)
        try:
            return Reason(value)
        except ValueError:
            raise _Damage(f"{name}: {value!r} is not a reason") from None

    state = _STATES.get(text("state"))
    if state is None:
        raise _Damage(f"state: {inner['state']!r} is not a state of a node")
    return NodeMemory(
        node_id=text("node_id"),
        state=state,
        reason=reason("reason"),
        cause=reason("cause"),
        op=count("op"),
        since=text("since"),
        ha=flag("ha"),
        ha_stamp=count("ha_stamp"),
        incarnation=count("incarnation"),
        boot_id=text("boot_id"),
        os_boot_id=text("os_boot_id"),
        clean_stop=flag("clean_stop"),
        peer_heartbeat_mark=mark("peer_heartbeat_mark"),
        peer_control_mark=mark("peer_control_mark"),
    )


_STATES = {state.name.lower(): state for state in OWN_STATES}


def _encode(memory: NodeMemory) -> bytes:
    inner = _written(memory)
    outer = {"schema": SCHEMA, "sha256": _checksum(SCHEMA, inner), "memory": inner}
    return json.dumps(outer, indent=1).encode() + b"\n"


def _written(memory: NodeMemory) -> JsonObject:
    return {
        "reader_min": READER_MIN,
        "node_id": memory.node_id,
        "state": memory.state.name.lower(),
        "reason": memory.reason.value,
        "cause": memory.cause.value,
        "op": memory.op,
        "since": memory.since,
        "ha": memory.ha,
        "ha_stamp": memory.ha_stamp,
        "incarnation": memory.incarnation,
        "boot_id": memory.boot_id,
        "os_boot_id": memory.os_boot_id,
        "clean_stop": memory.clean_stop,
        "peer_heartbeat_mark": memory.peer_heartbeat_mark,
        "peer_control_mark": memory.peer_control_mark,
    }


def _checksum(schema: int, inner: JsonObject) -> str:
    canonical = json.dumps([schema, inner], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _keep_previous(path: Path) -> None:
    """Give the current file a second name, so that the next rename does not destroy it.

    A damaged one is not kept: it would take the place of the good memory it was loaded from.
    """
    try:
        if _read(path) is None:
            return
    except (_Damage, DamagedMemory):
        return
    second = path.with_name(path.name + ".1.tmp")
    with suppress(FileNotFoundError):
        second.unlink()
    second.hardlink_to(path)
    second.replace(previous_of(path))
