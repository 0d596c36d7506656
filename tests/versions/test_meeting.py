"""Two versions of srmd make a pair; one node after the other goes up, and comes back.

On real processes.  The newer version is made of this one (`sources.py`): another version number, a
state file and a database with what this version does not know.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from srmd import __version__
from srmd.lab.pair import LabNode, LabPair
from srmd.store import nodestate
from srmd.store.schema import VERSION
from tests.versions import sources

USERS = 20
HOME = {"a": USERS // 2, "b": USERS // 2}
NORMAL = "Normal/Normal"
IDLE = "Idle/On Admin Request"
BACKUP = "Running in Backup Mode/On Admin Request"


@pytest.fixture
def pair() -> Iterator[LabPair]:
    with LabPair() as pair:
        pair.wait_for(a=NORMAL, b=NORMAL)
        pair.a.client.generate_users(USERS, "balanced", "user")
        serve(pair, HOME)
        yield pair


def serve(pair: LabPair, wanted: dict[str, int]) -> None:
    pair.wait_until(f"served {wanted}", lambda: pair.served() == wanted)


def restarted_from(pair: LabPair, node: LabNode, folder: Path) -> None:
    """As the guide's "A new version": its users are with the peer while it changes, and return."""
    peer = pair.b if node is pair.a else pair.a
    node.failover()
    a, b = (IDLE, BACKUP) if node is pair.a else (BACKUP, IDLE)
    pair.wait_for(a=a, b=b)
    assert node.terminate() == 0
    node.source = folder
    node.start()
    serve(pair, {node.id: 0, peer.id: USERS})
    node.fallback()
    pair.wait_for(a=NORMAL, b=NORMAL)
    serve(pair, HOME)


def shows(pair: LabPair, a: str | None, b: str | None) -> None:
    """Each node tells its own version, and that of its peer as that one told it."""

    def seen() -> bool:
        at_a, at_b = (node.status() for node in pair.nodes)
        own = (at_a["local"]["version"], at_b["local"]["version"])
        told = (at_b["peer"]["version"], at_a["peer"]["version"])
        return told == (a, b) and own == (a or __version__, b or __version__)

    pair.wait_until(f"versions {a}, {b}", seen)


def memory(node: LabNode) -> dict[str, Any]:
    (file,) = node.folder.rglob(nodestate.NODE_FILE)
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def database_version(node: LabNode) -> int:
    (file,) = node.folder.rglob("users.sqlite3")
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_one_node_after_the_other_goes_up_and_comes_back(pair: LabPair, tmp_path: Path) -> None:
    """b, then a; and back in the other order.  All users are served after each step, the numbers of
    operations go on, and nobody forgets a role."""
    ours = pair.a.source
    newer = sources.with_lines(tmp_path, sources.NEWER, sources.OF_A_NEWER_STATE)
    shows(pair, __version__, __version__)
    ops = [op(pair)]
    for node, folder, versions in (
        (pair.b, newer, (__version__, sources.NEWER)),
        (pair.a, newer, (sources.NEWER, sources.NEWER)),
        (pair.a, ours, (__version__, sources.NEWER)),
        (pair.b, ours, (__version__, __version__)),
    ):
        restarted_from(pair, node, folder)
        shows(pair, *versions)
        is_newer = folder is newer
        assert ("from_the_future" in memory(node)["memory"]) is is_newer
        assert memory(node)["schema"] == nodestate.SCHEMA + is_newer
        assert database_version(node) == VERSION + 1  # also after the way back
        ops.append(op(pair))
        assert ops[-1] > ops[-2]
    pair.a.client.generate_users(2, "balanced", "later")
    serve(pair, {"a": USERS // 2 + 1, "b": USERS // 2 + 1})


def op(pair: LabPair) -> int:
    return max(int(node.status()["local"]["op"]) for node in pair.nodes)


def test_a_peer_that_tells_no_version_is_understood_and_understands(
    pair: LabPair, tmp_path: Path
) -> None:
    silent = sources.with_lines(tmp_path, __version__, sources.OF_A_SILENT_ONE)
    restarted_from(pair, pair.b, silent)
    shows(pair, __version__, None)


def test_another_version_of_the_protocol_is_row_24_and_each_says_which_it_speaks(
    pair: LabPair, tmp_path: Path
) -> None:
    other = sources.with_lines(tmp_path, sources.NEWER, sources.OF_ANOTHER_PROTOCOL)
    assert pair.b.terminate() == 0
    pair.wait_for(a="Running in Backup Mode/Peer Down")
    pair.b.source = other
    pair.b.spawn()
    pair.wait_until(
        "b tells the mismatch", lambda: "version" in ((told(pair.b) or {}).get("mismatch") or "")
    )
    assert pair.served()["a"] == USERS  # a healthy backup node goes on


def told(node: LabNode) -> dict[str, Any] | None:
    from srmd.client import ClientError

    try:
        return node.status()
    except ClientError:
        return None
