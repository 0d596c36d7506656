"""The heartbeat socket: beats go out whatever is broken, and what has arrived counts."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.config import (
    Address,
    AuthConfig,
    Config,
    GroupConfig,
    HeartbeatConfig,
    NodeConfig,
    PeerConfig,
)
from srmd.core.events import Report
from srmd.core.node import Node
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import Text
from srmd.daemon import heartbeat as heartbeat_module
from srmd.daemon.heartbeat import Events, HeartbeatSocket
from srmd.daemon.listening import PortBusy, bound, is_dual
from srmd.node.memory import Boot, of_new_run, wake
from srmd.secret import Secret
from srmd.store.nodestate import NodeMemory
from srmd.wire.heartbeat import Heartbeat, Summary, encode
from srmd.wire.rejected import Rejected
from srmd.wire.replay import Mark

BOUND_S = 10.0
HOST = "127.0.0.1"
KEY = Secret(b"sixteen bytes or more")
INTERVAL_S = 0.05
IN_OPERATION = Node(State.NORMAL, Reason.NORMAL, Reason.NORMAL, contact=Contact.HEARD)
SUMMARY = Summary(
    0, 0, (), database=True, db_id="", users_revision=0, placement_op=0, relogin=(1, 2)
)


class Heard(Events):
    """Writes down what the socket tells."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.rejections: list[str] = []
        self.sources: list[str] = []
        self.down_s: list[float] = []
        self.errors: list[Exception | None] = []
        self.mismatches: list[str] = []
        self.late_s: list[float] = []
        self.decided = True

    @property
    def may_speak(self) -> bool:
        return self.decided

    def heard(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)

    def peer_down(self, deadline_s: float) -> None:
        self.down_s.append(deadline_s)

    def mismatched(self, what: Text) -> None:
        self.mismatches.append(what.en)

    def rejected(self, error: Rejected, source: str, count: int) -> None:
        self.rejections.append(error.trigger.value)
        self.sources.append(source)

    def send_failed(self, error: Exception | None) -> None:
        self.errors.append(error)

    def was_late(self, late_s: float) -> None:
        self.late_s.append(late_s)

    def compose(self, seq: int) -> Heartbeat:
        return made("a", seq)


def made(sender: str, seq: int, *, group: str = "lab") -> Heartbeat:
    report = Report(State.NORMAL, Reason.NORMAL, op=1)
    return Heartbeat(sender, group, "boot", 1, seq, False, 0, 0, report, SUMMARY)


def memory_of(config: Config) -> NodeMemory:
    """Of a first start."""
    return of_new_run(wake(None, config, Boot("boot", "os", ""), rebooted=False)[0], config)


@asynccontextmanager
async def listening(
    peer: str = HOST, *, listen: str = HOST, timeout_s: float = 60.0
) -> AsyncIterator[tuple[HeartbeatSocket, Heard, socket.socket]]:
    """A running heartbeat socket of node a, and a plain socket in the place of its peer's."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        loopback = "::1" if ":" in peer else HOST
        udp.bind((loopback, 0))
        udp.setblocking(False)
        config = Config(
            node=NodeConfig(id="a", state_dir=Path("unused")),
            group=GroupConfig(name="lab"),
            peer=PeerConfig(id="b", heartbeat=Address(peer, udp.getsockname()[1]), control="x"),
            heartbeat=HeartbeatConfig(
                listen=Address(listen, 0),
                keep_alive_interval_s=INTERVAL_S,
                keep_alive_timeout_s=timeout_s,
                initialization_keep_alive_timeout_s=60.0,
            ),
            auth=AuthConfig(active="k", keys={"k": KEY}),
        )
        heard = Heard()
        beats = HeartbeatSocket(config, config.auth.keyring(), memory_of(config), heard)
        if "%" not in peer:
            udp.connect((loopback, beats._socket.getsockname()[1]))
        running = asyncio.create_task(beats.run())
        try:
            yield beats, heard, udp
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            beats.close()


def datagram(beats: HeartbeatSocket, heartbeat: Heartbeat) -> bytes:
    return encode(heartbeat, beats._keyring)


def open_descriptors() -> int:
    """How many this process has open; always the same where nobody can tell (macOS)."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110  # conditions of the product have no event
            await asyncio.sleep(0.001)


