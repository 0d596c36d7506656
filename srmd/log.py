"""The log: one record a fact, named `noun.happened`, from the catalogue below.

    log = start(config.log, config.node.id)
    log.get().info("peer.down", silent_s=60.2)
    log.close()

A record has `ts` (wall clock, for people only), `mono_s`, `level`, `event`, `node`, and flat fields
with the unit last.  Records are JSON lines when not at a terminal, made for reading at one (within
its width, in colour unless NO_COLOR is set), and have their fields in systemd's journal.  They pass
a bounded queue to a thread; see `line_writer`.
structlog is imported when logging starts, not before: commands that do not log start faster.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from srmd.config import LogConfig, LogFormat, LogLevel
from srmd.descriptors import is_exhausted
from srmd.journald import SOCKET as JOURNALD
from srmd.journald import JournalSocket, is_journal
from srmd.journald import record as journal_record
from srmd.library_log import Complaint, LibraryLog, take_over
from srmd.line_writer import CLOSE_LIMIT_S, Descriptor, LineWriter, Outlet, RotatedFile
from srmd.secret import HIDDEN, Secret
from srmd.terminal import BOLD, CYAN, DIM, RED, YELLOW, columns_at, may_colour, painted, wrap

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LOG_QUEUE_RECORDS = 10_000
"""Records that wait for a slow reader; more are dropped and counted."""
LOG_FILE_BYTES = 64_000_000
"""Bound of `[log] file` with its rotated half; ours."""
JOURNAL_QUEUE_RECORDS = 10_000
STDOUT_FD = 1

STRICT = False
"""Set by the tests: an event outside the catalogue raises, rather than being logged as an error."""

SECRET_FIELDS = frozenset({"authorization", "password", "secret", "token"})
"""Fields that are hidden whatever they hold."""


@dataclass(frozen=True, slots=True)
class EventInfo:
    """What an event means, and what to do when it is met."""

    meaning: str
    advice: str = "Nothing to do."
    level: str = "info"
    """error: a person should look.  warning: a person may want to know.  info: a milestone."""


EVENTS: dict[str, EventInfo] = {
    "alarm.srm_failed": EventInfo(
        "The node entered Running in Failed Mode (Cisco's alarm SRMFailed).",
        "Read the reason, repair what it names, then recover the group.",
        "error",
    ),
    "alarm.srm_failover": EventInfo(
        "An automatic failover began (Cisco's alarm SRMFailover).",
        "Find out why the failed node failed; fall back when it is well.",
        "error",
    ),
    "command.accepted": EventInfo("A command of an administrator is carried out."),
    "command.refused": EventInfo(
        "A command does not fit the state of the pair; nothing was changed.",
        "The record names the state that is needed.",
    ),
    "config.kept": EventInfo(
        "The configuration was read again and cannot be used, so nothing of it was taken.",
        "Repair what the record names, then run srmd config reload.",
        "warning",
    ),
    "config.reloaded": EventInfo(
        "The configuration was read again: taken has the keys that changed, refused what is kept"
        " as it was and why, needs what a further command takes.",
        "If something was refused, do what the record says, and reload again.",
    ),
    "config.warning": EventInfo(
        "A setting can be used but is unwise.",
        "Change it as the record says, on both nodes.",
        "warning",
    ),
    "control.call_failed": EventInfo(
        "The peer did not answer a control call; heartbeats repair what it would have said.",
        "If it persists, check peer.control, the port and the firewall.",
        "warning",
    ),
    "control.rejected": EventInfo(
        "A control request was not from our peer, was old, or was malformed.",
        "If the sender is your peer, compare [auth], group.name and the node ids on both nodes.",
        "warning",
    ),
    "control.restored": EventInfo(
        "The peer answers control calls again.  This, and each reason of control.call_failed, is"
        " told once in 10 s; further changes are counted."
    ),
    "database.copied": EventInfo(
        "The user database is not the one that this node had open last: it is a copy, or what the"
        " node remembers of it is gone.",
        "If nobody put a copy there, find out who changed node.state_dir; the database got a new"
        " identity and is compared with that of the peer.",
        "warning",
    ),
    "database.failed": EventInfo(
        "The database of this node cannot be used; after the delay the node fails over.",
        "Repair the database as the record says; srmd notices by itself.",
        "error",
    ),
    "database.lost": EventInfo(
        "The user database is new and empty, though this node had one: its file was gone or empty.",
        "Check the disk; the users come from the peer, or from a copy that you put back.",
        "warning",
    ),
    "database.repaired": EventInfo("The database of this node can be used again."),
    "descriptors.exhausted": EventInfo(
        "The process has no free file descriptor: connections, services and the database suffer.",
        "Raise the limit of open files (systemd: LimitNOFILE=1024; shell: ulimit -n 1024), and look"
        " for connections that do not end.",
        "error",
    ),
    "descriptors.low": EventInfo(
        "The limit of open files is lower than srmd wants, so it takes fewer connections.",
        "Raise the hard limit to what the record says (systemd: LimitNOFILE; shell: ulimit -Hn).",
        "warning",
    ),
    "failover.completed": EventInfo(
        "This node serves the users of both, and how long it took.",
        "Repair the peer, then fall back.",
    ),
    "ha.set": EventInfo("High availability was set, here or on the peer, and is now so."),
    "ha.tie": EventInfo(
        "High availability was set on both nodes at once, to other values: it is off on both.",
        "Set it again if it shall be on: srmd ha enable.",
        "warning",
    ),
    "heartbeat.rejected": EventInfo(
        "A datagram on the heartbeat port was not a fresh heartbeat of our peer.",
        "A few after a restart are usual; many mean a wrong key, group or address, or an intruder.",
        "warning",
    ),
    "heartbeat.send_failed": EventInfo(
        "A heartbeat could not be handed to the network.",
        "Check peer.heartbeat, the route and the firewall of this machine.",
        "warning",
    ),
    "heartbeat.send_restored": EventInfo("Heartbeats can be handed to the network again."),
    "http.failed": EventInfo(
        "The HTTP side failed while it answered a request.",
        "This is a defect of srmd: report it with the record.",
        "error",
    ),
    "journal.dropped": EventInfo(
        "Inputs of the machine could not be written to the journal: a replay has a gap there.",
        "Check the space and the speed of the disk that holds node.state_dir.",
        "warning",
    ),
    "library.complained": EventInfo(
        "A library or Python itself complained; the same again within 10 s is only counted.",
        "If it persists, report it with the record.",
        "warning",
    ),
    "log.dropped": EventInfo(
        "Records are missing here: the reader of the log was too slow.",
        "Make the reader faster or raise log.level.",
        "warning",
    ),
    "log.unknown_event": EventInfo(
        "A record was written under a name that is not in the catalogue.",
        "This is a defect of srmd: report it with the record.",
        "error",
    ),
    "node.incarnation_lost": EventInfo(
        "The peer knows a later start of this node than the node itself: its memory was lost.",
        "Find out why node.state_dir was emptied; SRM starts again above what the peer knows.",
        "warning",
    ),
    "node.memory_restored": EventInfo(
        "The newest memory of the node was damaged, and the one before it was used.",
        "Check the disk; compare the state shown with what you expect.",
        "warning",
    ),
    "node.rebooting": EventInfo("The node is off for node.reboot_s and boots then."),
    "node.save_failed": EventInfo(
        "The state could not be stored; the node goes on, but a restart would not know of it.",
        "Do what the record says; the state is stored as soon as the disk takes it (node.saved).",
        "error",
    ),
    "node.saved": EventInfo("The state that could not be stored is durable now."),
    "node.started": EventInfo(
        "The node is up, with this version of srmd, this identity, stored state, and state of its"
        " database: what a former run said of the database is over."
    ),
    "node.state_changed": EventInfo(
        "The node went from one state to another.",
        "The reason is in the record; srmd explain tells about the pair of states.",
    ),
    "node.stop_overdue": EventInfo(
        "The node did not stop in good order within limits.shutdown_s, and was cut off.",
        "Look for a service or a disk that hangs.",
        "error",
    ),
    "node.stopped": EventInfo("The node ended in good order."),
    "node.was_late": EventInfo(
        "This node itself was stopped or overloaded, so it does not blame the peer for silence.",
        "Look for a paused machine, a starved processor or a slow disk.",
        "warning",
    ),
    "order.failed": EventInfo(
        "An order of the machine could not be carried out.",
        "The record names the order and the error; the state that follows says what to do.",
        "error",
    ),
    "peer.down": EventInfo(
        "The peer has been silent for the keep alive timeout.",
        "Look at the peer and at the network between the nodes.",
        "warning",
    ),
    "peer.heard": EventInfo("The peer is heard, for the first time or again."),
    "peer.left": EventInfo("The peer announced that its node goes down."),
    "peer.mismatched": EventInfo(
        "The peer's configuration cannot make a pair with ours; both nodes are Unknown.",
        "Make what the record names equal on both nodes.",
        "error",
    ),
    "promise.broken": EventInfo(
        "The machine did what it promises never to do; the node goes on as its rules say.",
        "This is a defect of srmd: report it with the record and the journals of both nodes;"
        " srmd explain tells what to do about the pair as it is.",
        "error",
    ),
    "service.changed": EventInfo(
        "A critical service changed its state.",
        "If it stopped uncommanded, read its own log and start it.",
    ),
    "signal.received": EventInfo(
        "The process received a signal; the record says what is done about it.",
        "Nothing to do; who sends signals that are ignored wants something that srmd does not do.",
    ),
    "split_brain.detected": EventInfo(
        "Both nodes served the same users while they did not hear each other.",
        "Read who served whom in the record; with split_brain = fail, recover the group.",
        "error",
    ),
    "srm.failed": EventInfo(
        "Server Recovery Manager ended by an internal error, or could not start again; while it is"
        " down the peer takes over.",
        "This is a defect of srmd: report it with the record.  SRM starts again after restart_s.",
        "error",
    ),
    "srm.started": EventInfo("Server Recovery Manager was started on this node."),
    "srm.stopped": EventInfo(
        "Server Recovery Manager was stopped on this node by order, alone or with the node; if it"
        " stays away, the peer takes over.",
        "If it was stopped alone, start it again when the work that needed it is done.",
    ),
    "task.failed": EventInfo(
        "Work that goes on as long as the node runs ended by an internal error.",
        "This is a defect of srmd: report it with the record.  It begins again after restart_s.",
        "error",
    ),
    "tls.expires": EventInfo(
        "A certificate of the pair ends soon, or has ended; then control calls fail.",
        "Put new files in the place of the old ones and reload (srmd config reload, or SIGHUP,"
        " which needs no certificate), one node after the other.",
        "warning",
    ),
    "tls.refused": EventInfo(
        "Somebody connected to the control port without the TLS that is expected.",
        "If it was your peer or your command, compare [tls] on both nodes, or name the CA by --ca.",
        "warning",
    ),
    "users.agree": EventInfo("The user databases of both nodes hold the same users again."),
    "users.differ": EventInfo(
        "The user databases of both nodes do not hold the same users, though neither changes.",
        "All users of the peer are read again; if users.agree does not follow, check peer.control"
        " and the logs of both nodes.",
        "error",
    ),
    "users.displaced": EventInfo(
        "The database places users against the states of the nodes, and they cannot be placed"
        " again; it is tried again.",
        "Look at the database of this node: its error says what it lacks.",
        "error",
    ),
    "users.imported": EventInfo("Users were imported into the database."),
    "users.moved": EventInfo("The users live where the operation wanted them."),
    "users.placed_again": EventInfo(
        "The database was replaced, and placed users against the states of the nodes: they are"
        " placed again where they were.",
        "If nobody put a copy there, find out who changed node.state_dir.",
        "warning",
    ),
    "users.replicated": EventInfo("Changes to users came from the peer."),
    "users.replication_failed": EventInfo(
        "Users or placements could not be exchanged with the peer; it is tried again.",
        "If it persists, check peer.control and the databases of both nodes.",
    ),
    "users.unserved": EventInfo(
        "Users are assigned whom no node serves now.",
        "Follow the action that srmd status recommends.",
        "error",
    ),
}
"""Every event, what it means and what to do."""


class UnknownEvent(AssertionError):
    """The name of an event is not in the catalogue."""


class LogError(Exception):
    """The log or journal cannot be opened; the message says which file and why."""


class Log:
    """A running log.  Several may run in one process, each for its node."""

    def __init__(
        self, logger: FilteringBoundLogger, writer: LineWriter, threshold: _Threshold
    ) -> None:
        self._logger = logger
        self._writer = writer
        self._threshold = threshold

    def set_level(self, level: LogLevel) -> None:
        """Leave out records below this level from now on, also of loggers that were given out."""
        self._threshold.level = level

    def get(self) -> FilteringBoundLogger:
        """A logger with the node bound to it."""
        return self._logger

    def take_library_records(self) -> None:
        """Complaints of libraries and of Python itself become records of this log."""
        take_over(LibraryLog(self._complained))

    def _complained(self, complaint: Complaint) -> None:
        exhausted = is_exhausted(complaint.error)
        write = self._logger.error if exhausted or complaint.is_error else self._logger.warning
        write(
            "descriptors.exhausted" if exhausted else "library.complained",
            logger=complaint.logger,
            detail=complaint.text,
            left_out_count=complaint.left_out_count,
            error=str(complaint.error) if exhausted else None,
            exc_info=None if exhausted else complaint.error,
        )

    @property
    def dropped(self) -> int:
        """Records lost because the reader was too slow or gone."""
        return self._writer.dropped

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> bool:
        """Writes what is waiting; False when the reader did not take it within `limit_s`."""
        return self._writer.close(limit_s)


def start(config: LogConfig, node: str, *, fd: int = STDOUT_FD) -> Log:
    """Begins to log for a node, to its file or else to `fd`.  Raises LogError."""
    import structlog  # here, because it costs more than all of a short command

    outlet: Outlet
    form = _form(config, fd)
    if form is LogFormat.JOURNALD:
        outlet = _opened_journald()
    elif config.file is None:
        outlet = Descriptor(fd)
    else:
        outlet = _opened("log.file", config.file, LOG_FILE_BYTES)
    render = RENDERERS[form]
    if form is LogFormat.PRETTY and config.file is None and os.isatty(fd):
        render = _at_terminal(fd, colour=may_colour(os.environ))

    def lost(count: int) -> bytes:
        level = EVENTS["log.dropped"].level
        record = {"event": "log.dropped", "level": level, "node": node, "count": count}
        return render(_stamp(None, "", record))

    writer = LineWriter(outlet, capacity=LOG_QUEUE_RECORDS, name="log", lost=lost)
    threshold = _Threshold(config.level)
    logger = structlog.wrap_logger(
        _Lines(writer),
        processors=[
            threshold,
            structlog.processors.add_log_level,
            _check_event,
            _stamp,
            structlog.processors.format_exc_info,
            hide_secrets,
            lambda _logger, _method, record: render(record),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
        context_class=dict,
    )
    return Log(cast("FilteringBoundLogger", logger.bind(node=node)), writer, threshold)


class Journal:
    """The inputs of the machine, one JSON object a line, so that a run can be replayed.

    A gap is a line `{"dropped": count}` where the lost ones would have been.
    Raises LogError when the file cannot be opened.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        outlet = _opened("journal", path, max_bytes)
        self._writer = LineWriter(
            outlet,
            capacity=JOURNAL_QUEUE_RECORDS,
            name="journal",
            lost=lambda count: _json_line({"dropped": count}),
        )

    @property
    def dropped(self) -> int:
        """Inputs that are missing in the file."""
        return self._writer.dropped

    def write(self, entry: Mapping[str, object]) -> None:
        self._writer.write(_json_line(entry))

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> bool:
        """Writes what is waiting; False when the disk did not take it within `limit_s`."""
        return self._writer.close(limit_s)


