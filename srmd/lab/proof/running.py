"""One search for each configuration, on as many cores as are wanted."""

from __future__ import annotations

import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait

from srmd.lab.proof.search import (
    CONFIGURATIONS,
    Bounds,
    Configuration,
    Progress,
    Result,
    Search,
)
from srmd.lab.worker import pool

SHOWN_EVERY_S = 0.5


def run(bounds: Bounds, processes: int = 1) -> list[Result]:
    """One search for each configuration, in their order."""
    if processes == 1:
        return [_search(one, bounds, _Line(str(one))) for one in CONFIGURATIONS]
    with pool(processes) as executor:
        pending: dict[Future[Result], Configuration] = {
            executor.submit(_search, one, bounds): one for one in CONFIGURATIONS
        }
        order = list(pending)
        began_s = time.monotonic()
        left = set(pending)
        while left:
            done, left = wait(left, timeout=SHOWN_EVERY_S, return_when=FIRST_COMPLETED)
            for one in done:
                result = one.result()
                _say(
                    f"{pending[one]}: {result.pairs:,} pairs in {result.seconds:.0f} s",
                    lasting=True,
                )
            _say(f"{time.monotonic() - began_s:5.0f} s, {len(left)} searches to go")
        _say("")
        return [one.result() for one in order]


def _search(
    configuration: Configuration, bounds: Bounds, progress: Progress = lambda *_: None
) -> Result:
    return Search(configuration, bounds, progress).run()


class _Line:
    """Progress of one search."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, reached: int, done: int, what: str) -> None:
        _say(f"{self._name}: {what}: {done:,} of {reached:,} pairs")


def _say(text: str, *, lasting: bool = False) -> None:
    """A line that the next one overwrites; where nobody watches, only those that last."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\n" if lasting else "", file=sys.stderr, flush=True)
    elif lasting:
        print(text, file=sys.stderr, flush=True)
