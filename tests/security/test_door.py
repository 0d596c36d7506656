"""The control port has room for so many connections, in all and from one source."""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import ssl
from asyncio import selector_events
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from srmd import tls
from srmd.daemon import http
from srmd.daemon.door import HANDSHAKES_BEGUN_AT_ONCE, source_of
from srmd.daemon.http import Listener, make_app, serve
from tests.daemon.api import WITHIN_S, running
from tests.daemon.fake_facade import FakeFacade
from tests.security.certificates import authority, write

NEVER_S = 600.0
UNREAD = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
"""Asks for more than the buffers of two kernels hold."""
HEALTH = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def answered(port: int, source: str = "127.0.0.1") -> bytes:
    """The whole answer to a request from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(HEALTH)
            return await reader.read()
    finally:
        writer.close()


async def test_one_source_does_not_take_the_room_of_others() -> None:
    async with running(per_source_max=2, stalled_s=NEVER_S) as api:
        port = api.listener.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert (await answered(port)).startswith(b"HTTP/1.1 503 ")
        assert (await answered(port, "127.0.0.2")).startswith(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(WITHIN_S):
            while not (await answered(port)).startswith(b"HTTP/1.1 200 "):
                pass  # until the server has seen that they are gone


async def test_a_newcomer_takes_the_place_of_the_source_that_has_most() -> None:
    """Two strangers could fill the port and shut an administrator out for as long as they liked."""
    async with running(connections_max=3, stalled_s=NEVER_S) as api:
        port = api.listener.port
        (first, one), (second, two) = [await opened(port, "127.0.0.2") for _ in range(2)]
        third, three = await opened(port, "127.0.0.3")
        assert (await answered(port, "127.0.0.1")).startswith(b"HTTP/1.1 200 ")
        await closed(first)  # the one that asked nothing for longest
        for reader, writer in ((second, two), (third, three)):
            writer.write(HEALTH)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        for writer in (one, two, three):
            writer.close()


async def test_a_newcomer_takes_the_place_of_a_stalled_connection_of_its_own_source() -> None:
    async with running(per_source_max=1, stalled_s=0.0) as api:
        reader, writer = await opened(api.listener.port, "127.0.0.1")
        assert (await answered(api.listener.port)).startswith(b"HTTP/1.1 200 ")
        await closed(reader)
        writer.close()


async def test_a_command_under_way_keeps_its_place() -> None:
    facade = FakeFacade()
    facade.hold = asyncio.Event()
    async with running(facade, connections_max=1, stalled_s=0.0) as api:
        request = asyncio.create_task(api.ask("POST", "/api/v1/ha", body={"enabled": True}))
        await facade.holding.wait()
        assert (await answered(api.listener.port)).startswith(b"HTTP/1.1 503 ")
        facade.hold.set()
        assert (await request).status == 202


@pytest.mark.parametrize("then", ["is open", "is half closed"])
async def test_a_connection_whose_answers_are_not_read_is_ended(then: str) -> None:
    async with running(connections_max=1, stalled_s=NEVER_S, answer_s=0.2) as api:
        with unread(api.listener.port) as stranger:
            if then == "is half closed":
                stranger.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(WITHIN_S):
                while not (await answered(api.listener.port)).startswith(b"HTTP/1.1 200 "):
                    pass


async def test_closing_ends_a_connection_whose_answers_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "CLOSE_S", 0.05)
    async with running(stalled_s=NEVER_S, answer_s=NEVER_S) as api:
        before_count = descriptors_count()
        with unread(api.listener.port) as stranger:
            await until(lambda: bool(select.select([stranger], [], [], 0)[0]))
            await api.listener.close()
            # Ours is left, and the listening one is gone.
            await until(lambda: descriptors_count() == before_count)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not claim():  # noqa: ASYNC110 - what a kernel does sets no event
            await asyncio.sleep(0)


@contextmanager
def unread(port: int) -> Iterator[socket.socket]:
    """A connection that asks for a lot and reads nothing."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger.connect(("127.0.0.1", port))
        stranger.setblocking(False)
        stranger.send(UNREAD)
        yield stranger


