"""What it costs to make a heartbeat, and to check and read one, beside its HMAC alone.

The digest is the part that cannot be saved; the rest is strict JSON.  A pair needs less than a
hundred a second, so this is about a flood and about what is left of the processor.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from srmd.wire.heartbeat import Heartbeat, decode, encode
from srmd.wire.keys import DIGEST_BYTES, AuthMode, Keyring
from srmd.wire.replay import Mark
from srmd.wire.sample import sample_heartbeat
from tests.bench.figure import Figure, Sample

SECRET = bytes(range(32))
KEYRING = Keyring({"k1": SECRET}, "k1", AuthMode.REQUIRE)
BATCH_COUNT = 500
"""Messages a round.  One alone takes microseconds: too little for a clock."""
ROUNDS, QUICK_ROUNDS = 40, 2

T = TypeVar("T")


def run(*, quick: bool = False) -> list[Figure]:
    """Encoding, and decoding with the check of digest and replay; durations are of one message."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    encode_s: list[float] = []
    decode_s: list[float] = []
    digest_s: list[float] = []
    for number in range(rounds):
        first = number * BATCH_COUNT + 1
        heartbeats = [sample_heartbeat(seq) for seq in range(first, first + BATCH_COUNT)]
        datagrams: list[bytes] = []
        mark = Mark()

        def verify(data: bytes) -> None:
            nonlocal mark
            _, mark = decode(data, KEYRING, group="group-1", peer="a", mark=mark)

        def sign(heartbeat: Heartbeat, made: list[bytes] = datagrams) -> None:
            made.append(encode(heartbeat, KEYRING))

        encode_s.append(_each_s(heartbeats, sign))
        decode_s.append(_each_s(datagrams, verify))
        signed = [data[:-DIGEST_BYTES] for data in datagrams]
        digest_s.append(_each_s(signed, lambda message: hmac.digest(SECRET, message, "sha256")))
        assert mark.seq == heartbeats[-1].seq, "a heartbeat of the batch was not accepted"
    digest = Sample(tuple(digest_s))
    return [
        _figure("heartbeat encoded and signed", Sample(tuple(encode_s)), digest),
        _figure("heartbeat verified and decoded", Sample(tuple(decode_s)), digest),
    ]


def _figure(name: str, ours: Sample, digest: Sample) -> Figure:
    note = f"{1 / ours.median_s:,.0f} a second; {1 / digest.median_s:,.0f} digests"
    return Figure(name=name, ours=ours, beside_name="its HMAC alone", beside=digest, note=note)


def _each_s(items: Sequence[T], work: Callable[[T], object]) -> float:
    begun_s = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - begun_s) / len(items)
