"""The wheel in an environment of its own: the command, its data, and our tests of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from srmd import __version__
from srmd.cli.completion import SCRIPTS
from tests.machines import guide
from tests.package.conftest import ROOT, STEP_LIMIT_S, Built, Installed, done, environment
from tests.package.test_built import SHARED

OF_THE_COMMAND = ("tests/test_cli.py", "tests/test_init.py", "tests/test_completion.py")
"""The tests that are played against the installed command."""


def test_nothing_is_installed_that_is_not_needed(installed: Installed, tmp_path: Path) -> None:
    words = ("list", "--disable-pip-version-check", "--format", "json")
    listed = json.loads(done(installed.bin / "pip", *words, cwd=tmp_path))
    names = {package["name"].lower() for package in listed}
    assert {"srmd", "aiohttp", "structlog"} <= names
    assert not names & {"pytest", "hatchling", "mypy", "ruff", "hypothesis", "shtab"}
    done(installed.bin / "pip", "check", cwd=tmp_path)


def test_the_command_tells_its_version_from_the_installed_package(
    installed: Installed, tmp_path: Path
) -> None:
    assert installed.srmd("--version", cwd=tmp_path) == f"srmd {__version__}\n"
    program = "import srmd; print(srmd.__file__)"
    place = done(installed.bin / "python", "-c", program, cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.folder)


def test_the_examples_and_scenarios_are_found(installed: Installed, tmp_path: Path) -> None:
    listed = installed.srmd("lab", "list", cwd=tmp_path).splitlines()
    assert len(listed) == len(list((ROOT / "configs" / "scenarios").glob("*.toml")))
    installed.srmd("lab", "coverage", cwd=tmp_path)
    for timers in ("cisco", "fast"):
        installed.srmd("init", timers, "--timers", timers, cwd=tmp_path)
        installed.srmd("config", "check", f"{timers}/node-a/node.toml", cwd=tmp_path)


def test_a_scenario_is_played_by_the_installed_package(
    installed: Installed, tmp_path: Path
) -> None:
    name = next(
        word
        for word, *_ in map(str.split, installed.srmd("lab", "list", cwd=tmp_path).splitlines())
        if word.startswith("row-03")
    )
    assert "passed" in installed.srmd("lab", "run", "--quiet", name, cwd=tmp_path)
    assert name in installed.srmd("lab", "list", name, cwd=tmp_path)


def test_manual_and_completion_are_below_the_prefix(installed: Installed) -> None:
    for name in SHARED:
        assert (installed.folder / name).is_file(), name
    bash = installed.folder / "share/bash-completion/completions/srmd"
    assert bash.read_text(encoding="utf-8") == SCRIPTS["bash"]


@pytest.mark.timeout(600)
def test_the_wheel_installs_by_hashes_and_without_an_index(built: Built, tmp_path: Path) -> None:
    """By the commands of the guide, in their order."""
    done(sys.executable, "-m", "venv", tmp_path / "opt/srmd", cwd=tmp_path)
    shutil.copy(ROOT / "requirements-runtime.lock", tmp_path)
    shutil.copy(built.wheel, tmp_path)
    blocks = guide.read().sections["Without network, and with hashes"]
    commands = [line for block in blocks for line in block.commands if "/bin/pip " in line]
    assert [command.split()[1] for command in commands] == [
        "download",
        "install",
        "install",
        "check",
    ]
    for command in commands:
        words = command.replace("/opt/srmd", "opt/srmd").replace('"$WHEEL"', built.wheel.name)
        # An index that does not answer: only the download may reach another one.
        env = {} if " download " in command else {"PIP_INDEX_URL": "http://127.0.0.1:1/"}
        done(*words.split(), cwd=tmp_path, env=env)
    offline = Installed(tmp_path / "opt/srmd")
    assert offline.srmd("--version", cwd=tmp_path) == f"srmd {__version__}\n"
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    (tmp_path / "requirements-runtime.lock").write_text(lock.replace("sha256:", "sha256:0"))
    wrong = subprocess.run(
        [*commands[1].replace("/opt", "opt").split(), "--force-reinstall"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_LIMIT_S,
    )
    assert wrong.returncode != 0
    assert "hash" in wrong.stderr.lower(), wrong.stderr


@pytest.mark.timeout(600)
def test_our_tests_of_the_command_pass_on_the_installed_one(
    installed: Installed, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    # pytest comes from our own environment by its folder.  srmd does not: an editable install is
    # a .pth file, and those are read where Python itself looks for packages only.
    env = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PATH": f"{installed.bin}{os.pathsep}{os.environ['PATH']}",
    }
    python = installed.bin / "python"
    place = done(python, "-c", "import srmd; print(srmd.__file__)", cwd=tmp_path, env=env)
    assert Path(place.strip()).is_relative_to(installed.folder)
    played = done(
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *OF_THE_COMMAND,
        cwd=tmp_path,
        env=env,
    )
    assert " passed" in played
    print(played[-200:])


@pytest.mark.timeout(600)
def test_the_sdist_installs_with_what_it_says_it_needs_to_be_built(
    built: Built, installed: Installed, tmp_path: Path
) -> None:
    from_sdist = environment(tmp_path / "venv", built.sdist)
    assert from_sdist.srmd("--version", cwd=tmp_path) == f"srmd {__version__}\n"
    assert contents(from_sdist) == contents(installed)


def contents(there: Installed) -> dict[str, bytes]:
    """All files of srmd in the environment, but for what an installation writes itself."""
    (package,) = there.folder.glob("lib/python*/site-packages/srmd")
    found = [path for path in package.rglob("*") if path.is_file()]
    found += [there.folder / name for name in SHARED]
    return {
        str(path.relative_to(there.folder)): path.read_bytes()
        for path in found
        if "__pycache__" not in path.parts
    }