async def test_no_heartbeat_leaves_before_the_node_has_decided_what_it_is() -> None:
    async with listening() as (beats, heard, udp):
        heard.decided = False
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: bool(heard.beats))
        due_s = beats.beats.next_beat_s
        await until(lambda: beats.beats.next_beat_s > due_s)
        assert beats.sent_count == 0
        heard.decided = True
        await until(lambda: beats.sent_count > 0)


async def test_it_beats_at_every_interval_and_hears_the_peer() -> None:
    async with listening() as (beats, heard, udp):
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: beats.sent_count >= 5 and bool(heard.beats))
        assert [beat.sender for beat in heard.beats] == ["b"]
        assert beats.presence().heard
        assert heard.errors == []


async def test_a_beat_that_leaves_late_is_counted_by_how_late_it_was() -> None:
    async with listening() as (beats, _, _):
        await until(lambda: sum(beats.punctuality.counts().values()) >= 1)
        before = beats.punctuality.counts()
        time.sleep(0.4)  # noqa: ASYNC251  # the loop stands still: that is the story
        await until(lambda: beats.punctuality.latest_s > 0.3)
        after = beats.punctuality.counts()
        assert any(after[name] > before[name] for name in ("0.5", "1.0", "more"))


class Broken:
    """A socket whose network stack refuses to send."""

    def __init__(self, real: socket.socket, error: Exception) -> None:
        self.real, self.error, self.tries_count = real, error, 0

    def sendto(self, *_: object) -> int:
        self.tries_count += 1
        raise self.error

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(1, "a firewall"),
        OSError(101, "Network is unreachable"),
        BlockingIOError(11, "the buffer is full"),
        OSError(90, "Message too long"),
        ValueError("names too long for a datagram"),
    ],
)
async def test_an_error_of_sending_is_told_once_and_the_next_tick_tries_again(
    error: Exception,
) -> None:
    async with listening() as (beats, heard, _):
        await until(lambda: beats.sent_count >= 1)
        real = beats._socket
        broken = Broken(real, error)
        beats._socket = broken  # type: ignore[assignment]
        await until(lambda: broken.tries_count >= 3)
        assert heard.errors == [error]
        assert beats.send_error == str(error)
        beats._socket = real
        sent = beats.sent_count
        await until(lambda: beats.sent_count > sent)
        assert heard.errors == [error, None]


async def test_garbage_is_counted_and_changes_nothing() -> None:
    async with listening() as (beats, heard, udp):
        good = datagram(beats, made("b", 1))
        for data in (b"", b"SRMh", os.urandom(700), good[:-1] + b"\0", good[:60], good + b"\0"):
            udp.send(data)
        await until(lambda: sum(beats.beats.rejected.values()) == 6)
        assert heard.beats == []
        assert beats.beats.mark == Mark()
        udp.send(good)
        udp.send(good)
        await until(lambda: beats.beats.rejected["stale"] == 1)
        assert len(heard.beats) == 1


async def test_an_authentic_peer_of_another_group_is_a_mismatch_and_no_proof_of_life() -> None:
    async with listening() as (beats, heard, udp):
        udp.send(datagram(beats, made("b", 1, group="other")))
        await until(lambda: bool(heard.mismatches))
        assert "'other'" in heard.mismatches[0]
        assert not beats.presence().heard


async def test_our_own_heartbeat_sent_back_to_us_is_no_mismatch() -> None:
    async with listening() as (beats, heard, udp):
        udp.send(datagram(beats, made("a", 1)))
        await until(lambda: beats.beats.rejected["echo"] == 1)
        assert heard.mismatches == []


async def test_a_clone_of_us_is_a_mismatch() -> None:
    async with listening() as (beats, heard, udp):
        udp.send(datagram(beats, replace(made("a", 1), boot_id="another")))
        await until(lambda: bool(heard.mismatches))
        assert heard.mismatches[0].startswith("both nodes have node.id a: ")
        assert beats.beats.rejected["clone"] == 1


async def test_a_silent_peer_is_down_at_the_deadline_not_earlier() -> None:
    async with listening(timeout_s=0.3) as (beats, heard, udp):
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: bool(heard.beats))
        beats.follow(IN_OPERATION, IN_OPERATION)
        assert beats.beats.last_heard_s is not None
        await until(lambda: bool(heard.down_s))
        (down_s,) = heard.down_s
        last_heard_s = beats.beats.last_heard_s
        # Later only if this machine let the loop stand still, which is told.
        assert down_s == last_heard_s + 0.3 or (heard.late_s and down_s > last_heard_s)
        assert time.monotonic() >= down_s
        assert not beats.presence().heard


