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
    ("srmd lab fault cut hea", "srmd lab fault cut heartbeats"),
    ("srmd lab run row-12-service-d", "srmd lab run row-12-service-dies"),
    ("srmd lab run /etc/hostn", "srmd lab run /etc/hostname"),
    ("srmd explain --row backup_p", "srmd explain --row backup_peer_silent"),
]
SERVICE = "srmd service kill Cisco Presence Engine"
QUOTED = [
    ("srmd service kill 'Cisco Pr", SERVICE),
    ('srmd service kill "Cisco Pr', SERVICE),
    (r"srmd service kill Cisco\ Pr", SERVICE),
]
NO_NODE = "http://127.0.0.1:1"
"""For SRMD_API: no node of this machine is asked for its services."""


@pytest.mark.parametrize("typed, shown", [*TYPED, *QUOTED])
def test_a_tab_in_zsh_completes(
    typed: str, shown: str, installed: Installed, tmp_path: Path
) -> None:
    """By the installed file, as a distribution's zsh finds it."""
    with Shell([tool("zsh"), "-f", "-i"], installed.bin, tmp_path) as zsh:
        zsh.run(f"export SRMD_API={NO_NODE}")
        zsh.run("unset zle_bracketed_paste; bindkey -e")
        zsh.run(f"fpath=({installed.folder}/share/zsh/site-functions $fpath)")
        zsh.run("autoload -U compinit; compinit -u -d ./dump")
        assert zsh.completed(typed) == shown


@pytest.mark.parametrize("typed, shown", [*TYPED, *QUOTED])
def test_fish_offers_what_a_tab_would_insert(
    typed: str, shown: str, installed: Installed, tmp_path: Path
) -> None:
    script = installed.folder / "share/fish/vendor_completions.d/srmd.fish"
    done = subprocess.run(
        [tool("fish"), "--no-config", "-c", f"source '{script}'; complete -C $argv[1]", typed],
        env={
            "PATH": f"{installed.bin}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "SRMD_API": NO_NODE,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    word = "Cisco Presence Engine" if shown == SERVICE else shown.rsplit(maxsplit=1)[-1]
    assert offered == [word], done.stderr
