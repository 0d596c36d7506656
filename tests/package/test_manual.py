"""The manual page renders without a complaint, and leaves no command out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from srmd.cli.exits import Exit
from srmd.cli.manual import page
from srmd.cli.parser import root, whole
from tests.package.conftest import tool
from tests.test_completion import every


def rendered(tmp_path: Path, *words: str) -> tuple[str, str]:
    """What a formatter makes of the page, and what it complains about."""
    file = tmp_path / "srmd.1"
    file.write_text(page(), encoding="utf-8")
    done = subprocess.run(
        [tool(words[0]), *words[1:], str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.stderr


def test_groff_renders_the_page_without_a_warning(tmp_path: Path) -> None:
    text, complaints = rendered(tmp_path, "groff", "-man", "-ww", "-Tascii", "-P-cbou")
    assert complaints == ""
    for section in ("NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT"):
        assert f"\n{section}\n" in text
    assert "srmd init [-h]" in text
    assert "--timers {cisco,fast}" in text


def test_mandoc_finds_no_fault_but_the_missing_date(tmp_path: Path) -> None:
    """A date would be that of the build, and no two builds the same."""
    text, _ = rendered(tmp_path, "mandoc", "-T", "lint", "-W", "warning")
    assert [line for line in text.splitlines() if "missing date" not in line] == []


def test_every_command_and_exit_code_is_in_the_page() -> None:
    text = page().replace(r"\-", "-")
    leaves = [line + name for line, name in every(whole(root()), "srmd ")]
    families = {line.strip() for line, _ in every(whole(root()), "srmd ")}
    assert len(leaves) > 40
    assert not [leaf for leaf in leaves if leaf not in families and f'.SS "{leaf}"\n' not in text]
    assert not [code for code in Exit if f"\n.B {code.value}\n" not in text]


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = page()
    monkeypatch.setenv("COLUMNS", "40")
    assert page() == before
