"""`python -m tests.bench`: measures what srmd promises, each figure beside its lower bound.

    python -m tests.bench                   everything, in about three minutes
    python -m tests.bench move heartbeat    some
    python -m tests.bench --quick           a few rounds: whether it runs, not what it takes

What is durable is written where temporary files are: TMPDIR chooses the disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence

from tests.bench import (
    bench_failover,
    bench_heartbeat,
    bench_monitor,
    bench_move,
    bench_simulated,
    bench_start,
)
from tests.bench.figure import Figure, table
from tests.lab.faultproxy import bench as faultproxy_bench

BENCHES: dict[str, Callable[..., list[Figure]]] = {
    "move": bench_move.run,
    "failover": bench_failover.run,
    "heartbeat": bench_heartbeat.run,
    "monitor": bench_monitor.run,
    "start": bench_start.run,
    "proxy": faultproxy_bench.run,
    "simulated": bench_simulated.run,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bench", nargs="*", help=f"of {', '.join(BENCHES)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.bench if name not in BENCHES]
    if unknown:
        parser.error(f"{unknown[0]}: one of {', '.join(BENCHES)}")
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, temporary files in {tempfile.gettempdir()}\n"
        "Times in ms; both parts of a line in turns, in this run.\n"
        "p99 is by nearest rank: of up to 100 rounds the longest.",
        flush=True,
    )
    begun_s = time.monotonic()
    for name in options.bench or BENCHES:
        print(f"\n{name}", flush=True)
        print(table(BENCHES[name](quick=options.quick)), flush=True)
    print(f"\n{time.monotonic() - begun_s:.0f} s")


if __name__ == "__main__":
    main()
