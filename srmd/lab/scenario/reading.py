"""A scenario file: TOML in, a `Scenario` out, or everything that is wrong with it, by line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar, cast

from srmd import strict_toml
from srmd.core import handbook
from srmd.core.states import State
from srmd.core.texts import Text
from srmd.lab.scenario.durations import TIMERS, Duration, NotADuration, duration
from srmd.lab.scenario.phrases import NotAVerb, verb
from srmd.lab.scenario.story import (
    ALWAYS,
    SILENT,
    Expect,
    Group,
    Invariant,
    Orientation,
    Picture,
    Row,
    Scenario,
    Served,
    Settings,
    Share,
    Stays,
    Step,
    Users,
    row_of,
)
from srmd.lab.scenario.verbs import NodeName, PutClock, Verb
from srmd.shown import parse_half, parse_state
from srmd.strict_toml import MISSING, Table, TomlError, one_of, shown

STEPS_MAX = 200
USERS_MAX = 25_000
"""Cisco's limit of a group."""
WITHIN: Final = duration(
    "initialization_keep_alive_timeout + critical_service_delay"
    " + start_limit + stop_limit + move_limit"
)
"""How long an expectation may take where the file does not say: longer than any one transition."""
AT_LEAST_SOMETHING = "something to do, to expect, or to stay"

T = TypeVar("T")


class ScenarioError(TomlError):
    """A scenario file that cannot be used; `problems` has all that is wrong with it."""


def load(path: Path) -> Scenario:
    """Raises ScenarioError with all problems at once."""
    reader = strict_toml.read(path, ScenarioError)
    root = reader.root()
    steps = _steps(root)
    scenario = Scenario(
        path=path,
        title=_text(root, "title", path.stem),
        story=_text(root, "story", ""),
        shows=_shows(root),
        orientation=root.choice("orientation", Orientation.AS_WRITTEN),
        settings=Settings(
            group=_group(root.table("group")),
            timers=_timers(root.table("timers")),
            users=_users(root.table("users")),
            clocks=any(isinstance(one, PutClock) for step in steps for one in step.verbs()),
        ),
        invariants=_invariants(root),
        steps=steps,
    )
    root.close()
    _relate(root, scenario)
    reader.verdict()
    return scenario


