"""The simulated stage: every scenario on the very core, in virtual time, with Cisco's timers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from srmd.lab.scenario.configured import configured, timers_of
from srmd.lab.scenario.running import AT_HOME, missing
from srmd.lab.scenario.stage import Look, StageBroken
from srmd.lab.scenario.story import Settings
from srmd.lab.scenario.verbs import NETWORK_FAULTS, Verb
from srmd.lab.simulated.flows import Outcome
from srmd.lab.simulated.journals import Journals
from srmd.lab.simulated.node import Costs
from srmd.lab.simulated.orders import Operator
from srmd.lab.simulated.pair import Pair, Stepped, cisco_defaults
from srmd.shown import written
from srmd.store.database import AssignmentMode

LOOKS_PER_INTERVAL: Final = 16
"""The longest step between two looks is this part of the keep alive interval; changes are looked at
when they happen."""
INTERVALS_MIN: Final = 2
"""Of a keep alive timeout, as the configuration demands."""
HISTORY_MAX: Final = 10_000
"""Decisions that are kept for the reader of a failure."""


class SimulatedStage:
    """Plays one scenario after the other, each on a pair of its own."""

    name = "simulated"

    def __init__(self, *, seed: int, costs: Costs | None = None) -> None:
        self.simulated_s = 0.0
        """Of all pairs that were played on."""
        self._seed = seed
        self._costs = costs or Costs()
        self._pair: Pair | None = None
        self._operator: Operator | None = None
        self._journals: Journals | None = None
        self._decisions: deque[str] = deque(maxlen=HISTORY_MAX)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop()

    @property
    def pair(self) -> Pair:
        assert self._pair is not None, "prepare comes first"
        return self._pair

    @property
    def timers(self) -> Mapping[str, float]:
        return self._timers

    def unfit(self, settings: Settings) -> str | None:
        """Timers in plain seconds may contradict Cisco's."""
        timers = settings.timers_of(timers_of(cisco_defaults()))
        timeout_s, interval_s = timers["keep_alive_timeout"], timers["keep_alive_interval"]
        if timeout_s < INTERVALS_MIN * interval_s:
            right = f"{INTERVALS_MIN} intervals of {interval_s:g} s are the least"
            return f"keep_alive_timeout: {timeout_s:g} s; {right}: write it in terms of them"
        return None

    def prepare(self, settings: Settings) -> None:
        """A new pair of these settings, in row 1.  Raises StageBroken."""
        self._drop()
        config = configured(cisco_defaults(), settings)
        self._timers = timers_of(config)
        self._step_s = self._timers["keep_alive_interval"] / LOOKS_PER_INTERVAL
        self._pair = pair = Pair(config, seed=self._seed, costs=self._costs)
        pair.watchers.append(self._note)
        self._journals = Journals(pair)
        self._operator = Operator(pair)
        pair.start()
        limit_s = pair.now_s + 2 * self._timers["initialization_keep_alive_timeout"]
        self._until_at_home(limit_s)
        users = settings.users
        added: Outcome[None] = Outcome()
        mode = AssignmentMode(users.mode.value)
        pair.a.asked(lambda boot: boot.add_users(users.count, mode, "user"), added)
        added.result()
        self._until_at_home(limit_s + self._timers["keep_alive_timeout"], users.count)

    def evidence(self) -> dict[str, str]:
        decisions = "".join(f"{line}\n" for line in self._decisions)
        journals = self._journals.texts() if self._journals is not None else {}
        return {"decisions.log": decisions, **journals}

    def cannot(self, verb: Verb) -> str | None:  # noqa: ARG002 -- other stages look at it
        """Everything can be done here."""
        return None

    def now_s(self) -> float:
        return self.pair.now_s

    def look(self) -> Look:
        """On to the next change, if one comes within a step."""
        self.pair.advance(self.pair.now_s + self._step_s)
        return self.pair.look()

    def begin(self, verb: Verb) -> Doing:
        assert self._operator is not None, "prepare comes first"
        return Doing(self._operator.begin(verb))

    def lift(self, verb: Verb) -> Doing:
        assert isinstance(verb, NETWORK_FAULTS), verb
        assert self._operator is not None, "prepare comes first"
        self._operator.lift(verb)
        done: Outcome[None] = Outcome()
        done.succeed(None)
        return Doing(done)

    def heal(self) -> None:
        if self._operator is not None:
            self._operator.heal()

    def _until_at_home(self, limit_s: float, count: int = 0) -> None:
        """All users are at home, and both nodes know all of them."""
        while True:
            look = self.look()
            if look.users_counts == [count, count] and not missing(AT_HOME, look):
                return
            if self.pair.now_s >= limit_s:
                raise StageBroken(f"the pair is not at home within {limit_s:g} s: {look}")

    def _note(self, stepped: Stepped) -> None:
        if stepped.changes_state:
            self._decisions.append(_line(stepped))

    def _drop(self) -> None:
        if self._pair is not None:
            self.simulated_s += self._pair.now_s
        self._pair = self._operator = None
        self._decisions.clear()


class Doing:
    """A verb under way."""

    def __init__(self, outcome: Outcome[None]) -> None:
        self._outcome = outcome

    def done(self) -> bool:
        """Raises what it failed with."""
        if self._outcome.done:
            self._outcome.result()
        return self._outcome.done


def _line(stepped: Stepped) -> str:
    before, after = stepped.before, stepped.result.node
    was, now = written((before.state, before.reason)), written((after.state, after.reason))
    return (
        f"{stepped.at_s:12.4f} s  {stepped.node.value}  {was} -> {now}"
        f"  (op {after.op}: {type(stepped.event).__name__}, {stepped.result.why})"
    )
