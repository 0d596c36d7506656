"""Many seeds at once: in this process, on all cores, or on a Dask cluster.

A seed alone goes out and a plain value comes back, so that processes may be spawned anywhere where
this very srmd is installed.  In flight are never more batches than a bound.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from typing import Any, Final

from srmd import __version__
from srmd.lab.chance.drawing import drawn
from srmd.lab.chance.trial import Found, tried
from srmd.lab.worker import pool

BATCH: Final = 8
"""Seeds that go out together: about a second of work."""
BATCHES_IN_FLIGHT: Final = 4
"""For each worker."""
DASK: Final = "dask://"
DASK_CONNECT_LIMIT_S: Final = 10.0
DASK_NOT_INSTALLED: Final = "`pip install srmd[dask]` brings it, here and on the workers"


class NoExecutor(Exception):
    """Where to search cannot be had; the message says why, and the way out."""


def of_seeds(seeds: Sequence[int], version: str = __version__) -> list[Found]:
    """What the stories of these seeds show.  Raises NoExecutor where another srmd would play."""
    if version != __version__:
        raise NoExecutor(f"a worker has srmd {__version__}, and {version} asks: install the same")
    return [tried(seed, drawn(seed)) for seed in seeds]


def search(seeds: Sequence[int], executor: Executor | None, workers: int = 1) -> Iterator[Found]:
    """What each seed shows, as it becomes known; in order, without an executor."""
    batches = iter([seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)])
    if executor is None:
        for seed in seeds:
            yield tried(seed, drawn(seed))
        return
    waiting: set[Future[list[Found]]] = set()
    while True:
        while len(waiting) < workers * BATCHES_IN_FLIGHT and (batch := next(batches, None)):
            waiting.add(executor.submit(of_seeds, tuple(batch), __version__))
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield from future.result()


@contextmanager
def cores(count: int) -> Iterator[tuple[Executor | None, int]]:
    """As many processes; one is this very process."""
    if count == 1:
        yield None, 1
        return
    with pool(count) as executor:
        yield executor, count


@contextmanager
def dask(address: str) -> Iterator[tuple[Executor, int]]:
    """A cluster whose scheduler listens there: `host:port`.  Raises NoExecutor."""
    if importlib.util.find_spec("distributed") is None:
        raise NoExecutor(f"--executor {DASK}{address}: Dask is not installed: {DASK_NOT_INSTALLED}")
    # Late: it takes a second, and only those who ask for it have it.  It has no types.
    distributed: Any = importlib.import_module("distributed")
    try:
        client = distributed.Client(f"tcp://{address}", timeout=DASK_CONNECT_LIMIT_S)
    except (OSError, ValueError) as failed:
        right = f"{DASK}HOST:PORT of a running `dask scheduler`"
        raise NoExecutor(f"--executor {DASK}{address}: {failed}; give {right}") from failed
    with client:
        threads = sum(client.ncores().values())
        if threads == 0:
            raise NoExecutor(f"--executor {DASK}{address}: no worker; start `dask worker` there")
        yield client.get_executor(), threads
