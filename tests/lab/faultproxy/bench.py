"""What the fault proxy costs, beside the smallest relay that Python can be.

    python -m tests.lab.faultproxy.bench [--quick]

Each relay is a process of its own; this one holds both ends.  A goodput is told as time per
datagram: a window of them is sent, and the next window when all have arrived.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figure import Figure, Sample, Within, in_turns, table
from tests.lab.faultproxy.programs import ROOT, ours

WINDOW = 64
WINDOWS_PER_ROUND = 20
ROUND_TRIPS_PER_ROUND = 200
ROUNDS, QUICK_ROUNDS = 30, 2
LIMIT_S = 30.0
PAYLOAD = bytes(256)
GOAL = Within(3.0)
"""Slower than three bare relays would be a mistake in the data path, not the price of a choice."""

TOXICS: dict[str, dict[str, float]] = {
    "packet_loss": {"loss_rate": 0.0},
    "latency": {"latency": 0},
    "corrupt": {"probability": 0.0},
}


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a relay."""

    client: socket.socket
    upstream: socket.socket

    def windows(self) -> None:
        for _ in range(WINDOWS_PER_ROUND):
            for _ in range(WINDOW):
                self.client.send(PAYLOAD)
            for _ in range(WINDOW):
                self.upstream.recv(65_536)

    def round_trips(self) -> None:
        for _ in range(ROUND_TRIPS_PER_ROUND):
            self.client.send(PAYLOAD)
            payload, source = self.upstream.recvfrom(65_536)
            self.upstream.sendto(payload, source)
            self.client.recv(65_536)


def run(*, quick: bool = False) -> list[Figure]:
    """Goodput and round trip, with and without toxics; durations are of one datagram."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with bare() as bare_ends, proxied({}) as plain, proxied(TOXICS) as busy:
        figures = []
        works = [ends.windows for ends in (plain, busy, bare_ends)]
        samples = [_each(sample, WINDOW * WINDOWS_PER_ROUND) for sample in in_turns(rounds, *works)]
        for name, sample in (("a datagram", samples[0]), ("with three toxics", samples[1])):
            rates = [f"{1 / each.median_s:,.0f}/s" for each in (sample, samples[2])]
            note = f"{rates[0]}, the bare relay {rates[1]}"
            goal = GOAL if sample is samples[0] else None
            figures.append(_figure(f"{name} in a flood", sample, samples[2], goal, note))
        works = [ends.round_trips for ends in (plain, busy, bare_ends)]
        samples = [_each(sample, ROUND_TRIPS_PER_ROUND) for sample in in_turns(rounds, *works)]
        figures.append(_figure("a round trip", samples[0], samples[2], GOAL, ""))
        figures.append(_figure("a round trip with three toxics", samples[1], samples[2], None, ""))
        return figures


@contextlib.contextmanager
def proxied(toxics: dict[str, dict[str, float]]) -> Iterator[Ends]:
    with ours() as server, _ends() as (client, upstream):
        wanted = {
            "name": "p",
            "listen": "127.0.0.1:0",
            "upstream": f"127.0.0.1:{upstream.getsockname()[1]}",
            "protocol": "udp",
        }
        made = json.loads(server.ask("POST", "/proxies", json.dumps(wanted)).body)
        for kind, attributes in toxics.items():
            toxic = json.dumps({"type": kind, "stream": "upstream", "attributes": attributes})
            assert server.ask("POST", "/proxies/p/toxics", toxic).status == 200
        client.connect(("127.0.0.1", int(made["listen"].rpartition(":")[2])))
        yield Ends(client, upstream)


@contextlib.contextmanager
def bare() -> Iterator[Ends]:
    with _ends() as (client, upstream):
        command = [sys.executable, "-m", "tests.lab.faultproxy.bench", "--relay-to"]
        command.append(str(upstream.getsockname()[1]))
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout
        try:
            client.connect(("127.0.0.1", int(process.stdout.readline())))
            yield Ends(client, upstream)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def relay(upstream_port: int) -> None:
    """One client, no choices: read, send on, both ways, until it is ended."""
    with _ends() as (listening, upstream):
        upstream.connect(("127.0.0.1", upstream_port))
        print(listening.getsockname()[1], flush=True)
        selector = selectors.DefaultSelector()
        for each in (listening, upstream):
            each.setblocking(False)
            selector.register(each, selectors.EVENT_READ)
        client: tuple[str, int] | None = None
        while True:
            for key, _ in selector.select():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        if key.fileobj is listening:
                            payload, client = listening.recvfrom(65_536)
                            upstream.send(payload)
                        else:
                            assert client, "the upstream only answers"
                            payload = upstream.recv(65_536)
                            listening.sendto(payload, client)


@contextlib.contextmanager
def _ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for each in (one, other):
            each.settimeout(LIMIT_S)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
            each.bind(("127.0.0.1", 0))
        yield one, other


def _each(sample: Sample, count: int) -> Sample:
    return Sample(tuple(duration_s / count for duration_s in sample.durations_s))


def _figure(name: str, took: Sample, bare_relay: Sample, goal: Within | None, note: str) -> Figure:
    return Figure(
        name=name, ours=took, beside_name="bare relay", beside=bare_relay, goal=goal, note=note
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--relay-to", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.relay_to is not None:
        relay(options.relay_to)
    print(table(run(quick=options.quick)))


if __name__ == "__main__":
    main()
