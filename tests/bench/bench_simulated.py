"""What virtual time is worth: an hour of a pair, a scenario, a week of detection alone.

Beside each is a heap that carries out as many actions and does nothing in them: what no simulator
of discrete moments can be faster than.
"""

from __future__ import annotations

from collections.abc import Callable

from srmd.config import shipped
from srmd.lab.faultproxy.datagrams import PacketLoss
from srmd.lab.faultproxy.pipeline import Pipeline, Placed
from srmd.lab.faultproxy.seeds import substream
from srmd.lab.scenario import load
from srmd.lab.scenario.running import Play, Verdict
from srmd.lab.simulated.detection import listen
from srmd.lab.simulated.moments import Moments, Rank
from srmd.lab.simulated.pair import Pair
from srmd.lab.simulated.stage import SimulatedStage
from tests.bench.figure import Figure, in_turns

HOUR_S, WEEK_S = 3600.0, 7 * 86_400.0
INTERVAL_S, TIMEOUT_S = 15.0, 60.0
ROUNDS, QUICK_ROUNDS = 10, 1


def run(*, quick: bool = False) -> list[Figure]:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    return [_hour(rounds), _scenario(rounds), _detection(rounds)]


def _hour(rounds: int) -> Figure:
    pair = Pair(seed=1)
    pair.start()
    pair.run_until(HOUR_S)
    before = pair.moments.count
    pair.run_until(2 * HOUR_S)
    actions = pair.moments.count - before
    ours, beside = in_turns(
        rounds, lambda: pair.run_until(pair.now_s + HOUR_S), lambda: _bare(actions)
    )
    note = f"{HOUR_S / ours.median_s:,.0f} simulated s a second, {actions} actions an hour"
    return Figure(
        name="an hour of a pair, Cisco's timers",
        ours=ours,
        beside_name="its heap alone",
        beside=beside,
        note=note,
    )


def _scenario(rounds: int) -> Figure:
    scenario = load(shipped() / "scenarios" / "row-16-peer-down.toml")
    with SimulatedStage(seed=1) as stage:

        def played() -> int:
            stage.prepare(scenario.settings)
            result = Play("bench", scenario, stage, lambda _line: None).run()
            assert result.verdict is Verdict.PASSED, result.why
            return stage.pair.moments.count

        actions = played()
        ours, beside = in_turns(rounds, played, lambda: _bare(actions))
    note = f"{1 / ours.median_s:.0f} scenarios a second"
    return Figure(
        name="row-16-peer-down, its pair included",
        ours=ours,
        beside_name="its heap alone",
        beside=beside,
        note=note,
    )


def _detection(rounds: int) -> Figure:
    def listened() -> None:
        pipeline = Pipeline()
        loss = PacketLoss(loss_rate=0.1)
        pipeline.add(0.0, Placed("loss", loss, 1.0, substream(1, "bench")))
        listen(pipeline, interval_s=INTERVAL_S, timeout_s=TIMEOUT_S, for_s=WEEK_S)

    beats = int(WEEK_S / INTERVAL_S)
    ours, beside = in_turns(rounds, listened, lambda: _bare(beats))
    note = f"{WEEK_S / 86_400 / ours.median_s:,.0f} simulated days a second, one link"
    return Figure(
        name="a week of detection, 10% loss",
        ours=ours,
        beside_name="its heap alone",
        beside=beside,
        note=note,
    )


def _bare(count: int) -> None:
    """So many actions, each of which only plans the next."""
    moments = Moments()
    left = count

    def act() -> None:
        nonlocal left
        left -= 1
        if left > 0:
            moments.at(moments.now_s + 1, Rank.WORK, act)

    action: Callable[[], None] = act
    moments.at(1.0, Rank.WORK, action)
    moments.run_until(count + 1.0)