def descriptors_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def opened(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


@pytest.mark.parametrize(
    "peername, source",
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::/64"),
        (("2001:db8::ffff:1", 5, 0, 0), "2001:db8::/64"),
        (("fe80::1%lo", 5, 0, 1), "fe80::/64"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (None, ""),
        ("/a/socket", ""),
    ],
)
def test_a_source_is_an_address_or_the_network_of_a_host(peername: object, source: str) -> None:
    assert source_of(peername) == source


# With TLS.


@asynccontextmanager
async def encrypted(folder: Path, **limits: float) -> AsyncIterator[tuple[Listener, list[str]]]:
    """A server with a certificate, and why handshakes with it failed."""
    contexts = tls.read(*write(folder, authority()))
    refused: list[str] = []
    listener = await serve(
        make_app(FakeFacade(), on_error=lambda *_: None),
        "127.0.0.1",
        0,
        context=lambda: contexts.server,
        on_refused=lambda _source, why: refused.append(why),
        **limits,  # type: ignore[arg-type]
    )
    try:
        yield listener, refused
    finally:
        await listener.close()


async def closed(reader: asyncio.StreamReader) -> None:
    """The other side ends the connection without an answer of HTTP, in one way or another."""
    async with asyncio.timeout(WITHIN_S):
        try:
            assert b"HTTP" not in await reader.read()
        except ConnectionError:
            pass


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "ca.crt")


async def test_a_program_without_a_certificate_is_answered_by_tls_1_3(tmp_path: Path) -> None:
    async with encrypted(tmp_path) as (listener, _), asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=trusting(tmp_path)
        )
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.write(HEALTH)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_older_tls_is_refused(tmp_path: Path) -> None:
    async with encrypted(tmp_path) as (listener, _), asyncio.timeout(WITHIN_S):
        older = trusting(tmp_path)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", listener.port, ssl=older)


async def test_a_handshake_that_does_not_end_is_ended_and_its_room_is_free_again(
    tmp_path: Path,
) -> None:
    async with (
        encrypted(tmp_path, connections_max=1, stalled_s=NEVER_S, handshake_s=0.2) as (
            listener,
            refused,
        ),
        asyncio.timeout(WITHIN_S),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x16")  # the first byte of a handshake, and no more
        with pytest.raises((ssl.SSLError, ConnectionError)):  # there is no room
            await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting(tmp_path))
        await closed(reader)
        assert refused
        _, second = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=trusting(tmp_path)
        )
        for one in (writer, second):
            one.close()


async def test_plain_http_at_a_port_with_tls_is_refused_and_told(tmp_path: Path) -> None:
    """The answer was empty."""
    async with encrypted(tmp_path) as (listener, refused), asyncio.timeout(WITHIN_S):
        head, _, body = (await answered(listener.port)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"X-SRMD-Speaks-TLS: 1" in head
        assert json.loads(body)["error"] == (
            "this port speaks TLS, and was asked in plain HTTP: use https://"
        )
        assert refused == ["http request"]


async def test_a_failed_handshake_leaves_no_memory_to_the_collector(tmp_path: Path) -> None:
    """Each held 256 KiB until a collection: strangers that sent no TLS took 300 MB of a node."""
    async with encrypted(tmp_path) as (listener, refused):
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(b"no handshake at all")
                await closed(reader)
                writer.close()
            await until(lambda: len(refused) == 20)
            await until(lambda: not any(isinstance(it, SSLProtocol) for it in gc.get_objects()))
        finally:
            gc.enable()


async def test_what_comes_before_a_handshake_begins_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12 has a Python in which a pause within `connection_made` comes to nothing: every
    other command of an administrator ended with "closed (eof)", after 5 s.
    """

    def as_in_3_11_2(transport: Any, fd: int, callback: Callable[..., None], *args: object) -> None:
        if not transport.is_closing():
            transport._loop._add_reader(fd, callback, *args)

    monkeypatch.setattr(vars(selector_events)["_SelectorTransport"], "_add_reader", as_in_3_11_2)
    async with encrypted(tmp_path) as (listener, refused), asyncio.timeout(WITHIN_S):
        beginning = listener._door._beginning
        for _ in range(HANDSHAKES_BEGUN_AT_ONCE):
            await beginning.acquire()
        opening = asyncio.create_task(
            asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting(tmp_path))
        )
        for _ in range(100):  # turns of the loop: the hello of the client is there
            await asyncio.sleep(0)
        for _ in range(HANDSHAKES_BEGUN_AT_ONCE):
            beginning.release()
        _, writer = await opening
        assert refused == []
        writer.close()


async def test_handshakes_begin_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred of them in one pass of the loop held the heartbeats up, and the peer took over."""
    loop = asyncio.get_running_loop()
    passes: Counter[int] = Counter()
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        loop.call_soon(count)

    async def start_tls(*_: object, **__: object) -> None:
        passes[passed] += 1
        raise ConnectionResetError

    monkeypatch.setattr(loop, "start_tls", start_tls)
    async with encrypted(tmp_path, per_source_max=60) as (listener, _):
        connections = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(50)]
        loop.call_soon(count)
        await until(lambda: passes.total() == 50)
        assert max(passes.values()) <= HANDSHAKES_BEGUN_AT_ONCE
        for connection in connections:
            connection.close()


async def test_closing_ends_handshakes(tmp_path: Path) -> None:
    async with encrypted(tmp_path) as (listener, _), asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await listener.close()
        await closed(reader)
        writer.close()
