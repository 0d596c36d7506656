"""The unit files, judged by systemd itself; nothing is booted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.machines.debian import PROJECT

UNITS = sorted((PROJECT / "deploy" / "systemd").glob("*.service"))
EXPOSURE_MAX = {
    "srmd.service": 1.2,
    "srmd-backup.service": 0.5,
    "srmd-faultproxy.service": 1.2,
    "srmd-shutdown.service": 0.9,
}
"""What was reached; who adds a permission sees it here."""


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        text = "systemd-analyze is not on the PATH; apt-get install systemd"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_exposure_is_small(unit: Path, analyze: str) -> None:
    command = (analyze, "security", "--offline=true", "--no-pager")
    threshold = f"--threshold={EXPOSURE_MAX[unit.name] * 10:.0f}"
    done = subprocess.run([*command, threshold, unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_against_a_unit(
    unit: Path, analyze: str, tmp_path: Path
) -> None:
    """Verified as a copy whose programs exist: those of /opt/srmd are installed elsewhere."""
    for other in UNITS:
        text = other.read_text().replace("/opt/srmd/bin/srmd", "/bin/true")
        (tmp_path / other.name).write_text(text)
    command = (analyze, "verify", "--man=no", "--recursive-errors=one")
    done = subprocess.run(
        [*command, tmp_path / unit.name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_in_a_unit_is_noticed(analyze: str, tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nWatchdogSec=soon\n")
    command = (analyze, "verify", "--man=no", "--recursive-errors=one")
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert "wrong.service:3: Failed to parse" in done.stderr
