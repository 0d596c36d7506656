"""What is in the wheel and in the sdist, and that they are the same each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
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
    documents = {name for name in found if name.startswith(f"{prefix}share/doc/srmd/")}
    assert {f"{prefix}share/doc/srmd/{name}" for name in DOCUMENTS} <= documents
    found -= documents
    shared = {*SHARED, *units}
    assert found == {prefix + name for name in shared}


DOCUMENTS = (
    "README.md",
    "faultproxy.md",
    "logrotate",
    "trouble.md",
    "trouble.ja.md",
    "versions.md",
)


def test_every_link_of_an_installed_document_leads_to_an_installed_one(built: Built) -> None:
    prefix = f"srmd-{__version__}.data/data/share/doc/srmd/"
    texts = {
        name.removeprefix(prefix): content.decode()
        for name, content in files(built.wheel).items()
        if name.startswith(prefix)
    }
    links = {
        (name, target)
        for name, text in texts.items()
        for target in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in target
    }
    assert len(links) > 5
    assert {(name, target) for name, target in links if target not in texts} == set()


def test_the_bill_of_materials_names_all_that_is_locked_with_its_licence(
    built: Built, tmp_path: Path
) -> None:
    """Of CycloneDX 1.5; each reference leads to a package, and the bytes are the same each time."""
    wheel = shutil.copy(built.wheel, tmp_path)
    done(sys.executable, ROOT / "sbom.py", wheel, cwd=tmp_path)
    (made,) = tmp_path.glob("*.cdx.json")
    assert made.name == f"srmd-{__version__}.cdx.json"
    written = made.read_bytes()
    done(sys.executable, ROOT / "sbom.py", wheel, cwd=tmp_path)
    assert made.read_bytes() == written
    bom = json.loads(written)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    assert {(one["name"], one["version"]) for one in bom["components"]} == locked
    assert len(locked) > 8
    for one in bom["components"]:
        (licence,) = one["licenses"]
        assert licence.get("expression") or licence["license"]["name"], one["name"]
    ours = bom["metadata"]["component"]
    digest = hashlib.sha256(built.wheel.read_bytes()).hexdigest()
    assert ours["hashes"] == [{"alg": "SHA-256", "content": digest}]
    refs = {one["bom-ref"] for one in (*bom["components"], ours)}
    assert {one["ref"] for one in bom["dependencies"]} == refs
    needed = {ref for one in bom["dependencies"] for ref in one["dependsOn"]}
    assert needed == refs - {ours["bom-ref"]}


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
