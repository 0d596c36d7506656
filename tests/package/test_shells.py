"""The TAB key in a real zsh and fish; bash is everywhere, so its test is in test_completion.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.package.conftest import Installed, tool
from tests.shells import Shell

TYPED = [
    ("srmd fai", "srmd failover"),
    ("srmd service ki", "srmd service kill"),
    ("srmd --api http://a:1 reco", "srmd --api http://a:1 recover"),
    ("srmd status --js", "srmd status --json"),
    ("srmd status --lang=j", "srmd status --lang=ja"),
    ("srmd config check /etc/hostn", "srmd config check /etc/hostname"),
]


@pytest.mark.parametrize("typed, shown", TYPED)
def test_a_tab_in_zsh_completes(
    typed: str, shown: str, installed: Installed, tmp_path: Path
) -> None:
    """By the installed file, as a distribution's zsh finds it."""
    with Shell([tool("zsh"), "-f", "-i"], installed.bin, tmp_path) as zsh:
        zsh.run("unset zle_bracketed_paste; bindkey -e")
        zsh.run(f"fpath=({installed.folder}/share/zsh/site-functions $fpath)")
        zsh.run("autoload -U compinit; compinit -u -d ./dump")
        assert zsh.completed(typed) == shown


@pytest.mark.parametrize("typed, shown", TYPED)
def test_fish_offers_what_a_tab_would_insert(
    typed: str, shown: str, installed: Installed, tmp_path: Path
) -> None:
    script = installed.folder / "share/fish/vendor_completions.d/srmd.fish"
    done = subprocess.run(
        [tool("fish"), "--no-config", "-c", f"source '{script}'; complete -C '{typed}'"],
        env={"PATH": f"{installed.bin}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert offered == [shown.rsplit(maxsplit=1)[-1]], done.stderr
