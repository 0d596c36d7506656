"""`python -m tests.mutants`: breaks every rule once, and shows who notices.

    python -m tests.mutants                     all of them; fails on a survivor without a reason
    python -m tests.mutants may_fail_over       those of one place
    python -m tests.mutants --sample 80 --seed 7
    python -m tests.mutants --list              names and counts only
    python -m tests.mutants --show 'claim: another target: State.TAKING_OVER'

Survivors are explained in docs/mutants.md.
Exit codes: 0 all others are killed; 1 one survives that is not explained there, or one is explained
that does not survive; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.mutants.breaking import Kind, Mutant, mutants, read
from tests.mutants.known import DOCS, Unexplained, survivors
from tests.mutants.running import Fate, fates

TRUE_RULES = "the rules as they are"
SLOWEST = 3
"""How many of the slowest mutants the closing names."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("place", nargs="*", help="functions, constants, `the table`; all when none")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--list", action="store_true", help="names and counts, nothing is run")
    parser.add_argument("--show", metavar="NAME", help="what this mutant changes")
    options = parser.parse_args(arguments)
    tree = read()
    every = mutants(tree)
    by_name = {str(mutant): mutant for mutant in every}
    try:
        explained = survivors()
    except Unexplained as wrong:
        parser.error(str(wrong))
    if options.show is not None:
        if options.show not in by_name:
            parser.error(f"--show: {options.show}: no such mutant; --list has the names")
        print("\n".join(difference(tree, by_name[options.show])))
        return 0
    for place in options.place:
        if place not in {mutant.place for mutant in every}:
            parser.error(f"{place}: nothing of that name is broken; --list has the names")
    if options.at_once < 1:
        parser.error(f"--at-once: {options.at_once} is not a number of processes (1 or more)")
    if options.sample is not None and options.sample < 1:
        parser.error(f"--sample: {options.sample} is not a number of mutants (1 or more)")
    chosen = [mutant for mutant in every if not options.place or mutant.place in options.place]
    if options.sample is not None and options.sample < len(chosen):
        drawn = random.Random(options.seed).sample(range(len(chosen)), options.sample)
        chosen = [chosen[at] for at in sorted(drawn)]
    if options.list:
        for mutant in chosen:
            print(mutant)
    print(counts(chosen), flush=True)
    unknown = sorted(explained - set(by_name))
    for name in unknown:
        print(f"explained in {DOCS.name}, but there is no such mutant any more: {name}")
    if options.list:
        return 1 if unknown else 0
    if options.sample is not None:
        print(f"{len(chosen)} of {len(every)}, seed {options.seed}", flush=True)
    return 1 if not run(tree, chosen, explained, options.at_once) or unknown else 0


def run(
    tree: ast.Module, chosen: Sequence[Mutant], explained: frozenset[str], at_once: int
) -> bool:
    """Whether each is killed that has to be, and each lives that may."""
    began_s = time.monotonic()
    if (fate := dict(fates([(TRUE_RULES, ast.unparse(tree))], 1))[TRUE_RULES]).killer is not None:
        print(f"{TRUE_RULES} do not pass: {fate}; mend that first")
        return False
    print(f"{TRUE_RULES} pass in {fate.cpu_s:.0f} s of processor time", flush=True)
    by_name = {str(mutant): mutant for mutant in chosen}
    ended: dict[str, Fate] = {}
    sources = ((name, mutant.source(tree)) for name, mutant in by_name.items())
    for name, fate in fates(sources, at_once):
        ended[name] = fate
        print(f"{len(ended):4}/{len(chosen)} {name}\n          {fate}", flush=True)
    lives = {name for name, fate in ended.items() if fate.killer is None}
    print(closing(ended, time.monotonic() - began_s))
    for name in sorted(lives & explained):
        print(f"survived, explained in {DOCS.name}: {name}")
    for name in sorted(explained & set(ended) - lives):
        print(f"EXPLAINED in {DOCS.name}, but killed by {ended[name]}: {name}")
    for name in sorted(lives - explained):
        print(f"SURVIVED: transitions.py:{by_name[name].line}: {name}")
    return lives == explained & set(ended)


def difference(tree: ast.Module, mutant: Mutant) -> Iterator[str]:
    true, broken = ast.unparse(tree).splitlines(), mutant.source(tree).splitlines()
    return difflib.unified_diff(true, broken, "the rules", str(mutant), lineterm="", n=6)


def counts(chosen: Sequence[Mutant]) -> str:
    by_kind = Counter(mutant.kind for mutant in chosen)
    lines = [f"{by_kind[kind]:5}  {kind.value}" for kind in Kind if by_kind[kind]]
    return "\n".join([f"{len(chosen):5}  mutants", *lines])


def closing(ended: dict[str, Fate], took_s: float) -> str:
    killers = Counter(fate.killer or "nobody" for fate in ended.values())
    cpu_s = sum(fate.cpu_s for fate in ended.values())
    slowest = sorted(ended, key=lambda name: -ended[name].cpu_s)[:SLOWEST]
    return "\n".join(
        [
            "",
            *(
                f"{count:5}  killed by a {killer}" if killer != "nobody" else f"{count:5}  survived"
                for killer, count in killers.most_common()
            ),
            f"{took_s:.0f} s; {cpu_s:.0f} s of processor time",
            *(f"{ended[name].cpu_s:5.0f} s  {name}" for name in slowest),
            "",
        ]
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
