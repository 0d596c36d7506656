"""Databases that exchange pages agree in the end, and no user is lost."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srmd.store.database import AssignmentMode, Page, UserDatabase, UserRow
from srmd.store.memory import MemoryUserDatabase
from srmd.store.sqlite import SqliteUserDatabase

NODES = ("a", "b")
PULLS_MAX = 1_000
"""Pages that a pull may take before we call it endless."""


def pull(reader: UserDatabase, source: UserDatabase, limit: int = 2) -> None:
    """Read the other's feed to its end, as the daemon does."""
    for _ in range(PULLS_MAX):
        page = source.changes(reader.peer_cursor(source.db_id), limit)
        reader.apply(page.rows)
        reader.set_peer_cursor(page.db_id, page.revision)
        if not page.more:
            return
    raise AssertionError("the feed does not end")


def everything(database: UserDatabase) -> set[UserRow]:
    """All rows, tombstones too."""
    return set(database.changes(0).rows)


def test_the_feed_comes_in_pages_oldest_change_first(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nx,a\ny,a\nz,b\n", nodes=NODES)
    database.remove_user("x")
    first = database.changes(0, limit=2)
    assert first == Page(
        database.db_id,
        revision=3,
        rows=(UserRow("y", "a", 1, database.db_id), UserRow("z", "b", 1, database.db_id)),
        more=True,
        content=database.content(),
    )
    assert first.content.users_count == 2
    rest = database.changes(first.revision, limit=2)
    assert rest.rows == (UserRow("x", None, 2, database.db_id, deleted=True),)
    assert (rest.revision, rest.more) == (database.revision(), False)
    assert database.changes(rest.revision) == Page(
        database.db_id, rest.revision, (), more=False, content=database.content()
    )


def test_a_cursor_beyond_the_newest_change_starts_the_feed_anew(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nx,a\n", nodes=NODES)
    assert [row.user_id for row in database.changes(99).rows] == ["x"]


def test_the_later_stamp_wins_whatever_comes_first(database: UserDatabase) -> None:
    old, new = UserRow("x", "a", 1, "theirs"), UserRow("x", "b", 2, "theirs")
    assert database.apply([new, old]) == 1
    assert database.apply([old]) == 0
    assert database.get("x").home == "b"


def test_our_next_change_outranks_all_that_we_have_seen(database: UserDatabase) -> None:
    database.apply([UserRow("x", "a", 41, "theirs")])
    database.assign_user("x", "b")
    assert everything(database) == {UserRow("x", "b", 42, database.db_id)}


def test_old_news_of_another_user_does_not_set_our_clock_back(database: UserDatabase) -> None:
    database.apply([UserRow("x", "a", 41, "theirs")])
    database.apply([UserRow("y", "a", 2, "theirs")])
    database.assign_user("x", "b")
    assert UserRow("x", "b", 42, database.db_id) in everything(database)


def test_a_removed_user_stays_removed_when_old_news_comes(database: UserDatabase) -> None:
    news = UserRow("x", "a", 1, "theirs")
    database.apply([news])
    database.remove_user("x")
    assert database.apply([news]) == 0
    assert database.counts().total == 0


def test_rows_that_are_known_are_not_news(database: UserDatabase) -> None:
    """Else two nodes would echo a change for ever."""
    database.import_csv("user_id,home_node\nx,a\n", nodes=NODES)
    revision = database.revision()
    assert database.apply(database.changes(0).rows) == 0
    assert database.revision() == revision


def test_a_peer_with_too_many_users_loses_none(database: UserDatabase) -> None:
    database.generate(75_000, nodes=NODES, mode=AssignmentMode.BALANCED)
    assert database.apply([UserRow("one.more", "a", 1, "theirs")]) == 1
    assert database.counts().total == 75_001


def test_a_stamp_given_twice_still_ends_in_agreement(database: UserDatabase) -> None:
    """A database that was set back to an old copy in place repeats stamps with other content."""
    one, two = UserRow("x", "a", 1, "theirs"), UserRow("x", "b", 1, "theirs")
    other = MemoryUserDatabase("other")
    database.apply([one, two])
    other.apply([two, one])
    assert everything(database) == everything(other)


USER = st.sampled_from(["u1", "u2", "u3", "u4"])
SIDE = st.integers(0, 1)
ACTION = st.one_of(
    st.tuples(st.just("add"), SIDE, USER),
    st.tuples(st.just("assign"), SIDE, USER, st.sampled_from(NODES)),
    st.tuples(st.just("unassign"), SIDE, USER),
    st.tuples(st.just("remove"), SIDE, USER),
    st.tuples(st.just("balance"), SIDE),
    st.tuples(st.just("send"), SIDE, st.integers(1, 3)),
    st.tuples(st.just("deliver"), SIDE, st.integers(0, 20)),
    st.tuples(st.just("pull"), SIDE),
)


def exchange(pair: tuple[UserDatabase, UserDatabase], actions: list[tuple[str, ...]]) -> None:
    """Both sides write while pages are sent, kept back, delivered late, twice or never.

    Afterwards each side reads the other's feed to its end, as after any outage.
    """
    in_flight: list[tuple[int, Page]] = []
    expected: set[str] = set()
    removed: set[str] = set()
    for name, *values in actions:
        side = int(values[0])
        ours, theirs = pair[side], pair[1 - side]
        present = {user.user_id for user in ours.users().users}
        match name, values[1:]:
            case "add", [user]:
                if user not in present:
                    ours.import_csv(f"user_id,home_node\n{user},a\n", nodes=NODES)
                    expected.add(user)
            case "assign", [user, home]:
                if user in present:
                    ours.assign_user(user, home)
            case "unassign", [user]:
                if user in present:
                    ours.unassign_user(user)
            case "remove", [user]:
                if user in present:
                    ours.remove_user(user)
                    removed.add(user)
            case "balance", []:
                ours.assign(AssignmentMode.BALANCED, nodes=NODES)
            case "send", [limit]:
                page = theirs.changes(ours.peer_cursor(theirs.db_id), int(limit))
                in_flight.append((side, page))
            case "deliver", [index] if in_flight:
                receiver, page = in_flight[int(index) % len(in_flight)]
                pair[receiver].apply(page.rows)
            case "deliver", _:
                pass  # nothing is in flight
            case "pull", []:
                pull(ours, theirs)
            case _:
                raise AssertionError(name)
    pull(pair[0], pair[1])
    pull(pair[1], pair[0])
    pull(pair[0], pair[1])
    assert everything(pair[0]) == everything(pair[1])
    assert pair[0].counts() == pair[1].counts()
    assert pair[0].content() == pair[1].content()
    alive = {user.user_id for user in pair[0].users().users}
    assert expected - removed <= alive, "a user is lost"
    assert alive <= expected


@given(st.lists(ACTION, max_size=40))
@settings(deadline=None)
def test_two_databases_agree_after_any_exchange(actions: list[tuple[str, ...]]) -> None:
    exchange((MemoryUserDatabase("m1"), MemoryUserDatabase("m2")), actions)


@given(st.lists(ACTION, max_size=20))
@settings(deadline=None, max_examples=20)
def test_databases_of_both_kinds_agree_after_any_exchange(actions: list[tuple[str, ...]]) -> None:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        made = SqliteUserDatabase.open(Path(folder) / "users.sqlite3")
        stack.enter_context(closing(made))
        exchange((made, MemoryUserDatabase("m")), actions)


PLACEMENT_ORDERS = st.lists(
    st.tuples(SIDE, st.sampled_from(NODES), st.sampled_from(NODES), st.integers(0, 4)), max_size=12
)


@given(PLACEMENT_ORDERS)
def test_placements_agree_after_both_sides_moved_users(
    orders: list[tuple[int, str, str, int]],
) -> None:
    pair = (MemoryUserDatabase("m1"), MemoryUserDatabase("m2"))
    for side, home, serving, op in orders:
        held = {row.home: row.rank for row in pair[side].placements()}
        if held.get(home, (-1, "", ""))[:2] < (op, NODES[side]):
            pair[side].move({home: serving}, op=op, by=NODES[side])
    pair[0].merge_placement(pair[1].placements())
    pair[1].merge_placement(pair[0].placements())
    assert pair[0].placements() == pair[1].placements()


@pytest.mark.parametrize("limit", [1, 7, 5_000])
def test_a_whole_database_is_read_in_pages_of_any_size(database: UserDatabase, limit: int) -> None:
    database.generate(100, nodes=NODES, mode=AssignmentMode.BALANCED)
    reader = MemoryUserDatabase("reader")
    pull(reader, database, limit)
    assert everything(reader) == everything(database)
