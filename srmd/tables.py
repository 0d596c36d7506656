"""The transition table made readable: for `srmd states`, for the golden files, for the docs.

All that is printed here comes from the table itself (`srmd.core.transitions`) and the catalogue of
words (`srmd.core.texts`), so it cannot disagree with what a node does.  Every cell is printed, also
those that ignore or refuse: a change of behaviour is a difference to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from srmd.core.events import EVENTS
from srmd.core.states import OWN_STATES, PASSING, State
from srmd.core.texts import STATE_MEANINGS, STATES
from srmd.core.transitions import TABLE

Format = Literal["text", "json", "mermaid", "md"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Cell:
    """What a state makes of an event, in words."""

    state: str
    event: str
    decision: str
    """The name of the decision function, or `ignore` or `refuse`."""
    why: str
    may_lead_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """One way out of a state.  There is no edge for staying."""

    source: State
    event: str
    decision: str
    target: State


def cells() -> list[Cell]:
    """Every cell, by state and then by event."""
    found = []
    for state in OWN_STATES:
        for event in EVENTS:
            row = TABLE.cells[state, event]
            targets = tuple(target.name for target in sorted(row.may_lead_to))
            found.append(Cell(state.name, event.__name__, row.name, row.why, targets))
    return found


def edges() -> list[Edge]:
    """Every declared transition, by source, event and target."""
    return [
        Edge(state, event.__name__, row.name, target)
        for state in OWN_STATES
        for event in EVENTS
        for row in (TABLE.cells[state, event],)
        for target in sorted(row.may_lead_to)
        if target is not state
    ]


# ---------------------------------------------------------------------------- states


def kind(state: State) -> str:
    """`passing` ends by itself, `stable` stays, `view` is no state of the pair's business."""
    if state in {State.UNKNOWN, State.DOWN}:
        return "view"
    return "passing" if state in PASSING else "stable"


def states_text() -> str:
    width = max(len(STATES[state].en) for state in State)
    return "".join(
        f"{state.value:>2}  {STATES[state].en:<{width}}  {kind(state):<7}"
        f"  {STATE_MEANINGS[state].en}\n"
        for state in State
    )


def states_md() -> str:
    lines = ["| n | state | Japanese | kind | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| {state.value} | {STATES[state].en} | {STATES[state].ja} | {kind(state)}"
        f" | {STATE_MEANINGS[state].en} |"
        for state in State
    ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------- matrix and edges


def matrix_text() -> str:
    """The dense matrix, one cell a line under the name of its state."""
    event_width = max(len(event.__name__) for event in EVENTS)
    lines = []
    for cell in cells():
        if cell.event == EVENTS[0].__name__:
            lines += ["", cell.state]
        targets = f" -> {', '.join(cell.may_lead_to)}" if cell.may_lead_to else ""
        lines.append(f"  {cell.event:<{event_width}}  {cell.decision}{targets}")
        lines.append(f"  {'':<{event_width}}    {cell.why}")
    return "\n".join(lines[1:]) + "\n"


def matrix_md() -> str:
    """The dense matrix, one table a state."""
    lines = []
    for cell in cells():
        if cell.event == EVENTS[0].__name__:
            lines += [f"\n### {STATES[State[cell.state]].en}\n"]
            lines += ["| event | decision | may lead to | why |", "|---|---|---|---|"]
        targets = ", ".join(STATES[State[target]].en for target in cell.may_lead_to)
        lines.append(f"| {cell.event} | `{cell.decision}` | {targets} | {cell.why} |")
    return "\n".join(lines).lstrip("\n") + "\n"


def edges_json() -> str:
    """The edges, one a line, so that a difference shows the edge."""
    lines = [
        json.dumps(
            {
                "from": edge.source.name,
                "event": edge.event,
                "decision": edge.decision,
                "to": edge.target.name,
            }
        )
        for edge in edges()
    ]
    return "[\n  " + ",\n  ".join(lines) + "\n]\n"


def all_json() -> str:
    """States, cells and edges as one JSON object."""
    states = [
        {
            "number": state.value,
            "state": state.name,
            "name": {"en": STATES[state].en, "ja": STATES[state].ja},
            "kind": kind(state),
            "meaning": {"en": STATE_MEANINGS[state].en, "ja": STATE_MEANINGS[state].ja},
        }
        for state in State
    ]
    matrix = [
        {
            "state": cell.state,
            "event": cell.event,
            "decision": cell.decision,
            "why": cell.why,
            "may_lead_to": list(cell.may_lead_to),
        }
        for cell in cells()
    ]
    table = {"states": states, "cells": matrix, "edges": json.loads(edges_json())}
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


# ---------------------------------------------------------------------------- diagrams

PHASES = ("Start and high availability", "Failover", "Fallback", "Failure and recovery")


def phase(edge: Edge) -> str:
    """The one diagram that shows the edge."""
    ends = {edge.source, edge.target}
    if State.FAILED_MODE in ends and State.UNKNOWN not in ends:
        return PHASES[3]
    if ends & {State.UNKNOWN, State.INITIALIZING}:
        return PHASES[0]
    if ends & {State.TAKING_BACK, State.FALLING_BACK}:
        return PHASES[2]
    return PHASES[1]


ANY_STATE = "ANY_STATE"


def diagrams() -> str:
    """Four state diagrams (Mermaid in Markdown fences); each edge is in exactly one of them.

    What every other state does alike is drawn once, from "any state".
    """
    parts = []
    for name in PHASES:
        arrows = _arrows(edge for edge in edges() if phase(edge) == name)
        shown = {end for arrow in arrows for end in arrow}
        lines = [f"### {name}", "", "```mermaid", "stateDiagram-v2"]
        if ANY_STATE in shown:
            lines.append(f'    state "any state" as {ANY_STATE}')
        lines += [f'    state "{STATES[s].en}" as {s.name}' for s in State if s.name in shown]
        lines += [
            f"    {source} --> {target}: {', '.join(events)}"
            for (source, target), events in arrows.items()
        ]
        parts.append("\n".join([*lines, "```", ""]))
    return "\n".join(parts)


def _arrows(found: Iterable[Edge]) -> dict[tuple[str, str], list[str]]:
    """The events that lead from one state to another, those that lead there from anywhere apart."""
    drawn = list(found)
    sources: dict[tuple[str, State], set[State]] = {}
    for edge in drawn:
        sources.setdefault((edge.event, edge.target), set()).add(edge.source)
    everywhere = {what for what, states in sources.items() if states | {what[1]} == set(OWN_STATES)}
    arrows: dict[tuple[str, str], list[str]] = {}
    for edge in drawn:
        source = ANY_STATE if (edge.event, edge.target) in everywhere else edge.source.name
        events = arrows.setdefault((source, edge.target.name), [])
        if edge.event not in events:
            events.append(edge.event)
    return arrows


# ---------------------------------------------------------------------------- all of it


def _text() -> str:
    return f"{states_text()}\n{matrix_text()}"


def _md() -> str:
    return (
        f"# States\n\n{states_md()}\n# Diagrams\n\n{diagrams()}\n"
        f"# What each state makes of each event\n\n{matrix_md()}"
    )


def render(format: Format) -> str:  # noqa: A002 - the word of the command's option
    """The whole table in one of FORMATS, ending with a line feed.

    `mermaid` gives the diagrams alone, as Markdown with one Mermaid block for each phase.
    """
    writers: dict[Format, Callable[[], str]] = {
        "text": _text,
        "json": all_json,
        "mermaid": diagrams,
        "md": _md,
    }
    return writers[format]()
