"""TOML, read strictly: all problems of a file at once, with key, value and the way out.

A `Reader` collects; a `Table` is one [section] of the file.  A getter never raises: it notes a
`Problem` and gives the default, so that reading goes on and the next problem is found too.
Whoever reads ends with `table.close()` for each table (unknown keys) and `reader.verdict()`.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar, cast

FILE_BYTES_MAX = 1_000_000
"""Bound of a file that is read; ours."""
VALUE_CHARACTERS_MAX = 60
"""Longer values are cut where they are shown."""

MISSING = "(missing)"

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right."""

    key: str
    """Dotted, as `heartbeat.listen`; empty when the file as a whole is meant."""
    value: str
    """As it stands in the file, cut when long, hidden when secret."""
    right: str
    """What would be right, to follow "should be"."""
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{key}{self.value}: {self.right}"


class TomlError(Exception):
    """A file that cannot be used.  `problems` has everything that is wrong with it."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"{path}: {count} {'problem' if count == 1 else 'problems'}"
        super().__init__("\n  ".join([heading, *map(str, self.problems)]))


def shown(value: object) -> str:
    """A raw value as a person wrote it, roughly."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict):
        text = f"a table with {', '.join(value) or 'nothing'}"
    else:
        text = repr(value)
    limit = VALUE_CHARACTERS_MAX
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read(path: Path, error: type[TomlError] = TomlError, *, at: Path | None = None) -> Reader:
    """The file `path`, parsed.  Raises `error` when it cannot be read or is no TOML.

    `at`: where a copy of it is read; problems name `path` all the same.
    """
    try:
        with (at or path).open("rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as failed:
        why = failed.strerror or str(failed)
        raise error(path, [Problem("", why, "name a file that can be read")]) from failed
    if len(raw) > FILE_BYTES_MAX:
        raise error(path, [Problem("", "too large", f"at most {FILE_BYTES_MAX} bytes")])
    try:
        text = raw.decode("utf-8-sig")  # editors of Windows begin a file with a byte order mark
        return Reader(path, tomllib.loads(text), status, lines_of(text), error)
    except UnicodeDecodeError as failed:
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        found = "UTF-16" if is_utf16 else f"byte {failed.start}"
        problem = Problem("", found, "the file must be UTF-8")
        raise error(path, [problem]) from failed
    except (tomllib.TOMLDecodeError, RecursionError) as failed:
        raise error(path, [Problem("", "not TOML", str(failed))]) from failed


def lines_of(text: str) -> dict[str, int]:
    """The line on which each dotted key stands, as far as a simple look can tell.

    Only for messages: tomllib does not say.  Arrays of tables are numbered from 1, as in
    `services.service 2.name`.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.\-\s\"']+?)\s*\]\]?\s*(?:#.*)?$", line):
            section = re.sub(r"[\s\"']", "", header[2])
            if header[1] == "[[":
                counts[section] = counts.get(section, 0) + 1
                section = f"{section} {counts[section]}"
            lines.setdefault(section, number)
        elif pair := re.match(r"\s*([\w.\-\"']+)\s*=", line):
            key = pair[1].replace('"', "").replace("'", "")
            lines.setdefault(f"{section}.{key}" if section else key, number)
    return lines


@dataclass(slots=True)
class Reader:
    """One file while it is read, and what was found to be wrong with it."""

    path: Path
    content: dict[str, object]
    status: os.stat_result
    """Of the file that was read."""
    lines: dict[str, int] = field(default_factory=dict)
    error: type[TomlError] = TomlError
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def root(self) -> Table:
        return Table(self, "", self.content)

    def problem(self, key: str, value: str, right: str) -> None:
        self.problems.append(Problem(key, value, right, self._line(key)))

    def warn(self, key: str, value: str, right: str) -> None:
        self.warnings.append(Problem(key, value, right, self._line(key)))

    def fine(self, *keys: str) -> bool:
        """None of these keys has a problem: they can be judged together."""
        return not {problem.key for problem in self.problems} & set(keys)

    def verdict(self) -> None:
        """Raises the error that tells all problems, in the order of the file, if there are any."""
        if self.problems:
            last = len(self.lines) + FILE_BYTES_MAX
            raise self.error(self.path, sorted(self.problems, key=lambda p: p.line or last))

    def _line(self, key: str) -> int | None:
        """The line of the key or of the nearest table around it."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None


class Table:
    """One table of the file.  A key that is read is known; `close` complains of the others."""

    def __init__(self, reader: Reader, name: str, content: dict[str, object]) -> None:
        self.reader = reader
        self.name = name
        self._content = content
        self._known: list[str] = []

    def key(self, key: str) -> str:
        """The dotted name of a key of this table."""
        return f"{self.name}.{key}" if self.name else key

    def problem(self, key: str, value: object, right: str) -> None:
        self.reader.problem(self.key(key), shown(value), right)

    def raw(self, key: str) -> object | None:
        """Whatever stands there; None when nothing does."""
        self._known.append(key)
        return self._content.get(key)

    def names(self) -> tuple[str, ...]:
        return tuple(self._content)

    def text(self, key: str, default: str | None = None, *, right: str = "a text") -> str:
        """A printable text, empty only if the default is.  No default: it is required."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value.isprintable() and (value.strip() or default == ""):
            return value
        self._wrong(key, value, right)
        return default or ""

    def matching(self, key: str, default: str | None, pattern: str, *, right: str) -> str:
        """A text that the pattern matches in full."""
        value = self.text(key, default, right=right)
        if (
            value != default
            and self.reader.fine(self.key(key))
            and not re.fullmatch(pattern, value)
        ):
            self.problem(key, value, right)
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.problem(key, value, "true or false, without quotes")
        return default

    def number(
        self, key: str, default: float, *, low: float, high: float, unit: str = "seconds"
    ) -> float:
        """A number from `low` to `high`; the default is trusted."""
        value = self.raw(key)
        if value is None:
            return default
        # inf and nan are TOML too; neither passes the comparison.  In Python true is a number.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= (bounded := cast("float", value)) <= high:
            self.problem(key, value, f"{unit} from {low:g} to {high:g}, a number without quotes")
            return default
        return float(bounded)

    def whole(self, key: str, default: int, *, low: int, high: int, unit: str) -> int:
        """A whole number from `low` to `high`."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.problem(key, value, f"{unit} from {low} to {high}, a whole number without quotes")
        return default

    def choice(self, key: str, default: E) -> E:
        """One of the values of the default's Enum."""
        value = self.raw(key)
        if value is None:
            return default
        kind = type(default)
        for member in kind:
            if isinstance(value, str) and member.value == value:
                return member
        self.problem(key, value, one_of([str(member.value) for member in kind], value))
        return default

    def texts(self, key: str, *, such_as: str = '["/bin/prog", "--option"]') -> tuple[str, ...]:
        """A list of printable texts; () when absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(v, str) and v.isprintable() for v in value):
            return tuple(cast("list[str]", value))
        self.problem(key, value, f"a list of texts, such as {such_as}")
        return ()

    def table(self, key: str) -> Table:
        """The table below this one; an empty one when it is absent."""
        value = self.raw(key)
        if isinstance(value, dict) or value is None:
            return Table(self.reader, self.key(key), value or {})
        self.problem(key, value, f"a table: [{self.key(key)}]")
        return Table(self.reader, self.key(key), {})

    def tables(self, key: str) -> list[Table]:
        """The tables of a [[list]]; none when it is absent."""
        value = self.raw(key)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return [
                Table(self.reader, f"{self.key(key)} {number}", item)
                for number, item in enumerate(cast("list[dict[str, object]]", value), start=1)
            ]
        self.problem(key, value, f"one [[{self.key(key)}]] for each")
        return []

    def close(self) -> None:
        """Everything was read: what is left over is a mistake, often of spelling."""
        for key, value in self._content.items():
            if key not in self._known:
                # A text may be a secret under a misspelt key, so it is not repeated.
                text = "(a text)" if isinstance(value, str) else shown(value)
                right = f"no such key; {one_of(list(dict.fromkeys(self._known)), key)}"
                self.reader.problem(self.key(key), text, right)

    def _wrong(self, key: str, value: object | None, right: str) -> None:
        self.reader.problem(self.key(key), MISSING if value is None else shown(value), right)


def one_of(known: list[str], meant: object) -> str:
    """The choices in words, beginning with the one that was probably meant."""
    near = difflib.get_close_matches(meant, known, n=1) if isinstance(meant, str) else []
    choices = f"one of {', '.join(known)}"
    return f"did you mean {near[0]}? ({choices})" if near else choices
