"""How often SRM goes above a number that it has forgotten."""

from __future__ import annotations

from srmd.node.identity import Renumbering


def test_a_lost_memory_is_made_good_at_once_and_then_with_growing_pauses() -> None:
    """Two pairs whose addresses were crossed in a ring restarted SRM three times a second."""
    renumbering = Renumbering()
    begun = [at for at in range(3600) if renumbering.begin(float(at)) == 0]
    assert begun == [0, 60, 180, 420, 900, 1500, 2100, 2700, 3300]


def test_a_start_that_has_to_wait_says_how_long_at_most() -> None:
    renumbering = Renumbering()
    assert [renumbering.begin(at) for at in (0.0, 11.0, 60.0, 61.0)] == [0.0, 60.0, 0.0, 120.0]
