"""Users as a CSV file: what spreadsheets and directories export is read, and written again.

- The first line names the columns.  `user_id` and `home_node` are needed, in any order and case,
  with a blank or hyphen for the underscore; further columns are passed over.
- The separator is the one that the first line has: comma, semicolon or tab.  Any field may stand in
  quotes, lines may end in any way, and lines without any text are passed over.
- User ids and names of nodes are ASCII.  So every encoding that leaves ASCII as it is will do
  (UTF-8, Shift_JIS, those of Windows), and UTF-16 with its byte order mark.
- Two ids that differ in case only are a mistake, not two users.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from srmd.store.database import USERS_MAX, BadImport, BadLine, BadRequest
from srmd.store.users import shortened, user_id_fault

USER_ID, HOME_NODE = "user_id", "home_node"
HEADER = f"{USER_ID},{HOME_NODE}"
SEPARATORS = ",;\t"
HEAD_CHARS = 10_000
"""Of these the separator is told."""
BYTES_MAX = 32 * 1024 * 1024
"""75,000 lines of the longest ids and node names fit."""
LINES_MAX = 2 * USERS_MAX
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of a ZIP and of an older file of Office."""
RECORD_CHARS_MAX = 100_000
"""Of one record, all its lines together: one of megabytes would be split in a single step, during
which no heartbeat is sent."""
LINES_TOLD_MAX = 100
"""Bad lines of one file that are listed; the others are only counted."""

_NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?(?:\r\n|\n|\r)', re.IGNORECASE)
"""A line before the header by which spreadsheets tell each other the separator."""


@dataclass(frozen=True, slots=True)
class ImportLine:
    line: int
    user_id: str
    home: str | None


def read(source: Path | bytes | str, nodes: Sequence[str]) -> list[ImportLine]:
    """The users of a file, in the order of its lines.

    An empty home node leaves the user unassigned.  Raises BadImport with the bad lines, and with
    the header alone when that is bad; BadRequest when the file cannot be read or is too long.
    """
    text = source if isinstance(source, str) else _decoded(_content(source))
    records = _records(text.removeprefix("\ufeff"))
    header = next((record for record in records if record.fields or record.fault), None)
    columns = _columns(header or _Record(1, "", [], "is no header: the file is empty"))
    bad = _BadLines()
    good: list[ImportLine] = []
    known: dict[str, ImportLine] = {}
    for record in records:
        try:
            if (line := _import_line(record, columns, nodes)) is None:
                continue
            _is_new(line, known.setdefault(line.user_id.lower(), line))
        except _BadValue as error:
            bad.add(record.line, error)
        else:
            good.append(line)
    bad.verdict()
    return good


def new_lines(lines: Sequence[ImportLine], present: Mapping[str, str | None]) -> list[ImportLine]:
    """The lines that add a user, given the homes of those present.

    Raises BadImport with the lines that would change a user's home: an import never moves anyone.
    """
    bad = _BadLines()
    cased = {user_id.lower(): user_id for user_id in present}
    for line in lines:
        try:
            _is_no_change(line, present, cased)
        except _BadValue as error:
            bad.add(line.line, error)
    bad.verdict()
    return [line for line in lines if line.user_id not in present]


def written(homes: Iterable[tuple[str, str | None]]) -> bytes:
    """A file that `read` reads.  Neither ids nor names of nodes need quotes."""
    lines = (f"{user_id},{home or ''}\n" for user_id, home in homes)
    return "".join([f"{HEADER}\n", *lines]).encode()


# Bytes to text.


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            with source.open("rb") as file:
                content = file.read(BYTES_MAX + 1)
        except OSError as error:
            raise BadRequest(f"import: {source}: cannot be read: {error.strerror}") from error
    if len(content) > BYTES_MAX:
        raise BadRequest(f"import: more than {BYTES_MAX} bytes; split the file")
    return content


