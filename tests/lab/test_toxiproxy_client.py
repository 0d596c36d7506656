"""Our client, against our server, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from srmd.lab.faultproxy.server import Settings, serving
from srmd.lab.toxiproxy import (
    Exists,
    Failed,
    Invalid,
    NotFound,
    NotHealed,
    NotTheApi,
    Proxy,
    Toxic,
    Toxiproxy,
    Unreachable,
)
from tests.lab.faultproxy.peers import LIMIT_S
from tests.lab.faultproxy.programs import free_port, theirs


@pytest.fixture
async def toxiproxy() -> AsyncIterator[Toxiproxy]:
    async with serving(Settings(port=0, seed=1)) as server, Toxiproxy(server.url) as client:
        yield client


@asynccontextmanager
async def odd_server(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]], limit_s: float = LIMIT_S
) -> AsyncIterator[Toxiproxy]:
    """A server that answers everything in one odd way."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with Toxiproxy(f"http://127.0.0.1:{port}", limit_s=limit_s) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_the_life_of_a_proxy(toxiproxy: Toxiproxy) -> None:
    made = await toxiproxy.create("p", upstream="127.0.0.1:9")
    assert made == Proxy("p", f"127.0.0.1:{made.port}", "127.0.0.1:9", True, ())
    assert await toxiproxy.proxies() == {"p": made}
    assert (await toxiproxy.update("p", upstream="127.0.0.1:8")).upstream == "127.0.0.1:8"
    assert not (await toxiproxy.update("p", enabled=False)).enabled
    await toxiproxy.delete("p")
    assert await toxiproxy.proxies() == {}


