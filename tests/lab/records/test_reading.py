"""Nothing that a file holds is fatal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from srmd.lab.records.cutting import since
from srmd.lab.records.page import as_html, as_text
from srmd.lab.records.reading import Unusable, read
from srmd.lab.records.timeline import timeline
from tests.lab.records.written import Written

KEYS = [
    "at_s",
    "event",
    "node",
    "level",
    "mono_s",
    "proxy",
    "toxic",
    "name",
    "boot",
    "then",
    "beats",
    "dropped",
    "wall",
    "service",
    "state",
    "enabled",
    "attributes",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 50)
    | st.floats(allow_nan=True)
    | st.text(max_size=5)
    | st.sampled_from(["a", "service.changed", "toxic.added", "proxy.changed", "journal.began"]),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from(KEYS), of, max_size=5),
    max_leaves=8,
)
LINES = st.lists(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=7).map(json.dumps)
    | st.text(max_size=30),
    max_size=12,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pair")
    pair = Written(made).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=LINES)
def test_whatever_stands_in_a_file_the_rest_is_drawn(folder: Path, lines: list[str]) -> None:
    text = "\n".join(lines)
    (folder / "strange.jsonl").write_text(text, errors="replace")
    records = read([folder])
    line = timeline(records)
    assert as_html(line)
    assert as_text(line, "ja")
    assert records.closing()
    since(text, 5.0)


def test_a_pipe_or_a_folder_without_records_is_no_place_to_look(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unusable, match="neither a file nor a folder"):
        read([tmp_path / "pipe"])
    assert read([tmp_path]).journals == []


def test_no_file_is_read_twice(folder: Path) -> None:
    once = read([folder])
    again = read([folder, folder / "node-a", folder / "node-a" / "log.jsonl", folder])
    assert len(once.files) == len(again.files)


def test_what_else_a_node_keeps_is_no_record(tmp_path: Path) -> None:
    """`srmd why FOLDER` told of 2 damaged and 56 foreign lines: those of state/node.json.1."""
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    state = pair.a.folder / "state"
    for name in ("node.json", "node.json.1", "other.json", "node.json.tmp"):
        (state / name).write_text('{\n "schema": 1,\n "memory": {}\n}\n')
    (pair.b.folder / "state" / "journal.jsonl").rename(pair.b.folder / "state" / "away")
    (pair.b.folder / "state" / "node.json").write_text("{}")
    for folder in (tmp_path, pair.a.folder, state):
        found = read([folder])
        assert (found.damaged, found.foreign) == ([], [])
        assert [file.name for file in found.files if file.suffix != ".jsonl"] == []


@pytest.mark.parametrize("name", ["node.json", "node.json.1"])
def test_a_file_that_is_one_object_is_one_foreign_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{\n "schema": 1,\n "memory": {}\n}\n')
    found = read([tmp_path / name])
    assert [str(one) for one in found.foreign] == [
        f"{tmp_path / name}:1: neither a play nor its stage"
    ]
