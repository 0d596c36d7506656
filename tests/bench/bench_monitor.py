"""What it costs to ask the promises on a step, beside the step itself.

A node decides on a heartbeat some times a second; a transition is rare.
"""

from __future__ import annotations

from srmd.core.events import Event, PeerDown, PeerHeard
from srmd.core.promises import broken_by
from srmd.core.states import Reason, State
from srmd.core.transitions import step
from tests.bench.figure import Figure, in_turns
from tests.play import a_node, a_report

BATCH_COUNT = 500
"""Steps a round.  One alone takes microseconds: too little for a clock."""
ROUNDS, QUICK_ROUNDS = 40, 2

NORMAL = a_node(State.NORMAL, Reason.NORMAL, peer=a_report(State.NORMAL))


def run(*, quick: bool = False) -> list[Figure]:
    """Promises asked, and the step alone; both of BATCH_COUNT steps."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    return [
        _figure("promises asked, a heartbeat", PeerHeard(a_report(State.NORMAL)), rounds),
        _figure("promises asked, a take-over", PeerDown(), rounds),
    ]


def _figure(name: str, event: Event, rounds: int) -> Figure:
    result = step(NORMAL, event)

    def ask() -> None:
        for _ in range(BATCH_COUNT):
            broken_by(NORMAL, event, result)

    def decide() -> None:
        for _ in range(BATCH_COUNT):
            step(NORMAL, event)

    asked, decided = in_turns(rounds, ask, decide)
    each_ns = asked.median_s / BATCH_COUNT * 1e9
    step_ns = decided.median_s / BATCH_COUNT * 1e9
    return Figure(
        name=f"{name} ({BATCH_COUNT}x)",
        ours=asked,
        beside_name="the step alone",
        beside=decided,
        note=f"{each_ns:,.0f} ns a step; the step alone {step_ns:,.0f} ns",
    )
