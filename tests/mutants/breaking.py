"""Every way in which one guard or one decision of the rules is broken, read from their source.

A mutant replaces one node of the syntax tree.  Which ones there are is generated, so a new rule has
its mutants on the day it is written:

- each condition is negated, and each operand of `and` and `or` left out;
- each member of a set of states or reasons is left out;
- each state of the peer that a `match` names is decided as no rule decides it;
- each outcome becomes `stay(node)`; each target, reason and start becomes another one;
- each effect, and each fact that is passed on by name, is left out;
- each of the cells of the table ignores what it decides or refuses, and fails where it ignores.

A mutant is named by its place and its text, not by its line: lines change with every edit.
"""

from __future__ import annotations

import ast
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

import srmd.core
from srmd.core.machine import Table

MODULE: Final = "srmd.core.transitions"
SOURCE: Final = Path(srmd.core.__file__).with_name("transitions.py")

REASON_AT: Final = {
    "go": 2,
    "fail": 1,
    "become_failed_over": 1,
    "claim": 1,
    "give_up_users": 1,
    "step_in": 1,
    "take_back": 1,
}
"""Which argument of these doors is the reason."""
EFFECTS: Final = {"StartServices", "StopServices", "ALL_HERE", "EACH_HOME"}
OTHER: Final = {
    "State.FAILED_MODE": "State.IDLE",
    "Reason.UNKNOWN": "Reason.ON_ADMIN_REQUEST",
    "Start.RESTART": "Start.REBOOT",
    "Destination.HERE": "Destination.HOME",
    "Destination.HOME": "Destination.HERE",
}
"""What stands instead; any other one of the same kind becomes the kind's first word here."""
STAY: Final = "stay(node)"
FAIL: Final = "fail(node, Reason.UNKNOWN)"


