"""The words of `srmd faultproxy`, apart: completion and manual read them, and need no asyncio."""

from __future__ import annotations

import argparse
from pathlib import Path

from srmd.lab.faultproxy.seeds import SEED_MAX

HOST = "localhost"
PORT = 8474
TOKEN_VARIABLE = "TOXIPROXY_AUTH_TOKEN"  # noqa: S105 -- the name of the variable, as in 2.13.0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="srmd faultproxy",
        description="UDP and TCP proxies that do harm on order, behind Toxiproxy's HTTP API.",
        epilog=f"{TOKEN_VARIABLE}: when set, clients have to send it as a bearer token.",
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
    return parser


def _port(text: str) -> int:
    return _whole(text, 65535, "a port")


def _seed(text: str) -> int:
    return _whole(text, SEED_MAX, "a seed")


def _whole(text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {what} (0-{most})")
    return int(text)
