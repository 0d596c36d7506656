"""The peer's client: bounded calls, the newest report, and databases that come to agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from srmd.core.events import Report
from srmd.core.states import Contact, Reason, State
from srmd.core.texts import Text
from srmd.daemon import peer as peer_module
from srmd.daemon.database import Database
from srmd.daemon.node import ServerNode
from srmd.daemon.notify import Notify
from srmd.daemon.peer import CallFailed, Peer, Unanswered
from srmd.lab.real.files import do
from srmd.lab.scenario.verbs import FileAction, Files
from srmd.log import Log
from srmd.log import start as start_log
from srmd.node.replication import PAGE_ROWS
from srmd.store.database import AssignmentMode, UserDatabase
from srmd.wire.control import (
    Accepted,
    Action,
    CommandMessage,
    Message,
    PlacementMessage,
    ReportMessage,
    decode_message,
    encode_message,
)
from srmd.wire.heartbeat import Heartbeat, Summary
from tests.daemon.nodes import HOST, Records, config_of, unread

BOUND_S = 15.0
NODES = ("a", "b")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110  # conditions of the product have no event
            await asyncio.sleep(0.002)


# ---------------------------------------------------------------------------- replication


class LinkedPeer(Peer):
    """Its calls reach the other node without a network; both codecs are passed."""

    def __init__(self, node: ServerNode) -> None:
        config = node.config
        super().__init__(config, config.auth.keyring(), 1, node.database, node.log)
        self.other: ServerNode | None = None
        self.others: Peer = self
        """The client of the other node."""
        self.calls: list[Message] = []

    async def call(self, message: Message) -> Message:
        self.calls.append(message)
        await asyncio.sleep(0)
        if self.other is None:
            raise CallFailed("cut")
        message = decode_message(encode_message(message), proved=True)
        answer = await self.other._answer(SimpleNamespace(peer=self.others), message)  # type: ignore[arg-type]
        return decode_message(encode_message(answer), proved=True)


class Half:
    """One node: its database, and the peer's client that replicates it."""

    def __init__(self, node: ServerNode) -> None:
        self.node = node
        self.peer = LinkedPeer(node)

    @property
    def database(self) -> Database:
        return self.node.database

    def summary(self) -> Summary:
        picture = self.database.picture
        return Summary(
            assigned=picture.assigned_to(self.node.config.node.id),
            served=0,
            services_down=(),
            database=True,
            db_id=picture.db_id,
            users_revision=picture.revision,
            placement_op=picture.placement_op,
            relogin=(1, 2),
        )


@pytest.fixture
async def halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Half, Half]]:
    monkeypatch.setattr(peer_module, "REPLICATION_PAUSE_S", 0.0)
    logs: list[Log] = []
    made: list[Half] = []
    for name in NODES:
        config = config_of(name, tmp_path)
        logs.append(start_log(config.log, name))
        node = ServerNode(unread, config, None, logs[-1], Notify(None), rebooted=False)
        node._last_machine = replace(node.machine, contact=Contact.HEARD)
        await node.database.start()
        made.append(Half(node))
    a, b = made
    a.peer.other, b.peer.other = b.node, a.node
    a.peer.others, b.peer.others = b.peer, a.peer
    tasks = [asyncio.create_task(half.peer._replicate_forever()) for half in made]
    yield a, b
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for half in made:
        await half.database.close()
        half.node.journal.close()
    for log in logs:
        log.close()


async def users_of(half: Half) -> dict[str, str | None]:
    def read(database: UserDatabase) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        after, more = "", True
        while more:
            page = database.users(after=after)
            found |= {user.user_id: user.home for user in page.users}
            more = page.more
            after = page.users[-1].user_id if page.users else ""
        return found

    return await half.database.use(read)