def _decoded(content: bytes) -> str:
    if content.startswith(SPREADSHEETS):
        raise BadRequest(
            "import: it is the file of a spreadsheet (.xlsx, .ods: a ZIP; .xls), not CSV; "
            "export it as CSV"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        # What is no UTF-8 may stand in columns that are not read.
        text = content.decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text[: len(HEADER)]:
        raise BadRequest(
            "import: the file has NULs, as UTF-16 or UTF-32 without a byte order mark; "
            "save it as UTF-8"
        )
    return text


# Text to records.


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    """The line at which it begins."""
    text: str
    """Of its first line."""
    fields: list[str]
    """None of them: a line without any text."""
    fault: str | None = None
    """The reason for which it is no record."""


class _TooLong(Exception):
    pass


class _Lines:
    """The lines of a text, counted; those of one record are remembered."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.count = 0
        self.of_record: list[str] = []
        self._chars_count = 0
        """Of the record."""

    def begin_record(self) -> int:
        """The number of its first line."""
        self.of_record = []
        self._chars_count = 0
        return self.count + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        if self.count > LINES_MAX + 1:
            raise BadRequest(f"import: more than {LINES_MAX} lines; split the file")
        self.of_record.append(line)
        self._chars_count += len(line)
        if self._chars_count > RECORD_CHARS_MAX:
            raise _TooLong
        return line


def _records(text: str) -> Iterator[_Record]:
    lines = _Lines(text)
    if named := _NAMED_SEPARATOR.match(text):
        next(lines)  # short: it holds no more than the separator
        separator = named[1]
    else:
        unquoted = re.sub('"[^"]*"', "", text.lstrip("\r\n")[:HEAD_CHARS]).splitlines()
        separator = max(SEPARATORS, key=(unquoted or [""])[0].count)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        line = lines.begin_record()
        fields, fault = [], None
        try:
            fields = [field.strip() for field in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is not CSV ({error})"
        except _TooLong:
            across = len(lines.of_record) > 1
            fault = f"is longer than {RECORD_CHARS_MAX} characters"
            fault += "; a quote that begins here does not end" if across else ""
        text = lines.of_record[0][:RECORD_CHARS_MAX].rstrip()
        yield _Record(line, text, fields if any(fields) else [], fault)


# Records to users.


@dataclass(frozen=True, slots=True)
class _Columns:
    user_id: int
    home: int
    count: int


class _BadValue(Exception):
    def __init__(self, value: str, reason: str) -> None:
        super().__init__(value, reason)
        self.value = value
        self.reason = reason


class _BadLines:
    """The first of them, and how many there are."""

    def __init__(self) -> None:
        self._told: list[BadLine] = []
        self._count = 0

    def add(self, line: int, error: _BadValue) -> None:
        self._count += 1
        if len(self._told) < LINES_TOLD_MAX:
            self._told.append(_bad_line(line, error.value, error.reason))

    def verdict(self) -> None:
        """Raises BadImport when there are any."""
        if self._count:
            raise BadImport(self._told, self._count)


def _columns(header: _Record) -> _Columns:
    """The places of the columns.  Raises BadImport: without a header no line can be judged."""
    names = [_plain(field) for field in header.fields]
    fault = header.fault
    for column in (USER_ID, HOME_NODE):
        count = names.count(_plain(column))
        if fault is None and not count:
            fault = (
                f"is no header with the columns {USER_ID} and {HOME_NODE}, separated by commas, "
                f"semicolons or tabs: {column} is missing"
            )
        elif fault is None and count > 1:
            fault = f"is no good header: it has the column {column} {count} times"
    if fault is not None:
        raise BadImport([_bad_line(header.line, header.text, fault)])
    return _Columns(names.index(_plain(USER_ID)), names.index(_plain(HOME_NODE)), len(names))


def _plain(column: str) -> str:
    return re.sub("[ _-]", "", column.lower())


def _import_line(record: _Record, columns: _Columns, nodes: Sequence[str]) -> ImportLine | None:
    """None for a line without any text."""
    fields = record.fields
    if record.fault is not None:
        raise _BadValue(record.text, record.fault)
    if not fields:
        return None
    if len(fields) < columns.count or any(fields[columns.count :]):
        raise _BadValue(record.text, _count_fault(record, columns))
    user_id, home = fields[columns.user_id], fields[columns.home]
    if not user_id:
        raise _BadValue(record.text, "has no user id")
    fault = user_id_fault(user_id)
    if fault is not None:
        raise _BadValue(user_id, fault)
    if home and home not in nodes:
        raise _BadValue(home, f"is not a node of this group ({', '.join(nodes)})")
    return ImportLine(record.line, user_id, home or None)


def _count_fault(record: _Record, columns: _Columns) -> str:
    count = len(record.fields)
    fault = f"has {count} field{'' if count == 1 else 's'}, and the header {columns.count}"
    others = [each for each in SEPARATORS if each in record.text]
    if count > 1 or not others:
        return fault
    return f"{fault}; it is separated by {others[0]!r}, and the header is not: use one separator"


def _is_new(line: ImportLine, first: ImportLine) -> None:
    if first is line:
        return
    if first.user_id == line.user_id:
        raise _BadValue(line.user_id, f"is on line {first.line} already")
    raise _BadValue(line.user_id, f"is on line {first.line} in other case, as {first.user_id}")


def _is_no_change(
    line: ImportLine, present: Mapping[str, str | None], cased: Mapping[str, str]
) -> None:
    if line.user_id not in present:
        if line.user_id.lower() in cased:
            there = cased[line.user_id.lower()]
            raise _BadValue(line.user_id, f"is present in other case, as {there}; write it so")
    elif present[line.user_id] != line.home:
        raise _BadValue(
            line.user_id,
            f"is present with home {present[line.user_id] or 'none'}, not {line.home or 'none'}; "
            f"change it with `users assign`",
        )


def _bad_line(line: int, value: str, reason: str) -> BadLine:
    # Bytes that were no UTF-8 become escapes: reports take text only.
    printable = value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return BadLine(line, shortened(printable), reason)
