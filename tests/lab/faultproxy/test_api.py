"""What our API does beyond Toxiproxy's, or otherwise: strictness, UDP, and changes that fail."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from srmd.lab.faultproxy.server import Settings, serving
from srmd.lab.toxiproxy import Failed, Invalid, NotFound, Toxiproxy, Unauthorized
from srmd.secret import Secret
from tests.lab.faultproxy.peers import Udp


@pytest.fixture
async def toxiproxy() -> AsyncIterator[Toxiproxy]:
    async with serving(Settings(port=0, seed=1)) as server, Toxiproxy(server.url) as client:
        yield client


@pytest.fixture
async def lenient() -> AsyncIterator[Toxiproxy]:
    settings = Settings(port=0, seed=1, strict=False)
    async with serving(settings) as server, Toxiproxy(server.url) as client:
        yield client


async def test_a_udp_proxy_shows_its_protocol_and_settings(toxiproxy: Toxiproxy) -> None:
    made = await toxiproxy.create("p", upstream="127.0.0.1:9", protocol="udp", idle_timeout=500)
    assert made.protocol == "udp"
    raw = (await toxiproxy._ask("GET", "/proxies/p")) or {}
    assert isinstance(raw, dict)
    assert {key: raw[key] for key in list(raw)[6:]} == {
        "protocol": "udp",
        "source": "",
        "idle_timeout": 500,
        "max_datagram": 65507,
        "queue_limit": 10000,
    }


async def test_tcp_is_what_a_proxy_is_unless_it_says_udp(toxiproxy: Toxiproxy) -> None:
    assert (await toxiproxy.create("p", upstream="127.0.0.1:9")).protocol == "tcp"


async def test_a_busy_udp_port_is_told_in_the_words_of_toxiproxy(toxiproxy: Toxiproxy) -> None:
    with Udp() as busy:
        listen = f"127.0.0.1:{busy.port}"
        with pytest.raises(Failed) as refused:
            await toxiproxy.create("p", upstream="a:1", listen=listen, protocol="udp")
    assert refused.value.message == f"listen udp {listen}: bind: address already in use"
    assert await toxiproxy.proxies() == {}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_move_to_a_busy_port_changes_nothing(toxiproxy: Toxiproxy, protocol: str) -> None:
    before = await toxiproxy.create("p", upstream="127.0.0.1:9", protocol=protocol)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(type=kind) as busy:
        busy.bind(("127.0.0.1", 0))
        with pytest.raises(Failed):
            await toxiproxy.update(
                "p", listen=f"127.0.0.1:{busy.getsockname()[1]}", upstream="other:1"
            )
    assert await toxiproxy.proxy("p") == before


async def test_a_reset_that_fails_changes_nothing(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("a", upstream="127.0.0.1:9")
    await toxiproxy.add_toxic("a", "latency")
    made = await toxiproxy.create("b", upstream="127.0.0.1:9")
    await toxiproxy.update("b", enabled=False)
    before = await toxiproxy.proxies()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", made.port))
        busy.listen()
        with pytest.raises(Failed):
            await toxiproxy._ask("POST", "/reset")
        assert await toxiproxy.proxies() == before


async def test_populate_keeps_the_old_proxy_when_the_new_one_cannot_be_bound(
    toxiproxy: Toxiproxy,
) -> None:
    before = await toxiproxy.create("p", upstream="127.0.0.1:9", protocol="udp")
    with Udp() as busy, pytest.raises(Failed):
        await toxiproxy.populate(
            [
                {
                    "name": "p",
                    "listen": f"127.0.0.1:{busy.port}",
                    "upstream": "127.0.0.1:9",
                    "protocol": "udp",
                }
            ]
        )
    assert await toxiproxy.proxy("p") == before


async def test_a_change_of_a_toxic_that_fails_changes_nothing(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    before = await toxiproxy.add_toxic("p", "latency", attributes={"latency": 5})
    with pytest.raises(Invalid):
        await toxiproxy.update_toxic(
            "p", before.name, toxicity=0.5, attributes={"latency": 7, "jitter": 0.5}
        )
    assert await toxiproxy.toxics("p") == [before]


@pytest.mark.parametrize(
    "protocol, type_, attributes, reason",
    [
        ("udp", "slicer", {}, "slicer works on streams and means nothing for udp; use one of "),
        ("udp", "reset_peer", {}, "reset_peer works on streams"),
        ("udp", "slow_close", {}, "slow_close works on streams"),
        ("tcp", "duplicate", {}, "duplicate works on datagrams and means nothing for tcp"),
        ("udp", "nonsense", {}, "invalid toxic type"),
        ("udp", "latency", {"latency": -1}, "latency.latency: -1 is not in 0 to 86400000"),
        ("udp", "latency", {"delay": 1}, "'delay' is not an attribute; it has: latency, jitter"),
        ("tcp", "slicer", {}, "slicer: average_size must be greater than 0"),
        ("udp", "packet_loss", {"loss_rate": 30}, "packet_loss.loss_rate: 30.0 is not in 0 to 1"),
    ],
)
async def test_a_senseless_toxic_is_refused_with_a_reason(
    toxiproxy: Toxiproxy, protocol: str, type_: str, attributes: dict[str, float], reason: str
) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9", protocol=protocol)
    with pytest.raises(Invalid) as refused:
        await toxiproxy.add_toxic("p", type_, attributes=attributes)
    assert reason in refused.value.message
    assert await toxiproxy.toxics("p") == []


@pytest.mark.parametrize("toxicity", [-0.1, 1.1, 7])
async def test_a_chance_beyond_certainty_is_refused(toxiproxy: Toxiproxy, toxicity: float) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    with pytest.raises(Invalid, match="toxicity"):
        await toxiproxy.add_toxic("p", "latency", toxicity=toxicity)


@pytest.mark.parametrize("name", ["a/b", "a b", "ü", "a?b", "x" * 101])
async def test_a_name_that_no_url_can_hold_is_refused(toxiproxy: Toxiproxy, name: str) -> None:
    with pytest.raises(Invalid, match="does not fit into a URL"):
        await toxiproxy.create(name, upstream="127.0.0.1:9")


@pytest.mark.parametrize(
    "more, reason",
    [
        ({"protcol": "udp"}, "'protcol' is not known here"),
        ({"protocol": "sctp"}, "'sctp' is neither tcp nor udp"),
        ({"idle_timeout": 500}, "are for proxies of protocol udp"),
        ({"protocol": "udp", "idle_timeout": 1}, "idle_timeout: 1 is not a whole number from 10"),
        ({"protocol": "udp", "queue_limit": "9"}, "queue_limit: a string is not a whole number"),
        ({"protocol": "udp", "max_datagram": 0}, "max_datagram: 0 is not a whole number"),
    ],
)
async def test_senseless_settings_of_a_proxy_are_refused(
    toxiproxy: Toxiproxy, more: dict[str, str], reason: str
) -> None:
    body = {"name": "p", "upstream": "127.0.0.1:9", **more}
    with pytest.raises(Invalid) as refused:
        await toxiproxy._ask("POST", "/proxies", body)
    assert reason in refused.value.message
    assert await toxiproxy.proxies() == {}


async def test_a_protocol_cannot_be_changed(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9")
    with pytest.raises(Invalid, match="protocol cannot be changed; delete the proxy"):
        await toxiproxy._ask("PATCH", "/proxies/p", {"protocol": "udp"})


async def test_a_proxy_object_can_be_sent_back_as_it_came(toxiproxy: Toxiproxy) -> None:
    await toxiproxy.create("p", upstream="127.0.0.1:9", protocol="udp")
    await toxiproxy.add_toxic("p", "hold")
    raw = await toxiproxy._ask("GET", "/proxies/p")
    assert await toxiproxy._ask("POST", "/proxies/p", raw) == raw


async def test_a_lenient_server_shows_what_has_no_effect(lenient: Toxiproxy) -> None:
    await lenient.create("p", upstream="127.0.0.1:9", protocol="udp")
    added = await lenient.add_toxic("p", "slicer", attributes={"average_size": 5})
    assert not added.effective
    assert added.attributes == {"average_size": 5, "size_variation": 0, "delay": 0}
    changed = await lenient.update_toxic("p", added.name, attributes={"delay": 7})
    assert changed.attributes["delay"] == 7
    await lenient.remove_toxic("p", added.name)
    assert await lenient.toxics("p") == []


async def test_the_server_tells_its_seed(toxiproxy: Toxiproxy) -> None:
    assert await toxiproxy._ask("GET", "/srm/v1/server") == {
        "product": "srmd faultproxy",
        "seed": 1,
        "strict": True,
        "api": "2.13.0",
    }


async def test_evidence_of_a_missing_proxy_is_not_found(toxiproxy: Toxiproxy) -> None:
    with pytest.raises(NotFound):
        await toxiproxy.stats("p")


async def test_with_a_token_nothing_is_told_without_it() -> None:
    async with serving(Settings(port=0, token=Secret("let me in"))) as server:
        for token in (None, Secret("let me"), Secret("")):
            async with Toxiproxy(server.url, token=token) as stranger:
                with pytest.raises(Unauthorized, match="missing or invalid auth token"):
                    await stranger.version()
        async with Toxiproxy(server.url, token=Secret("let me in")) as friend:
            assert await friend.version() == "2.13.0"


async def test_a_missing_token_is_answered_as_toxiproxy_does() -> None:
    async with (
        serving(Settings(port=0, token=Secret("x"))) as server,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{server.url}/proxies") as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            error = {"error": "missing or invalid auth token", "status": 401}
            assert json.loads(await answer.text()) == error
        async with session.get(f"{server.url}/nothing") as answer:
            assert answer.status == 404


async def test_a_body_without_end_is_refused(toxiproxy: Toxiproxy) -> None:
    async with aiohttp.ClientSession() as session:
        endless = io.BytesIO(b"[" * (2**20 + 1))
        async with session.post(f"{toxiproxy.url}/proxies", data=endless) as answer:
            assert answer.status == 413
            assert "longer than 1048576 bytes" in await answer.text()
