"""TCP proxies on real sockets, steered through the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from srmd.lab.faultproxy.server import Settings, serving
from srmd.lab.toxiproxy import Toxiproxy
from tests.lab.faultproxy.peers import LIMIT_S, SILENCE_S, echo, tcp_server
from tests.lab.faultproxy.programs import free_port, theirs

SETTINGS = Settings(port=0, seed=1)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """A TCP proxy named `p` in front of a server."""

    def __init__(self, toxiproxy: Toxiproxy, port: int) -> None:
        self.toxiproxy = toxiproxy
        self._port = port

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Stream]:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                yield reader, writer
            finally:
                writer.close()


@pytest.fixture(params=["ours", "toxiproxy"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A server of the API: what holds for ours has to hold for the real one."""
    if request.param == "ours":
        async with serving(SETTINGS) as server:
            yield server.url
    else:
        with theirs() as real:
            yield real.url


@pytest.fixture
async def our_url() -> AsyncIterator[str]:
    """Our server, where it does better."""
    async with serving(SETTINGS) as server:
        yield server.url


@asynccontextmanager
async def wire(
    url: str,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = echo,
) -> AsyncIterator[Wire]:
    async with tcp_server(serve) as port, Toxiproxy(url) as toxiproxy:
        proxy = await toxiproxy.create("p", upstream=f"127.0.0.1:{port}")
        try:
            yield Wire(toxiproxy, proxy.port)
        finally:
            await toxiproxy.delete("p")


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SILENCE_S):
            await reader.readexactly(1)
    except TimeoutError:
        return True
    return False


async def test_bytes_go_both_ways_however_many(our_url: str) -> None:
    said = bytes(range(256)) * 20_000
    async with wire(our_url) as w, w.client() as (reader, writer):
        writer.write(said)
        writer.write_eof()
        assert await reader.read(-1) == said


async def test_a_half_closed_connection_still_hears_the_answer(our_url: str) -> None:
    async def length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read(-1)))

    async with wire(our_url, length) as w, w.client() as (reader, writer):
        writer.write(b"12345")
        writer.write_eof()
        assert await reader.read(-1) == b"5"


async def test_a_server_that_speaks_first_meets_the_toxics(url: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")

    async with wire(url, greet) as w:
        await w.toxiproxy.add_toxic("p", "limit_data", attributes={"bytes": 2})
        async with w.client() as (reader, _):
            assert await reader.read(-1) == b"he"


async def test_a_disabled_proxy_refuses_and_cuts_what_is_there(url: str) -> None:
    async with wire(url) as w, w.client() as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        async with w.toxiproxy.down("p"):
            assert await reader.read(-1) == b""
            with pytest.raises(ConnectionRefusedError):
                async with w.client():
                    pass
        async with w.client() as (again, writing):
            writing.write(b"b")
            assert await again.readexactly(1) == b"b"


async def test_latency_holds_for_connections_that_are_there_already(url: str) -> None:
    async with wire(url) as w, w.client() as (reader, writer):
        await w.toxiproxy.add_toxic("p", "latency", attributes={"latency": 80})
        began_s = time.monotonic()
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        assert time.monotonic() - began_s >= 0.08


async def test_removing_latency_releases_what_waits(url: str) -> None:
    async with wire(url) as w, w.client() as (reader, writer):
        await w.toxiproxy.add_toxic("p", "latency", attributes={"latency": 600_000})
        writer.write(b"a")
        assert await is_silent(reader)
        await w.toxiproxy.heal()
        assert await reader.readexactly(1) == b"a"


async def test_a_black_hole_swallows_and_its_end_closes(url: str) -> None:
    async with wire(url) as w, w.client() as (reader, writer):
        async with w.toxiproxy.toxic("p", "timeout"):
            writer.write(b"a")
            assert await is_silent(reader)
        assert await reader.read(-1) == b""


async def test_a_timeout_closes_after_silence(url: str) -> None:
    async with wire(url) as w:
        await w.toxiproxy.add_toxic("p", "timeout", attributes={"timeout": 50})
        async with w.client() as (reader, _):
            assert await reader.read(-1) == b""


async def test_reset_peer_resets(url: str) -> None:
    async with wire(url) as w:
        await w.toxiproxy.add_toxic("p", "reset_peer", stream="upstream")
        async with w.client() as (reader, writer):
            writer.write(b"a")
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)


async def test_slow_close_delays_the_end(url: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")

    async with wire(url, greet) as w:
        await w.toxiproxy.add_toxic("p", "slow_close", attributes={"delay": 100})
        began_s = time.monotonic()  # before anything: the end is delayed from when it was there
        async with w.client() as (reader, _):
            assert await reader.readexactly(5) == b"hello"
            assert await reader.read(-1) == b""
            assert time.monotonic() - began_s >= 0.09


async def test_bandwidth_and_slicer_lose_nothing(our_url: str) -> None:
    said = bytes(range(256)) * 40
    async with wire(our_url) as w:
        await w.toxiproxy.add_toxic("p", "bandwidth", attributes={"rate": 100})
        await w.toxiproxy.add_toxic(
            "p",
            "slicer",
            stream="upstream",
            attributes={"average_size": 50, "size_variation": 10, "delay": 10},
        )
        async with w.client() as (reader, writer):
            began_s = time.monotonic()
            writer.write(said)
            writer.write_eof()
            assert await reader.read(-1) == said
            assert time.monotonic() - began_s >= 0.1


async def test_a_receiver_that_does_not_read_stops_the_sender(our_url: str) -> None:
    """Nothing grows without bound: what the proxy holds stays below its limits."""
    taken = asyncio.Event()

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.wait()

    async with wire(our_url, idle) as w, w.client() as (_, writer):
        try:
            async with asyncio.timeout(1):
                while True:
                    writer.write(bytes(2**20))
                    await writer.drain()
        except TimeoutError:
            pass
        stats = await w.toxiproxy.stats("p")
        assert stats["upstream"]["received_bytes"] < 32 * 2**20
        taken.set()
        writer.transport.abort()


async def test_a_dead_upstream_closes_the_client(our_url: str) -> None:
    async with wire(our_url) as w:
        await w.toxiproxy.update("p", upstream=f"127.0.0.1:{free_port()}")
        async with w.client() as (reader, _):
            assert await reader.read(-1) == b""
        assert (await w.toxiproxy.stats("p"))["trouble"] == {"dial_failed": 1}


async def test_a_lost_client_closes_the_upstream_connection(url: str) -> None:
    ended = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(-1)
        finally:
            ended.set()

    async with wire(url, watch) as w:
        async with w.client() as (_, writer):
            writer.write(b"a")
            await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(LIMIT_S):
            await ended.wait()


async def test_another_upstream_cuts_connections_and_keeps_the_port(our_url: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"other")

    async with wire(our_url) as w, tcp_server(greet) as other, w.client() as (reader, _):
        before = await w.toxiproxy.proxy("p")
        after = await w.toxiproxy.update("p", upstream=f"127.0.0.1:{other}")
        assert after.listen == before.listen
        assert await reader.read(-1) == b""
        async with w.client() as (again, _):
            assert await again.read(-1) == b"other"
