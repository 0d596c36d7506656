"""The wheel and the sdist, built once, and the tools of others that look at them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
STEP_LIMIT_S = 300.0
"""How long one build or installation may take; it may download."""

_skipped: set[str] = set()


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped, and in CI fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    why = f"{name} is not on the PATH; install the Debian package {name}"
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    _skipped.add(why)
    pytest.skip(why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for why in sorted(_skipped):
        terminalreporter.write_line(
            f"WARNING: a test of the package was not run: {why}", yellow=True, bold=True
        )


def done(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the program printed; its failure is the test's, with all that it said."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SRMD_", "PYTHON", "SOURCE_DATE_EPOCH"))
    }
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        timeout=STEP_LIMIT_S,
        check=False,
    )
    said = f"{' '.join(map(str, words))}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, said
    return ended.stdout


def sources(folder: Path) -> Path:
    """A copy of what the repository tracks or would, and nothing that was made."""
    listed = done("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path


def build(source: Path, into: Path) -> Built:
    """As `make wheel` does it: the sdist, and the wheel from the sdist."""
    words: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "--directory", into]
    done(*words, "--target", "sdist", cwd=source)
    (sdist,) = into.glob("*.tar.gz")
    unpacked = into / "unpacked"
    shutil.unpack_archive(sdist, unpacked, filter="data")
    (inside,) = unpacked.iterdir()
    done(*words, "--target", "wheel", cwd=inside)
    shutil.rmtree(unpacked)
    (wheel,) = into.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    source = sources(tmp_path_factory.mktemp("source"))
    return build(source, tmp_path_factory.mktemp("dist"))


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel and what it requires, and nothing else."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def srmd(self, *words: str | Path, cwd: Path) -> str:
        return done(self.bin / "srmd", *words, cwd=cwd)


def environment(folder: Path, package: Path) -> Installed:
    """A new environment, with one package from a file and what it requires."""
    done(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    words = ("install", "--disable-pip-version-check", "--quiet")
    done(folder / "bin" / "pip", *words, package, cwd=folder.parent)
    return Installed(folder)


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return environment(tmp_path_factory.mktemp("installed") / "venv", built.wheel)
