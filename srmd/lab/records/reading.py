"""Files of records as lines: journals and logs of nodes, event logs of fault proxies, plays.

What a line is shows in the line itself, not in the name of its file.  Nothing that a file holds is
fatal: a line of another kind is foreign, one that cannot be read is damaged, and both are counted
with where the first of them stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from srmd.core.texts import Language, Text
from srmd.store.nodestate import NODE_FILE
from srmd.wire.codec import MalformedMessage
from srmd.wire.journal import Entry, entry_from_json, is_entry

FILES_MAX = 2000
LINE_CHARACTERS_MAX = 1_000_000
"""A longer line is damaged: no writer of ours makes one."""
PROBLEMS_SHOWN = 3
JOURNAL_NAME: Final = "journal.jsonl"
ROTATED: Final = ".1"
"""What is added to the name of the older half of a file."""
FEW_CHARACTERS = 80
CLOSING: Final = Text(
    "{lines} lines in {files} files; {damaged} damaged, {foreign} foreign",
    "{files} ファイルの {lines} 行 (破損 {damaged} 行、対象外 {foreign} 行)",
)
DAMAGED: Final = Text("damaged", "破損")
FOREIGN: Final = Text("foreign", "対象外")
MORE: Final = Text("{count} more", "ほか {count} 行")


class Unusable(Exception):
    """There is nothing to work with; the message says where was looked and what is needed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that is not used."""

    place: Place
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a node's log, a fault proxy's event log, or a play."""

    place: Place
    fields: dict[str, Any]

    @property
    def event(self) -> str:
        return str(self.fields.get("event", ""))

    def inner(self, key: str) -> Mapping[str, Any]:
        """An object inside; empty when there is none."""
        value = self.fields.get(key)
        return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Gap:
    """A line of a journal that cannot be read: what it held is missing."""

    problem: Problem


Item = tuple[Place, Entry | Gap]


@dataclass(slots=True)
class Records:
    """All that was found, by what it is, in the order of the files."""

    journals: list[list[Item]] = field(default_factory=list)
    """One list for each journal, its older half first."""
    logs: list[Record] = field(default_factory=list)
    proxies: list[list[Record]] = field(default_factory=list)
    plays: list[Record] = field(default_factory=list)
    stages: list[Record] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    lines_count: int = 0
    damaged: list[Problem] = field(default_factory=list)
    foreign: list[Problem] = field(default_factory=list)

    def closing(self, language: Language = "en") -> list[str]:
        """How much was read and what was not used, for people; the first problems by place."""
        counted = CLOSING.naming(
            lines=str(self.lines_count),
            files=str(len(self.files)),
            damaged=str(len(self.damaged)),
            foreign=str(len(self.foreign)),
        )
        lines = [counted.say(language)]
        for kind, problems in ((DAMAGED, self.damaged), (FOREIGN, self.foreign)):
            label = kind.say(language)
            lines += [f"  {label}: {problem}" for problem in problems[:PROBLEMS_SHOWN]]
            if len(problems) > PROBLEMS_SHOWN:
                more = MORE.naming(count=str(len(problems) - PROBLEMS_SHOWN))
                lines.append(f"  {label}: {more.say(language)}")
        return lines


def read(paths: Iterable[Path]) -> Records:
    """The records in these files and folders.  Raises Unusable when one of them is not there."""
    found = Records()
    for group in _groups(paths):
        journal: list[Item] = []
        proxy: list[Record] = []
        for file in group:
            found.files.append(file)
            _read_file(file, found, journal, proxy)
        if journal:
            found.journals.append(journal)
        if proxy:
            found.proxies.append(proxy)
    return found


# ---------------------------------------------------------------------------- which files


def _groups(paths: Iterable[Path]) -> list[list[Path]]:
    """Files to read, each with its older half before it; none twice."""
    groups: list[list[Path]] = []
    seen: set[Path] = set()
    for path in paths:
        for file in _files_of(path):
            if file.name.endswith(ROTATED) and file.with_name(file.name[: -len(ROTATED)]).exists():
                file = file.with_name(file.name[: -len(ROTATED)])  # noqa: PLW2901 - read as its half
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            older = file.with_name(file.name + ROTATED)
            rotated = older.is_file() and not _is_whole(file)
            groups.append([older, file] if rotated else [file])
    if len(groups) > FILES_MAX:
        raise Unusable(f"{len(groups)} files; name folders with at most {FILES_MAX}")
    return groups


