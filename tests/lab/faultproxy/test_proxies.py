"""Whatever a request holds: it is carried out, or refused with a reason and nothing has changed."""

from __future__ import annotations

import asyncio
import contextlib
import time

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


PROXY = mapping(
    name=NAMES,
    listen=LISTENS,
    upstream=st.sampled_from(["127.0.0.1:9", "", "x", "\0:1"]),
    enabled=st.booleans(),
    protocol=st.sampled_from(["tcp", "udp"]),
    idle_timeout=st.integers(0, 100),
)
TOXIC = mapping(
    name=NAMES,
    type=st.sampled_from(sorted({*DATAGRAM_TOXICS, *STREAM_TOXICS})),
    stream=st.sampled_from(["upstream", "downstream", "Upstream", "x"]),
    toxicity=st.sampled_from([0, 0.5, 1, 7]),
    attributes=mapping(latency=st.integers(0, 9), bytes=st.integers(-1, 9), rate=st.just(1.5)),
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
