"""The ends of the wires in tests: UDP sockets and TCP servers of this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

LIMIT_S = 30.0
"""How long a test waits for what has to happen."""
SILENCE_S = 0.15
"""How long a test listens before it believes that nothing comes."""

Address = tuple[str, int]


class Udp:
    """A UDP socket; with `peer` it is connected, and then the kernel tells it of refusals."""

    def __init__(self, peer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        if peer is not None:
            self.socket.connect(("127.0.0.1", peer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.socket.send(payload)

    async def take(self, count: int = 1) -> list[bytes]:
        return [payload for payload, _ in await self.take_with_sources(count)]

    async def take_with_sources(self, count: int = 1) -> list[tuple[bytes, Address]]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LIMIT_S):
            return [await loop.sock_recvfrom(self.socket, 65_536) for _ in range(count)]

    async def is_silent(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SILENCE_S):
                await loop.sock_recvfrom(self.socket, 65_536)
        except TimeoutError:
            return True
        return False

    async def answer(self, payload: bytes, source: Address) -> None:
        await asyncio.get_running_loop().sock_sendto(self.socket, payload, source)


@contextlib.asynccontextmanager
async def tcp_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server that treats each connection as told, and closes it afterwards."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass  # the proxy tore the connection down, as it was told to
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65_536):
        writer.write(part)
        await writer.drain()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until the condition holds, at most LIMIT_S."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.005)
