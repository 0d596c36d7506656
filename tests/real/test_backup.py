"""`srmd backup` of a running node, and what becomes of a backup that is put back."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from srmd.cli import main
from srmd.cli.exits import Exit
from srmd.lab.pair import LabPair
from tests.real.conftest import records

USERS = 10
HOME = {"a": USERS // 2, "b": USERS // 2}
NORMAL = "Normal/Normal"
BACKUP = "Running in Backup Mode/On Admin Request"


def test_a_backup_of_a_running_node_is_put_back_and_known_as_a_copy(tmp_path: Path) -> None:
    """Also where the database was not opened anew between backup and return; users that came
    afterwards come back from the peer, and the numbers of operations go on."""
    with LabPair() as pair:
        pair.wait_for(a=NORMAL, b=NORMAL)
        pair.a.client.generate_users(USERS, "balanced", "user")
        pair.wait_until("served", lambda: pair.served() == HOME)
        state = pair.b.folder / "state"
        words = ["backup", str(tmp_path / "kept"), "--state-dir", str(state), "--keep", "2"]
        for _ in range(3):
            assert main(words) == Exit.OK
        kept = sorted((tmp_path / "kept").iterdir())
        assert len(kept) == 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}
        pair.a.client.generate_users(2, "balanced", "later")
        more = {node: count + 1 for node, count in HOME.items()}
        pair.wait_until("more served", lambda: pair.served() == more)
        pair.b.failover()
        pair.wait_for(a=BACKUP, b="Idle/On Admin Request")
        assert pair.b.terminate() == 0
        for file in (*state.glob("node.json*"), *state.glob("users.sqlite3*")):
            file.unlink()
        with tarfile.open(kept[-1]) as archive:
            archive.extractall(state, filter="data")
        pair.b.start()
        pair.wait_until("known as a copy", lambda: bool(records(pair.b, "database.copied")))

        def whole() -> bool:
            statuses = [node.status() for node in pair.nodes]
            return (
                all(one["database"]["agrees_with_peer"] for one in statuses)
                and [one["database"]["users_count"] for one in statuses] == [USERS + 2] * 2
            )

        pair.wait_until("both have all users", whole)
        pair.b.fallback()
        pair.wait_for(a=NORMAL, b=NORMAL)
        pair.wait_until("all are at home", lambda: pair.served() == more)


def test_where_no_state_can_be_copied_nothing_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, kept = tmp_path / "state", tmp_path / "kept"
    state.mkdir()
    words = ["backup", str(kept), "--state-dir", str(state)]
    assert main(words) == Exit.FAILED
    assert "node.json: no node has stored its state there" in capsys.readouterr().err
    (state / "node.json").write_text("{")
    assert main(words) == Exit.FAILED
    assert "no backup was made" in capsys.readouterr().err
    assert list(kept.iterdir()) == []
    assert main([*words, "--keep", "0"]) == Exit.USAGE
    assert "--keep: '0': a number from 1 to 10000 is needed" in capsys.readouterr().err
