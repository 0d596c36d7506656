"""Strangers at both ports: the heartbeats of the node go out on time, and the pair stays Normal.

How late a beat may be is derived from the interval: half of it, and what this machine itself was
late in the same seconds, which a process beside the node measures.
"""

from __future__ import annotations

import asyncio
import math
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from srmd.client import Rejected
from srmd.daemon.door import CONNECTIONS_MAX
from srmd.daemon.node import JOURNAL_FILE
from srmd.lab.pair import HOST, LabNode, LabPair
from srmd.lab.records.reading import read
from srmd.wire.journal import Beats

INTERVAL_S = 0.2
BEATS = 15
"""So many have to be on time."""
LATE_S = INTERVAL_S / 2
SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SLOW_CONNECTIONS = 200
DATAGRAMS_PER_S = 5000
FLOOD_S = 5.0
UNREAD = b"GET /api/v1/users?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
NORMAL = "Normal/Normal"
SETTINGS: dict[str, dict[str, str | float | bool]] = {
    "heartbeat": {
        "keep_alive_interval_s": INTERVAL_S,
        "keep_alive_timeout_s": 1.9,
        "initialization_keep_alive_timeout_s": 6.0,
    }
}
WATCH = f"""
import os, sys, threading, time
def end():
    sys.stdin.read()
    print(worst_s, flush=True)
    os._exit(0)
worst_s = 0.0
threading.Thread(target=end).start()
while True:
    began_s = time.monotonic()
    time.sleep({INTERVAL_S / 4})
    worst_s = max(worst_s, time.monotonic() - began_s - {INTERVAL_S / 4})
"""


