"""The whole fault proxy: API, proxies and journal, for a process or for a test."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from aiohttp import web

from srmd.lab.faultproxy.address import CannotBind, bind, shown
from srmd.lab.faultproxy.api import About, Api
from srmd.lab.faultproxy.body import BadBody, decode
from srmd.lab.faultproxy.catalogue import Protocol
from srmd.lab.faultproxy.journal import Journal
from srmd.lab.faultproxy.proxies import Proxies, Proxy, Refused
from srmd.lab.faultproxy.seeds import fresh_seed
from srmd.lab.faultproxy.words import HOST, PORT
from srmd.secret import Secret

"""Toxiproxy's own."""
CONFIG_BYTES_MAX = 2**20
SHUTDOWN_LIMIT_S = 2.0
"""How long requests that are being answered hold up the end."""


class CannotStart(Exception):
    """The fault proxy cannot start.  The message tells what to change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a fault proxy runs."""

    host: str = HOST
    port: int = PORT
    """0: any."""
    seed: int = 0
    """0: a fresh one, which is shown."""
    strict: bool = True
    config: Path | None = None
    """A JSON array of proxies, as for `/populate`; they exist before the API answers."""
    events: Path | None = None
    """Where the event log goes."""
    token: Secret | None = None
    """What clients have to show, if anything."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A fault proxy that runs."""

    url: str
    seed: int
    proxies: Proxies


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    """A fault proxy for as long as the block lasts.  Raises CannotStart."""
    seed = settings.seed or fresh_seed()
    try:
        journal = Journal(settings.events, monotonic, seed=seed)
    except OSError as failed:
        message = f"events: {settings.events}: {failed.strerror}; name a file that can be written"
        raise CannotStart(message) from failed
    proxies = Proxies(journal, seed=seed, strict=settings.strict)
    api = Api(proxies, About(seed, settings.strict), settings.token)
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=SHUTDOWN_LIMIT_S)
    try:
        if settings.config:
            await _populate(proxies, settings.config)
        await runner.setup()
        try:
            await (await _site(runner, settings.host, settings.port)).start()
        except (OSError, OverflowError, CannotBind) as failed:
            message = f"{settings.host}:{settings.port}: {failed}; choose another host or port"
            raise CannotStart(message) from failed
        yield Serving(f"http://{shown(runner.addresses[0])}", seed, proxies)
    finally:
        await runner.cleanup()
        await proxies.close()
        journal.close()


async def _site(runner: web.AppRunner, host: str, port: int) -> web.BaseSite:
    """The address of the API.  Raises CannotBind.

    asyncio would listen on IPv6 alone at `::`, where Toxiproxy takes IPv4 too.
    """
    bare = host.removeprefix("[").removesuffix("]")
    if ":" not in bare:
        return web.TCPSite(runner, host, port)
    return web.SockSite(runner, await bind(Protocol.TCP, f"[{bare}]:{port}"))


async def _populate(proxies: Proxies, path: Path) -> None:
    """Ours: a file that cannot be used is an error.  Toxiproxy logs it and starts without."""
    done: list[Proxy] = []
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
        if len(raw) > CONFIG_BYTES_MAX:
            raise CannotStart(f"{path}: longer than {CONFIG_BYTES_MAX} bytes")
        await proxies.populate(decode(raw.removeprefix(codecs.BOM_UTF8)), done)
    except OSError as failed:
        raise CannotStart(f"{path}: {failed.strerror}; name a file that can be read") from failed
    except (BadBody, Refused) as bad:
        example = json.dumps([{"name": "a_to_b", "listen": "127.0.0.1:0", "upstream": "host:port"}])
        raise CannotStart(f"{path}: {bad}; it holds an array such as {example}") from bad
