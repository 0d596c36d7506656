"""How often SRM goes above a number that it has forgotten."""

from __future__ import annotations

from srmd.node.identity import Renumbering


def test_a_lost_memory_is_made_good_at_once_and_then_with_growing_pauses() -> None:
    """Two pairs whose addresses were crossed in a ring restarted SRM three times a second."""
    renumbering = Renumbering()
    begun = [at for at in range(3600) if renumbering.begin(float(at))]
    assert begun == [0, 60, 180, 420, 900, 1500, 2100, 2700, 3300]
