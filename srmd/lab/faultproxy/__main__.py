"""The fault proxy as a process: `python -m srmd.lab.faultproxy`.

Prints one line when it is ready, with address and seed; ends on SIGINT and SIGTERM.
With `--events -` standard output is the event log alone, and that line is on standard error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from srmd.lab.faultproxy.journal import STANDARD_OUTPUT
from srmd.lab.faultproxy.server import CannotStart, Settings, serving
from srmd.lab.faultproxy.words import TOKEN_VARIABLE, parser
from srmd.secret import Secret

READY = "faultproxy: listening on {url} seed {seed} {manner}"
"""The line that says that the API answers; programs that start us read the address from it."""
LOCAL = ("localhost", "127.0.0.1", "::1")


def main(args: list[str]) -> int:
    """Runs until it is told to end.  0: ended as asked; 1: could not start; 2: bad arguments."""
    try:
        settings = _settings(args)
    except SystemExit as done:  # argparse has said what is wrong, or shown the help
        return int(done.code or 0)
    try:
        asyncio.run(_run(settings))
    except CannotStart as failed:
        print(f"faultproxy: {failed}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with serving(settings) as server:
        manner = "strict" if settings.strict else "lenient"
        ready = READY.format(url=server.url, seed=server.seed, manner=manner)
        out = sys.stderr if settings.events == STANDARD_OUTPUT else sys.stdout
        print(ready, file=out, flush=True)
        if settings.token is None and settings.host not in LOCAL:
            warning = f"anybody who reaches {settings.host} can use it; set {TOKEN_VARIABLE}"
            print(f"faultproxy: {warning}", file=sys.stderr, flush=True)
        await ended.wait()


def _settings(args: list[str]) -> Settings:
    chosen = parser().parse_args(args)
    token = os.environ.get(TOKEN_VARIABLE)
    return Settings(
        host=chosen.host,
        port=chosen.port,
        seed=chosen.seed,
        strict=not chosen.lenient,
        config=chosen.config,
        events=chosen.events,
        token=Secret(token) if token else None,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
