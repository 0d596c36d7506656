"""A pytest plugin: the fixture `lab`, a running pair that each test may break.

pytest finds it where srmd is installed; a fixture `lab` of your own wins over this one, and
`-p no:srmd-lab` keeps it away.  All tests share one pair while it is healthy.  After each test the
network is healed, and the test fails unless the pair comes back to row 1 with every user at home.

Every run of pytest imports this file, also where nobody asks for a lab: so it imports the lab late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from srmd.lab.api import Lab
    from srmd.lab.real.stage import RealStage
    from srmd.lab.scenario.story import Settings


@pytest.fixture(scope="session")
def lab_stage() -> Iterator[RealStage]:
    """The stage of the session; its pair is started by the first test that asks for `lab`."""
    from srmd.lab.real.stage import RealStage

    with RealStage(tell=print) as stage:
        yield stage
    assert not stage.left_behind, stage.left_behind


@pytest.fixture
def lab_settings() -> Settings:
    """Timers, group and users of the pair.  A module may have a fixture of this name of its own."""
    from srmd.lab.scenario.story import Settings

    return Settings()


@pytest.fixture
def lab(lab_stage: RealStage, lab_settings: Settings) -> Iterator[Lab]:
    """A pair in row 1.  Its story is printed, and pytest shows it when the test fails."""
    __tracebackhide__ = True  # a pair that is not at home is told without our lines
    from srmd.lab.api import Lab

    one = Lab(lab_stage, lab_settings, print)
    try:
        yield one
    finally:
        one.heal()
    one.ends_at_home()
