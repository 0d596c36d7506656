"""How a command ends.  Scripts rely on these numbers; `srmd --help` lists them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes.  Those from 10 on are of `srmd run` (and 10 of `srmd config check`)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    TIMED_OUT = 5
    UNAUTHORIZED = 6
    CONFIG_BAD = 10
    PORT_BUSY = 11
    STATE_LOCKED = 12
    STATE_DAMAGED = 13
    DISK_REFUSES = 14
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "the operation failed, or ended in Running in Failed Mode",
    Exit.USAGE: "wrong usage",
    Exit.REFUSED: "refused; nothing has changed (the message says which state is needed)",
    Exit.UNREACHABLE: "no node answers at the address, or another one than that of --config",
    Exit.TIMED_OUT: "the operation did not end within --timeout; it may still go on",
    Exit.UNAUTHORIZED: "not authorised: token missing or wrong",
    Exit.CONFIG_BAD: "run, config check: the configuration cannot be used",
    Exit.PORT_BUSY: "run: a port is in use",
    Exit.STATE_LOCKED: "run: another process uses the state directory",
    Exit.STATE_DAMAGED: "run: the stored state is damaged",
    Exit.DISK_REFUSES: "run: the state cannot be stored: disk full, read-only, or no permission",
    Exit.INTERNAL: "internal error: a defect of srmd",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.BROKEN_PIPE: "the output could not be written: its reader went away, it is closed or full",
}


class Failure(Exception):
    """The command cannot go on; the message is for the person who typed it."""

    def __init__(self, code: Exit, message: str) -> None:
        self.code = code
        super().__init__(message)
