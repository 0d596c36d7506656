"""SRM's own memory survives whatever happens while it is written, and never guesses."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.core.states import Reason, State
from srmd.store import nodestate
from srmd.store.nodestate import (
    DamagedMemory,
    NodeMemory,
    StateDirLocked,
    load,
    lock_state_dir,
    save,
)

MEMORY = NodeMemory(
    node_id="a",
    state=State.BACKUP,
    reason=Reason.PEER_DOWN,
    cause=Reason.PEER_DOWN,
    op=7,
    since="2026-11-22T10:00:00+09:00",
    ha=True,
    ha_stamp=3,
    incarnation=12,
    boot_id="8f0c",
    os_boot_id="77aa",
    clean_stop=False,
    peer_heartbeat_mark={"boot_id": "4242", "sequence": 99},
)
NEWER = replace(MEMORY, state=State.FALLING_BACK, op=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / nodestate.NODE_FILE


def loaded(path: Path) -> NodeMemory:
    found = load(path)
    assert found is not None
    assert found.note is None
    return found.memory


def test_what_was_saved_is_loaded(path: Path) -> None:
    save(path, MEMORY)
    assert loaded(path) == MEMORY


def test_a_new_node_remembers_nothing(path: Path) -> None:
    assert load(path) is None


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    save(path, MEMORY)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_previous_memory_stands_in_for_a_damaged_one_and_says_so(path: Path) -> None:
    save(path, MEMORY)
    save(path, NEWER)
    path.write_bytes(path.read_bytes().replace(b'"op": 8', b'"op": 9'))
    found = load(path)
    assert found is not None
    assert found.memory == MEMORY
    assert found.note is not None
    assert "the checksum does not match the content" in found.note


def test_the_previous_memory_stands_in_for_a_missing_one(path: Path) -> None:
    save(path, MEMORY)
    save(path, NEWER)
    path.unlink()
    found = load(path)
    assert found is not None
    assert (found.memory, found.note is not None) == (MEMORY, True)


def test_a_save_after_damage_keeps_the_good_previous_file(path: Path) -> None:
    """The damaged file must not rotate over the only good one: a crash before the next rename
    would then leave none."""
    save(path, MEMORY)
    save(path, NEWER)
    path.write_bytes(b"")
    save(path, NEWER)
    path.unlink()
    found = load(path)
    assert found is not None
    assert found.memory == MEMORY


@pytest.mark.parametrize(
    "content, what",
    [
        (b"", "not JSON"),
        (b"\x00" * 512, "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b" " * (nodestate.FILE_BYTES_MAX + 1), "larger than"),
        (b"[]", "not a node memory"),
        (b'{"schema": "1", "memory": {}}', "schema: '1' is not a number"),
        (b'{"schema": 1, "sha256": "00", "memory": {}}', "checksum"),
    ],
)
def test_damage_without_a_previous_file_is_an_error(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DamagedMemory, match=what) as caught:
        load(path)
    assert caught.value.path == path
    assert "the node then starts as new" in caught.value.way_out


def test_both_files_damaged_is_an_error_that_names_both(path: Path) -> None:
    path.write_bytes(b"x")
    nodestate.previous_of(path).write_bytes(b"y")
    with pytest.raises(DamagedMemory, match=r"node\.json: not JSON .* node\.json\.1 as well"):
        load(path)


def rewritten(path: Path, change: Callable[[dict[str, object]], object], schema: int = 1) -> None:
    """Change the content and give it a right checksum, as only a program of ours would."""
    inner = json.loads(path.read_bytes())["memory"]
    change(inner)
    checksum = nodestate._checksum(schema, inner)
    path.write_text(json.dumps({"schema": schema, "sha256": checksum, "memory": inner}))


@pytest.mark.parametrize(
    "name, value, what",
    [
        ("op", -1, "op: -1 is negative"),
        ("op", True, "op: True is not of type int"),
        ("op", "7", "op: '7' is not of type int"),
        ("ha", 1, "ha: 1 is not of type bool"),
        ("state", "down", "state: 'down' is not a state of a node"),
        ("reason", "boredom", "reason: 'boredom' is not a reason"),
        ("node_id", None, "node_id: None is not of type str"),
        ("peer_control_mark", [], r"peer_control_mark: \[\] is not of type dict"),
    ],
)
def test_a_field_that_makes_no_sense_is_damage(
    path: Path, name: str, value: object, what: str
) -> None:
    save(path, MEMORY)
    rewritten(path, lambda inner: inner.update({name: value}))
    with pytest.raises(DamagedMemory, match=what):
        load(path)


def test_a_file_of_a_newer_srmd_is_refused_even_beside_a_good_old_one(path: Path) -> None:
    save(path, MEMORY)
    save(path, NEWER)
    future = nodestate.SCHEMA + 1
    rewritten(path, lambda inner: inner.update(reader_min=future), schema=future)
    here = f"schema {future} can be read from schema {future} on, and this srmd has {future - 1}"
    with pytest.raises(DamagedMemory, match=f"{here}; start the srmd that wrote it"):
        load(path)


@pytest.mark.parametrize("least", [None, "1", True])
def test_a_file_of_a_newer_srmd_that_does_not_tell_who_reads_it_is_refused(
    path: Path, least: object
) -> None:
    save(path, MEMORY)
    future = nodestate.SCHEMA + 1

    def change(inner: dict[str, object]) -> None:
        del inner["reader_min"]
        if least is not None:
            inner["reader_min"] = least

    rewritten(path, change, schema=future)
    with pytest.raises(DamagedMemory, match="start the srmd that wrote it"):
        load(path)


def test_a_file_of_a_newer_srmd_is_read_where_it_tells_so_without_what_is_new(path: Path) -> None:
    save(path, MEMORY)
    future = nodestate.SCHEMA + 1
    added: dict[str, object] = {"reader_min": nodestate.SCHEMA, "moods": {"a": ["calm"]}}
    rewritten(path, lambda inner: inner.update(added), schema=future)
    assert loaded(path) == MEMORY
    save(path, NEWER)
    written = json.loads(path.read_bytes())
    assert (written["schema"], "moods" in written["memory"]) == (nodestate.SCHEMA, False)
    assert loaded(path) == NEWER


def test_a_file_of_an_older_schema_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, MEMORY)
    rewritten(path, lambda inner: inner.update(cause_of_state=inner.pop("cause")), schema=0)
    with pytest.raises(DamagedMemory, match="schema 0 is unknown"):
        load(path)
    monkeypatch.setitem(
        nodestate.MIGRATIONS, 0, lambda inner: {**inner, "cause": inner["cause_of_state"]}
    )
    assert loaded(path) == MEMORY


CALLS_IN_A_SAVE = {
    "os.open": 2,
    "os.fsync": 2,
    "Path.unlink": 1,
    "Path.hardlink_to": 1,
    "Path.replace": 2,
}


def break_call(
    monkeypatch: pytest.MonkeyPatch, step: str, nth: int, error: BaseException
) -> list[str]:
    """Make the nth call of this step raise; the list tells whether it did."""
    owner = os if step.startswith("os.") else Path
    name = step.partition(".")[2]
    real = getattr(owner, name)
    calls: list[str] = []

    def broken(*args: object, **kwargs: object) -> object:
        calls.append(step)
        if len(calls) == nth:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, broken)
    return calls


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("step", CALLS_IN_A_SAVE)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()])
def test_a_save_cut_off_at_any_step_leaves_the_old_memory_or_the_new(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, nth: int, error: BaseException
) -> None:
    save(path, replace(MEMORY, op=6))
    save(path, MEMORY)
    with monkeypatch.context() as patch:
        calls = break_call(patch, step, nth, error)
        if step == "Path.unlink":  # nothing to remove is the usual case
            path.with_name(path.name + ".1.tmp").touch()
        if nth > CALLS_IN_A_SAVE[step]:
            save(path, NEWER)
            assert len(calls) == CALLS_IN_A_SAVE[step]
        else:
            with pytest.raises(type(error)):
                save(path, NEWER)
    assert loaded(path) in (MEMORY, NEWER)
    save(path, NEWER)
    assert loaded(path) == NEWER


def test_the_content_is_synced_before_it_gets_its_name_and_the_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss of power, which no test can stage, is survived by this order alone."""
    save(path, MEMORY)
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        order.append("sync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        real_fsync(fd)

    def replace_(self: Path, target: Path) -> Path:
        order.append(target.name)
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace_)
    save(path, NEWER)
    assert order == ["sync file", "node.json.1", "node.json", "sync directory"]