Record = MutableMapping[str, Any]


def _check_event(_logger: object, _method: str, record: Record) -> Record:
    """Only the catalogue's names are written: each has to have a meaning and an advice."""
    name = record.get("event")
    if name in EVENTS:
        return record
    if STRICT:
        raise UnknownEvent(f"{name!r} is not in srmd.log.EVENTS; add it with its meaning")
    level = EVENTS["log.unknown_event"].level
    return {**record, "event": "log.unknown_event", "level": level, "unknown": name}


def _stamp(_logger: object, _method: str, record: Record) -> Record:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"ts": now, "mono_s": round(time.monotonic(), 6), **record}


def hide_secrets(_logger: object, _method: str, record: Record) -> Record:
    """Makes every value plain (enums by name, paths as text), and every secret hidden."""
    return {
        key: HIDDEN if key in SECRET_FIELDS and value else _plain(value)
        for key, value in record.items()
    }


def _plain(value: object) -> object:
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping):
        return hide_secrets(None, "", {str(key): item for key, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _form(config: LogConfig, fd: int) -> LogFormat:
    """What AUTO comes to; any other is what it says."""
    if config.format is not LogFormat.AUTO:
        return config.format
    if config.file is None and os.isatty(fd):
        return LogFormat.PRETTY
    if config.file is None and is_journal(fd, os.environ):
        return LogFormat.JOURNALD
    return LogFormat.JSON


HEAD = ("ts", "mono_s", "level", "event", "node")


def _json(record: Record) -> bytes:
    head = {key: record[key] for key in HEAD if key in record}
    return _json_line({**head, **record})


def _pretty(record: Record) -> bytes:
    """`12:30:00.123 warning peer.down [a] silent_s=60.2`, and a traceback below if there is one."""
    return _bytes(f"{_lead(record)}{_said(record)}")


def _lead(record: Record) -> str:
    clock = str(record["ts"]).partition("T")[2].removesuffix("Z")
    return f"{clock} {record['level']:<7} "


def _at_terminal(fd: int, *, colour: bool) -> Callable[[Record], bytes]:
    """The same within the width of a terminal, which may change; states and trouble stand out."""

    def render(record: Record) -> bytes:
        columns = columns_at(fd)
        lead, trace = _lead(record), str(record.get("exception", ""))
        further = " " * (len(lead) if columns >= WIDE_COLUMNS else len(GAP))
        first, rest = _head(record), _fields(record)
        if record["event"] != CHANGED:
            first, rest = f"{first} {rest}".rstrip(), ""
        lines = wrap(first, columns, indent=lead, further=further)
        below = wrap(rest, columns, indent=further) if rest else []
        if colour:
            lines = [painted(line, *_paint(record)) for line in lines]
            below = [painted(line, DIM) for line in below]
        return _bytes("\n".join([*lines, *below, *filter(None, [trace])]))

    return render


WIDE_COLUMNS: Final = 72
"""From then on what goes on stands below the event, otherwise nearly at the left edge."""
GAP: Final = "  "
CHANGED: Final = "node.state_changed"
SHOWN_CHANGED: Final = frozenset({"old_state", "old_reason", "state", "reason"})
"""Fields of CHANGED that are told as `Normal / Normal -> Taking Over / Peer Down`."""


def _paint(record: Record) -> tuple[str, ...]:
    if record["event"] == CHANGED:
        return (BOLD, CYAN)
    return {"error": (BOLD, RED), "warning": (YELLOW,), "debug": (DIM,)}.get(record["level"], ())


def _journald(record: Record) -> bytes:
    """A message for reading, and each field of the record that has a value as SRMD_NAME."""
    record = {key: value for key, value in record.items() if value is not None}
    fields = {
        "MESSAGE": _said(record),
        "PRIORITY": PRIORITIES.get(str(record.get("level")), PRIORITIES["error"]),
        "SYSLOG_IDENTIFIER": "srmd",
    }
    for key, value in record.items():
        if key not in {"level", "ts"}:  # PRIORITY, and the journal's own clock
            fields[f"SRMD_{key}"] = value if isinstance(value, str) else _value(value)
    return journal_record(fields)


PRIORITIES: Final = {"error": "3", "warning": "4", "info": "6", "debug": "7"}
"""syslog's numbers, which `journalctl -p` knows."""
RENDERERS: Final[Mapping[LogFormat, Callable[[Record], bytes]]] = {
    LogFormat.JSON: _json,
    LogFormat.PRETTY: _pretty,
    LogFormat.JOURNALD: _journald,
}


def _said(record: Record) -> str:
    """What happened, to whom, the fields, and below it the traceback."""
    trace = [str(record["exception"])] if "exception" in record else []
    return "\n".join([f"{_head(record)} {_fields(record)}".rstrip(), *trace])


def _head(record: Record) -> str:
    """The event and its node; of a change of state from what to what."""
    head = f"{record['event']} [{record.get('node', '')}]"
    if record["event"] != CHANGED or not record.keys() >= SHOWN_CHANGED:
        return head
    old = f"{record['old_state']} / {record['old_reason']}"
    return f"{head} {old} -> {record['state']} / {record['reason']}"


def _fields(record: Record) -> str:
    told = SHOWN_CHANGED if record["event"] == CHANGED and record.keys() >= SHOWN_CHANGED else ()
    return " ".join(
        f"{key}={value if _is_word(value) else _value(value)}"
        for key, value in record.items()
        if key not in HEAD and key != "exception" and key not in told
    )


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and " " not in value and value != ""


def _json_line(entry: Mapping[str, object]) -> bytes:
    return _bytes(json.dumps(entry, ensure_ascii=False, default=str))


def _bytes(line: str) -> bytes:
    """A lone surrogate (an undecodable file name) stays an escape, which JSON reads back."""
    return line.encode(errors="backslashreplace") + b"\n"


def _opened(what: str, path: Path, max_bytes: int) -> RotatedFile:
    try:
        return RotatedFile(path, max_bytes)
    except OSError as failed:
        why = failed.strerror or str(failed)
        right = "name a file that can be written, on a disk that has room"
        raise LogError(f"{what}: {path}: {why}; {right}") from failed


def _opened_journald() -> JournalSocket:
    try:
        return JournalSocket()
    except OSError as failed:
        way_out = "use auto or json where systemd's journal does not run"
        raise LogError(
            f"log.format: journald: {JOURNALD}: {failed.strerror}; {way_out}"
        ) from failed


LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class _Threshold:
    """The first to see a record: drops it below a level, which may change while the log runs."""

    def __init__(self, level: LogLevel) -> None:
        self.level = level

    def __call__(self, _logger: object, method: str, record: Record) -> Record:
        if LEVELS[method] >= LEVELS[self.level.value]:
            return record
        import structlog  # as in start

        raise structlog.DropEvent


class _Lines:
    """What structlog calls a logger: every method takes the rendered record."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = exception = msg