async def beats(a: Half, b: Half) -> None:
    """Heartbeats both ways until the databases agree."""

    def agree() -> bool:
        a.peer.compare(b.summary())
        b.peer.compare(a.summary())
        mine, yours = a.database.picture, b.database.picture
        pulled = (
            a.peer._replication._pulled == (mine.db_id, yours.db_id, yours.revision)
            and b.peer._replication._pulled == (yours.db_id, mine.db_id, mine.revision)
            and mine.placements == yours.placements
        )
        return pulled and not a.peer._replication.push_due and not b.peer._replication.push_due

    await until(agree)


async def test_users_are_not_taken_from_a_node_that_is_not_heard(
    halves: tuple[Half, Half],
) -> None:
    """The control channels of two pairs are crossed, copies of one another: each pair took over the
    users of the other."""
    a, b = halves
    await b.database.use(
        lambda database: database.generate(3, nodes=NODES, mode=AssignmentMode.BALANCED)
    )
    a.peer.compare(replace(b.summary(), db_id="the-one-that-is-heard"))
    await until(lambda: a.peer.reachable is False)
    assert a.peer.why_unreachable == (
        f"its answer is from database {b.database.picture.db_id}, and the heartbeats of node b "
        "name the-one-that-is-heard: check that peer.control leads to node b, as peer.heartbeat "
        "does"
    )
    assert await users_of(a) == {}
    a.peer._note()  # another call of ours is answered, by the same node
    assert not a.peer.reachable
    await beats(a, b)
    assert (a.peer.reachable, a.peer.why_unreachable) == (True, "")
    assert len(await users_of(a)) == 3


async def test_users_of_both_nodes_reach_both_nodes(halves: tuple[Half, Half]) -> None:
    a, b = halves
    for half, prefix in ((a, "ann"), (b, "bob")):
        await half.database.use(
            lambda database, prefix=prefix: database.generate(  # type: ignore[misc]
                3, nodes=NODES, mode=AssignmentMode.BALANCED, prefix=prefix
            )
        )
    await beats(a, b)
    found = await users_of(a)
    assert found == await users_of(b)
    assert len(found) == 6


async def test_a_database_that_was_set_back_in_place_is_found_to_differ_and_read_again(
    halves: tuple[Half, Half],
) -> None:
    """Its revisions come a second time: the peer would not read them.  No opening saw it."""
    a, b = halves

    async def add(prefix: str, count: int) -> None:
        await a.database.use(
            lambda database: database.generate(
                count, nodes=NODES, mode=AssignmentMode.BALANCED, prefix=prefix
            )
        )

    state = a.node.config.node.state_dir
    await add("old", 10)
    do(FileAction.COPY, Files.DATABASE, state, state.with_name("copies"))
    await add("lost", 10)
    await beats(a, b)
    do(FileAction.RESTORE, Files.DATABASE, state, state.with_name("copies"))
    await add("new", 10)
    await beats(a, b)
    assert len(await users_of(b)) == 20, "b has read these revisions before, with other users"

    def agree() -> bool:
        a.peer.compare(b.summary())
        b.peer.compare(a.summary())
        return a.peer.agreement.agrees is True and b.peer.agreement.agrees is True

    await until(agree)
    found = await users_of(a)
    assert found == await users_of(b)
    assert len(found) == 30, "no user is lost: b had those that a had lost"


async def test_a_separation_is_reconciled_and_no_user_is_lost(halves: tuple[Half, Half]) -> None:
    """Both change the same user while apart; the later stamp wins on both, everything else adds."""
    a, b = halves
    await a.database.use(
        lambda database: database.generate(4, nodes=NODES, mode=AssignmentMode.BALANCED)
    )
    await beats(a, b)
    a.peer.other = b.peer.other = None
    await a.database.use(
        lambda database: database.import_csv(b"user_id,home_node\nx,a\n", nodes=NODES)
    )
    await b.database.use(
        lambda database: database.import_csv(b"user_id,home_node\ny,b\n", nodes=NODES)
    )
    cut_off = (len(a.peer.calls), len(b.peer.calls))
    changed = min(set(await users_of(b)) - {"y"})
    await b.database.use(lambda database: database.unassign_user(changed))
    a.peer.compare(b.summary())
    b.peer.compare(a.summary())
    await until(lambda: len(a.peer.calls) > cut_off[0] and len(b.peer.calls) > cut_off[1])
    a.peer.other, b.peer.other = b.node, a.node
    await beats(a, b)
    found = await users_of(a)
    assert found == await users_of(b)
    assert {"x", "y"} < set(found)
    assert found[changed] is None
    assert len(found) == 6


