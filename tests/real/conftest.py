"""A pair of real daemons that the stories of a module share; each story leaves it in row 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from srmd.lab.pair import LabNode, LabPair, Want

USERS = 200
MOVE_S = 0.5
"""A move of one node's users takes so long, to be seen."""
OVERRIDES = {
    "heartbeat": {"keep_alive_timeout_s": 0.95, "initialization_keep_alive_timeout_s": 2.0},
    "users": {"move_rate_per_s": USERS / 2 / MOVE_S},
}
NORMAL = "Normal/Normal"


@dataclass
class Story:
    """The pair, seen from the home side: `x` is the node whose users move, `y` its backup."""

    pair: LabPair
    x: LabNode
    y: LabNode

    def reaches(self, x: Want | None, y: Want | None, *, within_s: float = 15.0) -> None:
        at_a, at_b = (x, y) if self.x is self.pair.a else (y, x)
        self.pair.wait_for(a=at_a, b=at_b, within_s=within_s)

    def row(self, number: int) -> None:
        """Both nodes name this row of the handbook, one after the other within a bound."""
        for node in (self.x, self.y):
            self.pair.wait_until(
                f"{node.id} in row {number}",
                lambda node=node: node.status()["handbook"]["row"] == number,  # type: ignore[misc]
            )

    def serve(self, x: int, y: int) -> None:
        wanted = {self.x.id: x, self.y.id: y}
        self.pair.wait_until(f"served {wanted}", lambda: self.pair.served() == wanted)

    def ends_at_home(self) -> None:
        """Row 1, each user served by the home node."""
        self.reaches(NORMAL, NORMAL)
        self.row(1)
        self.serve(USERS // 2, USERS // 2)

    def fall_back(self) -> None:
        self.x.fallback()
        self.ends_at_home()


def started(overrides: dict[str, dict[str, float]]) -> LabPair:
    pair = LabPair(overrides)
    try:
        pair.start()
        pair.a.client.generate_users(USERS, "balanced", "user")
        half = USERS // 2
        pair.wait_until("users on both", lambda: pair.served() == {"a": half, "b": half})
    except BaseException:
        pair.close()
        raise
    return pair


@pytest.fixture(scope="module")
def shared() -> Iterator[list[LabPair]]:
    """Holds the pair of a module; a story that left it in disorder has it replaced."""
    pairs = [started(OVERRIDES)]
    yield pairs
    for pair in pairs:
        pair.close()
        assert not pair.left_behind


@pytest.fixture
def pair(shared: list[LabPair]) -> LabPair:
    now = shared[-1].look()
    if any(half is None or half[0].name != "NORMAL" for half in now.values()):
        shared.append(started(OVERRIDES))
    return shared[-1]


@pytest.fixture
def story(pair: LabPair) -> Story:
    return Story(pair, pair.a, pair.b)


@pytest.fixture
def mirrored(pair: LabPair) -> Story:
    """The same with b as the home side."""
    return Story(pair, pair.b, pair.a)
