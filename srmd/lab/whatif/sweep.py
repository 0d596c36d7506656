"""One pair of timers on one line through simulated weeks, and many of them on all cores.

A take-over is false when the peer was alive.  Each direction is listened to by itself, and the next
beat that is heard ends a silence: as if the administrator brought the users home at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from typing import Final

from srmd.lab.faultproxy.seeds import substream
from srmd.lab.simulated.detection import listen
from srmd.lab.whatif.line import YEAR_S, Line, Timers

WEEK_S: Final = 7 * 86400.0
WARM_UP_TIMEOUTS: Final = 4
"""A node that is going to die has been heard for so long."""
SURE: Final = 0.95
"""Of the interval in which the true rate lies."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried."""

    line: Line
    timers: Timers


@dataclass(frozen=True, slots=True)
class Effort:
    """How long it is tried."""

    weeks: float = 4.0
    deaths: int = 1000
    """Nodes that really die, to see how long that takes to be noticed."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Price:
    """What a take-over costs the users; assumptions of ours, to be replaced by those of a site."""

    users: int = 5000
    """Whose home each node is."""
    relogin_s: float = (120 + 537) / 2
    """Mean wait of a client before it logs in again: between Cisco's two limits."""
    deaths_a_year: float = 1.0
    """Of either node."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a case."""

    case: Case
    years: float
    """Simulated, of a pair."""
    false_count: int
    detection_s: tuple[float, ...]
    """From the death of a node to the decision, in ascending order."""

    @property
    def false_per_year(self) -> float:
        return self.false_count / self.years

    @property
    def false_per_year_between(self) -> tuple[float, float]:
        """Where the true rate lies, with 95 % of certainty (exact, for independent events)."""
        low, high = poisson_bounds(self.false_count)
        return low / self.years, high / self.years

    def detection_at_s(self, share: float) -> float:
        """The detection time that so large a share of the deaths does not exceed."""
        index = math.ceil(share * len(self.detection_s)) - 1
        return self.detection_s[max(0, index)]

    def user_minutes_per_year(self, price: Price) -> float:
        """Users times minutes without service, with the expected number of false take-overs.

        A false take-over costs everybody's log-in twice: there and back.  A death costs the
        detection and one log-in, and the way back another.
        """
        false = self.case.line.false_per_year(self.case.timers)
        mean_s = sum(self.detection_s) / len(self.detection_s)
        lost_s = false * 2 * price.relogin_s + price.deaths_a_year * (mean_s + 2 * price.relogin_s)
        return price.users * lost_s / 60


def tried(case: Case, effort: Effort) -> Found:
    """Simulate; the same seed finds the same."""
    interval_s, timeout_s = case.timers.interval_s, case.timers.timeout_s
    for_s = effort.weeks * WEEK_S
    false_count = 0
    for direction in ("a->b", "b->a"):
        listened = listen(
            case.line.pipeline(effort.seed, direction, "life"),
            interval_s=interval_s,
            timeout_s=timeout_s,
            for_s=for_s,
        )
        false_count += len(listened.silences)
    return Found(
        case,
        years=for_s / YEAR_S,
        false_count=false_count,
        detection_s=tuple(sorted(_detections(case, effort))),
    )


def _detections(case: Case, effort: Effort) -> Iterable[float]:
    """How long each death takes to be noticed; a node that counts as down already is noticed."""
    interval_s, timeout_s = case.timers.interval_s, case.timers.timeout_s
    moments = substream(effort.seed, "deaths")
    for number in range(effort.deaths):
        dies_s = WARM_UP_TIMEOUTS * timeout_s + moments.random() * interval_s
        listened = listen(
            case.line.pipeline(effort.seed, "a->b", f"death {number}"),
            interval_s=interval_s,
            timeout_s=timeout_s,
            for_s=dies_s + 2 * timeout_s + case.line.latency_s + case.line.jitter_s,
            dies_s=dies_s,
        )
        yield max(0.0, listened.silences[-1].down_s - dies_s)


def try_all(
    cases: Sequence[Case],
    effort: Effort,
    executor: Executor,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[Found]:
    """All cases, in their order.  `progress` hears how many are done."""
    futures = [executor.submit(tried, case, effort) for case in cases]
    for done, _ in enumerate(as_completed(futures), start=1):
        progress(done)
    return [future.result() for future in futures]


def poisson_bounds(count: int) -> tuple[float, float]:
    """The means between which a count like this one is not surprising (Garwood's interval)."""
    tail = (1 - SURE) / 2
    low = 0.0 if count == 0 else _mean_where(lambda mean: 1 - _at_most(count - 1, mean), tail)
    return low, _mean_where(lambda mean: -_at_most(count, mean), -tail)


def _at_most(count: int, mean: float) -> float:
    """The chance of at most `count` events where `mean` are expected."""
    if mean == 0:
        return 1.0
    logs = (n * math.log(mean) - mean - math.lgamma(n + 1) for n in range(count + 1))
    return math.fsum(math.exp(one) for one in logs)


def _mean_where(grows: Callable[[float], float], value: float) -> float:
    """By halving: 60 steps are more than a float can tell apart."""
    low, high = 0.0, 1.0
    while grows(high) < value:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if grows(middle) < value else (low, middle)
    return high
