"""Every scenario in virtual time: it passes, with Cisco's timers, and happens again exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srmd.config import shipped
from srmd.lab.scenario import load_all
from srmd.lab.scenario.running import Verdict
from srmd.lab.simulated.stage import SimulatedStage
from srmd.lab.suite import as_json, play_all

SCENARIOS = shipped() / "scenarios"
SEED = 20_061
FEW = ("row-16-network-cut", "ours-network-gone-bad", "ours-old-incarnation-replayed")
CISCO_TIMEOUT_S = 60.0


def played(*names: str, seed: int = SEED) -> dict[str, str]:
    """The journals of the plays of these files (all of them), as text, by name."""
    files = [SCENARIOS / f"{name}.toml" for name in names] or [SCENARIOS]
    with SimulatedStage(seed=seed) as stage:
        results = play_all(load_all(files), stage, lambda _line: None)
    return {result.name: json.dumps(as_json(result), sort_keys=True) for result in results}


@pytest.fixture(scope="module")
def journals() -> dict[str, str]:
    return played()


def test_every_scenario_passes_with_ciscos_timers(journals: dict[str, str]) -> None:
    others = {
        name: json.loads(text)["why"]
        for name, text in journals.items()
        if json.loads(text)["verdict"] != Verdict.PASSED.value
    }
    assert not others
    assert len(journals) >= 99
    down = [
        entry["at_s"]
        for entry in json.loads(journals["row-16-peer-down"])["journal"]
        if entry["kind"] == "seen" and "Taking Over / Peer Down" in entry["text"]
    ]
    assert down[0] <= CISCO_TIMEOUT_S + 1


def test_the_same_seed_gives_the_same_journals(journals: dict[str, str]) -> None:
    assert played() == journals


def test_another_seed_gives_other_journals() -> None:
    name = "ours-network-gone-bad"
    assert played(name, seed=1) != played(name, seed=2)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_order_of_sets_does_not_matter(
    hash_seed: str, journals: dict[str, str], tmp_path: Path
) -> None:
    """Python orders sets by hashes, which differ from process to process."""
    files = [str(SCENARIOS / f"{name}.toml") for name in FEW]
    run = ["lab", "run", "--stage", "simulated", "--seed", str(SEED), "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "srmd", *run, "--journal", str(tmp_path), *files],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        timeout=60,
    )
    told = [json.loads(file.read_text(encoding="utf-8")) for file in tmp_path.glob("*.json")]
    assert len(told) >= len(FEW)
    for one in told:
        assert one == json.loads(journals[one["name"]])
