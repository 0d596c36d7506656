"""The node's own record of its user database: `state_dir/users.epoch`.

Each opening of the database begins an epoch, a name that is never given twice.  It is durable here
first, then in the database.  A database whose epoch is not known here is not the one that this node
had open last: it is a copy that was put back, or this memory is gone.  No inode and no time of a
file can tell that.

The memory of a database that was never opened under an epoch is the empty name, so that a new
database and one of an older srmd are known.  A file that cannot be read knows nothing else: the
database then counts as a copy, which costs one comparison with the peer.
"""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_hex

from srmd.store import durable

EPOCH_FILE = "users.epoch"
NEVER_OPENED = ""
EPOCH_BYTES = 8
FILE_BYTES_MAX = 1024


class Epochs:
    """The epochs in which the database may be: one, or two while it is being opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self) -> tuple[str, ...]:
        """At least one."""
        try:
            with self._path.open("rb") as file:
                names = json.loads(file.read(FILE_BYTES_MAX))
        except (OSError, ValueError):
            return (NEVER_OPENED,)
        if not isinstance(names, list) or not names or not all(type(one) is str for one in names):
            return (NEVER_OPENED,)
        return tuple(names)

    def begin(self, before: str) -> str:
        """A new epoch, remembered beside the one that the database is in.  Raises OSError."""
        begun = token_hex(EPOCH_BYTES)
        self._remember(before, begun)
        return begun

    def begun(self, epoch: str) -> None:
        """The database has it, durably.  Raises OSError."""
        self._remember(epoch)

    def _remember(self, *epochs: str) -> None:
        durable.write(self._path, json.dumps(epochs).encode() + b"\n")
