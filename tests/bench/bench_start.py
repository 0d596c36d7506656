"""What a short command costs, beside a Python that does nothing.

A command has to feel instant.  All run in turns, with their bytecode cached in a folder of their
own (one run before the first counts fills it), however the environment has set that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from srmd.lab.pair import LabPair
from tests.bench.figure import Figure, Sample, Within, in_turns

ROUNDS, QUICK_ROUNDS = 40, 2
REPOSITORY = Path(__file__).parents[2]
NOTHING = ("-c", "pass")
BARE = "python -c pass"


def run(*, quick: bool = False) -> list[Figure]:
    """`--version`, `--help`, and `status` of a running node."""
    with LabPair() as pair:
        python = partial(_python, pair.folder / "bytecode")
        by_address = ("-m", "srmd", "status", "--api", pair.a.client.url)
        by_file = ("-m", "srmd", "status", "--config", str(pair.a.config_file))
        works: tuple[Callable[[], object], ...] = (
            python(NOTHING),
            python(("-m", "srmd", "--version")),
            python(("-m", "srmd", "--help")),
            python(by_address),
            python(by_file),
            pair.a.client.status,
        )
        for work in works:
            work()
        bare, version, help_, status, status_by_file, request = in_turns(
            QUICK_ROUNDS if quick else ROUNDS, *works
        )
    return [
        Figure(
            name="srmd --version", ours=version, beside_name=BARE, beside=bare, goal=Within(2.2)
        ),
        Figure(name="srmd --help", ours=help_, beside_name=BARE, beside=bare),
        _status("srmd status --api URL", status, bare, request),
        _status("srmd status --config FILE", status_by_file, bare, request),
    ]


def _status(name: str, ours: Sample, bare: Sample, request: Sample) -> Figure:
    """The goal is threefold the bare Python; the request cannot be faster than it is."""
    return Figure(
        name=name,
        ours=ours,
        beside_name=f"{BARE}, its request apart",
        beside=bare,
        goal=Within(3, more_s=request.median_s),
        note=f"the request alone, in a running process: {request.median_s * 1000:.2f} ms",
    )


def _python(bytecode: Path, arguments: tuple[str, ...]) -> Callable[[], object]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return partial(
        subprocess.run,
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
