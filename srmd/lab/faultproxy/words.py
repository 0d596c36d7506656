"""The words of `srmd faultproxy`, apart: completion and manual read them, and need no asyncio."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from srmd.lab.faultproxy.seeds import SEED_MAX

HOST = "localhost"
PORT = 8474
VERSION = "2.13.0"
"""The version that we answer for: Ruby's client reads it as a number, for POST or PATCH."""
TOKEN_VARIABLE = "TOXIPROXY_AUTH_TOKEN"  # noqa: S105 -- the name of the variable, as in 2.13.0
EPILOG = f"""\
{TOKEN_VARIABLE}: when set, clients have to send it as a bearer token.
The flags of Toxiproxy's server are taken with one dash too.

exit codes:
  0    ended as it was told to
  1    it could not start
  2    wrong usage
  70   internal error: a defect of srmd
  130  interrupted by Ctrl-C
  141  the output could not be written: its reader went away, it is closed or full
"""
"""The codes as in srmd/cli/exits.py, which is not for us to import."""

METRICS = ("--proxy-metrics", "--runtime-metrics")
GO_FLAG = re.compile(r"-[a-z][a-z-]+(=.*)?", re.DOTALL)
GO_FALSE = ("false", "f", "0", "FALSE", "False", "F")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, as ours or as that of Toxiproxy's server is written.

    Go takes one dash or two before a flag: `-port=8474`, `-port 8474`.  Ends as argparse does.
    """
    grammar = parser()
    chosen = grammar.parse_args(
        [f"-{word}" if GO_FLAG.fullmatch(word) else word for word in arguments]
    )
    for flag in METRICS:
        if getattr(chosen, flag[2:].replace("-", "_")) not in GO_FALSE:
            grammar.error(f"{flag}: there is no /metrics here; leave the flag out")
    return chosen


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="srmd faultproxy",
        description="UDP and TCP proxies that do harm on order, behind Toxiproxy's HTTP API.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
    )
    parser.add_argument("--host", default=HOST, help="where the API listens (%(default)s)")
    parser.add_argument("--port", default=PORT, type=_port, help="0: any (%(default)s)")
    parser.add_argument("--seed", default=0, type=_seed, help="of all randomness; shown at start")
    parser.add_argument("--config", type=Path, metavar="FILE", help="proxies to create, JSON")
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help="the event log, JSON lines; -: standard output"
    )
    parser.add_argument(
        "--lenient", action="store_true", help="accept what Toxiproxy accepts, sensible or not"
    )
    parser.add_argument(
        "--version", action="version", version=f"toxiproxy-server version {VERSION} (srmd)"
    )
    for flag in METRICS:
        parser.add_argument(flag, nargs="?", const="true", default="false", help=argparse.SUPPRESS)
    return parser


def _port(text: str) -> int:
    return _whole(text, 65535, "a port")


def _seed(text: str) -> int:
    return _whole(text, SEED_MAX, "a seed")


def _whole(text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {what} (0-{most})")
    return int(text)
