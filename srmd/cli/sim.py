"""`srmd sim`: stories drawn from seeds, played in virtual time, on all cores."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json
from srmd.cli.parser import SEEDS
from srmd.cli.reader import until_reader_goes
from srmd.lab.chance.drawing import drawn
from srmd.lab.chance.many import DASK, NoExecutor, cores, dask, search
from srmd.lab.chance.shrinking import NOT_INSTALLED, can_shrink, shrunk
from srmd.lab.chance.summary import Summary
from srmd.lab.chance.trial import Found, tried
from srmd.lab.chance.writing import as_toml

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from srmd.lab.scenario import Scenario

Options = argparse.Namespace

FRESH_MAX = 2**31
"""Seeds that nobody chose are below."""
SHRUNK_MAX = 5
"""Failures that are shrunk; the others are given by their seeds."""
PROGRESS_S = 0.2


def sim(options: Options) -> int:
    """0: all properties were asked and held; 1: one did not, or was never asked; 2: wrong usage."""
    return until_reader_goes(lambda: _sim(options))


def _sim(options: Options) -> int:
    if options.files:
        return _files(options)
    if options.seed is not None:
        return _one(options)
    count = options.seeds or SEEDS
    first = options.first or secrets.randbelow(FRESH_MAX) + 1
    _tell(f"seeds {first} to {first + count - 1}: with --from {first} all happens again")
    summary = Summary()
    begun_s = time.perf_counter()
    try:
        with _executor(options) as (executor, workers):
            seeds = range(first, first + count)
            for found in _shown(search(seeds, executor, workers), count):
                summary.add(found)
    except NoExecutor as none:
        raise Failure(Exit.USAGE, f"sim: {none}") from none
    except BrokenProcessPool as broken:
        right = "one worker was killed, perhaps for want of memory: try fewer --jobs"
        raise Failure(Exit.USAGE, f"sim: {broken}; {right}") from broken
    took_s = time.perf_counter() - begun_s
    print(as_json(summary.as_plain()) if options.json else summary.as_text())
    speed = summary.simulated_s / 3600 / took_s
    _tell(f"took {took_s:.1f} s: {speed:.1f} simulated hours a second")
    _failures(summary.failures, options)
    if summary.never_asked:
        missing = ", ".join(summary.never_asked)
        _tell(f"never asked, so nothing is known of them: {missing}; try more --seeds")
    return Exit.FAILED if summary.failures or summary.never_asked else Exit.OK


def _executor(options: Options) -> AbstractContextManager[tuple[Executor | None, int]]:
    if options.executor is None:
        return cores(options.jobs or os.cpu_count() or 1)
    if not options.executor.startswith(DASK):
        raise NoExecutor(f"--executor {options.executor}: unknown; write {DASK}HOST:PORT")
    if options.jobs is not None:
        raise NoExecutor("--jobs: the cluster has its own workers; leave it out")
    return dask(options.executor.removeprefix(DASK))


def _one(options: Options) -> int:
    """One story, told as it goes."""
    for name in ("seeds", "first", "jobs", "executor"):
        if getattr(options, name) is not None:
            word = "--from" if name == "first" else f"--{name}"
            raise Failure(Exit.USAGE, f"sim: {word}: not beside --seed, which is one story")
    scenario = drawn(options.seed)
    found = tried(options.seed, scenario, transcript=True)
    print("\n".join(found.transcript))
    _failures([found] if found.failed else [], options)
    return Exit.FAILED if found.failed else Exit.OK


def _files(options: Options) -> int:
    """Scenario files, under the eyes of all properties."""
    from srmd.lab.scenario import ScenarioError, load_all

    if options.seed is None:
        raise Failure(Exit.USAGE, "sim: FILE: give --seed too, that of the chances in it")
    try:
        scenarios = load_all(map(Path, options.files))
    except ScenarioError as bad:
        raise Failure(Exit.USAGE, str(bad)) from bad
    failed = False
    for name, scenario in (play for one in scenarios for play in one.plays()):
        found = tried(options.seed, scenario)
        verdict = f"failed: {found.broken}: {found.why}" if found.failed else "held"
        print(f"{name}: {verdict}")
        failed = failed or found.failed
    return Exit.FAILED if failed else Exit.OK


def _failures(failures: Sequence[Found], options: Options) -> None:
    """Each with its seed, and the shortest story that fails as it did."""
    for number, found in enumerate(failures):
        _tell(f"\nseed {found.seed} failed: {found.broken}: {found.why}")
        _tell(f"  again: srmd sim --seed {found.seed}")
        scenario = drawn(found.seed)
        best = found
        if options.no_shrink or number >= SHRUNK_MAX:
            pass
        elif can_shrink():
            best = shrunk(found, scenario)
        else:
            _tell(f"  {NOT_INSTALLED}")
        steps = len(best.played.steps)
        text = as_toml(best.played, _comments(best))
        if options.keep is None:
            _tell(f"  the story, {steps} steps:\n\n{text}")
        else:
            _tell(f"  the story, {steps} steps: {_kept(best.played, text, Path(options.keep))}")


def _comments(found: Found) -> list[str]:
    return [
        "What a random search found, written by srmd sim.",
        f"Broken is {found.broken}: {found.why}",
        f"Again, with all properties: srmd sim --seed {found.seed} THIS_FILE",
        f"By its own rules: srmd lab run --stage simulated --seed {found.seed} THIS_FILE",
    ]


def _kept(scenario: Scenario, text: str, folder: Path) -> Path:
    path = folder / scenario.path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as failed:
        raise Failure(Exit.USAGE, f"sim: --keep {folder}: {failed.strerror}") from failed
    return path


def _shown(found: Iterator[Found], count: int) -> Iterator[Found]:
    """A line that grows, where somebody looks."""
    if not sys.stderr.isatty():
        yield from found
        return
    failed, next_s = 0, 0.0
    for number, one in enumerate(found, start=1):
        yield one
        failed += one.failed
        if time.monotonic() >= next_s or number == count:
            next_s = time.monotonic() + PROGRESS_S
            bar = "#" * (30 * number // count)
            print(
                f"\r[{bar:<30}] {number} of {count}, {failed} failed",
                end="" if number < count else "\n",
                file=sys.stderr,
                flush=True,
            )


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
