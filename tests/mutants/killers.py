"""What may notice that a rule is broken, quickest first.

None of them compares the rules with a copy of their text or of their table: a golden file that
differs says that something changed, not that it is wrong.

All imports of what uses the rules are inside the functions: the broken rules have to come first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import hypothesis  # noqa: F401 # conftest.py needs it; imported once here, it is there for all
import pytest
import pytest_asyncio  # noqa: F401 # likewise

import srmd.log  # noqa: F401 # likewise
from srmd.config import shipped
from srmd.lab.scenario import load_all
from srmd.lab.scenario.story import Scenario

CORE: Final = Path(__file__).parents[1] / "core"
LOOKS_AT_THE_TABLE_ITSELF: Final = (
    "test_every_cell_that_decides_is_exercised_by_a_row_or_a_playbook"
)
KEPT: Final = "test_every_promise_is_kept_on_every_step_of_the_search"
SEED: Final = 1
PLANS: Final = 100
"""Of each phase of the random search."""
PAIRS_MAX: Final = 20_000
"""The small search of the true rules reaches some 3,000 pairs."""


class First:
    """The first test that failed."""

    name: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.name is None:
            self.name = report.nodeid.rpartition("::")[2]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.name is None:
            self.name = f"{Path(report.nodeid).name} does not load"


def ask_the_stories() -> str | None:
    """The playbooks, and the documented rows with two nodes."""
    return _asked("test_playbooks.py", "test_rows.py")


def ask_the_kernel() -> str | None:
    """What holds in every state, with the true table."""
    return _asked("test_table.py")


def ask_the_promises() -> str | None:
    """What one node promises, on every step of random plans."""
    return _asked(f"test_promises.py::{KEPT}")


def _asked(*tests: str) -> str | None:
    """The first of these tests of the core that fails."""
    first = First()
    words = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-o", "timeout=0"]
    words += ["--deselect", f"tests/core/test_table.py::{LOOKS_AT_THE_TABLE_ITSELF}"]
    result = pytest.main([*words, *(str(CORE / test) for test in tests)], [first])
    assert result is pytest.ExitCode.OK or first.name, f"{tests} did not run: {result!r}"
    return first.name


@cache
def scenarios() -> list[Scenario]:
    """Read once, before there are broken rules."""
    return load_all([shipped() / "scenarios"])


def ask_the_scenarios() -> str | None:
    """Every scenario file, in virtual time, until one does not pass."""
    from srmd.lab.scenario.running import Verdict
    from srmd.lab.simulated.stage import SimulatedStage
    from srmd.lab.suite import play_all

    with SimulatedStage(seed=SEED) as stage:
        for scenario in scenarios():
            for result in play_all([scenario], stage, lambda _line: None):
                if result.verdict is not Verdict.PASSED:
                    return result.name
    return None


def ask_the_random_search() -> str | None:
    """The plans of tests/core/test_search.py."""
    from tests.core import test_search

    for phase in (
        test_search.repair_and_go_home,
        test_search.stay_broken,
        test_search.lose_one_way,
    ):
        told, _ = test_search.search(phase, PLANS)
        if told is not None:
            return told.partition("\n")[0]
    return None


def ask_the_search() -> str | None:
    """`srmd prove` with its small bound, and without M1.

    M1 asks of the search whether it leaves out what a rule reads: a broken rule that does so is not
    known by it to be wrong.  And it asks five times as many questions as all the others.
    """
    from srmd.lab.proof.properties import Property
    from srmd.lab.proof.search import CONFIGURATIONS, Bounds, Search

    of_the_rules = frozenset(Property) - {Property.M1}
    bounds = Bounds(faults=0, messages=0, pairs_max=PAIRS_MAX, asks=of_the_rules)
    for configuration in CONFIGURATIONS:
        result = Search(configuration, bounds).run()
        if result.broken:
            return ", ".join(sorted(law.name for law in result.broken))
        if not result.complete:
            return "the pairs are more than there can be"
    return None


KILLERS: Final[dict[str, Callable[[], str | None]]] = {
    "story": ask_the_stories,
    "test of every state": ask_the_kernel,
    "scenario": ask_the_scenarios,
    "property": ask_the_search,
    "promise": ask_the_promises,
    "random plan": ask_the_random_search,
}


def ask_all() -> Iterator[tuple[str, str | None]]:
    """The killers by name, each with what it says; what they raise is said too.

    The name comes first, with None, so that one that never ends has a name.
    """
    for name, ask in KILLERS.items():
        yield name, None
        try:
            told = ask()
        except Exception as broken:  # noqa: BLE001 # rules that raise are noticed
            told = f"{type(broken).__name__}: {broken}".partition("\n")[0]
        if told is not None:
            yield name, told
            return


def quieten() -> None:
    """What the killers print is of no interest here."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
