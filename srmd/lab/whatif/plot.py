"""The picture of a sweep: how often it is wrong, and how long it takes, over the timeout.

Needs matplotlib (`pip install srmd[plot]`), which is imported here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from srmd.lab.whatif.report import seconds
from srmd.lab.whatif.sweep import Found

FLOOR_PER_YEAR: Final = 1e-3
"""Once in a thousand years is drawn as never."""
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind people can tell apart."""


def draw(found: Sequence[Found], files: Sequence[Path]) -> None:
    """The same picture in each file; its ending says the format."""
    mpl.rcParams["svg.hashsalt"] = "srmd"  # the same sweep gives the same file
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    often, slow = figure.subplots(1, 2)
    groups = _groups(found)
    for number, (name, group) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        _often(often, group, name, colour)
        _slow(slow, group, name, colour)
    often.set_yscale("log")
    often.set_ylim(bottom=FLOOR_PER_YEAR)
    often.set_title(
        "False take-overs of a pair\n(simulated, 95 % bounds; triangle: none seen; line: formula)"
    )
    often.set_ylabel("per year")
    slow.set_title(
        "From the death of a node to the take-over\n(line: half of the deaths; shade: 1 % to 99 %)"
    )
    slow.set_ylabel("seconds")
    slow.set_ylim(bottom=0)
    for axes in (often, slow):
        axes.set_xlabel("Keep Alive Timeout in seconds")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize="small")
    for file in files:
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, dpi=110, metadata=metadata)


def _groups(found: Sequence[Found]) -> dict[str, list[Found]]:
    """By all but the timeout, and named by what differs."""
    groups: dict[tuple[str, ...], list[Found]] = {}
    for one in found:
        groups.setdefault(_key(one), []).append(one)
    differs = [len(set(parts)) > 1 for parts in zip(*groups, strict=True)]
    named = {}
    for key, group in groups.items():
        parts = [part for part, says in zip(key, differs, strict=True) if says]
        named[", ".join(parts or key[-1:])] = sorted(
            group, key=lambda one: one.case.timers.timeout_s
        )
    return named


def _key(found: Found) -> tuple[str, ...]:
    line = found.case.line
    return (
        f"loss {line.loss * 100:g}%",
        f"bursts of {line.burst_beats:g}",
        f"latency {seconds(line.latency_s)}",
        f"jitter {seconds(line.jitter_s)}",
        f"a beat each {seconds(found.case.timers.interval_s)}",
    )


def _often(axes: Axes, group: Sequence[Found], name: str, colour: str) -> None:
    timeouts = [one.case.timers.timeout_s for one in group]
    formula = [max(FLOOR_PER_YEAR, one.case.line.false_per_year(one.case.timers)) for one in group]
    axes.plot(timeouts, formula, color=colour, label=name)
    for one, timeout_s in zip(group, timeouts, strict=True):
        low, high = one.false_per_year_between
        axes.plot([timeout_s, timeout_s], [max(FLOOR_PER_YEAR, low), high], color=colour, alpha=0.5)
        if one.false_count:
            axes.plot(timeout_s, one.false_per_year, "o", color=colour)
        else:  # none was seen: all that is known is an upper bound
            axes.plot(timeout_s, high, "v", color=colour, alpha=0.5)


def _slow(axes: Axes, group: Sequence[Found], name: str, colour: str) -> None:
    timeouts = [one.case.timers.timeout_s for one in group]
    axes.plot(timeouts, [one.detection_at_s(0.5) for one in group], "o-", color=colour, label=name)
    low = [one.detection_at_s(0.01) for one in group]
    high = [one.detection_at_s(0.99) for one in group]
    axes.fill_between(timeouts, low, high, color=colour, alpha=0.15)
