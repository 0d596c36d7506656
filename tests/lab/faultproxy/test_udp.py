"""UDP proxies on real sockets, steered through the API."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from srmd.lab.faultproxy import address, udp
from srmd.lab.faultproxy.server import Serving, Settings, serving
from srmd.lab.toxiproxy import Toxiproxy
from tests.lab.faultproxy.peers import LIMIT_S, Udp, eventually
from tests.lab.faultproxy.programs import free_port


class Wire:
    """A client, a UDP proxy named `p`, and an upstream."""

    def __init__(self, server: Serving, toxiproxy: Toxiproxy, upstream: Udp) -> None:
        self.server = server
        self.toxiproxy = toxiproxy
        self.upstream = upstream

    async def stats(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Waits until the evidence is so."""

        async def is_so() -> bool:
            return condition(await self.toxiproxy.stats("p"))

        await eventually(is_so)

    async def client(self) -> Udp:
        return Udp((await self.toxiproxy.proxy("p")).port)


SETTINGS = Settings(port=0, seed=1)


@asynccontextmanager
async def wire(settings: Settings = SETTINGS, **more: Any) -> AsyncIterator[Wire]:
    async with serving(settings) as server, Toxiproxy(server.url) as toxiproxy:
        with Udp() as upstream:
            await toxiproxy.create(
                "p", upstream=f"127.0.0.1:{upstream.port}", protocol="udp", **more
            )
            yield Wire(server, toxiproxy, upstream)


async def test_datagrams_go_both_ways_and_each_client_has_its_own_port_upstream() -> None:
    async with wire() as w:
        with await w.client() as one, await w.client() as two:
            one.send(b"from one")
            two.send(b"from two")
            heard = dict(await w.upstream.take_with_sources(2))
            assert set(heard) == {b"from one", b"from two"}
            assert heard[b"from one"] != heard[b"from two"]
            await w.upstream.answer(b"to two", heard[b"from two"])
            await w.upstream.answer(b"to one", heard[b"from one"])
            assert await one.take() == [b"to one"]
            assert await two.take() == [b"to two"]


@pytest.mark.parametrize("size", [0, 1, 1400, 60_000])
async def test_any_size_passes_unchanged(size: int) -> None:
    async with wire() as w:
        with await w.client() as client:
            client.send(bytes(size))
            assert await w.upstream.take() == [bytes(size)]


async def test_a_burst_passes_in_order() -> None:
    async with wire() as w:
        with await w.client() as client:
            sent = [b"%d" % number for number in range(300)]
            client.send(*sent)
            assert await w.upstream.take(300) == sent


async def test_a_disabled_proxy_refuses_and_a_black_hole_is_silent() -> None:
    async with wire() as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "timeout", stream="upstream"):
                client.send(b"swallowed")
                assert await client.is_silent()
            async with w.toxiproxy.down("p"):
                client.send(b"refused")
                with pytest.raises(ConnectionRefusedError):
                    await client.take()
            client.send(b"well again")
            assert await w.upstream.take() == [b"well again"]


async def test_toxics_work_in_their_direction_only() -> None:
    async with wire() as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "packet_loss", stream="downstream", loss_rate=1.0):
                client.send(b"there")
                ((payload, source),) = await w.upstream.take_with_sources()
                assert payload == b"there"
                await w.upstream.answer(b"and not back", source)
                assert await client.is_silent()


async def test_latency_is_seen_on_the_wire() -> None:
    async with wire() as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "latency", stream="upstream", latency=80):
                began_s = time.monotonic()
                client.send(b"slow")
                await w.upstream.take()
                assert 0.08 <= time.monotonic() - began_s < LIMIT_S


async def test_drop_next_counts_down_in_the_api() -> None:
    async with wire() as w:
        with await w.client() as client:
            await w.toxiproxy.add_toxic(
                "p", "drop_next", stream="upstream", attributes={"count": 3}
            )
            client.send(b"1", b"2", b"3", b"4")
            assert await w.upstream.take() == [b"4"]
            (toxic,) = await w.toxiproxy.toxics("p")
            assert toxic.attributes == {"count": 0}


async def test_hold_releases_in_a_burst_when_it_is_removed() -> None:
    async with wire() as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "hold", stream="upstream"):
                client.send(b"1", b"2", b"3")
                assert await w.upstream.is_silent()
            assert await w.upstream.take(3) == [b"1", b"2", b"3"]


async def test_a_reset_removes_toxics_and_enables() -> None:
    async with wire() as w:
        with await w.client() as client:
            await w.toxiproxy.add_toxic("p", "timeout", stream="upstream")
            await w.toxiproxy.update("p", enabled=False)
            await w.toxiproxy.heal()
            client.send(b"well again")
            assert await w.upstream.take() == [b"well again"]


async def test_disabling_throws_away_what_waits() -> None:
    async with wire() as w:
        with await w.client() as client:
            await w.toxiproxy.add_toxic("p", "hold", stream="upstream")
            client.send(b"lost")
            await w.stats(lambda stats: stats["upstream"]["waiting"] == 1)
            async with w.toxiproxy.down("p"):
                pass
            await w.toxiproxy.heal()
            assert await w.upstream.is_silent()
            assert (await w.toxiproxy.stats("p"))["upstream"]["discarded"] == 1


async def test_an_idle_client_is_forgotten_and_comes_back_from_another_port() -> None:
    async with wire(idle_timeout=50) as w:
        with await w.client() as client:
            client.send(b"first")
            ((_, before),) = await w.upstream.take_with_sources()
            await w.stats(lambda stats: stats["sessions"] == 0)
            client.send(b"second")
            ((_, after),) = await w.upstream.take_with_sources()
            assert before != after