async def test_the_life_of_a_toxic(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9", protocol="udp")
    added = await toxiproxy.add_toxic("p", "latency", stream="upstream", attributes={"latency": 5})
    attributes = {"latency": 5, "jitter": 0, "keep_order": 0}
    assert added == Toxic("latency_upstream", "latency", "upstream", 1, attributes)
    changed = await toxiproxy.update_toxic(
        "p", "latency_upstream", toxicity=0.5, attributes={"jitter": 1}
    )
    assert changed.toxicity == 0.5
    assert changed.attributes == {**attributes, "jitter": 1}
    assert await toxiproxy.toxics("p") == [changed]
    await toxiproxy.remove_toxic("p", "latency_upstream")
    assert await toxiproxy.toxics("p") == []


async def test_populate_keeps_what_is_the_same(toxiproxy: Toxiproxy) -> None:
    made = await toxiproxy.create("p", upstream="127.0.0.1:9")
    await toxiproxy.add_toxic("p", "latency")
    kept, new = await toxiproxy.populate(
        [
            {"name": "p", "listen": made.listen, "upstream": "127.0.0.1:9"},
            {"name": "q", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"},
        ]
    )
    assert len(kept.toxics) == 1
    assert new.enabled
    assert await toxiproxy.populate([]) == []


async def test_each_refusal_has_its_class(toxiproxy: Toxiproxy) -> None:
    made = await toxiproxy.create("p", upstream="127.0.0.1:9")
    with pytest.raises(Exists, match=r"POST .*/proxies: proxy already exists \(409\)"):
        await toxiproxy.create("p", upstream="127.0.0.1:9")
    with pytest.raises(NotFound, match="proxy not found"):
        await toxiproxy.delete("other")
    with pytest.raises(NotFound, match="toxic not found"):
        await toxiproxy.remove_toxic("p", "other")
    with pytest.raises(Invalid, match="invalid toxic type"):
        await toxiproxy.add_toxic("p", "other")
    with pytest.raises(Failed, match="bind: address already in use"):
        await toxiproxy.create("q", upstream="127.0.0.1:9", listen=made.listen)


async def test_names_are_quoted() -> None:
    settings = Settings(port=0, seed=1, strict=False)
    async with serving(settings) as server, Toxiproxy(server.url) as client:
        for name in ("a b", "a?b", "ü%41", "a#b"):
            await client.create(name, upstream="127.0.0.1:9")
            await client.add_toxic(name, "latency", name=name)
            assert (await client.proxy(name)).toxics[0].name == name
            await client.remove_toxic(name, name)
            await client.delete(name)
        assert await client.proxies() == {}


async def test_nobody_there_is_unreachable() -> None:
    async with Toxiproxy(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unreachable, match="is a server running there"):
            await client.version()


async def test_a_mute_server_is_given_up_after_the_limit() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        async with Toxiproxy(url, limit_s=0.1) as client:
            with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
                await client.proxies()


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", '{"p":7}', '{"p":{}}', '{"p":{"name":7}}', "[" * 100_000]
)
async def test_an_answer_that_makes_no_sense_is_not_believed(body: str) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with odd_server(handle) as client:
        with pytest.raises(NotTheApi):
            await client.proxies()


async def test_a_refusal_without_json_still_says_what_it_can() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text="overloaded")

    async with odd_server(handle) as client:
        with pytest.raises(Failed, match=r"overloaded \(503\)"):
            await client.proxies()


async def test_a_server_without_udp_is_found_out_at_once() -> None:
    """The real Toxiproxy ignores what it does not know, and would listen on TCP."""
    with theirs() as server:
        async with Toxiproxy(server.url) as client:
            with pytest.raises(NotTheApi, match="has no udp proxies"):
                await client.create("p", upstream="127.0.0.1:9", protocol="udp")
            assert await client.proxies() == {}


async def test_the_real_toxiproxy_is_driven_and_healed() -> None:
    with theirs() as server:
        async with Toxiproxy(server.url) as client:
            async with client.healing():
                await client.create("p", upstream="127.0.0.1:9")
                await client.add_toxic("p", "latency", attributes={"latency": 5})
                await client.update_toxic("p", "latency_downstream", toxicity=0.5)
                await client.update("p", enabled=False)
            (proxy,) = (await client.proxies()).values()
            assert proxy.enabled
            assert proxy.toxics == ()


async def test_a_toxic_lasts_as_long_as_its_block_even_if_it_fails(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")

    async def fail() -> None:
        async with toxiproxy.toxic("p", "latency", latency=5) as toxic:
            assert await toxiproxy.toxics("p") == [toxic]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await toxiproxy.toxics("p") == []


async def test_a_proxy_is_down_as_long_as_its_block(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    async with toxiproxy.down("p"):
        assert not (await toxiproxy.proxy("p")).enabled
    assert (await toxiproxy.proxy("p")).enabled


async def test_a_toxic_that_somebody_else_removed_is_no_failure(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    async with toxiproxy.toxic("p", "latency"):
        await toxiproxy.heal()


async def test_cancelling_heals_first(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    begun = asyncio.Event()

    async def chaos() -> None:
        async with toxiproxy.healing():
            await toxiproxy.add_toxic("p", "latency")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(chaos())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)  # it is healing now; a second Ctrl-C must not break that off
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await toxiproxy.toxics("p") == []


async def test_one_proxy_that_cannot_be_healed_leaves_the_others_healed(
    toxiproxy: Toxiproxy,
) -> None:
    await toxiproxy.create("well", upstream="127.0.0.1:9")
    await toxiproxy.add_toxic("well", "latency")
    lost = await toxiproxy.create("lost", upstream="127.0.0.1:9")
    await toxiproxy.update("lost", enabled=False)
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", lost.port))
        thief.listen()
        with pytest.raises(NotHealed, match="lost is disabled"):
            await toxiproxy.heal()
    assert await toxiproxy.toxics("well") == []


async def test_a_server_that_only_says_it_healed_is_found_out() -> None:
    broken = (
        '{"p":{"name":"p","listen":"a:1","upstream":"b:1","enabled":false,"toxics":'
        '[{"name":"t","type":"latency","stream":"upstream","toxicity":1,"attributes":{}}]}}'
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204) if request.path == "/reset" else web.Response(text=broken)

    async with odd_server(handle) as client:
        with pytest.raises(NotHealed, match="p is disabled; p has the toxic t"):
            await client.heal()


async def test_healing_is_tried_again_when_the_server_is_slow_once() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return web.Response(status=204) if request.path == "/reset" else web.Response(text="{}")

    async with odd_server(handle, limit_s=1.0) as client:  # far more than an answer takes
        await client.heal()
    assert asked == ["/reset", "/reset", "/proxies"]


async def test_nothing_of_this_needs_the_event_log(tmp_path: Path) -> None:
    settings = Settings(port=0, events=tmp_path / "events")
    async with serving(settings) as server, Toxiproxy(server.url) as client:
        await client.create("p", upstream="127.0.0.1:9")
    assert "proxy.created" in (tmp_path / "events").read_text()
