"""What is in the wheel and in the sdist, and that they are the same each time."""

from __future__ import annotations

import os
import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from srmd import __version__
from tests.package.conftest import ROOT, Built, build, done, sources

SHARED = (
    "share/bash-completion/completions/srmd",
    "share/fish/vendor_completions.d/srmd.fish",
    "share/man/man1/srmd.1",
    "share/zsh/site-functions/_srmd",
)


def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_second_build_from_another_place_and_time_gives_the_same_bytes(
    built: Built, tmp_path: Path
) -> None:
    source = sources(tmp_path / "elsewhere")
    for file in source.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    again = build(source, tmp_path / "dist")
    assert again.sdist.read_bytes() == built.sdist.read_bytes()
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


def test_the_wheel_from_a_checkout_is_that_from_the_sdist(built: Built, tmp_path: Path) -> None:
    source = sources(tmp_path / "checkout")
    words = ["-m", "hatchling", "build", "--target", "wheel", "--directory"]
    done(sys.executable, *words, tmp_path / "dist", cwd=source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert files(wheel) == files(built.wheel)


def test_the_wheel_has_all_files_of_the_package_and_of_the_examples(built: Built) -> None:
    inside = set(files(built.wheel))
    ours = [
        path
        for folder in ("srmd", "configs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", ".ruff_cache"} & set(path.parts)
    ]
    names = {re.sub("^configs/", "srmd/_configs/", str(path.relative_to(ROOT))) for path in ours}
    assert len(names) > 150
    assert names - inside == set()
    metadata = re.compile(r"srmd-[\d.]+\.(dist-info|data)/")
    assert {name for name in inside - names if not metadata.match(name)} == set()


def test_manual_completion_and_units_are_where_the_system_looks_for_them(built: Built) -> None:
    prefix = f"srmd-{__version__}.data/data/"
    found = {name for name in files(built.wheel) if name.startswith(prefix)}
    units = {f"lib/systemd/system/{unit.name}" for unit in (ROOT / "deploy/systemd").iterdir()}
    shared = {*SHARED, *units, "share/doc/srmd/README.md", "share/doc/srmd/logrotate"}
    assert found == {prefix + name for name in shared}


def test_the_sdist_has_what_the_tests_and_the_guides_need(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("hatch_build.py", "Makefile", "LICENSE", "tests/test_cli.py", "docs/protocol.md"):
        assert name in names
    assert not [name for name in names if name.startswith((".venv", "build", "dist", ".tools"))]


def test_the_version_is_written_in_one_place(built: Built) -> None:
    metadata = Parser().parsestr(
        files(built.wheel)[f"srmd-{__version__}.dist-info/METADATA"].decode()
    )
    assert metadata["Version"] == __version__
    assert built.sdist.name == f"srmd-{__version__}.tar.gz"
    manual = files(built.wheel)[f"srmd-{__version__}.data/data/share/man/man1/srmd.1"].decode()
    assert manual.startswith(f'.TH SRMD 1 "" "srmd {__version__}"')
    written = [
        str(path.relative_to(ROOT))
        for path in [*(ROOT / "srmd").rglob("*.py"), ROOT / "pyproject.toml"]
        if f'"{__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert written == ["srmd/__init__.py"]
