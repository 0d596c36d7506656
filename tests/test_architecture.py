"""The rules of the repository itself: who imports whom, and what every file has to be."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.log import EVENTS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "srmd"

CORE_MAY_IMPORT = "__future__, collections, collections.abc, dataclasses, enum, math, typing"
"""What the core imports of the standard library, with whatever these need themselves."""

WRITTEN_BY_US = ("srmd", "tests", "configs", "deploy", "docs", ".ci")
SUFFIXES_OF_TEXT = {".py", ".toml", ".md", ".yaml", ".yml", ".json", ".service", ".html", ".js", ""}


def modules(package: str) -> list[str]:
    """The dotted names of all modules of a package, itself included."""
    folder = ROOT.joinpath(*package.split("."))
    files = sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def imported_by(*names: str, after: str = "") -> set[str]:
    """What a fresh interpreter loads for these modules, besides what it had loaded before."""
    program = f"""
import sys
{f"import {after}" if after else ""}
before = set(sys.modules)
import {", ".join(names)}
print(*set(sys.modules) - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def foreign(names: set[str]) -> set[str]:
    """The packages among them that neither Python nor we bring."""
    return {
        name
        for name in top(names) - {"srmd"} - sys.stdlib_module_names
        if not name.startswith("_")  # such as the loader of an editable install
    }


def texts() -> Iterator[tuple[Path, str]]:
    """All files that we write, with what is in them."""
    files = [file for file in ROOT.iterdir() if file.is_file() and file.name != ".git"]
    for folder in WRITTEN_BY_US:
        files += [file for file in (ROOT / folder).rglob("*") if file.is_file()]
    for file in sorted(files):
        if file.suffix in SUFFIXES_OF_TEXT and "__pycache__" not in file.parts:
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8")


def test_the_core_imports_nothing_that_knows_the_world() -> None:
    loaded = imported_by(*modules("srmd.core"), after=CORE_MAY_IMPORT)
    strangers = {
        name for name in loaded if name != "srmd" and not re.match(r"srmd\.core(\.|$)", name)
    }
    assert not strangers


@pytest.mark.parametrize(
    "package", ["srmd.core", "srmd.wire", "srmd.store", "srmd.config", "srmd.node"]
)
def test_what_decides_and_remembers_needs_the_standard_library_only(package: str) -> None:
    assert not foreign(imported_by(*modules(package)))


def test_logging_and_its_neighbours_load_structlog_only_when_they_start() -> None:
    assert not foreign(imported_by("srmd.log", "srmd.relogin", "srmd.strict_toml", "srmd.secret"))


def test_a_short_command_starts_without_the_heavy_libraries() -> None:
    assert not {"aiohttp", "structlog", "asyncio"} & top(imported_by("srmd.cli"))


def test_the_simulator_loads_nothing_that_waits_or_asks_the_time_of_day() -> None:
    loaded = imported_by(*modules("srmd.lab.simulated"))
    assert not {"aiohttp", "asyncio", "socket", "sqlite3", "structlog", "threading"} & top(loaded)
    assert not [name for name in loaded if name.startswith(("srmd.daemon", "srmd.lab.real"))]


def test_the_import_contracts_are_kept() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_map_names_every_file() -> None:
    map_ = (PACKAGE / "README.md").read_text(encoding="utf-8")
    files = [
        file.relative_to(PACKAGE)
        for file in sorted(PACKAGE.rglob("*"))
        if file.suffix in {".py", ".html", ".js", ".css", ".sql"} and file.name != "__init__.py"
    ]
    assert not [str(file) for file in files if file.name not in map_]


# In two parts, so that this file passes its own test.
HOST_PATH = re.compile(r"(?<![\w.])/(?:" + "root|home|work|Users" + r")/\w")
ADDRESS_OF_A_REGISTRY = re.compile(
    "py" + r"pi\.|python" + r"hosted|arti" + "factory|index-" + "url ="
)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = [
        f"{file}:{number}: {line.strip()}"
        for file, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if HOST_PATH.search(line) or ADDRESS_OF_A_REGISTRY.search(line)
    ]
    assert not found


@pytest.mark.parametrize("name, least", [("dev", 20), ("manifests", 5), ("runtime", 5)])
def test_the_lock_files_have_hashes_and_no_addresses(name: str, least: int) -> None:
    lock = (ROOT / f"requirements-{name}.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9][\w.-]*==\S+.*\\$", lock, re.MULTILINE)
    assert len(pinned) > least
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))


LOGGED = re.compile(
    r"\blog(?:ger)?\b[\w.()]*\.(debug|info|warning|error|exception)\(\s*\"([a-z_]+\.[a-z_]+)\""
)


def logged() -> Iterator[tuple[str, str, str]]:
    """Each place of the product that logs: (place, level, event)."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if file == PACKAGE / "log.py":  # its docstring shows how
            continue
        text = file.read_text(encoding="utf-8")
        for call in LOGGED.finditer(text):
            line = text.count("\n", 0, call.start()) + 1
            level = "error" if call[1] == "exception" else call[1]
            yield f"{file.relative_to(ROOT)}:{line}", level, call[2]


WRITTEN_BY_THE_LOG_ITSELF = {
    "descriptors.exhausted",
    "library.complained",
    "log.dropped",
    "log.unknown_event",
}


def test_every_event_that_is_logged_is_in_the_catalogue() -> None:
    assert not [f"{place}: {event}" for place, _, event in logged() if event not in EVENTS]


def test_every_event_of_the_catalogue_is_logged_somewhere() -> None:
    code = "".join(
        file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file.name != "log.py"
    )
    unused = {event for event in EVENTS if f'"{event}"' not in code}
    assert not unused - WRITTEN_BY_THE_LOG_ITSELF


def test_no_event_is_logged_below_the_level_of_the_catalogue() -> None:
    """An event may be told louder when it is worse than usual, never quieter."""
    order = ["debug", "info", "warning", "error"]
    assert not [
        f"{place}: {event} is {EVENTS[event].level} in the catalogue, {level} here"
        for place, level, event in logged()
        if event in EVENTS and order.index(level) < order.index(EVENTS[event].level)
    ]
