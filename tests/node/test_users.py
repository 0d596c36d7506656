"""Whom a move concerns."""

from __future__ import annotations

import pytest

from srmd.node.users import Picture, moved_count

AT_B = Picture(db_id="1", serving=(("a", "b"), ("b", "b")), assigned=(("a", 5), ("b", 3)))
HOME = {"a": "a", "b": "b"}


@pytest.mark.parametrize("me,count", [("a", 5), ("b", 0)])
def test_users_are_paced_by_the_node_that_they_come_to(me: str, count: int) -> None:
    """After a fallback node b only writes down that the users of a are at home."""
    assert moved_count(HOME, AT_B, me=me) == count
