"""Rules about users that hold in every user database: pure, no storage.

What a legal user id is, and which user gets which home node.
All of it is ours; Cisco leaves these to the LDAP synchronisation and the Sync Agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b

from srmd.store.database import (
    COUNTER_MAX,
    PAGE_ROWS_MAX,
    USERS_MAX,
    AssignmentMode,
    BadRequest,
    Placement,
    TooManyUsers,
    UserRow,
)

USER_ID_CHARS_MAX = 128
NODE_CHARS_MAX = 128
SHOWN_CHARS_MAX = 80
NUMBER_DIGITS = 5
DIGEST_BYTES = 8

_USER_ID = re.compile(r"[A-Za-z0-9._@+-]+")
_NODE = re.compile(r"[^\x00-\x20,\"\x7f\ud800-\udfff]+")


def user_id_fault(user_id: str) -> str | None:
    """Why this cannot be a user id, or None."""
    if not user_id:
        return "is an empty user id"
    if len(user_id) > USER_ID_CHARS_MAX:
        return f"is longer than {USER_ID_CHARS_MAX} characters"
    if not _USER_ID.fullmatch(user_id):
        return "holds a character that is not one of A-Z a-z 0-9 . _ @ + -"
    return None


def check_node(node: str) -> None:
    """Raise BadRequest unless this can be the name of a node."""
    if len(node) > NODE_CHARS_MAX or not _NODE.fullmatch(node):
        raise BadRequest(
            f"node: {node!r} is not a name (1-{NODE_CHARS_MAX} characters, no blanks, commas)"
        )


def check_listing(after: str, home: str | None, serving: str | None) -> None:
    """Raise BadRequest unless users can be listed so."""
    fault = user_id_fault(after) if after else None
    if fault is not None:
        raise BadRequest(f"after: {shortened(after)!r} {fault}")
    for node in (home, serving):
        if node:
            check_node(node)


def check_limit(limit: int, limit_max: int) -> int:
    """The number of rows to give: what is wanted, cut to the bound."""
    if limit < 1:
        raise BadRequest(f"limit: {limit} is not a number of rows (1-{limit_max})")
    return min(limit, limit_max)


def check_room(present_count: int, added_count: int) -> None:
    if present_count + added_count > USERS_MAX:
        raise TooManyUsers(present_count, added_count)


def check_counter(name: str, value: int) -> None:
    if type(value) is not int or not 0 <= value <= COUNTER_MAX:
        raise BadRequest(f"{name}: {value!r} is not a number (0-{COUNTER_MAX})")


def check_rows(rows: Sequence[UserRow]) -> None:
    """Raise BadRequest unless these can be rows of a peer's change feed."""
    if len(rows) > PAGE_ROWS_MAX:
        raise BadRequest(f"rows: {len(rows)} are too many for a page (at most {PAGE_ROWS_MAX})")
    for row in rows:
        fault = user_id_fault(row.user_id)
        if fault is not None:
            raise BadRequest(f"rows: {shortened(row.user_id)!r} {fault}")
        if row.home is not None:
            check_node(row.home)
        check_node(row.origin)
        check_counter(f"rows: stamp of {row.user_id}", row.stamp)


def changed_digest(digest: int, changes: Iterable[tuple[UserRow | None, UserRow]]) -> int:
    """The digest of a database in which each row took the place of the one before it.

    A sum, so that the order of rows does not matter, and a change costs one row.
    """
    for before, after in changes:
        digest += _row_digest(after) - (0 if before is None else _row_digest(before))
    return digest % COUNTER_MAX


def _row_digest(row: UserRow) -> int:
    text = f"{row.user_id}\0{row.home or ''}\0{row.stamp}\0{row.origin}\0{row.deleted:d}"
    return int.from_bytes(blake2b(text.encode(), digest_size=DIGEST_BYTES).digest())


def check_placements(rows: Iterable[Placement]) -> None:
    """Raise BadRequest unless these can be placements."""
    for row in rows:
        for node in (row.home, row.serving, row.by):
            check_node(node)
        check_counter(f"op of the placement of {row.home}", row.op)


def check_assignment(mode: AssignmentMode, nodes: Sequence[str], active: str | None) -> None:
    """Raise BadRequest unless users can be assigned so."""
    for node in nodes:
        check_node(node)
    if len(set(nodes)) != len(nodes):
        raise BadRequest(f"nodes: {', '.join(nodes)} names a node twice")
    if mode is AssignmentMode.BALANCED and not nodes:
        raise BadRequest("nodes: none given; balanced assignment needs at least one")
    if mode is AssignmentMode.ACTIVE_STANDBY and active not in nodes:
        raise BadRequest(f"active: {active!r} is not one of the nodes ({', '.join(nodes)})")


def reassigned(
    present: Mapping[str, str | None],
    mode: AssignmentMode,
    nodes: Sequence[str],
    active: str | None,
) -> dict[str, str]:
    """The users whose home changes, with the new one.

    Balanced: the nodes end equal (the first ones hold the odd users), and whoever can stays.
    """
    check_assignment(mode, nodes, active)
    if mode is AssignmentMode.NONE:
        return {}
    if mode is AssignmentMode.ACTIVE_STANDBY:
        assert active is not None
        return {user_id: active for user_id, home in present.items() if home != active}
    share, odd = divmod(len(present), len(nodes))
    room = {node: share + (index < odd) for index, node in enumerate(nodes)}
    movers: list[str] = []
    for user_id in sorted(present):
        home = present[user_id]
        if home is not None and room.get(home, 0) > 0:
            room[home] -= 1
        else:
            movers.append(user_id)
    seats = (node for node in nodes for _ in range(room[node]))
    return dict(zip(movers, seats, strict=True))


def generated(
    count: int,
    *,
    prefix: str,
    present: AbstractSet[str],
    assigned: Mapping[str, int],
    nodes: Sequence[str],
    mode: AssignmentMode,
    active: str | None,
) -> list[tuple[str, str | None]]:
    """New users with their homes, given those present and how many users each node has."""
    check_assignment(mode, nodes, active)
    if count < 1:
        raise BadRequest(f"count: {count} is not a number of users (1-{USERS_MAX})")
    fault = user_id_fault(prefix + "0" * NUMBER_DIGITS)
    if fault is not None:
        raise BadRequest(f"prefix: {shortened(prefix)!r} makes a user id that {fault}")
    check_room(len(present), count)
    homes = _homes(mode, nodes, active, assigned)
    numbered = (f"{prefix}{number:0{NUMBER_DIGITS}}" for number in range(1, count + USERS_MAX + 1))
    taken = {user_id.lower() for user_id in present}  # ids are not to differ in case only
    free = (user_id for user_id in numbered if user_id.lower() not in taken)
    return [(user_id, next(homes)) for _, user_id in zip(range(count), free, strict=False)]


def _homes(
    mode: AssignmentMode, nodes: Sequence[str], active: str | None, assigned: Mapping[str, int]
) -> Iterator[str | None]:
    if mode is not AssignmentMode.BALANCED:
        home = active if mode is AssignmentMode.ACTIVE_STANDBY else None
        while True:
            yield home
    users_of = {node: assigned.get(node, 0) for node in nodes}
    while True:
        emptiest = min(nodes, key=users_of.__getitem__)
        users_of[emptiest] += 1
        yield emptiest


def shortened(value: str) -> str:
    """As much of a bad value as is repeated in a report."""
    return value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "..."
