"""Whatever a request holds: it is carried out, or refused with a reason and nothing has changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srmd.lab.faultproxy.body import BadBody, decode, encode
from srmd.lab.faultproxy.catalogue import DATAGRAM_TOXICS, STREAM_TOXICS
from srmd.lab.faultproxy.journal import Journal
from srmd.lab.faultproxy.proxies import Proxies, Refused
from srmd.lab.faultproxy.toxic import BadAttribute

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["p", "q", "", "a/b", "\0", "ü"])
LISTENS = st.sampled_from(
    ["127.0.0.1:0", "", ":0", "x", "a:b:c", "127.0.0.1:99999", "[::1]", "\0:1"]
)


def mapping(**likely: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """An object with any of these keys, each likely sensible and sometimes anything."""
    each = {key: good | ANYTHING for key, good in likely.items()}
    return st.fixed_dictionaries({}, optional=each)


TOXIC = mapping(
    name=NAMES,
    type=st.sampled_from(sorted({*DATAGRAM_TOXICS, *STREAM_TOXICS})),
    stream=st.sampled_from(["upstream", "downstream", "Upstream", "x"]),
    toxicity=st.sampled_from([0, 0.5, 1, 7]),
    attributes=mapping(latency=st.integers(0, 9), bytes=st.integers(-1, 9), rate=st.just(1.5)),
)
PROXY = mapping(
    name=NAMES,
    listen=LISTENS,
    upstream=st.sampled_from(["127.0.0.1:9", "", "x", "\0:1"]),
    enabled=st.booleans(),
    protocol=st.sampled_from(["tcp", "udp"]),
    idle_timeout=st.integers(0, 100),
    toxics=st.lists(TOXIC, max_size=2),
)
REQUESTS = st.one_of(
    st.tuples(st.just("create"), PROXY),
    st.tuples(st.just("update"), PROXY),
    st.tuples(st.just("populate"), st.lists(PROXY, max_size=3) | ANYTHING),
    st.tuples(st.just("add_toxic"), TOXIC),
    st.tuples(st.just("update_toxic"), TOXIC),
    st.tuples(st.just("reset"), st.none()),
)


@settings(max_examples=150)
@given(requests=st.lists(REQUESTS, max_size=8), strict=st.booleans())
def test_a_request_that_fails_changes_nothing(
    requests: list[tuple[str, object]], strict: bool
) -> None:
    asyncio.run(play(requests, strict))


async def play(requests: list[tuple[str, object]], strict: bool) -> None:
    proxies = Proxies(Journal(None, time.monotonic, seed=1), seed=1, strict=strict)
    try:
        for kind, body in [("create", {"name": "p", "upstream": "127.0.0.1:9"}), *requests]:
            before = encode([proxy.shown() for proxy in proxies.all()])
            try:
                await ask(proxies, kind, body)
            except (Refused, BadBody, BadAttribute):
                after = encode([proxy.shown() for proxy in proxies.all()])
                # Populate keeps what it did before the failure: Toxiproxy's contract.
                assert after == before or kind == "populate"
    finally:
        await proxies.close()


async def ask(proxies: Proxies, kind: str, body: object) -> None:
    match kind:
        case "create":
            await proxies.create(body)
        case "update":
            await proxies.update("p", body)
        case "populate":
            await proxies.populate(body, [])
        case "add_toxic":
            proxies.add_toxic("p", body)
        case "update_toxic":
            toxics = proxies.get("p").toxics
            proxies.update_toxic("p", toxics[0].name if toxics else "none", body)
        case _:
            await proxies.reset()


@given(raw=st.binary() | ANYTHING.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_any_bytes_are_a_body_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadBody):
        encode(decode(raw))


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"9" * 5000])
def test_bodies_that_would_exhaust_the_decoder_are_refused(raw: bytes) -> None:
    with pytest.raises(BadBody, match=r"max depth|too many digits"):
        decode(raw)


def latency(ms: int, **more: object) -> dict[str, object]:
    return {"type": "latency", "attributes": {"latency": ms}, **more}


def proxy(name: str = "wan", *toxics: dict[str, object], **more: object) -> dict[str, object]:
    return {"name": name, "upstream": "127.0.0.1:9", "toxics": list(toxics), **more}


@contextlib.asynccontextmanager
async def some_proxies(*, strict: bool = True) -> AsyncIterator[Proxies]:
    made = Proxies(Journal(None, time.monotonic, seed=1), seed=1, strict=strict)
    try:
        yield made
    finally:
        await made.close()


def toxics_of(proxies: Proxies, name: str = "wan") -> dict[str, object]:
    shown = [placement.shown() for placement in proxies.get(name).toxics]
    return {str(toxic["name"]): toxic["attributes"] for toxic in shown}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_new_proxy_has_the_toxics_that_are_written_into_it(protocol: str) -> None:
    """They were dropped in silence: the most repeated wish of the users of this API."""
    wanted = proxy("wan", latency(45), latency(5, stream="upstream"), protocol=protocol)
    async with some_proxies() as proxies:
        await proxies.create(wanted)
        names = list(toxics_of(proxies))
        assert names == ["latency_downstream", "latency_upstream"]
        assert proxies.get("wan").enabled
    async with some_proxies() as proxies:
        await proxies.populate([wanted], [])
        assert list(toxics_of(proxies)) == names


async def test_populate_gives_a_proxy_that_is_there_the_toxics_of_its_list() -> None:
    async with some_proxies() as proxies:
        created = await proxies.create(proxy("wan", latency(45)))
        again = {"name": "wan", "listen": created.listen, "upstream": "127.0.0.1:9"}
        (toxic,) = created.toxics
        for same in (again, {**again, "toxics": None}, {**again, "toxics": [latency(45)]}):
            await proxies.populate([same], [])
            assert proxies.get("wan").toxics == [toxic]
            assert proxies.get("wan").toxics[0] is toxic
        await proxies.populate([{**again, "toxics": [latency(7, name="other")]}], [])
        assert list(toxics_of(proxies)) == ["other"]
        await proxies.populate([{**again, "upstream": "127.0.0.1:8", "toxics": [latency(8)]}], [])
        assert list(toxics_of(proxies)) == ["latency_downstream"]
        await proxies.populate([{**again, "upstream": "127.0.0.1:8", "toxics": []}], [])
        assert toxics_of(proxies) == {}


@pytest.mark.parametrize(
    "toxics, error, message",
    [
        ("x", BadBody, "toxics: a string where an array is needed"),
        ([1], BadBody, "toxic 1 of proxy wan: a number where an object is needed"),
        ([{"type": "no"}], Refused, "toxic 1 of proxy wan: invalid toxic type"),
        ([latency(1), latency(2)], Refused, "toxic 2 of proxy wan: toxic already exists"),
        ([latency(-1)], BadBody, "toxic 1 of proxy wan: latency.latency: -1 is not in"),
        ([latency(1, spead=2)], BadBody, "toxic 1 of proxy wan: 'spead' is not known here"),
    ],
)
async def test_a_proxy_with_a_toxic_that_cannot_be_is_refused(
    toxics: object, error: type[Exception], message: str
) -> None:
    async with some_proxies() as proxies:
        wanted = {**proxy(), "toxics": toxics}
        with pytest.raises(error, match=message):
            await proxies.create(wanted)
        with pytest.raises(error, match=message):
            await proxies.populate([proxy("first"), wanted], [])
        assert proxies.all() == []


async def test_two_proxies_of_one_name_in_one_list_are_refused() -> None:
    async with some_proxies() as proxies:
        with pytest.raises(BadBody, match="proxies 1 and 3 have one name, 'a'; rename one"):
            await proxies.populate([proxy("a"), proxy("b"), proxy("a")], [])
        assert proxies.all() == []


async def test_a_lenient_server_takes_new_proxies_as_toxiproxy_does() -> None:
    async with some_proxies(strict=False) as proxies:
        await proxies.populate([proxy("a", latency(1)), {**proxy("a"), "upstream": "x:1"}], [])
        assert proxies.get("a").toxics == []
        assert proxies.get("a").upstream == "x:1"
