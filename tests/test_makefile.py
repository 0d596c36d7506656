"""The way from a bare clone: what `make` shows meanwhile, and what git sees afterwards."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CLONE = Path(__file__).parent.parent
LIMIT_S = 60.0
PYTHON = """\
#!/bin/sh
# Stands for Python: "makes" an environment whose pip tells its options.
if [ "$1" = -m ]; then
    mkdir -p .venv/bin
    printf '#!/bin/sh\\necho "pip $*"\\n' > .venv/bin/pip
    chmod +x .venv/bin/pip
fi
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(CLONE / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make_env(clone: Path, output: int) -> None:
    subprocess.run(
        ["make", "env", "PYTHON=./python"],
        cwd=clone,
        stdout=output,
        stderr=subprocess.STDOUT,
        check=True,
        timeout=LIMIT_S,
    )


def test_what_pip_does_is_seen_at_a_terminal(clone: Path) -> None:
    """Nothing was printed for minutes: the test for a terminal was asked of a pipe."""
    ours, theirs = pty.openpty()
    try:
        make_env(clone, theirs)
        told = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert told.count("pip install") == 2
    assert "--quiet" not in told


def test_in_a_pipe_pip_is_quiet(clone: Path) -> None:
    file = clone / "told"
    with file.open("wb") as output:
        make_env(clone, output.fileno())
    pips = [line for line in file.read_text().splitlines() if line.startswith("pip install")]
    assert len(pips) == 2
    assert all("--quiet" in line for line in pips)


def test_git_ignores_the_secrets_of_the_pair_that_the_readme_makes() -> None:
    folders = set(re.findall(r"srmd init (\w+)", (CLONE / "README.md").read_text("utf-8")))
    assert folders
    ignored = (CLONE / ".gitignore").read_text("utf-8").split()
    assert {f"/{folder}/" for folder in folders} <= set(ignored)