async def test_a_placement_reaches_the_peer_and_the_higher_op_stays(
    halves: tuple[Half, Half],
) -> None:
    a, b = halves
    await a.database.use(lambda database: database.move({"a": "b", "b": "b"}, op=5, by="a"))
    await b.database.use(lambda database: database.move({"a": "a", "b": "a"}, op=6, by="b"))
    a.peer.placement_changed()
    b.peer.placement_changed()
    await beats(a, b)
    for half in halves:
        assert {row.serving for row in half.database.picture.placements} == {"a"}
        assert half.database.picture.placement_op == 6


@pytest.mark.parametrize("lost", [Contact.NEVER, Contact.SILENT, Contact.LEFT])
async def test_a_placement_of_a_peer_that_is_not_heard_waits_until_it_is(
    halves: tuple[Half, Half], lost: Contact
) -> None:
    """Heartbeats were cut and control was not: both nodes took over with the same op, the order of
    one reached the other before its own, and its take-over failed."""
    a, b = halves
    b.node._last_machine = replace(b.node.machine, contact=lost)
    await a.database.use(lambda database: database.move({"a": "a", "b": "a"}, op=5, by="a"))
    a.peer.placement_changed()
    await until(lambda: a.peer._replication.push_due and bool(a.peer.calls))
    assert not b.database.picture.placements
    b.node._last_machine = replace(b.node.machine, contact=Contact.HEARD)
    await beats(a, b)
    assert {row.serving for row in b.database.picture.placements} == {"a"}


async def test_a_new_database_gets_all_users_from_the_peer(halves: tuple[Half, Half]) -> None:
    """More than a page of them, and without a restart of SRM: it believed once that it had read all
    that the peer has, since the database before had."""
    a, b = halves
    count = 2 * PAGE_ROWS + 7
    await a.database.use(
        lambda database: database.generate(count, nodes=NODES, mode=AssignmentMode.BALANCED)
    )
    await beats(a, b)
    await b.database.stop()
    for file in b.node.config.node.state_dir.glob("users.sqlite3*"):
        file.unlink()
    await b.database.start()
    await beats(a, b)
    assert len(await users_of(b)) == count


async def test_nothing_is_asked_when_nothing_is_new(halves: tuple[Half, Half]) -> None:
    a, b = halves
    await beats(a, b)
    before = len(a.peer.calls)
    for _ in range(5):
        a.peer.compare(b.summary())
        await asyncio.sleep(0)
    assert len(a.peer.calls) == before


async def test_changes_that_the_peer_does_not_read_are_counted_and_it_reads_them(
    halves: tuple[Half, Half],
) -> None:
    """Node b could not call node a: node a had 5 users that node b had not, and all was well."""
    a, b = halves
    await beats(a, b)
    b.peer.other = None
    await a.database.use(
        lambda database: database.generate(5, nodes=NODES, mode=AssignmentMode.BALANCED)
    )
    a.peer.users_changed()
    a.peer.compare(b.summary())
    b.peer.compare(a.summary())
    assert a.peer.reading.unread_count == 5
    assert a.peer.reading.since_s is not None
    b.peer.other = a.node
    await beats(a, b)
    a.peer.compare(b.summary())
    assert a.peer.reading.unread_count == 0


# ---------------------------------------------------------------------------- one call


def report(seq: int = 1, sender: str = "a") -> Heartbeat:
    said = Report(State.NORMAL, Reason.NORMAL, op=1)
    summary = Summary(0, 0, (), True, "", 0, 0, (1, 2))
    return Heartbeat(sender, "lab", "boot", 1, seq, False, 0, 0, said, summary)


