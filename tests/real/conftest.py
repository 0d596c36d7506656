"""A pair of real daemons that the stories of a module share; each story leaves it in row 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from srmd.lab.pair import PATIENCE_S, LabNode, LabPair, Want
from srmd.shown import pair_of, parse_half

USERS = 200
MOVE_S = 0.5
"""A move of one node's users takes so long, to be seen."""
OVERRIDES = {
    "users": {"move_rate_per_s": USERS / 2 / MOVE_S},
}
NORMAL = "Normal/Normal"


def records(node: LabNode, event: str) -> list[dict[str, Any]]:
    """What the log has of this event.  A thread writes it: what the node shows may not be there
    yet, so a test that wants a record waits for it (`Story.logs`)."""
    lines = node.log_file.read_text().splitlines(keepends=True)
    parsed = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
    return [record for record in parsed if record["event"] == event]


@dataclass
class Story:
    """The pair, seen from the home side: `x` is the node whose users move, `y` its backup."""

    pair: LabPair
    x: LabNode
    y: LabNode

    def reaches(self, x: Want | None, y: Want | None, *, within_s: float = PATIENCE_S) -> None:
        at_a, at_b = (x, y) if self.x is self.pair.a else (y, x)
        self.pair.wait_for(a=at_a, b=at_b, within_s=within_s)

    def passes(self, x: str, y: str, row: int) -> None:
        """Both nodes show this and name this row, seen in one look: they will not stay so."""
        wanted = [(parse_half(half), row) for half in (x, y)]

        def seen() -> bool:
            statuses = [node.status() for node in (self.x, self.y)]
            return wanted == [(pair_of(one)[0].half, one["handbook"]["row"]) for one in statuses]

        self.pair.wait_until(f"{self.x.id} {x}, {self.y.id} {y}, row {row}", seen)

    def logs(self, node: LabNode, event: str, *, beyond: int = 0) -> dict[str, Any]:
        """The newest record of this event, when there are more than `beyond` of them."""
        self.pair.wait_until(f"{node.id} logs {event}", lambda: len(records(node, event)) > beyond)
        return records(node, event)[-1]

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
