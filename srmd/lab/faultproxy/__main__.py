"""The fault proxy as a process: `python -m srmd.lab.faultproxy`.

Prints one line when it is ready, with address and seed; ends on SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from srmd.lab.faultproxy.seeds import SEED_MAX
from srmd.lab.faultproxy.server import HOST, PORT, CannotStart, Settings, serving
from srmd.secret import Secret

TOKEN_VARIABLE = "TOXIPROXY_AUTH_TOKEN"  # noqa: S105 -- the name of the variable, as in 2.13.0
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
        print(READY.format(url=server.url, seed=server.seed, manner=manner), flush=True)
        if settings.token is None and settings.host not in LOCAL:
            warning = f"anybody who reaches {settings.host} can use it; set {TOKEN_VARIABLE}"
            print(f"faultproxy: {warning}", file=sys.stderr, flush=True)
        await ended.wait()


def _settings(args: list[str]) -> Settings:
    parser = argparse.ArgumentParser(
        prog="srmd faultproxy",
        description="UDP and TCP proxies that do harm on order, behind Toxiproxy's HTTP API.",
        epilog=f"{TOKEN_VARIABLE}: when set, clients have to send it as a bearer token.",
    )
    parser.add_argument("--host", default=HOST, help="where the API listens (%(default)s)")
    parser.add_argument("--port", default=PORT, type=_port, help="0: any (%(default)s)")
    parser.add_argument("--seed", default=0, type=_seed, help="of all randomness; shown at start")
    parser.add_argument("--config", type=Path, metavar="FILE", help="proxies to create, JSON")
    parser.add_argument("--events", type=Path, metavar="FILE", help="the event log, JSON lines")
    parser.add_argument(
        "--lenient", action="store_true", help="accept what Toxiproxy accepts, sensible or not"
    )
    chosen = parser.parse_args(args)
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


def _port(text: str) -> int:
    return _whole(text, 65535, "a port")


def _seed(text: str) -> int:
    return _whole(text, SEED_MAX, "a seed")


def _whole(text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {what} (0-{most})")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
