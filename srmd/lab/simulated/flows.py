"""Work that waits, in virtual time: a generator that yields what it waits for.

    def flow() -> Work[int]:
        yield 0.5                  # seconds
        answer = yield other       # the result of another piece of work, or what it raises
        return answer + 1

It belongs to a life: when that ends, it ends, wherever it was.  It fails with one of FAILURES; any
other exception is a defect and ends the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, Union

from srmd.lab.scenario.stage import VerbFailed, VerbRefused
from srmd.lab.simulated.moments import Life
from srmd.store.database import UserDatabaseError

T = TypeVar("T")
Wait = Union[float, "Outcome[Any]"]
Work = Generator[Wait, Any, T]


class WorkFailed(Exception):
    """Something did not succeed, as the world may have it."""


class TimeLimit(WorkFailed):
    """The work has taken as long as it may."""


FAILURES = (WorkFailed, UserDatabaseError, VerbFailed, VerbRefused)


class Outcome(Generic[T]):
    """The result of something, once it is there."""

    def __init__(self) -> None:
        self.done = False
        self._result: T | None = None
        self._error: Exception | None = None
        self._then: list[Callable[[], None]] = []

    def result(self) -> T:
        """Raises what the work raised."""
        assert self.done, "it is not done"
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # done without an error: it is a T

    def succeed(self, result: T) -> None:
        self._end(result, None)

    def fail(self, error: Exception) -> None:
        self._end(None, error)

    def then(self, action: Callable[[], None]) -> None:
        """Called when it is done; at once when it is."""
        if self.done:
            action()
        else:
            self._then.append(action)

    def _end(self, result: T | None, error: Exception | None) -> None:
        """The first end counts: an answer that comes after the time limit is none."""
        if self.done:
            return
        self.done, self._result, self._error = True, result, error
        actions, self._then = self._then, []
        for action in actions:
            action()


class Flow(Outcome[T]):
    """A piece of work under way."""

    def __init__(self, life: Life, work: Work[T], limit_s: float | None = None) -> None:
        super().__init__()
        self._life = life
        self._work = work
        if limit_s is not None:
            life.after(limit_s, lambda: self._stop(TimeLimit(f"not done within {limit_s:g} s")))
        self._go_on(lambda: self._work.send(None))

    def cancel(self) -> None:
        """It goes no further; whoever waits for it waits in vain."""
        self.done = True
        self._work.close()

    def _stop(self, error: Exception) -> None:
        if not self.done:
            self._work.close()
            self.fail(error)

    def _go_on(self, step: Callable[[], Wait]) -> None:
        if self.done or not self._life.alive:
            return
        try:
            wait = step()
        except StopIteration as ended:
            self.succeed(ended.value)
        except FAILURES as error:
            self.fail(error)
        else:
            self._wait_for(wait)

    def _wait_for(self, wait: Wait) -> None:
        if isinstance(wait, Outcome):
            wait.then(lambda: self._go_on(lambda: self._answered(wait)))
        else:
            self._life.after(wait, lambda: self._go_on(lambda: self._work.send(None)))

    def _answered(self, outcome: Outcome[Any]) -> Wait:
        try:
            result = outcome.result()
        except FAILURES as error:
            return self._work.throw(error)
        return self._work.send(result)