class Kind(Enum):
    """What is broken; the value is how people read it."""

    CONDITION = "negated"
    OPERAND = "operand left out"
    MEMBER = "member left out"
    PEER = "peer state decided otherwise"
    OUTCOME = "outcome ignored"
    TARGET = "another target"
    REASON = "another reason"
    START = "another start"
    PLACE = "another destination"
    EFFECT = "effect left out"
    FACT = "fact left out"
    CELL = "cell broken"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break the rules."""

    kind: Kind
    place: str
    """The function, the constant, or `the table`."""
    text: str
    line: int
    old: ast.AST
    new: ast.AST | None
    """None: the old one is left out."""

    def __str__(self) -> str:
        return f"{self.place}: {self.kind.value}: {self.text}"

    def source(self, tree: ast.Module) -> str:
        """The broken rules; they have other lines than the file has."""
        return ast.unparse(ast.fix_missing_locations(_rebuilt(tree, self.old, self.new)))


def read() -> ast.Module:
    return ast.parse(SOURCE.read_text(encoding="utf-8"))


def mutants(tree: ast.Module) -> list[Mutant]:
    """All mutants, in the order of the file; no two have the same name."""
    found = [
        *(one for part in tree.body for one in _of(part)),
        *_of_cells(tree),
    ]
    seen: Counter[str] = Counter()
    named = []
    for one in sorted(found, key=lambda mutant: mutant.line):
        seen[str(one)] += 1
        again = f" ({seen[str(one)]})" if seen[str(one)] > 1 else ""
        named.append(replace(one, text=one.text + again))
    return named


def _of(part: ast.stmt) -> Iterator[Mutant]:
    if isinstance(part, ast.FunctionDef):
        for mutant in _of_function(part):
            yield replace(mutant, place=part.name)
    elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
        target = part.targets[0] if isinstance(part, ast.Assign) else part.target
        for mutant in _of_constant(part.value):
            yield replace(mutant, place=ast.unparse(target))


# ---------------------------------------------------------------------------- inside functions


def _of_function(function: ast.FunctionDef) -> Iterator[Mutant]:
    gives = "" if function.returns is None else ast.unparse(function.returns)
    for node in _walk(function):
        yield from _of_condition(node)
        yield from _of_members(node)
        if isinstance(node, ast.Match):
            yield from _of_match(node)
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        if isinstance(node, ast.Return) and node.value is not None:
            if gives == "Step":
                yield from _of_outcome(node.value)
            elif gives == "Reason":
                yield _mutant(Kind.REASON, node.value, _other("Reason.", node.value))


def _walk(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What is in a function, but for its asserts: they say what cannot be."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Assert):
            continue
        yield node
        todo[:0] = ast.iter_child_nodes(node)


def _of_condition(node: ast.AST) -> Iterator[Mutant]:
    """Negated where a truth is asked for, stored or given back; each operand left out."""
    asked: list[ast.expr] = []
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            asked = [test]
        case ast.Assign(value=ast.Tuple(elts=values)) | ast.Dict(values=values):
            asked = [value for value in values if _is_truth(value)]
        case ast.Assign(value=value) | ast.Return(value=ast.expr() as value) if _is_truth(value):
            asked = [value]
        case ast.BoolOp():
            neutral = isinstance(node.op, ast.And)
            for operand in node.values:
                yield _mutant(Kind.OPERAND, operand, ast.Constant(neutral))
        case _:
            pass
    for one in asked:
        yield _mutant(Kind.CONDITION, one, ast.UnaryOp(ast.Not(), one))


def _is_truth(value: ast.expr) -> bool:
    known = isinstance(value, ast.Call) and ast.unparse(value.func) == "well"
    return (
        known
        or isinstance(value, ast.Compare | ast.BoolOp)
        or (isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not))
    )


def _of_members(node: ast.AST) -> Iterator[Mutant]:
    if isinstance(node, ast.Set):
        for member in node.elts:
            yield _mutant(Kind.MEMBER, member, None)


def _of_match(match: ast.Match) -> Iterator[Mutant]:
    """A node never reports Down State, so that nothing is decided on it."""
    for case in match.cases:
        patterns = (
            case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
        )
        stays = ast.unparse(ast.Module(case.body, [])) == f"return {STAY}"
        if len(patterns) == 1 and not stays and len(case.body) == 1:
            continue  # its one outcome is broken already
        for pattern in patterns:
            if ast.unparse(pattern) == "State.DOWN":
                continue
            otherwise = ast.parse(f"return {FAIL if stays else STAY}").body
            broken = ast.Match(
                match.subject, [ast.match_case(pattern, None, otherwise), *match.cases]
            )
            mutant = _mutant(Kind.PEER, match, broken)
            yield replace(mutant, text=ast.unparse(pattern), line=pattern.lineno)


def _of_outcome(value: ast.expr) -> Iterator[Mutant]:
    if isinstance(value, ast.IfExp):
        yield from _of_outcome(value.body)
        yield from _of_outcome(value.orelse)
    elif ast.unparse(value) not in {STAY, "Step(node)"}:
        yield _mutant(Kind.OUTCOME, value, ast.parse(STAY, mode="eval").body)


def _of_call(call: ast.Call) -> Iterator[Mutant]:
    name = ast.unparse(call.func)
    for at, value in enumerate(call.args):
        text = ast.unparse(value)
        if text in EFFECTS:
            yield _mutant(Kind.EFFECT, value, None)
        elif at == REASON_AT.get(name):
            ends = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            for end in ends:
                yield _mutant(Kind.REASON, end, _other("Reason.", end))
        elif name == "go" and at == 1 and text.startswith("State."):
            yield _mutant(Kind.TARGET, value, _other("State.", value))
        elif name == "restart" and at == 1:
            yield _mutant(Kind.START, value, _other("Start.", value))
        elif name == "Step" and at == 1:
            yield _mutant(Kind.EFFECT, value, None)
    if name in {"go", "replace"}:
        for fact in call.keywords:
            yield _mutant(Kind.FACT, fact, None)


# ---------------------------------------------------------------------------- constants, cells


def _of_constant(value: ast.expr) -> Iterator[Mutant]:
    for node in ast.walk(value):
        yield from _of_members(node)
        text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        if text.startswith("Destination."):
            yield _mutant(Kind.PLACE, node, _other("Destination.", node))
        if isinstance(node, ast.Dict):
            yield from _of_entries(node)


def _of_entries(entries: ast.Dict) -> Iterator[Mutant]:
    """Of a mapping between reasons; the table of rules has its cells."""
    for key, value in zip(entries.keys, entries.values, strict=True):
        if key is None or not ast.unparse(value).startswith("Reason."):
            continue
        pairs = [pair for pair in zip(entries.keys, entries.values, strict=True) if pair[0] != key]
        fewer = ast.Dict([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        mutant = _mutant(Kind.MEMBER, entries, fewer)
        yield replace(mutant, text=ast.unparse(key), line=key.lineno)


def _of_cells(tree: ast.Module) -> Iterator[Mutant]:
    """Each cell of the table: what decides or refuses ignores, what ignores fails."""
    for (state, event), row in table(tree).cells.items():
        how = "fails" if row.name == "ignore" else "ignored"
        cell = f"TABLE.cells[State.{state.name}, {event.__name__}]"
        if how == "fails":
            lines = [
                "def broken(node, event):",
                f"    '''{cell} is broken.'''",
                f"    return {FAIL}",
                f"{cell} = on({event.__name__}, broken, State.FAILED_MODE)",
            ]
        else:
            lines = [f"({cell},) = ignore({event.__name__}, because='it is broken')"]
        broken = ast.Module([*tree.body, *ast.parse("\n".join(lines)).body], [])
        text = f"{state.name} {event.__name__} ({row.name}) {how}"
        yield Mutant(Kind.CELL, "the table", text, tree.body[-1].lineno, tree, broken)


def table(tree: ast.Module) -> Table:
    """The table of these rules, in a module that nobody imports."""
    module = types.ModuleType("rules_as_they_are")
    exec(compile(tree, str(SOURCE), "exec"), module.__dict__)
    made = module.TABLE
    assert isinstance(made, Table)
    return made


# ---------------------------------------------------------------------------- trees


def _mutant(kind: Kind, old: ast.AST, new: ast.AST | None) -> Mutant:
    return Mutant(kind, "", ast.unparse(old), getattr(old, "lineno", 0), old, new)


def _other(kind: str, value: ast.AST) -> ast.expr:
    """Another word of the same enum, `kind` being `Reason.` and the like."""
    first = next(word for word in OTHER if word.startswith(kind))
    return ast.parse(OTHER.get(ast.unparse(value), first), mode="eval").body


def _rebuilt(node: ast.AST, old: ast.AST, new: ast.AST | None) -> ast.AST:
    """A copy of the tree with the new node in place of the old one."""
    if node is old:
        assert new is not None, "only what stands in a list can be left out"
        return new
    fields: dict[str, object] = {}
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            fields[name] = [
                _rebuilt(item, old, new) if isinstance(item, ast.AST) else item
                for item in value
                if item is not old or new is not None
            ]
        else:
            fields[name] = _rebuilt(value, old, new) if isinstance(value, ast.AST) else value
    return type(node)(**fields)