def test_a_full_disk_leaves_the_old_memory_and_no_litter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path, MEMORY)
    with monkeypatch.context() as patch:
        break_call(patch, "os.fsync", 1, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            save(path, NEWER)
    assert loaded(path) == MEMORY
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_memory_too_large_to_load_is_not_saved(path: Path) -> None:
    save(path, MEMORY)
    huge = replace(MEMORY, peer_control_mark={"text": "x" * nodestate.FILE_BYTES_MAX})
    with pytest.raises(ValueError, match="at most 65536"):
        save(path, huge)
    assert loaded(path) == MEMORY


def test_a_state_directory_has_one_owner(tmp_path: Path) -> None:
    state_dir = tmp_path / "new" / "a"
    with lock_state_dir(state_dir) as lock:
        assert lock.state_dir == state_dir
        with pytest.raises(StateDirLocked, match=f"in use by process {os.getpid()}") as caught:
            lock_state_dir(state_dir)
        assert (caught.value.state_dir, caught.value.pid) == (state_dir, os.getpid())
    lock_state_dir(state_dir).release()


def test_an_owner_that_has_not_said_who_it_is_still_owns(tmp_path: Path) -> None:
    with lock_state_dir(tmp_path):
        (tmp_path / nodestate.LOCK_FILE).write_text("")
        with pytest.raises(StateDirLocked, match="in use by another process") as caught:
            lock_state_dir(tmp_path)
    assert caught.value.pid is None


def test_the_lock_ends_with_a_killed_owner(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from srmd.store.nodestate import lock_state_dir\n"
        "lock = lock_state_dir(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "locked\n"
        with pytest.raises(StateDirLocked) as caught:
            lock_state_dir(tmp_path)
        assert caught.value.pid == owner.pid
        owner.kill()
        owner.wait()
    lock_state_dir(tmp_path).release()
