"""The run as one picture: what was used, what was done, how late beats were.

Needs matplotlib (`pip install srmd[plot]`), which is imported here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from srmd.lab.soak.judging import GROWTH, MIB, Still, lateness
from srmd.lab.soak.report import verdict
from srmd.lab.soak.running import Endurance
from srmd.lab.soak.sampling import CONTROL, Sample

COLOURS: Final = {"a": "#0072B2", "b": "#D55E00", CONTROL: "#7a7a7a"}
"""Of Okabe and Ito, which colour-blind people can tell apart."""
STORY: Final = "#d9d9d9"
BOUND: Final = "#b00020"
WIDTH_IN, HEIGHT_IN, DPI = 11.0, 13.0, 110

MEMORY: Final = "memory (RSS), MiB"
PANELS: Final[tuple[tuple[str, Callable[[Sample], float]], ...]] = (
    (MEMORY, lambda one: one.rss_bytes / MIB),
    ("file descriptors", lambda one: one.descriptors),
    ("asyncio tasks", lambda one: one.tasks),
    ("threads", lambda one: one.threads),
    ("database and its\nwrite-ahead log, MiB", lambda one: _database_bytes(one) / MIB),
    ("log and journal, MiB", lambda one: (one.log_bytes + one.journal_bytes) / MIB),
)


def draw(run: Endurance, folder: Path) -> tuple[Path, ...]:
    """Writes soak.png and soak.svg.  Raises OSError."""
    mpl.rcParams["svg.hashsalt"] = "srmd"  # the same run gives the same file
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(
        len(PANELS) + 1, 1, sharex=True, height_ratios=[*[1] * len(PANELS), 1.8]
    )
    title = f"srmd lab soak, seed {run.seed}: {verdict(run)}"
    figure.suptitle(f"{title}\n{len(run.stories)} stories in {run.took_s / 60:.1f} min")
    for axis, (name, value) in zip(axes, PANELS, strict=False):
        _used(axis, run, name, value)
    _late(axes[-1], run)
    axes[-1].set_xlim(0, run.took_s)
    axes[-1].set_xlabel("seconds from the begin of the run; grey: a story, until the pair is home")
    files = (folder / "soak.png", folder / "soak.svg")
    for file in files:
        figure.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _database_bytes(one: Sample) -> int:
    return one.database_bytes + one.wal_bytes


def _used(axis: Axes, run: Endurance, name: str, value: Callable[[Sample], float]) -> None:
    _stories(axis, run)
    for node in ("a", "b"):
        for life in _lives(run, node):
            times, values = [one.at_s for one in life], [value(one) for one in life]
            axis.plot(times, values, color=COLOURS[node], linewidth=1.1)
            resting = [one for one in life if one.resting]
            axis.plot(
                [one.at_s for one in resting],
                [value(one) for one in resting],
                ".",
                color=COLOURS[node],
                markersize=3.5,
            )
        axis.plot([], [], color=COLOURS[node], label=f"node {node}")
    seen = [value(one) for one in run.samples if one.node != CONTROL] or [0.0]
    if name == MEMORY:  # a rise is small beside all that there is
        room = 2 * GROWTH["rss_bytes"].rise_max
        axis.set_ylim(max(0.0, min(seen) - room), max(seen) + room)
    else:
        axis.set_ylim(0, 1.1 * max(seen) or 1.0)
    axis.set_ylabel(name, fontsize=8)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    if name == MEMORY:
        axis.legend(loc="lower right", fontsize=8, title="dots: at rest", title_fontsize=8, ncols=2)


def _late(axis: Axes, run: Endurance) -> None:
    """The latest beat of each second, against the bound."""
    _stories(axis, run)
    for node in (CONTROL, "a", "b"):
        samples = [one for one in run.samples if one.node == node]
        still: list[Still] = [one for one in run.still if one.node == node]
        windows = lateness(samples, still).windows
        axis.plot(
            [window.until_s for window in windows],
            [max(0.5, 1000 * window.latest_s) for window in windows],
            ".",
            color=COLOURS[node],
            markersize=4,
            label="bare timer" if node == CONTROL else f"node {node}",
        )
    bounds = [one.bound for one in run.findings if one.what == "lateness of the latest beat"]
    if bounds:
        axis.axhline(min(bounds), color=BOUND, linewidth=1)
        axis.annotate(
            f"bound {min(bounds):.0f} ms",
            (0, min(bounds)),
            fontsize=8,
            color=BOUND,
            va="bottom",
        )
    axis.set_yscale("log")
    axis.set_ylabel("latest beat of each second,\nat most so many ms late", fontsize=8)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    axis.legend(loc="upper right", fontsize=8, ncols=3)


def _stories(axis: Axes, run: Endurance) -> None:
    for story in run.stories:
        axis.axvspan(story.began_s, story.ended_s, color=STORY, alpha=0.6, linewidth=0)


def _lives(run: Endurance, node: str) -> list[list[Sample]]:
    lives: dict[str, list[Sample]] = {}
    for one in run.samples:
        if one.node == node:
            lives.setdefault(one.life, []).append(one)
    return list(lives.values())
