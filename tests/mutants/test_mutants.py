"""The mutation run itself: what it breaks, and that a broken rule is noticed and named."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from srmd.core.events import Event
from srmd.core.states import OWN_STATES
from tests.mutants.__main__ import main
from tests.mutants.breaking import Kind, mutants, read
from tests.mutants.known import BEGIN, Unexplained, survivors

TREE = read()
ALL = mutants(TREE)
COMPARED_EVERY = 25
"""Making the source of each mutant would take a minute."""
RUN_S_MAX = 350


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the rules are imported in this one."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
    )


# ---------------------------------------------------------------------------- what is broken


def test_every_guard_and_every_decision_is_broken() -> None:
    functions = {part.name for part in TREE.body if isinstance(part, ast.FunctionDef)}
    broken = {mutant.place for mutant in ALL}
    never_decide = {"move", "stay", "heard", "wait_for_services"}
    assert functions - broken == never_decide
    assert {"may_fail_over", "may_fall_back", "may_recover", "HAS_ACTED", "the table"} <= broken


def test_every_cell_of_the_table_is_broken_once() -> None:
    cells = sum(mutant.kind is Kind.CELL for mutant in ALL)
    assert cells == len(OWN_STATES) * len(get_args(Event))


def test_every_kind_of_break_is_there() -> None:
    assert {mutant.kind for mutant in ALL} == set(Kind)


def test_names_are_unique_and_have_no_lines() -> None:
    names = [str(mutant) for mutant in ALL]
    assert len(set(names)) == len(names)
    moved = ast.increment_lineno(read(), 100)
    assert [str(mutant) for mutant in mutants(moved)] == names


def test_a_mutant_differs_from_the_rules() -> None:
    true = ast.unparse(TREE)
    alike = [str(one) for one in ALL[::COMPARED_EVERY] if one.source(TREE) == true]
    assert alike == []


# ---------------------------------------------------------------------------- survivors


def test_the_explained_survivors_are_mutants_that_exist() -> None:
    assert survivors() - {str(mutant) for mutant in ALL} == set()


@pytest.mark.parametrize(
    "text,why",
    [
        ("- `` f: negated: x ``\n", "f: negated: x: an indented line has to say why"),
        ("- `` f ``\n  One.\n- `` f ``\n  Two.\n", "f: listed twice"),
    ],
)
def test_a_survivor_without_a_reason_of_its_own_is_refused(
    text: str, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "mutants.md"
    file.write_text(f"# Mutants\n\n{BEGIN}\n\n{text}", encoding="utf-8")
    with pytest.raises(Unexplained, match=why):
        survivors(file)


def test_a_missing_list_of_survivors_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unexplained, match=r"none\.md: No such file"):
        survivors(tmp_path / "none.md")


# ---------------------------------------------------------------------------- the command


def test_broken_rules_are_killed_and_the_killer_is_named() -> None:
    """The table's cell is exchanged, the guard's text is: both ways of breaking work."""
    ran = run_python("-m", "tests.mutants", "give_up_starting", "--at-once", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "story: test_r1_users_that_cannot_be_brought_home_at_the_start_fail_the_node" in (
        ran.stdout
    )
    assert "survived" not in ran.stdout


ENDLESS = """
from tests.mutants import running
running.CPU_S_MAX = 1
rules = [("endless", "while True: pass"), ("raising", "1 / 0")]
for name, fate in running.fates(rules, 2):
    print(name, fate)
"""


def test_rules_that_never_end_and_rules_that_do_not_load_are_killed() -> None:
    ran = run_python("-c", ENDLESS)
    assert sorted(ran.stdout.splitlines()) == [
        "endless import: it does not end",
        "raising import: ZeroDivisionError: division by zero",
    ]


@pytest.mark.parametrize(
    "words,told",
    [
        (["may_fly"], "may_fly: nothing of that name is broken; --list has the names"),
        (["--show", "it"], "--show: it: no such mutant; --list has the names"),
        (["--sample", "0"], "--sample: 0 is not a number of mutants (1 or more)"),
        (["--at-once", "0"], "--at-once: 0 is not a number of processes (1 or more)"),
    ],
)
def test_wrong_words_are_explained(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_mutant_is_shown_as_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show", "claim: another target: State.TAKING_OVER"]) == 0
    shown = capsys.readouterr().out
    assert "+    return go(node, State.FAILED_MODE, reason" in shown