async def test_a_heartbeat_that_waits_in_the_socket_at_the_deadline_counts() -> None:
    """The loop was busy over the deadline; behind a flood of garbage, too."""
    async with listening(timeout_s=0.3) as (beats, heard, udp):
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: bool(heard.beats))
        beats.follow(IN_OPERATION, IN_OPERATION)
        deadline_s = beats.beats.detector.deadline_s(initializing=False)
        stand_still(beats)
        for _ in range(3 * heartbeat_module.DRAIN_DATAGRAMS // 2):
            udp.send(b"garbage")
        udp.send(datagram(beats, made("b", 2)))
        await until(lambda: time.monotonic() >= deadline_s)
        beats.beats.detector = replace(beats.beats.detector, ticked_s=time.monotonic())
        beats._ring()
        assert heard.down_s == []
        assert len(heard.beats) == 2


def stand_still(beats: HeartbeatSocket) -> None:
    """Nothing is read and no clock rings, as while the loop does other work."""
    asyncio.get_running_loop().remove_reader(beats._socket.fileno())
    beats._alarm.cancel()
    assert beats._tick is not None
    beats._tick.cancel()


async def test_a_loop_that_stood_still_does_not_blame_the_peer() -> None:
    async with listening(timeout_s=0.3) as (beats, heard, udp):
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: bool(heard.beats))
        beats.follow(IN_OPERATION, IN_OPERATION)
        time.sleep(0.4)  # noqa: ASYNC251  # this is the fault: the loop stands still
        woken_s = time.monotonic()
        await until(lambda: bool(heard.down_s))
        assert heard.late_s
        assert time.monotonic() >= woken_s + INTERVAL_S


@pytest.mark.parametrize(
    "listen,peer",
    [("::", HOST), ("::", "::1"), ("::", "localhost"), ("::1", "::1"), ("localhost", HOST)],
)
async def test_heartbeats_leave_and_are_heard_by_every_pair_of_addresses(
    listen: str, peer: str
) -> None:
    """On `[::]` no heartbeat left for an IPv4 peer, and the name of one was never found."""
    async with listening(peer, listen=listen) as (beats, heard, udp):
        await until(lambda: beats.sent_count >= 2)
        udp.send(datagram(beats, made("b", 1)))
        udp.send(b"garbage")
        await until(lambda: bool(heard.beats and heard.rejections))
        assert heard.errors == []
        assert heard.sources == ["::1" if peer == "::1" else HOST]


def link_local() -> str:
    """A link-local address of this machine with its zone; skips where there is none."""
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else ():
        address, *_, zone = line.split()
        if address.startswith("fe80"):
            return f"{ipaddress.IPv6Address(int(address, 16))}%{zone}"
    pytest.skip("no interface of this machine has a link-local address")


async def test_a_link_local_address_is_bound_and_sent_to_with_its_zone() -> None:
    here = link_local()
    async with listening(here, listen=here) as (beats, heard, _):
        await until(lambda: beats.sent_count >= 2)
        assert heard.errors == []


async def test_a_peer_of_the_other_version_of_ip_is_told_with_the_way_out() -> None:
    async with listening("::1") as (beats, heard, _):
        await until(lambda: bool(heard.errors))
        assert str(heard.errors[0]) == (
            "::1 has no IPv4 address, and heartbeat.listen (127.0.0.1:0) sends to no other; "
            "[::]:0 sends to both versions"
        )
        assert beats.sent_count == 0