@asynccontextmanager
async def calling(folder: Path, control: str) -> AsyncIterator[tuple[Peer, Records]]:
    config = config_of("a", folder, peer_control=control)
    log = Records()
    database = Database(folder, NODES, 1.0, lambda _: None, lambda: None)
    peer = Peer(config, config.auth.keyring(), 1, database, log)
    running = asyncio.create_task(peer.run())
    await until(lambda: peer._session is not None)
    try:
        yield peer, log
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says this to whoever connects; None: nothing, for as long as it is asked."""
    heard: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heard.append(await reader.read(65536))
        if answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def test_a_mute_peer_costs_the_call_its_bound_and_no_more(tmp_path: Path) -> None:
    async with answering(None) as (control, _), calling(tmp_path, control) as (peer, log):
        began_s = time.monotonic()
        with pytest.raises(CallFailed):
            await peer.command(Action.FAILOVER, "b")
        assert 0.25 <= time.monotonic() - began_s < BOUND_S
        assert peer.reachable is False
        assert log.names() == ["control.call_failed"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-SRM-Key: k\r\nX-SRM-Digest: 00\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_that_cannot_be_believed_is_a_failed_call(
    tmp_path: Path, answer: bytes
) -> None:
    async with answering(answer) as (control, _), calling(tmp_path, control) as (peer, _log):
        with pytest.raises(CallFailed):
            await peer.call(CommandMessage("1", Action.FAILOVER, "b"))
        peer.tell(report())
        await asyncio.sleep(0)


async def test_a_peer_that_is_not_reached_is_told_in_plain_words(tmp_path: Path) -> None:
    """It was "Cannot connect to host 127.0.0.1:9 ssl:default [...]", where there is no TLS."""
    async with calling(tmp_path, f"http://{HOST}:9") as (peer, _):
        with pytest.raises(CallFailed):
            await peer.command(Action.FAILOVER, "b")
        assert peer.why_unreachable == "connection refused"


async def test_what_is_known_of_the_control_side_has_an_age(tmp_path: Path) -> None:
    """After a shutdown of the peer its status 503 was shown for good, as if it were of now."""
    async with calling(tmp_path, f"http://{HOST}:9") as (peer, _):
        ages = [peer.called_ago_s]
        began_s = time.monotonic()
        with pytest.raises(CallFailed):
            await peer.command(Action.FAILOVER, "b")
        await until(lambda: (peer.called_ago_s or 0.0) >= 0.05)
        ages.append(peer.called_ago_s)
        elapsed_s = time.monotonic() - began_s
    assert ages[0] is None
    assert ages[1] is not None
    assert 0.05 <= ages[1] <= elapsed_s


async def test_a_peer_that_was_not_called_for_a_while_is_called_with_its_next_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate had expired: for 3.5 minutes the healthy node, which had nothing to tell,
    said "All is well" and that the peer can be called."""
    heartbeat = report()
    async with answering(b"") as (control, heard), calling(tmp_path, control) as (peer, _):
        peer.tell(heartbeat)
        await until(lambda: len(heard) == 1 and peer.reachable is False)
        peer.compare(heartbeat.summary)
        await asyncio.sleep(0)
        assert len(heard) == 1, "it was called a moment ago"
        monkeypatch.setattr(peer_module, "PROVED_EVERY_S", 0.0)
        peer.compare(heartbeat.summary)
        await until(lambda: len(heard) == 2)


async def test_an_answered_call_does_not_say_for_good_that_the_peer_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(tmp_path, f"http://{HOST}:9") as (peer, _):
        seen = [peer.is_reachable]
        peer._note()
        seen.append(peer.is_reachable)
        monkeypatch.setattr(peer_module, "KNOWN_S", -1000.0)
        seen.append(peer.is_reachable)
        peer._note(Unanswered(Text("no route", "")))
        seen.append(peer.is_reachable)
    assert seen == [None, True, None, False]


