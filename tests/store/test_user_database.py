"""The contract of `UserDatabase`, for both implementations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from srmd.store import database as limits
from srmd.store.database import (
    UNASSIGNED,
    AssignmentMode,
    BadImport,
    BadLine,
    BadRequest,
    Counts,
    DatabaseDown,
    DatabaseFault,
    Imported,
    LowerOp,
    MovesFail,
    Placement,
    TooManyUsers,
    UnknownUser,
    User,
    UserDatabase,
    UserRow,
)

NODES = ("a", "b")
BALANCED = AssignmentMode.BALANCED


def with_four_users(database: UserDatabase) -> UserDatabase:
    """user00001 and user00003 at home on a, the others on b."""
    assert database.generate(4, nodes=NODES, mode=BALANCED) == 4
    return database


def homes(database: UserDatabase) -> dict[str, str | None]:
    return {user.user_id: user.home for user in database.users().users}


# Who serves whom


def test_a_home_without_a_placement_serves_itself(database: UserDatabase) -> None:
    with_four_users(database)
    assert database.placements() == ()
    assert database.get("user00001") == User("user00001", home="a", serving="a")
    assert (database.served("a"), database.served("b")) == (2, 2)


def test_a_move_brings_all_users_of_a_home(database: UserDatabase) -> None:
    with_four_users(database)
    database.move({"a": "b", "b": "b"}, op=3, by="b")
    assert (database.served("a"), database.served("b")) == (0, 4)
    assert database.get("user00001") == User("user00001", home="a", serving="b")
    assert database.placements() == (Placement("a", "b", 3, "b"), Placement("b", "b", 3, "b"))


def test_a_user_who_comes_later_is_served_where_its_home_is(database: UserDatabase) -> None:
    database.move({"a": "b"}, op=3, by="b")
    database.import_csv("user_id,home_node\nlate,a\n", nodes=NODES)
    assert database.get("late").serving == "b"


def test_an_order_said_twice_is_a_success(database: UserDatabase) -> None:
    database.move({"a": "b"}, op=3, by="b")
    database.move({"a": "b"}, op=3, by="b")
    assert database.placements() == (Placement("a", "b", 3, "b"),)


def test_a_lower_op_is_refused_and_moves_nobody(database: UserDatabase) -> None:
    database.move({"b": "a"}, op=5, by="a")
    with pytest.raises(LowerOp, match=r"op 4 of b .* does not outrank op 5 of a") as caught:
        database.move({"a": "b", "b": "b"}, op=4, by="b")
    assert caught.value.wanted == Placement("b", "b", 4, "b")
    assert caught.value.held == Placement("b", "a", 5, "a")
    assert database.placements() == (Placement("b", "a", 5, "a"),)


def test_the_same_op_of_the_higher_node_outranks(database: UserDatabase) -> None:
    database.move({"a": "a"}, op=5, by="a")
    database.move({"a": "b"}, op=5, by="b")
    with pytest.raises(LowerOp):
        database.move({"a": "a"}, op=5, by="a")
    assert database.placements() == (Placement("a", "b", 5, "b"),)


def test_one_op_cannot_mean_two_places(database: UserDatabase) -> None:
    database.move({"a": "b"}, op=5, by="b")
    with pytest.raises(LowerOp):
        database.move({"a": "a"}, op=5, by="b")


def test_the_peers_placement_wins_only_when_it_outranks(database: UserDatabase) -> None:
    database.move({"a": "b"}, op=5, by="b")
    assert not database.merge_placement([Placement("a", "a", 4, "a")])
    assert not database.merge_placement(database.placements())
    assert database.merge_placement([Placement("a", "a", 6, "a"), Placement("b", "b", 1, "a")])
    assert database.placements() == (Placement("a", "a", 6, "a"), Placement("b", "b", 1, "a"))


def test_users_of_a_node_that_left_the_configuration_are_counted(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nx,old\n", nodes=["old"])
    assert database.counts() == Counts({"old": 1}, unassigned=0, total=1)
    assert database.served("old") == 1


# Users


def test_balanced_users_alternate(database: UserDatabase) -> None:
    with_four_users(database)
    assert homes(database) == {
        "user00001": "a",
        "user00002": "b",
        "user00003": "a",
        "user00004": "b",
    }
    assert database.counts() == Counts({"a": 2, "b": 2}, unassigned=0, total=4)


def test_generating_again_goes_on_with_free_numbers(database: UserDatabase) -> None:
    with_four_users(database)
    database.remove_user("user00002")
    database.generate(2, nodes=NODES, mode=AssignmentMode.ACTIVE_STANDBY, active="b")
    assert homes(database) == {
        "user00001": "a",
        "user00002": "b",
        "user00003": "a",
        "user00004": "b",
        "user00005": "b",
    }


def test_generated_users_fill_the_emptier_node(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nx,a\ny,a\n", nodes=NODES)
    database.generate(3, nodes=NODES, mode=BALANCED)
    assert database.counts() == Counts({"a": 3, "b": 2}, unassigned=0, total=5)


def test_mode_none_leaves_users_unassigned_and_unserved(database: UserDatabase) -> None:
    database.generate(2, nodes=NODES, mode=AssignmentMode.NONE)
    assert database.counts() == Counts({}, unassigned=2, total=2)
    assert database.get("user00001").serving is None
    assert database.served("a") == 0


def test_balanced_assignment_moves_as_few_as_possible(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nu1,a\nu2,a\nu3,a\nu4,\nu5,old\n", nodes=("a", "old"))
    assert database.assign(BALANCED, nodes=NODES) == 2
    assert homes(database) == {"u1": "a", "u2": "a", "u3": "a", "u4": "b", "u5": "b"}
    assert database.assign(BALANCED, nodes=NODES) == 0


def test_active_standby_assignment_brings_all_home_to_one(database: UserDatabase) -> None:
    with_four_users(database)
    assert database.assign(AssignmentMode.ACTIVE_STANDBY, nodes=NODES, active="b") == 2
    assert database.counts() == Counts({"b": 4}, unassigned=0, total=4)


def test_assignment_by_mode_none_changes_nobody(database: UserDatabase) -> None:
    with_four_users(database)
    assert database.assign(AssignmentMode.NONE, nodes=NODES) == 0


def test_one_user_is_assigned_unassigned_and_removed(database: UserDatabase) -> None:
    with_four_users(database)
    database.assign_user("user00001", "b")
    assert database.get("user00001").home == "b"
    database.unassign_user("user00001")
    assert database.counts() == Counts({"a": 1, "b": 2}, unassigned=1, total=4)
    database.remove_user("user00001")
    assert database.counts() == Counts({"a": 1, "b": 2}, unassigned=0, total=3)
    for call in (database.get, database.unassign_user, database.remove_user):
        with pytest.raises(UnknownUser, match="user00001"):
            call("user00001")


def test_a_user_who_does_not_exist_is_not_assigned(database: UserDatabase) -> None:
    with pytest.raises(UnknownUser):
        database.assign_user("nobody", "a")
    with pytest.raises(UnknownUser):
        database.get("\ud800")


def test_unassigning_all_tells_how_many_it_changed(database: UserDatabase) -> None:
    with_four_users(database)
    assert database.unassign_all() == 4
    assert database.unassign_all() == 0
    assert database.counts() == Counts({}, unassigned=4, total=4)


def test_listing_comes_in_pages(database: UserDatabase) -> None:
    with_four_users(database)
    first = database.users(limit=3)
    assert [user.user_id for user in first.users] == ["user00001", "user00002", "user00003"]
    assert first.more
    last = database.users(after="user00003", limit=3)
    assert [user.user_id for user in last.users] == ["user00004"]
    assert not last.more


def test_listing_can_be_narrowed(database: UserDatabase) -> None:
    with_four_users(database)
    database.unassign_user("user00004")
    database.move({"a": "b"}, op=1, by="b")
    assert [u.user_id for u in database.users(home="a").users] == ["user00001", "user00003"]
    assert [u.user_id for u in database.users(home=UNASSIGNED).users] == ["user00004"]
    assert database.users(serving="a").users == ()
    served = [u.user_id for u in database.users(serving="b").users]
    assert served == ["user00001", "user00002", "user00003"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda db: db.generate(0, nodes=NODES, mode=BALANCED), "count: 0 is not a number"),
        (lambda db: db.generate(1, nodes=(), mode=BALANCED), "nodes: none given"),
        (lambda db: db.generate(1, nodes=("a", "a"), mode=BALANCED), "names a node twice"),
        (lambda db: db.generate(1, nodes=NODES, mode=BALANCED, prefix="a b"), "prefix: 'a b'"),
        (
            lambda db: db.assign(AssignmentMode.ACTIVE_STANDBY, nodes=NODES, active="c"),
            "active: 'c' is not one of the nodes",
        ),
        (lambda db: db.assign_user("user00001", ""), "node: '' is not a name"),
        (lambda db: db.users(limit=0), "limit: 0 is not a number of rows"),
        (lambda db: db.users(after="\ud800"), "after: "),
        (lambda db: db.users(home="a b"), "node: 'a b' is not a name"),
        (lambda db: db.served("\x00"), "is not a name"),
        (lambda db: db.changes(-1), "since_revision: -1"),
        (lambda db: db.move({"a": "b"}, op=-1, by="b"), "op of the placement of a: -1"),
        (lambda db: db.move({"a": "b"}, op=2**63, by="b"), "op of the placement of a: "),
        (lambda db: db.set_peer_cursor("theirs", -5), "revision: -5"),
        (lambda db: db.apply([UserRow("", "a", 1, "theirs")]), "is an empty user id"),
        (lambda db: db.apply([UserRow("x", "a", 2**63, "theirs")]), "stamp of x: "),
        (
            lambda db: db.apply([UserRow("x", "a", 1, "theirs")] * (limits.PAGE_ROWS_MAX + 1)),
            "5001 are too many",
        ),
    ],
)
def test_a_bad_argument_is_named_and_changes_nothing(
    database: UserDatabase, call: Callable[[UserDatabase], object], message: str
) -> None:
    with_four_users(database)
    before = (homes(database), database.revision(), database.placements())
    with pytest.raises(BadRequest, match=message):
        call(database)
    assert (homes(database), database.revision(), database.placements()) == before


def test_a_database_holds_no_more_than_75_000_users(database: UserDatabase) -> None:
    with_four_users(database)
    with pytest.raises(TooManyUsers, match="74997 more users beside 4 exceed the limit of 75000"):
        database.generate(74_997, nodes=NODES, mode=BALANCED)
    assert database.counts().total == 4
    database.generate(74_996, nodes=NODES, mode=BALANCED)
    with pytest.raises(TooManyUsers):
        database.import_csv("user_id,home_node\none.more,a\n", nodes=NODES)
    assert database.counts() == Counts({"a": 37_500, "b": 37_500}, unassigned=0, total=75_000)


# Import


def test_an_import_adds_users_and_says_it_again_without_harm(database: UserDatabase) -> None:
    content = "user_id,home_node\nanna,a\nbert,b\nnobody,\n"
    assert database.import_csv(content, nodes=NODES) == Imported(added=3, unchanged=0)
    revision = database.revision()
    assert database.import_csv(content, nodes=NODES) == Imported(added=0, unchanged=3)
    assert database.revision() == revision
    assert homes(database) == {"anna": "a", "bert": "b", "nobody": None}


def test_an_import_never_changes_a_home_and_imports_nothing_beside(
    database: UserDatabase,
) -> None:
    database.import_csv("user_id,home_node\nanna,a\n", nodes=NODES)
    with pytest.raises(BadImport, match="nothing imported") as caught:
        database.import_csv("user_id,home_node\nbert,b\nanna,b\n", nodes=NODES)
    assert caught.value.lines == (
        BadLine(3, "anna", "is present with home a, not b; change it with `users assign`"),
    )
    assert homes(database) == {"anna": "a"}


def test_a_file_is_imported(database: UserDatabase, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes(b"\xef\xbb\xbfuser_id,home_node\r\nanna,a\r\n")
    assert database.import_csv(file, nodes=NODES) == Imported(added=1, unchanged=0)
    with pytest.raises(BadRequest, match=r"missing\.csv: cannot be read: No such file"):
        database.import_csv(tmp_path / "missing.csv", nodes=NODES)


def test_users_that_are_exported_can_be_imported(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nbert,b\nanna,a\nnobody,\n", nodes=NODES)
    content = database.export_csv()
    assert content == b"user_id,home_node\nanna,a\nbert,b\nnobody,\n"
    assert database.import_csv(content, nodes=NODES) == Imported(added=0, unchanged=3)
    assert database.remove_all() == 3
    assert database.export_csv() == b"user_id,home_node\n"
    assert database.counts() == Counts({}, unassigned=0, total=0)
    assert database.import_csv(content, nodes=NODES) == Imported(added=3, unchanged=0)
    assert database.export_csv() == content


def test_no_user_is_made_up_that_differs_in_case_only(database: UserDatabase) -> None:
    database.import_csv("user_id,home_node\nUSER00001,a\n", nodes=NODES)
    database.generate(1, nodes=NODES, mode=BALANCED)
    assert sorted(homes(database)) == ["USER00001", "user00002"]


# Faults


READS: dict[str, Callable[[UserDatabase], object]] = {
    "check": lambda db: db.check(),
    "counts": lambda db: db.counts(),
    "served": lambda db: db.served("a"),
    "placements": lambda db: db.placements(),
    "get": lambda db: db.get("user00001"),
    "users": lambda db: db.users(),
    "revision": lambda db: db.revision(),
    "content": lambda db: db.content(),
    "changes": lambda db: db.changes(0),
    "export_csv": lambda db: db.export_csv(),
    "peer_cursor": lambda db: db.peer_cursor("theirs"),
}
WRITES: dict[str, Callable[[UserDatabase], object]] = {
    "move": lambda db: db.move({"a": "b"}, op=9, by="b"),
    "merge_placement": lambda db: db.merge_placement([Placement("a", "b", 9, "b")]),
    "generate": lambda db: db.generate(1, nodes=NODES, mode=BALANCED),
    "import_csv": lambda db: db.import_csv("user_id,home_node\nx,a\n", nodes=NODES),
    "assign": lambda db: db.assign(AssignmentMode.ACTIVE_STANDBY, nodes=NODES, active="a"),
    "assign_user": lambda db: db.assign_user("user00001", "b"),
    "unassign_user": lambda db: db.unassign_user("user00001"),
    "unassign_all": lambda db: db.unassign_all(),
    "remove_user": lambda db: db.remove_user("user00001"),
    "remove_all": lambda db: db.remove_all(),
    "apply": lambda db: db.apply([UserRow("x", "a", 9, "theirs")]),
    "set_peer_cursor": lambda db: db.set_peer_cursor("theirs", 1),
}
CALLS = READS | WRITES


def test_every_method_of_the_contract_is_tried_when_it_fails() -> None:
    public = {name for name in vars(UserDatabase) if not name.startswith("_")}
    assert public - {"db_id", "close", "fail", "fail_moves", "repair"} == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_database_failed_by_command_fails_every_call_until_repaired(
    database: UserDatabase, name: str
) -> None:
    with_four_users(database)
    before = (homes(database), database.placements(), database.peer_cursor("theirs"))
    database.fail(DatabaseFault.READ_ONLY)
    with pytest.raises(DatabaseDown, match="read-only: failed by command") as caught:
        CALLS[name](database)
    assert caught.value.kind is DatabaseFault.READ_ONLY
    database.repair()
    assert (homes(database), database.placements(), database.peer_cursor("theirs")) == before
    CALLS[name](database)


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_database_fails_every_call(database: UserDatabase, name: str) -> None:
    with_four_users(database)
    database.close()
    database.close()
    with pytest.raises(DatabaseDown) as caught:
        CALLS[name](database)
    assert caught.value.kind is DatabaseFault.CLOSED


def test_moves_alone_can_be_made_to_fail(database: UserDatabase) -> None:
    """Rows 19 and 20: the database is well, the users do not move."""
    database.fail_moves()
    with pytest.raises(MovesFail):
        database.move({"a": "b"}, op=1, by="b")
    database.check()
    assert database.placements() == ()
    database.repair()
    database.move({"a": "b"}, op=1, by="b")
    assert database.placements() == (Placement("a", "b", 1, "b"),)