async def test_a_name_with_ipv6_addresses_alone_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log said "Temporary failure in name resolution": with /etc/hosts alone the resolver asks
    on for an IPv4 address, and no name server answers."""
    loop = asyncio.get_running_loop()
    found = loop.getaddrinfo

    async def of_ipv6(host: str, port: int, **options: int) -> object:
        if options["family"] == socket.AF_INET:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await found("::1", port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", of_ipv6)
    async with listening("beta6.example") as (beats, heard, _):
        await until(lambda: bool(heard.errors))
        assert str(heard.errors[0]) == (
            "beta6.example has no IPv4 address, and heartbeat.listen (127.0.0.1:0) sends to no "
            "other; [::]:0 sends to both versions"
        )
        assert beats.sent_count == 0


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_all_addresses_are_those_of_ipv4_where_the_machine_has_no_ipv6(
    monkeypatch: pytest.MonkeyPatch, kind: socket.SocketKind
) -> None:
    """`srmd init` writes [::] for a name, which may stand for either version."""
    made = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(family, kind)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with bound(Address("::", 0), kind) as listens:
        assert listens.family is socket.AF_INET
        assert not is_dual(listens)
        assert listens.getsockname()[0] == "0.0.0.0"
    with pytest.raises(OSError, match="family not supported"):
        bound(Address("::1", 0), kind)


async def test_names_resolve_beside_the_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer: ticks and deadline go on, and nothing waits for it."""
    asked = asyncio.Event()

    async def hangs(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hangs)
    async with listening("name.invalid", timeout_s=0.3) as (beats, heard, udp):
        beats.follow(IN_OPERATION, IN_OPERATION)
        await asked.wait()
        await until(lambda: bool(heard.down_s))
        udp.send(datagram(beats, made("b", 1)))
        await until(lambda: bool(heard.beats) and beats.beats._seq >= 5)
        assert beats.sent_count == 0


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
async def test_a_name_that_is_not_found_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(heartbeat_module, "RESOLVE_RETRY_S", 0.01)
    loop = asyncio.get_running_loop()
    found = loop.getaddrinfo
    tries = iter([error, error])

    async def flaky(host: str, port: int, **options: int) -> object:
        for failed in tries:
            raise failed
        return await found(HOST, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", flaky)
    async with listening("peer.invalid") as (beats, heard, _):
        await until(lambda: beats.sent_count >= 1)
        assert heard.errors == [error, None]


async def test_what_was_to_be_told_before_the_name_was_found_is_told_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node that started, and found its peer's name after its state was durable, stayed silent for
    a whole interval: 15 s with Cisco's timers."""
    loop = asyncio.get_running_loop()
    found, free = loop.getaddrinfo, asyncio.Event()

    async def slow(host: str, port: int, **options: int) -> object:
        await free.wait()
        return await found(HOST, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", slow)
    async with listening() as (beats, _, udp):
        await until(lambda: beats._tick is not None)
        assert beats._tick is not None
        beats._tick.cancel()  # only what is owed comes now
        beats.beat()
        assert beats.sent_count == 0
        free.set()
        await until(lambda: beats.sent_count == 1)
        assert udp.recv(2048)


async def test_the_last_address_that_worked_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (beats, heard, _):
        await until(lambda: beats.sent_count >= 1)

        async def fails(*_: object, **__: object) -> None:
            raise OSError("the name server is gone")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fails)
        await beats._resolve()
        sent = beats.sent_count
        await until(lambda: beats.sent_count > sent)
        assert heard.errors == []


async def test_a_port_in_use_is_said_with_the_way_out() -> None:
    async with listening() as (beats, heard, _):
        port = beats._socket.getsockname()[1]
        listen = replace(beats._config.heartbeat, listen=Address(HOST, port))
        config = replace(beats._config, heartbeat=listen)
        with pytest.raises(
            PortBusy, match=rf"heartbeat.listen: {HOST}:{port} is in use by process"
        ):
            HeartbeatSocket(config, beats._keyring, memory_of(config), heard)


async def test_a_socket_that_never_ran_gives_everything_back() -> None:
    """SRM stopped in the instant in which it started: the port stayed taken once."""
    async with listening() as (beats, heard, _):
        config = beats._config
        before = open_descriptors()
        never_ran = HeartbeatSocket(config, beats._keyring, memory_of(config), heard)
        never_ran.close()
        never_ran.close()
        assert open_descriptors() == before


async def test_a_defect_in_a_callback_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed by the loop and lost, it once left a node that was deaf and seemed well."""

    def broken(heartbeat: Heartbeat) -> None:
        raise RuntimeError("a defect")

    async with listening() as (beats, heard, udp):
        monkeypatch.setattr(heard, "heard", broken)
        udp.send(encode(made("b", 1), beats._keyring))
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(RuntimeError, match="a defect"):
                await asyncio.shield(beats._failed)