def _files_of(path: Path) -> list[Path]:
    """A file and what stands beside it: the journal of a log, the log of a state folder, the folder
    of a play."""
    if path.is_dir():
        found = [*path.rglob("*.jsonl"), *path.rglob("*.json")]
        inside = sorted(file for file in found if not _is_of_a_node(file))
        beside = [path.with_name("log.jsonl"), path.with_name(path.name + ".json")]
        return [*inside, *(file for file in beside if file.is_file())]
    if not path.exists():
        raise Unusable(f"{path}: there is no such file or folder")
    if not path.is_file():
        raise Unusable(f"{path}: neither a file nor a folder")
    beside = [path.parent / "state" / JOURNAL_NAME, path.parent / JOURNAL_NAME]
    if path.suffix == ".json" and path.with_suffix("").is_dir():
        return [path, *_files_of(path.with_suffix(""))]
    if path.name.startswith(JOURNAL_NAME) or path.suffix != ".jsonl":
        return [path]
    return [path, *(file for file in beside if file.is_file())]


def _is_of_a_node(file: Path) -> bool:
    """A file of a node that is no record: its memory, and what else lies beside its journal."""
    if file.name == NODE_FILE:
        return True
    kept = file.name.startswith(JOURNAL_NAME) or file.suffix == ".jsonl"
    return not kept and (file.parent / JOURNAL_NAME).is_file()


def _is_whole(file: Path) -> bool:
    """One object, on as many lines as it likes; the older half of such a file is one, too."""
    return ".json" in (file.suffix, Path(file.name.removesuffix(ROTATED)).suffix)


# ---------------------------------------------------------------------------- what a line is


def _read_file(file: Path, found: Records, journal: list[Item], proxy: list[Record]) -> None:
    if _is_whole(file):
        _read_whole(file, found)
        return
    for place, text in _lines(file):
        found.lines_count += 1
        raw, wrong = _parsed(text)
        if wrong is not None:
            problem = Problem(place, wrong)
            (found.damaged if text.startswith("{") else found.foreign).append(problem)
            if text.startswith("{"):
                journal.append((place, Gap(problem)))
            continue
        assert raw is not None
        if is_entry(raw):
            try:
                journal.append((place, entry_from_json(raw)))
            except MalformedMessage as bad:
                problem = Problem(place, str(bad))
                found.damaged.append(problem)
                journal.append((place, Gap(problem)))
        elif _is_log(raw):
            found.logs.append(Record(place, raw))
        elif _is_proxy(raw):
            proxy.append(Record(place, raw))
        else:
            found.foreign.append(Problem(place, f"of no known kind: {_few(text)}"))
    if not any(not isinstance(entry, Gap) for _, entry in journal):
        journal.clear()  # torn lines of something else


def _read_whole(file: Path, found: Records) -> None:
    """A file that is one object: a play, or what its stage tells of itself."""
    place = Place(str(file), 1)
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as failed:
        raise Unusable(f"{file}: {failed.strerror}") from failed
    found.lines_count += 1
    raw, wrong = _parsed(text)
    if wrong is not None or raw is None:
        found.damaged.append(Problem(place, wrong or "not an object"))
    elif isinstance(raw.get("journal"), list) and "verdict" in raw:
        found.plays.append(Record(place, raw))
    elif "stage" in raw and "wall" in raw:
        found.stages.append(Record(place, raw))
    else:
        found.foreign.append(Problem(place, "neither a play nor its stage"))


def _lines(file: Path) -> Iterator[tuple[Place, str]]:
    try:
        with file.open(encoding="utf-8", errors="replace") as source:
            for number, line in enumerate(source, 1):
                text = line.strip()
                if text:
                    yield Place(str(file), number), text
    except OSError as failed:
        raise Unusable(f"{file}: {failed.strerror}") from failed


def _parsed(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """(the object, None), or (None, what is wrong)."""
    if len(text) > LINE_CHARACTERS_MAX:
        return None, f"longer than {LINE_CHARACTERS_MAX} characters"
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None, f"not JSON: {_few(text)}"
    if not isinstance(raw, dict):
        return None, f"not an object: {_few(text)}"
    return raw, None


def _is_log(raw: dict[str, Any]) -> bool:
    return (
        isinstance(raw.get("event"), str)
        and isinstance(raw.get("node"), str)
        and "level" in raw
        and is_seconds(raw.get("mono_s"))
    )


def _is_proxy(raw: dict[str, Any]) -> bool:
    if raw.get("event") == "lines.lost":
        return True
    return isinstance(raw.get("event"), str) and is_seconds(raw.get("at_s"))


def is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_seconds(record: Record, *keys: str) -> bool:
    """The record has numbers there."""
    return all(is_seconds(record.fields.get(key)) for key in keys)


def _few(text: str) -> str:
    return text if len(text) <= FEW_CHARACTERS else f"{text[:FEW_CHARACTERS]}..."
