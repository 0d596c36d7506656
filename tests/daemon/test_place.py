"""Both nodes of a starting pair place their users with the same op, and neither fails for it."""

from __future__ import annotations

import pytest

from srmd.node.users import place
from srmd.store.database import LowerOp, Placement
from srmd.store.memory import MemoryUserDatabase

EACH_HOME = {"a": "a", "b": "b"}


def test_a_lost_tie_with_the_same_goal_is_no_failure() -> None:
    """The peer's placement came first: op 1 of b outranks op 1 of a.  a was Failed for it once."""
    database = MemoryUserDatabase()
    database.merge_placement([Placement("a", "a", 1, "b"), Placement("b", "b", 1, "b")])
    place(database, EACH_HOME, 1, "a")
    assert {row.by for row in database.placements()} == {"b"}


def test_a_later_order_to_another_place_is_a_failure() -> None:
    database = MemoryUserDatabase()
    database.merge_placement([Placement("a", "b", 7, "b")])
    with pytest.raises(LowerOp):
        place(database, EACH_HOME, 1, "a")
