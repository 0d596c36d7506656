"""`srmd sweep`: other timers, worse lines, through simulated weeks.

A program of its own behind `srmd`, because nobody else needs what it imports.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from srmd.cli.exits import Exit, Failure
from srmd.cli.parser import Parser
from srmd.cli.reader import until_reader_goes
from srmd.lab.scenario.durations import NotADuration, duration
from srmd.lab.whatif.advice import NoAdvice, recommend
from srmd.lab.whatif.line import Line, NoSuchLine, Timers
from srmd.lab.whatif.report import as_csv, as_table, seconds, short
from srmd.lab.whatif.sweep import Case, Effort, Found, Price, try_all
from srmd.lab.worker import pool

Options = argparse.Namespace
CASES_MAX = 1000
WEEKS_MAX = 5200.0
DEATHS_MAX = 100_000
PLOT_ENDINGS = (".png", ".svg")


def sweep(options: Options) -> int:
    """What the root parser hands on."""
    return until_reader_goes(lambda: main(options.arguments))


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    plots: list[Path] = options.plot
    for file in plots:
        if file.suffix not in PLOT_ENDINGS:
            raise Failure(
                Exit.USAGE, f"--plot {file}: a name that ends in {' or '.join(PLOT_ENDINGS)}"
            )
    draw = _drawing() if plots else None
    try:
        cases = _cases(options)
    except (NoSuchLine, NoAdvice) as wrong:
        raise Failure(Exit.USAGE, str(wrong)) from wrong
    if len(cases) > CASES_MAX:
        raise Failure(Exit.USAGE, f"{len(cases)} cases; give fewer values, {CASES_MAX} at most")
    effort = Effort(options.weeks, options.deaths, options.seed)
    price = Price(options.users, options.relogin, options.deaths_a_year)
    try:
        found = _swept(cases, effort, options.jobs)
    except BrokenProcessPool as broken:
        right = "one worker was killed, perhaps for want of memory: try fewer --jobs"
        raise Failure(Exit.USAGE, f"sweep: {broken}; {right}") from broken
    print(as_table(found, price))
    if options.recommend is not None:
        print(_advice(found[0], price, options.recommend))
    try:
        if options.csv is not None:
            options.csv.write_text(as_csv(found, price), encoding="utf-8")
        if draw is not None:
            draw(found, plots)
    except OSError as error:
        raise Failure(Exit.FAILED, f"{error.filename}: {error.strerror}") from error
    return Exit.OK


def parser() -> Parser:
    root = Parser(
        prog="srmd sweep",
        description="Tries timers on lines that lose and delay heartbeats by chance, in virtual"
        " time: how often would a node take over from a peer that lives, and how long does it take"
        " to notice one that died?  Several values, with commas, are tried in all combinations.",
        epilog="example: srmd sweep --loss 1%,5%,10% --timeout 30s,45s,60s --plot sweep.png\n"
        "docs/what-if.md tells what the columns mean",
    )
    line = root.add_argument_group("the line")
    line.add_argument("--loss", type=_several(_share), default="5%", metavar="SHARE", help="(5%%)")
    line.add_argument(
        "--burst",
        type=_several(_number),
        default="1",
        metavar="BEATS",
        help="lost in a row on average (1)",
    )
    line.add_argument(
        "--latency", type=_several(_seconds), default="0s", metavar="TIME", help="(0s)"
    )
    line.add_argument(
        "--jitter", type=_several(_seconds), default="0s", metavar="TIME", help="(0s)"
    )
    timers = root.add_argument_group("the timers")
    timers.add_argument(
        "--interval", type=_several(_seconds), default="15s", metavar="TIME", help="Cisco's: 15s"
    )
    timers.add_argument(
        "--timeout", type=_several(_seconds), default="60s", metavar="TIME", help="Cisco's: 60s"
    )
    timers.add_argument(
        "--recommend",
        type=_number,
        metavar="N",
        help="look for timers with at most N false take-overs a year on this one line",
    )
    effort = root.add_argument_group("how long")
    effort.add_argument(
        "--weeks", type=_number, default=4.0, metavar="N", help="simulated for each case (4)"
    )
    effort.add_argument(
        "--deaths", type=_count, default=1000, metavar="N", help="for the detection time (1000)"
    )
    effort.add_argument(
        "--seed", type=_count, default=1, metavar="N", help="the same seed finds the same (1)"
    )
    effort.add_argument(
        "--jobs",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (one a core)",
    )
    price = root.add_argument_group("the price (assumptions of ours)")
    price.add_argument(
        "--users", type=_count, default=5000, metavar="N", help="at home on each node (5000)"
    )
    price.add_argument(
        "--relogin",
        type=_seconds,
        default=Price().relogin_s,
        metavar="TIME",
        help="mean wait before a client logs in again (between Cisco's limits: 328.5s)",
    )
    price.add_argument(
        "--deaths-a-year", type=_number, default=1.0, metavar="N", help="of nodes (1)"
    )
    out = root.add_argument_group("output")
    out.add_argument("--csv", type=Path, metavar="FILE", help="the table for programs")
    out.add_argument(
        "--plot",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="PNG or SVG; may be repeated (needs matplotlib: pip install srmd[plot])",
    )
    return root


def _cases(options: Options) -> list[Case]:
    lines = [
        Line(*values)
        for values in itertools.product(
            options.loss, options.burst, options.latency, options.jitter
        )
    ]
    if options.recommend is not None:
        if len(lines) != 1:
            raise NoAdvice(
                "--recommend is about one line: give one value each of loss, burst, latency, jitter"
            )
        return [Case(lines[0], timers) for timers in recommend(lines[0], options.recommend)]
    timers = [Timers(*values) for values in itertools.product(options.interval, options.timeout)]
    return [Case(line, one) for line in lines for one in timers]


def _swept(cases: list[Case], effort: Effort, jobs: int) -> list[Found]:
    with pool(min(jobs, len(cases))) as executor:
        return try_all(cases, effort, executor, _progress(len(cases)))


def _progress(total: int) -> Callable[[int], None]:
    if not sys.stderr.isatty():
        return lambda _done: None

    def show(done: int) -> None:
        end = "\r" if done < total else "\r\033[K"
        print(f"{done} of {total} cases", end=end, file=sys.stderr, flush=True)

    show(0)
    return show


def _advice(best: Found, price: Price, target: float) -> str:
    timers = best.case.timers
    expected = best.case.line.false_per_year(timers)
    surely_s = best.detection_at_s(0.99)
    rarely = f"once in {short(1 / expected)} years" if expected else "never, as far as loss goes"
    return (
        f"\nfastest with at most {target:g} false take-overs a year:"
        f" interval {seconds(timers.interval_s)}, timeout {seconds(timers.timeout_s)}\n"
        f"  a false take-over {rarely}; a death is noticed within {seconds(surely_s)} (99 %),"
        f" {seconds(best.detection_at_s(0.5))} (half)\n"
        f"  the price: {1 / timers.interval_s:.3g} heartbeats a second each way, and"
        f" {short(best.user_minutes_per_year(price))} user-minutes a year without service\n"
        "  a timeout of half an interval more than a multiple lets no beat fall on the deadline"
    )


def _drawing() -> Callable[[list[Found], list[Path]], None]:
    try:
        from srmd.lab.whatif.plot import draw
    except ImportError as error:
        raise Failure(
            Exit.USAGE, f"--plot needs matplotlib ({error}): pip install 'srmd[plot]', or use --csv"
        ) from error
    return draw


# ---------------------------------------------------------------------------- words


def _several(one: Callable[[str], float]) -> Callable[[str], list[float]]:
    return lambda text: [one(part.strip()) for part in text.split(",")]


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if 0 <= value < 1:
        return value
    raise argparse.ArgumentTypeError(f"{text}: a share such as 5% or 0.05, below 100%")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value <= WEEKS_MAX:
        return value
    raise argparse.ArgumentTypeError(f"{text}: a number above 0, {WEEKS_MAX:g} at most")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= DEATHS_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 to {DEATHS_MAX}")


def _seconds(text: str) -> float:
    try:
        return duration(text).seconds({})
    except (NotADuration, KeyError) as wrong:
        raise argparse.ArgumentTypeError(f"{text}: a time such as 15s or 500ms") from wrong