def load_all(paths: Iterable[Path]) -> list[Scenario]:
    """The scenarios of all files and folders.  Raises ScenarioError for the first bad one."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.toml")) if path.is_dir() else [path]
    return [load(file) for file in files]


def _text(root: Table, key: str, default: str) -> Text:
    """A text, or the same text in both languages; the scenarios of srmd have both (a test)."""
    if not isinstance(root.raw(key), dict):
        text = root.text(key, default)
        return Text(text, text)
    table = root.table(key)
    english = table.text("en", right="what happens, in English")
    made = Text(english, table.text("ja", english))
    table.close()
    return made


def _group(table: Table) -> Group:
    made = Group(
        automatic_fallback=table.flag("automatic_fallback", default=False),
        split_brain=table.choice("split_brain", Group().split_brain),
    )
    table.close()
    return made


def _timers(table: Table) -> tuple[tuple[str, Duration], ...]:
    """Changes in the order of the file."""
    made = []
    for name in table.names():
        if name in TIMERS:
            value = _duration(table, name)
            made += [(name, value)] if value is not None else []
        else:
            table.raw(name)
            table.problem(name, name, one_of(list(TIMERS), name))
    return tuple(made)


def _users(table: Table) -> Users:
    default = Users()
    made = Users(
        count=table.whole("count", default.count, low=2, high=USERS_MAX, unit="users"),
        mode=table.choice("mode", default.mode),
    )
    table.close()
    return made


def _shows(table: Table) -> tuple[Row, ...]:
    raw = table.raw("shows")
    if not isinstance(raw, list) or not raw:
        right = "the rows of the handbook that are reached, such as [16, 1]"
        table.problem("shows", MISSING if raw is None else raw, right)
        return ()
    found = [_known_row(table, "shows", item) for item in raw]
    return tuple(row for row in found if row is not None)


def _known_row(table: Table, key: str, raw: object) -> Row | None:
    if not isinstance(raw, bool) and isinstance(raw, (int, str)) and row_of(raw) is not None:
        return raw
    keys = [row.key for row in handbook.OURS]
    near = difflib.get_close_matches(str(raw), keys, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    right = f"a row from 1 to {handbook.DOCUMENTED_COUNT}, or the key of a row of ours{hint}"
    table.problem(key, raw, right)
    return None


def _invariants(table: Table) -> tuple[Invariant, ...]:
    named = table.texts("invariants")
    by_name = {one.value: one for one in Invariant}
    for name in named:
        if name not in by_name:
            table.problem("invariants", name, one_of(list(by_name), name))
    wanted = [by_name[name] for name in named if name in by_name]
    return (*ALWAYS, *(one for one in wanted if one not in ALWAYS))


def _steps(root: Table) -> tuple[Step, ...]:
    tables = root.tables("step")
    if not 0 < len(tables) <= STEPS_MAX:
        found = f"{len(tables)} steps" if tables else MISSING
        right = f"from 1 to {STEPS_MAX} tables [[step]] are needed"
        root.reader.problem(root.key("step"), found, right)
    return tuple(map(_step, tables))


def _step(table: Table) -> Step:
    do_texts, do = _verbs(table, "do")
    refused_texts, refused = _verbs(table, "refused")
    while_texts, meanwhile = _verbs(table, "while")
    check = _check(table, meanwhile[0] if meanwhile else None, asked=bool(while_texts))
    table.close()
    if not (do_texts or refused_texts or check or not table.reader.fine(table.name)):
        table.reader.problem(table.name, "nothing", AT_LEAST_SOMETHING)
    return Step(
        line=table.reader.lines.get(table.name, 0),
        do=do,
        refused=refused[0] if refused else None,
        check=check,
        said=(*do_texts, *refused_texts, *while_texts),
    )


def _verbs(table: Table, key: str) -> tuple[tuple[str, ...], tuple[Verb, ...]]:
    """`do` takes one text or a list of them, the others one."""
    raw = table.raw(key)
    if raw is None:
        return (), ()
    listed = raw if isinstance(raw, list) and key == "do" else [raw]
    if not listed or not all(isinstance(item, str) for item in listed):
        right = "what is done, such as " + ('"heal", or a list' if key == "do" else '"heal"')
        table.problem(key, raw, right)
        return (), ()
    texts = tuple(cast("list[str]", listed))
    made = []
    for text in texts:
        try:
            made.append(verb(text))
        except NotAVerb as wrong:
            table.problem(key, text, _why(text, wrong))
    return texts, tuple(made)


def _check(table: Table, meanwhile: Verb | None, *, asked: bool) -> Expect | Stays | None:
    expected, stays = table.raw("expect"), table.raw("stays")
    if expected is not None and stays is not None:
        table.problem("stays", stays, "a step of its own: this one expects something already")
        return None
    kind = "stays" if stays is not None else "expect"
    picture = _picture(table, kind)
    within = _duration(table, "within")
    not_before = _duration(table, "not_before")
    hold = _duration(table, "for")
    if kind == "stays":
        for key, given in (("within", within), ("not_before", not_before)):
            if given is not None:
                table.problem(key, given.text, "for `expect`; `stays` takes `for` and `while`")
        if hold is None and not asked:
            table.problem("stays", stays, 'how long: for = "2s", or while = "..."')
        return Stays(picture, hold or duration("0s"), meanwhile)
    if hold is not None or asked:
        key = "for" if hold is not None else "while"
        table.problem(key, hold.text if hold else "(given)", "for `stays`; `expect` takes `within`")
    if not picture.is_empty:
        return Expect(picture, within or WITHIN, not_before)
    for key, given in (("within", within), ("not_before", not_before)):
        if given is not None:
            table.problem(key, given.text, "beside something to expect")
    return None


def _picture(table: Table, kind: str) -> Picture:
    halves = table.table(kind)
    served = table.table("served")
    row = table.raw("row")
    made = Picture(
        halves={
            node: side
            for node in NodeName
            if (side := _parsed(halves, node.value, side_of, ValueError)) is not None
        },
        row=None if row is None else _known_row(table, "row", row),
        served={
            node: share
            for node in NodeName
            if (share := _parsed(served, node.value, served_of, ValueError)) is not None
        },
        mismatch=table.text("mismatch", "") or None,
    )
    halves.close()
    served.close()
    if (made.row is not None or made.mismatch) and not made.halves:
        key = "row" if made.row is not None else "mismatch"
        table.problem(key, made.row or made.mismatch, f"beside {kind}: it names the nodes to ask")
    return made


def side_of(raw: object) -> handbook.Side:
    """One `State / Reason`, or a list of alternatives.  Raises ValueError."""
    texts = raw if isinstance(raw, list) else [raw]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{shown(raw)}: write State / Reason, State / *, down, or a list of them")
    return tuple(map(_pattern, cast("list[str]", texts)))


def _pattern(text: str) -> handbook.Pattern:
    head, _, reason = text.rpartition("/")
    if reason.strip() == "*":
        return (parse_state(head.strip()), handbook.ANY)
    if text.strip().casefold() == "down":
        return SILENT
    state, wanted = parse_half(text)
    if state is State.DOWN:
        raise ValueError(f"{text!r}: a silent node has no reason; write down")
    return (state, wanted)


def served_of(raw: object) -> Served:
    """A number, or a share in words.  Raises ValueError."""
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    for share in Share:
        if raw == share.value:
            return share
    right = one_of([share.value for share in Share], raw)
    raise ValueError(f"{shown(raw)}: a number, or {right}")


def _duration(table: Table, key: str) -> Duration | None:
    def parse(raw: object) -> Duration:
        if not isinstance(raw, str):
            raise NotADuration(f"{raw!r}: write a text with a unit, such as '2s'")
        return duration(raw)

    return _parsed(table, key, parse, NotADuration)


def _parsed(
    table: Table, key: str, parse: Callable[[object], T], error: type[ValueError]
) -> T | None:
    """What `parse` makes of the value; None, and perhaps a problem, when there is none."""
    raw = table.raw(key)
    if raw is None:
        return None
    try:
        return parse(raw)
    except error as wrong:
        table.problem(key, raw, _why(raw, wrong))
        return None


def _why(raw: object, wrong: ValueError) -> str:
    """What is wrong, without the value: a problem shows that by itself."""
    return str(wrong).removeprefix(repr(raw)).lstrip(": ")


def _relate(root: Table, scenario: Scenario) -> None:
    """A row that is said to be shown has to be looked for."""
    looked_for = {1} | {step.check.picture.row for step in scenario.steps if step.check is not None}
    if root.reader.fine("shows"):
        for row in scenario.shows:
            if row not in looked_for:
                root.problem("shows", row, f"looked for: no step says row = {row!r}")