async def test_a_control_channel_that_comes_and_goes_is_told_once_in_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change was a line of the log, for as long as it lasted: eight a second."""
    monkeypatch.setattr(peer_module, "TOLD_AGAIN_S", 0.5)
    async with calling(tmp_path, f"http://{HOST}:9") as (peer, log):
        for _ in range(10):
            peer._note(Unanswered(Text("no route", "")))
            peer._note()
        peer._note(Unanswered(Text("connection refused", "")))
        assert [
            (name, fields.get("error"), fields.get("left_out_count"))
            for name, fields in log.records
        ] == [
            ("control.call_failed", "no route", None),
            ("control.restored", None, None),
            ("control.call_failed", "connection refused", 18),
        ]
        peer._note()
        assert len(log.records) == 3
        await until(lambda: len(log.records) == 4)
        assert log.records[-1] == ("control.restored", {"peer_url": f"http://{HOST}:9"})


async def test_what_was_left_out_is_told_when_srm_ends(tmp_path: Path) -> None:
    async with calling(tmp_path, f"http://{HOST}:9") as (peer, log):
        for unanswered in (Unanswered(Text("no route", "")), None) * 2:
            peer._note(unanswered)
    assert log.records[2:] == [
        ("control.restored", {"peer_url": f"http://{HOST}:9", "left_out_count": 1})
    ]


async def test_a_peer_without_an_address_is_told_in_plain_words(tmp_path: Path) -> None:
    async with calling(tmp_path, "http://no-such-name.invalid:9") as (peer, _):
        with pytest.raises(CallFailed):
            await peer.command(Action.FAILOVER, "b")
        assert "ssl" not in peer.why_unreachable
        assert "[" not in peer.why_unreachable


@pytest.mark.parametrize("control", [f"http://{HOST}:9", "http://" + "x" * 70 + ".invalid:9"])
async def test_a_peer_that_cannot_be_reached_or_named_ends_nothing(
    tmp_path: Path, control: str
) -> None:
    async with calling(tmp_path, control) as (peer, _):
        peer.tell(report())
        with pytest.raises(CallFailed):
            await peer.command(Action.FAILOVER, "b")


async def test_a_message_of_ours_that_the_wire_cannot_carry_ends_nothing(tmp_path: Path) -> None:
    """It raised out of the telling task once, and SRM ended with it."""
    async with answering(None) as (control, heard), calling(tmp_path, control) as (peer, _):
        peer.tell(report(sender="x" * 65))
        with pytest.raises(CallFailed, match="sender"):
            await peer.call(ReportMessage("1", report(sender="x" * 65)))
        peer.tell(report())
        await until(lambda: bool(heard))


async def test_only_the_newest_report_is_told(tmp_path: Path) -> None:
    async with answering(None) as (control, heard), calling(tmp_path, control) as (peer, _):
        peer.tell(report(1))
        await until(lambda: len(heard) == 1)
        for seq in (2, 3, 4):
            peer.tell(report(seq))
        await until(lambda: len(heard) == 2)
        assert b'"seq":4' in heard[1]
        assert b'"seq":1' in heard[0]


async def test_a_call_before_srm_runs_is_refused(tmp_path: Path) -> None:
    config = config_of("a", tmp_path)
    database = Database(tmp_path, NODES, 1.0, lambda _: None, lambda: None)
    peer = Peer(config, config.auth.keyring(), 1, database, Records())
    with pytest.raises(CallFailed, match="not running"):
        await peer.call(PlacementMessage("1", ()))
    await peer.say_goodbye(replace(report(), leaving=True))
    await database.close()


async def test_a_message_that_comes_twice_at_once_is_acted_upon_once(
    halves: tuple[Half, Half],
) -> None:
    node = halves[0].node
    acted: list[str] = []
    free = asyncio.Event()

    async def slow(_srm: object, message: Message) -> Message:
        acted.append(message.op)
        await free.wait()
        return Accepted(message.op, "")

    node._answer = slow  # type: ignore[assignment]
    twice = CommandMessage("same", Action.FAILOVER, "a")
    first, second = (
        asyncio.create_task(node._answer_once(None, twice))  # type: ignore[arg-type]
        for _ in range(2)
    )
    await until(lambda: bool(acted))
    free.set()
    assert await first == await second
    assert acted == ["same"]
