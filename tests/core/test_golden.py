"""Each change of behaviour is a difference in a golden file, for a person to read.

`make golden` rewrites the files; commit them only if you can explain each line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from srmd import tables
from srmd.core.events import EVENTS
from srmd.core.states import OWN_STATES
from srmd.core.texts import STATES

TESTS = Path(__file__).parent.parent
GOLDEN = TESTS / "golden"
DOCS = TESTS.parent / "docs" / "state-machine.md"
BEGIN, END = "<!-- diagrams: begin (make golden) -->\n", "<!-- diagrams: end -->"


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    # The option is unknown when the whole test suite is run: this conftest is then loaded late.
    return bool(request.config.getoption("--golden", default=False))


@pytest.mark.parametrize(
    "name,written",
    [
        ("matrix.txt", tables.matrix_text),
        ("edges.json", tables.edges_json),
        ("diagrams.md", tables.diagrams),
        ("states.md", tables.states_md),
    ],
)
def test_the_table_is_as_it_was_when_somebody_last_read_it(
    name: str, written: Callable[[], str], rewrite: bool
) -> None:
    file = GOLDEN / name
    if rewrite:
        file.write_text(written(), encoding="utf-8")
    assert written() == file.read_text(encoding="utf-8"), f"{name} differs: see `make golden`"


def test_the_documentation_shows_the_diagrams_of_the_golden_file(rewrite: bool) -> None:
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    shown, after = rest.split(END)
    if rewrite:
        shown = f"\n{tables.diagrams()}\n"
        DOCS.write_text(before + BEGIN + shown + END + after, encoding="utf-8")
    assert shown.strip() == tables.diagrams().strip(), f"{DOCS.name} differs: see `make golden`"


def test_the_matrix_has_a_line_for_each_state_and_event() -> None:
    assert len(tables.cells()) == len(OWN_STATES) * len(EVENTS) == 204


def test_each_edge_is_in_exactly_one_diagram() -> None:
    drawn = [
        edge for name in tables.PHASES for edge in tables.edges() if tables.phase(edge) == name
    ]
    assert sorted(map(str, drawn)) == sorted(map(str, tables.edges()))


@pytest.mark.parametrize("format_", tables.FORMATS)
def test_each_format_names_every_state_of_a_node(format_: tables.Format) -> None:
    text = tables.render(format_)
    assert text.endswith("\n")
    assert [state for state in OWN_STATES if STATES[state].en not in text] == []


def test_the_json_is_complete() -> None:
    table = json.loads(tables.render("json"))
    assert (len(table["states"]), len(table["cells"])) == (13, 204)
    assert len(table["edges"]) == len(tables.edges())
