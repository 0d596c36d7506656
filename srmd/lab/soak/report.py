"""The result of a run as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from srmd.lab.soak import judging
from srmd.lab.soak.judging import Finding
from srmd.lab.soak.running import Endurance

FORMAT = 1
"""Of the JSON report."""


def verdict(run: Endurance) -> str:
    return "passed" if run.passed else "failed"


def as_text(run: Endurance) -> str:
    """Each figure beside its bound, then the verdict."""
    lines = [f"{'':<5}{'node':<6}{'what':<36}{'measured':>12}{'bound':>10}  unit"]
    for one in run.findings:
        lines.append(
            f"{'ok' if one.kept else 'NOT':<5}{one.node:<6}{one.what:<36}"
            f"{_figure(one.measured):>12}{_figure(one.bound):>10}  {one.unit}"
        )
        if one.note:
            lines.append(f"{'':<11}{one.note}")
    if run.why:
        lines += ["", run.why]
    did = sum(len(story.did) for story in run.stories)
    lines += [
        "",
        f"{verdict(run)}: {len(run.stories)} stories with {did} faults"
        f" in {run.took_s / 60:.1f} min, seed {run.seed}, {len(run.samples)} samples",
    ]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def as_json(run: Endurance) -> str:
    """Everything: bounds, findings, stories, samples."""
    report: dict[str, Any] = {
        "format": FORMAT,
        "verdict": verdict(run),
        "why": run.why,
        "seed": run.seed,
        "took_s": round(run.took_s, 3),
        "interval_s": run.interval_s,
        "rules": {
            "warm_up_part": judging.WARM_UP_PART,
            "warm_up_max_s": judging.WARM_UP_MAX_S,
            "judged_samples_min": judging.JUDGED_SAMPLES_MIN,
            "judged_min_s": judging.JUDGED_MIN_S,
            "late_intervals_max": judging.LATE_INTERVALS_MAX,
            "latest_intervals_max": judging.LATEST_INTERVALS_MAX,
            "control_times_max": judging.CONTROL_TIMES_MAX,
        },
        "findings": [_finding(one) for one in run.findings],
        "stories": [dataclasses.asdict(one) for one in run.stories],
        "samples": [dataclasses.asdict(one) for one in run.samples],
    }
    return json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _finding(one: Finding) -> dict[str, Any]:
    """JSON knows no infinity: a beat later than the last class is null, with a note."""
    made = dataclasses.asdict(one) | {"kept": one.kept}
    if one.measured is not None and math.isinf(one.measured):
        made |= {"measured": None, "note": f"beyond the last class; {one.note}"}
    return made
