"""`srmd backup`: the state of a node on this machine into one file, while the node runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from srmd.cli.asking import Options
from srmd.cli.exits import Exit, Failure
from srmd.store.backup import NothingToCopy, write

KEEP_MAX = 10_000


def backup(options: Options) -> int:
    folder = Path(options.folder)
    if not options.keep.isdecimal() or not 1 <= int(options.keep) <= KEEP_MAX:
        right = f"a number from 1 to {KEEP_MAX} is needed"
        raise Failure(Exit.USAGE, f"--keep: {options.keep!r}: {right}")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    try:
        made = write(Path(options.state_dir), folder, name, int(options.keep))
    except NothingToCopy as nothing:
        raise Failure(Exit.FAILED, f"no backup was made: {nothing}") from nothing
    except OSError as failed:
        where = failed.filename or folder
        raise Failure(Exit.FAILED, f"no backup was made: {where}: {failed.strerror}") from failed
    print(made)
    return Exit.OK
