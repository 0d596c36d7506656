"""The small search, done once for all tests that only look at it."""

from __future__ import annotations

import pytest

from srmd.lab.proof.search import CONFIGURATIONS, Bounds, Search

SMALL = Bounds(faults=0, messages=0, pairs_max=100_000)


@pytest.fixture(scope="session")
def searches() -> list[Search]:
    """One of each configuration, run."""
    found = [Search(configuration, SMALL) for configuration in CONFIGURATIONS]
    for search in found:
        search.run()
    return found