@contextmanager
def machine() -> Iterator[list[float]]:
    """How late a process beside the node was at worst; the list is filled at the end."""
    watching = subprocess.Popen(
        [sys.executable, "-c", WATCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    found: list[float] = []
    try:
        yield found
    finally:
        found.append(float(watching.communicate(timeout=20)[0]))


def was_punctual(node: LabNode, since_s: float, until_s: float, machine_late_s: float) -> None:
    """Its beats between these moments went out at the interval, says its journal."""
    sent = sorted(
        beat.at_s
        for items in read([node.folder / "state" / JOURNAL_FILE]).journals
        for _, entry in items
        if isinstance(entry, Beats)
        for beat in entry.sent
        if since_s <= beat.at_s <= until_s
    )
    assert len(sent) >= BEATS
    worst_s = max(later - sooner for sooner, later in pairwise(sent))
    assert worst_s <= INTERVAL_S + LATE_S + machine_late_s, (worst_s, machine_late_s)


def stayed_well(pair: LabPair, *, memory_mb_max: float = math.inf) -> None:
    """Nothing happened to the state of either node; then both are ended."""
    used_pages = int(Path(f"/proc/{pair.a.pid}/statm").read_text().split()[1])
    assert used_pages * resource.getpagesize() <= memory_mb_max * 1e6
    pair.wait_for(a=NORMAL, b=NORMAL)
    assert [node.status()["counters"]["transitions"] for node in pair.nodes] == [1, 1]
    for node in pair.nodes:
        node.terminate()


async def _drip(port: int, source: str, until_s: float) -> bool:
    """A request that comes a byte at a time; whether the connection was kept to the end."""
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
    try:
        for byte in b"POST /api/v1/ha HTTP/1.1\r\nX: " + b"x" * 4000:
            if time.monotonic() >= until_s or reader.at_eof():
                break
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(INTERVAL_S / 2)  # being slow is what it is for
        return not reader.at_eof()
    except ConnectionError:
        return False
    finally:
        writer.close()


async def test_slow_connections_to_the_control_port_delay_no_heartbeat() -> None:
    with LabPair(SETTINGS) as pair:
        port = int(pair.a.control.rpartition(":")[2])
        with machine() as late:
            since_s = time.monotonic()
            until_s = since_s + (BEATS + 2) * INTERVAL_S
            sources = (SOURCES[n % len(SOURCES)] for n in range(SLOW_CONNECTIONS))
            kept = await asyncio.gather(*(_drip(port, source, until_s) for source in sources))
        assert CONNECTIONS_MAX / 2 <= sum(kept) <= CONNECTIONS_MAX
        stayed_well(pair)
        was_punctual(pair.a, since_s, until_s, late[0])


def test_unread_answers_keep_no_administrator_out() -> None:
    """Two addresses asked for page after page of users and read none: for as long as they liked,
    the port was full for all others."""
    with LabPair(SETTINGS) as pair, ExitStack() as strangers:
        pair.a.client.generate_users(2000, "balanced", "user")
        port = int(pair.a.control.rpartition(":")[2])
        for number in range(CONNECTIONS_MAX):
            stranger = strangers.enter_context(socket.socket())
            stranger.bind((SOURCES[1 + number % 2], 0))
            stranger.connect((HOST, port))
            stranger.setblocking(False)
            stranger.send(UNREAD)
        for _ in range(10):
            pair.a.client.set_ha(enabled=True)
        stayed_well(pair)


@pytest.mark.parametrize(
    "content, told",
    [
        (b"user_id,home_node\n" + b",a\n" * 149_000, "149000 bad lines; here are the first 100"),
        (b"user_id;home_node\n" + b"anna,a\n" * 60_000, "60000 bad lines; here are the first 100"),
    ],
    ids=["no ids", "wrong separator"],
)
def test_an_import_of_bad_lines_delays_no_heartbeat(content: bytes, told: str) -> None:
    """Each line became a problem of an answer of megabytes, and the loop stood for a second."""
    with LabPair(SETTINGS) as pair:
        with machine() as late:
            since_s = time.monotonic()
            until_s = since_s + (BEATS + 2) * INTERVAL_S
            while time.monotonic() < until_s:
                with pytest.raises(Rejected, match=told) as caught:
                    pair.a.client.import_users(content)
                assert len(caught.value.problems) == 100
        stayed_well(pair)
        was_punctual(pair.a, since_s, until_s, late[0])


FLOOD = """
import asyncio, sys
host, port, *sources = sys.argv[1:]
request = b"GET /api/v1/openapi.json HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"
async def ask(source):
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
            while True:
                writer.write(4 * request)
                for _ in range(4):
                    await reader.readuntil(b"Content-Length: ")
                    length = int(await reader.readline())
                    await reader.readuntil(b"\\r\\n\\r\\n")
                    await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.05)
async def main():
    await asyncio.gather(*(ask(source) for source in sources))
asyncio.run(main())
"""


def test_a_flood_of_requests_kills_no_service() -> None:
    """120 connections asked for the OpenAPI document without a token.  The loop spent its time on
    writing it as JSON, services counted as not answering, and the peer took over."""
    quick: dict[str, str | float | bool] = {"health_interval_s": 0.1, "health_limit_s": 0.5}
    with LabPair({**SETTINGS, "services": quick}) as pair:
        sources = [SOURCES[1 + number % 2] for number in range(120)]
        flood = subprocess.Popen(
            [sys.executable, "-c", FLOOD, HOST, pair.a.control.rpartition(":")[2], *sources]
        )
        try:
            until_s = time.monotonic() + FLOOD_S
            while time.monotonic() < until_s:
                pair.a.status()
        finally:
            flood.kill()
            flood.wait()
        stayed_well(pair)


HOSTILE = {
    "a body in chunks of one byte": (
        b"POST /control/v1/report HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n" * 10_000,
    ),
    "bytes behind an upgrade": (
        b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"x" * 60_000,
    ),
    "what is not HTTP behind a request": (
        b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0x" * 60_000,
    ),
    "bytes behind the last request": (
        b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"x" * 60_000,
    ),
    "a header without an end": (
        b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"x" * 60_000,
    ),
}
POUR = """
import asyncio, sys
host, port, *sources = sys.argv[1:]
head, part = map(bytes.fromhex, sys.stdin.read().split())
async def pour(source):
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
            writer.write(head)
            while True:
                writer.write(part)
                await asyncio.wait_for(writer.drain(), 2)
        except OSError:
            await asyncio.sleep(0.05)
async def main():
    await asyncio.gather(*(pour(source) for source in sources))
asyncio.run(main())
"""
MEMORY_MB_MAX = 250


@pytest.mark.parametrize("name", HOSTILE)
def test_what_strangers_pour_in_is_neither_parsed_nor_kept(name: str) -> None:
    """Each of them read on: chunks of one byte cost the loop ten seconds and the pair a take-over,
    bytes behind an upgrade 400 MB, and what is not HTTP 700 MB: the errors about it quoted it, and
    waited with their connections for the garbage collector."""
    head, part = HOSTILE[name]
    with LabPair(SETTINGS) as pair:
        sources = [SOURCES[1 + number % 2] for number in range(120)]
        stranger = subprocess.Popen(
            [sys.executable, "-c", POUR, HOST, pair.a.control.rpartition(":")[2], *sources],
            stdin=subprocess.PIPE,
            text=True,
        )
        try:
            assert stranger.stdin is not None
            stranger.stdin.write(f"{head.hex()} {part.hex()}")
            stranger.stdin.close()
            until_s = time.monotonic() + FLOOD_S
            while time.monotonic() < until_s:
                pair.a.status()
        finally:
            stranger.kill()
            stranger.wait()
        stayed_well(pair, memory_mb_max=MEMORY_MB_MAX)


def test_a_flood_of_datagrams_from_a_stranger_delays_no_heartbeat() -> None:
    chance = random.Random(1)
    junk = [chance.randbytes(chance.randrange(0, 600)) for _ in range(50)]
    junk += [b"SRMh\x01\x01" + chance.randbytes(300) for _ in range(50)]  # begins like a heartbeat
    with LabPair(SETTINGS) as pair, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.connect((HOST, int(pair.a.heartbeat.rpartition(":")[2])))
        sent_count = 0
        with machine() as late:
            since_s = time.monotonic()
            until_s = since_s + (BEATS + 2) * INTERVAL_S
            while (now_s := time.monotonic()) < until_s:
                due = int((now_s - since_s) * DATAGRAMS_PER_S)
                for number in range(sent_count, due):
                    stranger.send(junk[number % len(junk)])
                sent_count = max(sent_count, due)
                time.sleep(1 / 500)  # a steady rate, not a burst
        rejected = pair.a.status()["counters"]["heartbeats_rejected"]
        assert sum(rejected.values()) >= sent_count / 2
        stayed_well(pair)
        was_punctual(pair.a, since_s, until_s, late[0])
