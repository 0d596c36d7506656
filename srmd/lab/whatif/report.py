"""What a sweep found, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

from srmd.lab.whatif.sweep import Found, Price

COLUMNS: Final[Mapping[str, str]] = {
    "loss": "share of heartbeats lost",
    "burst_beats": "mean number lost in a row",
    "latency_s": "latency of the line",
    "jitter_s": "earlier or later by up to",
    "interval_s": "Keep Alive Interval",
    "timeout_s": "Keep Alive Timeout",
    "simulated_years": "years of a pair that were simulated",
    "false_count": "false take-overs seen in them",
    "false_per_year": "the same, per year",
    "false_per_year_low": "lower end of its 95 % interval",
    "false_per_year_high": "upper end",
    "formula_per_year": "what the closed formula expects",
    "detection_p50_s": "half of the deaths are noticed within",
    "detection_p99_s": "99 % of the deaths",
    "detection_max_s": "all that were tried",
    "user_minutes_per_year": "users times minutes without service, per year",
}
"""The columns of the CSV file and what they mean; seconds in `_s`."""


def row_of(found: Found, price: Price) -> dict[str, float]:
    line, timers = found.case.line, found.case.timers
    low, high = found.false_per_year_between
    values = (
        line.loss,
        line.burst_beats,
        line.latency_s,
        line.jitter_s,
        timers.interval_s,
        timers.timeout_s,
        found.years,
        found.false_count,
        found.false_per_year,
        low,
        high,
        line.false_per_year(timers),
        found.detection_at_s(0.5),
        found.detection_at_s(0.99),
        found.detection_at_s(1.0),
        found.user_minutes_per_year(price),
    )
    return dict(zip(COLUMNS, values, strict=True))


def as_csv(found: Sequence[Found], price: Price) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        writer.writerow(f"{value:.9g}" for value in row_of(one, price).values())
    return out.getvalue()


HEADS: Final = (
    "loss",
    "burst",
    "latency",
    "jitter",
    "interval",
    "timeout",
    "false/year (95 %)",
    "formula",
    "detected p50",
    "p99",
    "user-min/year",
)


def as_table(found: Sequence[Found], price: Price) -> str:
    """One line a case, as wide as needed."""
    lines = [HEADS, *(_cells(one, price) for one in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cells(found: Found, price: Price) -> tuple[str, ...]:
    line, timers = found.case.line, found.case.timers
    low, high = found.false_per_year_between
    rate = f"{short(found.false_per_year)} ({short(low)}-{short(high)})"
    return (
        f"{line.loss * 100:g}%",
        f"{line.burst_beats:g}",
        seconds(line.latency_s),
        seconds(line.jitter_s),
        seconds(timers.interval_s),
        seconds(timers.timeout_s),
        rate,
        short(line.false_per_year(timers)),
        seconds(found.detection_at_s(0.5)),
        seconds(found.detection_at_s(0.99)),
        short(found.user_minutes_per_year(price)),
    )


def short(number: float) -> str:
    """Three digits are more than a simulation knows."""
    if number == 0:
        return "0"
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def seconds(value: float) -> str:
    return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:.4g}s"
