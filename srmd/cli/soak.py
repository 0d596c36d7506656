"""`srmd lab soak`: endurance under random faults, with a report."""

from __future__ import annotations

import argparse
import importlib.util
import secrets
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from srmd.cli.exits import Exit, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from srmd.lab.soak.running import Endurance

MINUTES: Final = 10.0
MINUTES_MIN: Final = 2.0
"""Less is too short to tell growth from warming up."""
MINUTES_MAX: Final = 60.0 * 8
"""All samples are kept until the end, some 20 MB an hour."""
SEED_MAX: Final = 2**31 - 1
UNFIT: Final = Exit.USAGE
FILES: Final = ("soak.json", "soak.txt", "soak.png", "soak.svg")
NO_PLOT: Final = (
    "no picture: matplotlib is not installed; pip install 'srmd[plot]', or leave it with --no-plot"
)


def add_to(soak: argparse.ArgumentParser) -> None:
    """The options of the word."""
    soak.add_argument(
        "--minutes",
        type=_minutes,
        metavar="N",
        default=MINUTES,
        help=f"how long, from {MINUTES_MIN:g} ({MINUTES:g})",
    )
    soak.add_argument("--seed", type=_seed, metavar="N", help="of the stories; shown at start")
    soak.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help=f"gets {', '.join(FILES)}",
    )
    soak.add_argument("--no-plot", action="store_true", help="no picture in the report")


def soak(
    options: argparse.Namespace, say: Callable[[str], None], shielded: Callable[[], None]
) -> int:
    """0: all bounds kept; 1: one was not, or the pair did not come home; 2: unfit environment.

    `shielded` is called before the pair is cleaned up, which is not to be interrupted.
    """
    from srmd.lab.real.stage import RealStage
    from srmd.lab.scenario.stage import StageBroken
    from srmd.lab.soak import running
    from srmd.lab.soak.report import as_text

    report: Path | None = options.report
    if report is not None:
        _ready(report, plots=not options.no_plot)
    seed = secrets.randbelow(SEED_MAX) + 1 if options.seed is None else options.seed
    say(f"{options.minutes:g} minutes of stories of seed {seed}: --seed {seed} draws them again")
    try:
        with ExitStack() as ended:
            stage = ended.enter_context(RealStage(seed=seed, tell=say))
            ended.callback(shielded)
            run = running.soak(stage, options.minutes, seed, say)
    except StageBroken as broken:
        raise Failure(UNFIT, str(broken)) from broken
    run = running.with_left_behind(run, stage.left_behind)
    say("\n" + as_text(run))
    if report is not None:
        _write(run, report, plots=not options.no_plot)
        say(f"the report is in {report}")
    return Exit.OK if run.passed else Exit.FAILED


def _ready(report: Path, *, plots: bool) -> None:
    """Before the minutes pass: the folder is there, and nothing in it is old.  Raises Failure."""
    if plots and importlib.util.find_spec("matplotlib") is None:
        raise Failure(UNFIT, NO_PLOT)
    try:
        report.mkdir(parents=True, exist_ok=True)
        for name in FILES:  # those of an earlier run are not to be taken for this one's
            (report / name).unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=report):
            pass  # it can be written to
    except OSError as failed:
        raise _no_report(report, failed) from failed


def _write(run: Endurance, report: Path, *, plots: bool) -> None:
    from srmd.lab.soak.report import as_json, as_text

    try:
        (report / "soak.txt").write_text(as_text(run) + "\n", encoding="utf-8")
        (report / "soak.json").write_text(as_json(run), encoding="utf-8")
        if plots:
            from srmd.lab.soak.plot import draw  # matplotlib is slow to import

            draw(run, report)
    except OSError as failed:
        raise _no_report(report, failed) from failed


def _no_report(report: Path, failed: OSError) -> Failure:
    return Failure(UNFIT, f"--report {report}: {failed.strerror}; name a folder to write to")


def _minutes(text: str) -> float:
    with suppress(ValueError):
        minutes = float(text)
        if MINUTES_MIN <= minutes <= MINUTES_MAX:
            return minutes
    raise argparse.ArgumentTypeError(
        f"{text}: a number of minutes from {MINUTES_MIN:g} to {MINUTES_MAX:g} is needed"
    )


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= SEED_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 to {SEED_MAX} is needed")