async def test_a_client_whose_datagrams_wait_is_not_forgotten() -> None:
    async with wire(idle_timeout=20) as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "latency", stream="upstream", latency=200):
                client.send(b"slow")
                assert await w.upstream.take() == [b"slow"]


async def test_the_timeout_of_a_black_hole_forgets_clients() -> None:
    async with wire() as w:
        with await w.client() as client:
            client.send(b"first")
            await w.upstream.take()
            async with w.toxiproxy.toxic("p", "timeout", stream="upstream", timeout=30):
                await w.stats(lambda stats: stats["sessions"] == 0)


async def test_a_fixed_source_address_is_what_the_upstream_sees() -> None:
    port = free_port(socket.SOCK_DGRAM)
    async with wire(source=f"127.0.0.1:{port}") as w:
        with await w.client() as client:
            client.send(b"hello")
            assert await w.upstream.take_with_sources() == [(b"hello", ("127.0.0.1", port))]


async def test_oversize_datagrams_are_counted_apart() -> None:
    async with wire(max_datagram=100) as w:
        with await w.client() as client:
            client.send(bytes(101), b"small")
            assert await w.upstream.take() == [b"small"]
            assert (await w.toxiproxy.stats("p"))["trouble"] == {"oversize": 1}


async def test_a_full_queue_is_counted_apart_from_wanted_loss() -> None:
    async with wire(queue_limit=2) as w:
        with await w.client() as client:
            async with w.toxiproxy.toxic("p", "hold", stream="upstream"):
                client.send(b"1", b"2", b"3")
                await w.stats(lambda stats: stats["upstream"]["queue_dropped"] == 1)
            assert await w.upstream.take(2) == [b"1", b"2"]
            assert (await w.toxiproxy.stats("p"))["upstream"]["dropped_by"] == {}


async def test_a_dead_upstream_is_counted_and_hurts_nobody() -> None:
    async with wire() as w:
        with await w.client() as client:
            port = free_port(socket.SOCK_DGRAM)
            await w.toxiproxy.update("p", upstream=f"127.0.0.1:{port}")

            def is_refused(stats: dict[str, Any]) -> bool:
                client.send(b"x")
                return "ECONNREFUSED" in stats["trouble"]

            await w.stats(is_refused)
            await w.toxiproxy.update("p", upstream=f"127.0.0.1:{w.upstream.port}")
            client.send(b"well again")
            assert await w.upstream.take() == [b"well again"]


async def test_an_upstream_that_does_not_resolve_is_counted() -> None:
    async with wire() as w:
        with await w.client() as client:
            await w.toxiproxy.update("p", upstream="nowhere")
            client.send(b"x")
            await w.stats(lambda stats: stats["trouble"] == {"unresolved": 1})


async def test_an_upstream_is_looked_up_again_and_a_late_answer_about_a_former_one_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    answered, over = asyncio.Event(), asyncio.Event()

    async def slow(text: str) -> address.Resolved:
        asked.append(text)
        if text == "slow:1":
            if asked.count(text) == 1:
                raise address.BadAddress("lookup slow: no such host")
            try:
                await answered.wait()
                return await address.resolve("127.0.0.1:9")
            finally:
                over.set()
        return await address.resolve(text)

    monkeypatch.setattr(udp, "resolve", slow)
    monkeypatch.setattr(udp, "RESOLVE_RETRY_S", 0.0)
    async with wire() as w:
        with await w.client() as client:
            await w.toxiproxy.update("p", upstream="slow:1")
            client.send(b"lost")

            async def is_asked_again() -> bool:
                return asked.count("slow:1") == 2

            await eventually(is_asked_again)
            await w.toxiproxy.update("p", upstream=f"127.0.0.1:{w.upstream.port}")
            answered.set()
            await over.wait()
            client.send(b"kept")
            assert await w.upstream.take() == [b"kept"]


async def test_the_event_log_tells_what_happened_to_each_datagram(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    async with wire(Settings(port=0, seed=7, events=log)) as w:
        with await w.client() as client:
            await w.toxiproxy.add_toxic(
                "p", "drop_next", name="lose", stream="upstream", attributes={"count": 1}
            )
            client.send(b"lost", b"kept")
            await w.upstream.take()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["event"] == "journal.began"
    assert lines[0]["seed"] == 7
    told = [line for line in lines if line["event"] == "datagram"]
    assert [(line["ordinal"], line["stream"], line["toxics"]) for line in told] == [
        (1, "upstream", {"lose": "dropped"}),
        (2, "upstream", {}),
    ]
    assert told[0]["releases_s"] == []
    assert told[1]["releases_s"] == [told[1]["at_s"]]


async def test_the_same_seed_loses_the_same_datagrams() -> None:
    async def arrived() -> list[bytes]:
        async with wire() as w:
            with await w.client() as client:
                await w.toxiproxy.add_toxic(
                    "p", "packet_loss", stream="upstream", attributes={"loss_rate": 0.5}
                )
                client.send(*(b"%d" % number for number in range(50)))
                heard: list[bytes] = []
                while not heard or heard[-1] != b"end":
                    client.send(b"end")
                    heard += await w.upstream.take()
                return [payload for payload in heard if payload != b"end"]

    assert await arrived() == await arrived()


async def test_closing_leaves_nothing_behind() -> None:
    async with wire() as w:
        with await w.client() as client:
            client.send(b"x")
            await w.upstream.take()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
