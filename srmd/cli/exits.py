"""Exit codes of the commands.  Scripts rely on these numbers.

`srmd --help` lists them, and the help of each command those that it ends with.

One rule: words, files and their contents that cannot be used are 2, whether srmd or the node finds
that out; nothing has changed then.  (A configuration that `run` and `config check` read is 10.)
"""

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
    Exit.USAGE: "wrong usage: words, or a file, that cannot be used; nothing has changed",
    Exit.REFUSED: "refused; nothing has changed (the message says which state is needed)",
    Exit.UNREACHABLE: "no node answers at the address, or another one than that of --config",
    Exit.TIMED_OUT: "the operation did not end within --timeout; it may still go on",
    Exit.UNAUTHORIZED: "not authorised: token missing or wrong",
    Exit.CONFIG_BAD: "run, config check: the configuration cannot be used",
    Exit.PORT_BUSY: "run: a port is in use",
    Exit.STATE_LOCKED: "run: another process uses the state directory",
    Exit.STATE_DAMAGED: "run: the stored state is damaged",
    Exit.DISK_REFUSES: "run: the state cannot be stored, as on a full disk; no descriptor left",
    Exit.INTERNAL: "internal error: a defect of srmd",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.BROKEN_PIPE: "the output could not be written: its reader went away, it is closed or full",
}


Meanings = dict[Exit, str]


def _of(*codes: Exit, **others: str) -> Meanings:
    """These codes with their meanings; `others` have one of their own, by the name of the code."""
    own = {Exit[name]: meaning for name, meaning in others.items()}
    return {code: own.get(code, MEANINGS[code]) for code in Exit if code in (*codes, *own)}


_EVERY = (Exit.INTERNAL, Exit.INTERRUPTED, Exit.BROKEN_PIPE)
_LOCAL = (Exit.OK, Exit.USAGE, *_EVERY)
_ASKS = (*_LOCAL, Exit.REFUSED, Exit.UNREACHABLE, Exit.UNAUTHORIZED)
_NODE = _of(
    *_ASKS,
    FAILED="the node could not do it; the message says why",
    TIMED_OUT="no answer in time; what was asked may still be done",
)
_WAITS = _of(*_ASKS, Exit.FAILED, Exit.TIMED_OUT)
_PLAYS = _of(
    *_LOCAL,
    OK="all that was played has passed",
    FAILED="something has failed",
    USAGE="wrong usage, a malformed file, or an environment that is not fit",
)
_LAB = _of(
    *_LOCAL,
    FAILED="the lab could not do it; the message says why",
    UNREACHABLE="no lab runs",
)

COMMANDS: dict[str, Meanings] = {
    "srmd": MEANINGS,
    "srmd run": _of(
        *_LOCAL,
        Exit.CONFIG_BAD,
        Exit.PORT_BUSY,
        Exit.STATE_LOCKED,
        Exit.STATE_DAMAGED,
        Exit.DISK_REFUSES,
        OK="ended as it was told to",
    ),
    "srmd status": _NODE,
    "srmd failover": _WAITS,
    "srmd fallback": _WAITS,
    "srmd recover": _WAITS,
    "srmd ha": _WAITS,
    "srmd service": _NODE,
    "srmd users": _NODE,
    "srmd srm": _WAITS
    | _of(FAILED="the operation failed, or SRM runs and not as the files of its node say"),
    "srmd node": _NODE,
    "srmd fault": _NODE,
    "srmd states": _of(*_LOCAL),
    "srmd explain": _NODE,
    "srmd config": _of(*_LOCAL, CONFIG_BAD="the configuration cannot be used"),
    "srmd config check": _of(
        *_LOCAL,
        OK="the configuration can be used; --running: the node uses it",
        FAILED="--running: the node uses something else; the lines say what",
        UNREACHABLE="--running: no node runs with node.state_dir of the configuration",
        CONFIG_BAD="the configuration cannot be used",
    ),
    "srmd config copy": _of(
        *_LOCAL,
        CONFIG_BAD="the configuration cannot be used; the copies that are in place stay",
        FAILED="the copies cannot be made; the message says why",
    ),
    "srmd config reload": _NODE
    | _of(FAILED="something of the files was refused, or old copies were read; the rest is used"),
    "srmd init": _of(
        *_LOCAL,
        FAILED="the files cannot be made here; the message says why",
        REFUSED="files are there already; nothing has changed",
    ),
    "srmd backup": _of(*_LOCAL, FAILED="no backup was made; the message says why"),
    "srmd completion": _of(*_LOCAL),
    "srmd replay": _of(
        *_LOCAL,
        OK="log and machine agree",
        FAILED="they do not agree",
        USAGE="wrong usage, or nothing that can be replayed",
    ),
    "srmd why": _of(*_LOCAL),
    "srmd timeline": _of(*_LOCAL),
    "srmd sim": _of(
        *_LOCAL,
        OK="every property was asked and held",
        FAILED="a property did not hold, or was never asked",
    ),
    "srmd faultproxy": _of(
        *_LOCAL,
        OK="ended as it was told to",
        FAILED="it could not start",
        USAGE="wrong usage",
    ),
    "srmd prove": _of(
        *_LOCAL,
        OK="every property was asked and holds",
        FAILED="a property does not hold or was never asked, or the search was cut short",
        USAGE="wrong usage",
    ),
    "srmd sweep": _of(*_LOCAL, FAILED="a file of the results cannot be written"),
    "srmd lab": _LAB | _of(Exit.REFUSED),
    "srmd lab list": _of(*_LOCAL),
    "srmd lab run": _PLAYS,
    "srmd lab coverage": _of(
        *_LOCAL,
        OK="scenarios reach all rows",
        FAILED="a row is not reached",
    ),
    "srmd lab soak": _of(
        *_LOCAL,
        OK="all bounds were kept",
        FAILED="a bound was not kept, or the pair did not become healthy",
        USAGE="wrong usage, or an environment that is not fit",
    ),
    "srmd lab up": _of(*_LOCAL, FAILED="the lab does not come up, or runs already"),
    "srmd lab fault": _LAB | _of(REFUSED="the lab cannot do it now; the message says why"),
    "srmd lab heal": _LAB | _of(REFUSED="the lab cannot do it now; the message says why"),
}
"""Exit codes of each command with their meaning; one without its own has its family's."""


def codes_of(command: str) -> Meanings:
    """Of `srmd users import`, and what else stands in `prog`."""
    while command not in COMMANDS:
        command = command.rpartition(" ")[0]
    return COMMANDS[command]


def told(command: str) -> str:
    """The last lines of its help."""
    lines = [
        f"  {code.value:<4} {meaning}\n" for code, meaning in sorted(codes_of(command).items())
    ]
    return "".join(["exit codes:\n", *lines])


class Failure(Exception):
    """The command cannot go on; the message is for the person who typed it."""

    def __init__(self, code: Exit, message: str) -> None:
        self.code = code
        super().__init__(message)
