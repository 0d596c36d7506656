"""`srmd prove`: searches all that can happen to a pair, and says what was asked and what broke.

0: every property holds, and each was asked; 1: one does not, or was never asked, or the search was
cut short; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from srmd.lab.proof.properties import ELSEWHERE, Property
from srmd.lab.proof.running import run
from srmd.lab.proof.search import CONFIGURATIONS, Bounds, Configuration, Rest, Result
from srmd.lab.proof.story import Story
from srmd.lab.proof.table import as_markdown

BOUNDS: Final = {
    "small": Bounds(faults=0, messages=0, pairs_max=100_000),
    "full": Bounds(faults=1, messages=1, pairs_max=3_000_000),
}
FAULTS_MAX = 3
MESSAGES_MAX = 3
PROCESSES_MAX = 4
"""There are four configurations."""
EPILOG: Final = """\
docs/proof.md tells more

exit codes:
  0    every property was asked and holds
  1    a property does not hold or was never asked, or the search was cut short
  2    wrong usage
  70   internal error: a defect of srmd
  130  interrupted by Ctrl-C
  141  the output could not be written: its reader went away, it is closed or full
"""
"""The codes as in srmd/cli/exits.py, which is not for us to import."""
TELL_MAX = 5
"""Counterexamples that are told in full; the others are counted, and written to files."""
INTERRUPTED = 130


class CannotWrite(Exception):
    """A result has no place to go; the message names it."""


def main(args: list[str]) -> int:
    try:
        options = parser().parse_args(args)
    except SystemExit as done:  # argparse has said what is wrong, or shown the help
        return int(done.code or 0)
    try:
        _check_writable(options)
        return _prove(options)
    except CannotWrite as failed:
        print(f"prove: {failed}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print(
            "prove: a search was ended from outside, perhaps for lack of memory; try --processes 1"
            " or fewer --faults",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nprove: interrupted; nothing is proved", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="srmd prove",
        description="Searches all that can happen to a pair, with the rules themselves.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--bound", choices=tuple(BOUNDS), default="full", help="(%(default)s)")
    parser.add_argument(
        "--faults", type=_whole(FAULTS_MAX), metavar="N", help="faults on one way (by the bound)"
    )
    parser.add_argument(
        "--messages",
        type=_whole(MESSAGES_MAX),
        metavar="N",
        help="reports that may be held up on their way to each node (by the bound)",
    )
    parser.add_argument(
        "--processes",
        type=_whole(PROCESSES_MAX, low=1),
        metavar="N",
        default=min(os.cpu_count() or 1, PROCESSES_MAX),
        help="searches at once (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures, for programs")
    parser.add_argument("--table", type=Path, metavar="FILE", help="pairs at rest, as Markdown")
    parser.add_argument(
        "--counterexamples",
        type=Path,
        metavar="FOLDER",
        default=Path("lab/counterexamples"),
        help="where scenarios of what is broken go (%(default)s)",
    )
    return parser


def _whole(high: int, low: int = 0) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text}: a whole number from {low} to {high} is needed")

    return whole


def _check_writable(options: argparse.Namespace) -> None:
    """Before minutes of work, not after."""
    for file in (options.json, options.table):
        if file is not None and (file.is_dir() or not file.resolve().parent.is_dir()):
            raise CannotWrite(f"{file}: should be a file in a folder that exists")


def _bounds(options: argparse.Namespace) -> Bounds:
    bounds = BOUNDS[options.bound]
    if options.faults is not None:
        bounds = replace(bounds, faults=options.faults)
    if options.messages is not None:
        bounds = replace(bounds, messages=options.messages)
    return bounds


def _prove(options: argparse.Namespace) -> int:
    bounds = _bounds(options)
    print(
        f"bounds: {bounds.faults} fault(s) on one way, {bounds.messages} report(s) held up to each"
        f" node, {len(CONFIGURATIONS)} configurations, {options.processes} process(es)",
        flush=True,
    )
    began_s = time.monotonic()
    results = run(bounds, options.processes)
    seconds = time.monotonic() - began_s
    text = _report(results, seconds)
    print(text)
    wrong = _tell(results, options.counterexamples)
    if options.json is not None:
        _write(options.json, json.dumps(as_json(results, seconds), indent=2) + "\n")
    if options.table is not None:
        _write(options.table, table_of(results))
    return 1 if wrong else 0


# ---------------------------------------------------------------------------- telling


def _report(results: list[Result], seconds: float) -> str:
    asked, broken = _sums(results)
    pairs = sum(result.pairs for result in results)
    edges = sum(result.edges for result in results)
    lines = [f"{'CONFIGURATION':44} {'PAIRS':>10} {'EDGES':>11} {'AT REST':>8} {'SECONDS':>8}"]
    lines += [
        f"{result.configuration!s:44} {result.pairs:>10,} {result.edges:>11,}"
        f" {len(result.rests):>8} {result.seconds:>8.1f}"
        for result in results
    ]
    lines.append(
        f"{'all':44} {pairs:>10,} {edges:>11,} {'':>8} {seconds:>8.1f}"
        f"   ({pairs / max(seconds, 0.001):,.0f} pairs/s)"
    )
    lines += ["", f"{'PROPERTY':9} {'ASKED':>12} {'BROKEN':>8}  WHAT HOLDS"]
    for law in Property:
        mark = "" if asked[law] else "  NEVER ASKED"
        lines.append(f"{law.name:9} {asked[law]:>12,} {broken[law]:>8,}  {law.value}{mark}")
    lines += ["", "not of this model:"]
    lines += [f"  {name}: {who}" for name, who in ELSEWHERE.items()]
    return "\n".join(lines)


def _sums(results: list[Result]) -> tuple[Counter[Property], Counter[Property]]:
    asked: Counter[Property] = Counter()
    broken: Counter[Property] = Counter()
    for result in results:
        asked.update(result.asked)
        broken.update(result.broken)
    return asked, broken


def _tell(results: list[Result], folder: Path) -> bool:
    """Whether something is wrong, after saying what."""
    asked, broken = _sums(results)
    wrong = False
    for result in results:
        if not result.complete:
            wrong = True
            print(
                f"\n{result.configuration}: cut short at {result.bounds.pairs_max:,} pairs:"
                " nothing is proved; use fewer --faults or --messages"
            )
    never = [law.name for law in Property if not asked[law]]
    if never and not wrong:
        print(f"\nnever asked, so nothing is proved of: {', '.join(never)}")
    told = 0
    for result in results:
        for number, found in enumerate(result.found, start=1):
            story = Story(result.configuration, result.bounds.messages, found)
            file = folder / f"{_slug(result.configuration)}-{number:02}-{found.law.name}.toml"
            folder.mkdir(parents=True, exist_ok=True)
            _write(file, story.scenario())
            if told < TELL_MAX:
                print("\n" + "\n".join(story.lines()) + f"\n  as a scenario: {file}")
            told += 1
    if told > TELL_MAX:
        print(f"\n{told - TELL_MAX} more are in {folder}")
    if not (wrong or never or broken):
        print(f"\nall {len(Property)} properties hold within these bounds")
    return bool(wrong or never or broken)


def _slug(configuration: Configuration) -> str:
    automatic = "automatic" if configuration.automatic_fallback else "manual"
    return f"{configuration.split_brain.value}-{automatic}"


def as_json(results: list[Result], seconds: float) -> dict[str, Any]:
    asked, broken = _sums(results)
    return {
        "seconds": round(seconds, 3),
        "bounds": {
            "faults": results[0].bounds.faults,
            "messages": results[0].bounds.messages,
        },
        "configurations": [
            {
                "split_brain": result.configuration.split_brain.value,
                "automatic_fallback": result.configuration.automatic_fallback,
                "pairs": result.pairs,
                "pairs_by_faults": result.by_faults,
                "edges": result.edges,
                "pairs_at_rest": len(result.rests),
                "complete": result.complete,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
        "properties": {
            law.name: {"asked": asked[law], "broken": broken[law], "holds": law.value}
            for law in Property
        },
        "counterexamples": [
            {
                "property": found.law.name,
                "told": found.told,
                "configuration": str(result.configuration),
                "path": [str(happening) for happening in found.path],
                "then": list(found.way),
            }
            for result in results
            for found in result.found
        ],
    }


def table_of(results: list[Result]) -> str:
    """docs/pairs-at-rest.md."""
    rests: set[Rest] = set()
    for result in results:
        rests |= result.rests
    bounds = results[0].bounds
    return as_markdown(
        rests,
        f"Searched with {bounds.faults} fault(s) on one way and {bounds.messages} report(s) held"
        " up, in all four configurations.",
    )


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
