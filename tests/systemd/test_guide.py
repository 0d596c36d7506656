"""Every command of the guide is run, in its order; afterwards the pair is at home."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from tests.machines import guide
from tests.machines.container import Container
from tests.systemd.installed import BACK, INSTALL, UNIT, WITH_TLS, Installed
from tests.systemd.left_behind import secrets_of, traces

REMOVAL = "Removal"
OF_TLS = frozenset({WITH_TLS, "New certificates", "A new CA"})
"""They are for a pair with TLS: see test_tls.py."""
SECTIONS = guide.read().sections
COMMON = [title for title in SECTIONS if title not in {INSTALL, BACK, REMOVAL} | OF_TLS]
LOG = "/var/log/srmd/node.log"


def test_the_guide_installs_a_pair_in_ten_commands(pair: Installed) -> None:
    assert sum(len(block.commands) for block in SECTIONS[INSTALL]) == 10


@pytest.mark.parametrize("title", COMMON)
def test_each_section_works_and_leaves_the_pair_at_home(title: str, pair: Installed) -> None:
    pair.follow(SECTIONS[title])
    pair.is_home()


def test_a_backup_of_each_node_is_there(pair: Installed) -> None:
    for machine in pair.machines.values():
        kept = list((machine.disk / "var/lib/private/srmd-backup").glob("*.srmd.tgz"))
        assert kept
        assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def test_the_old_key_is_gone_after_the_rotation(pair: Installed) -> None:
    for machine in pair.machines.values():
        text = (machine.disk / "etc/srmd/node.toml").read_text()
        assert 'active = "k2"' in text
        assert "k1.key" not in text


def test_a_rotated_log_goes_on_in_a_new_file(pair: Installed) -> None:
    """By `mv` and SIGHUP the node was ended for good, or wrote on into the renamed file."""
    for machine in pair.machines.values():
        before = machine.unit(UNIT, "MainPID", "NRestarts")
        machine.run("logrotate", "--force", "/etc/logrotate.d/srmd")
        machine.wait_until("the new file has records", partial(has_records, machine, LOG))
        assert has_records(machine, f"{LOG}.1")
        assert machine.unit(UNIT, "MainPID", "NRestarts") == before
    pair.is_home()


def has_records(machine: Container, file: str) -> bool:
    return '"event": ' in machine.run("sh", "-c", f"cat {file} || true")


def test_files_that_are_copied_again_do_not_nest(pair: Installed) -> None:
    """`cp -a pair/node-a /etc/srmd` made /etc/srmd/node-a of them, the second time."""
    (block,) = [each for each in SECTIONS[INSTALL] if "srmd init" in each.commands[0]]
    elsewhere = tuple(command.replace("/etc/srmd", "again") for command in block.commands)
    for _ in range(2):
        pair.follow((replace(block, commands=elsewhere),))
    for machine in pair.machines.values():
        found = machine.run("sh", "-c", "find ~/again -printf '%P\\n'")
        assert sorted(found.split()) == ["k1.key", "node.toml", "token"]
        machine.run("sh", "-c", "rm -r ~/again")
    assert "pair" not in pair.a.run("sh", "-c", "ls ~").split(), (
        "it holds the secrets of both nodes"
    )


def test_after_the_removal_nothing_is_left(pair: Installed) -> None:
    """Key and token of both nodes stood in root's home, and in a backup beside them."""
    pair.a.run("sh", "-c", "nft list table inet srmd >> /etc/nftables.conf")  # as the guide says
    secrets = {node: secrets_of(machine) for node, machine in pair.machines.items()}
    assert all(traces(machine, secrets[node]) for node, machine in pair.machines.items())
    pair.follow(SECTIONS[REMOVAL])
    for node, machine in pair.machines.items():
        assert traces(machine, secrets[node]) == []
        left = machine.run(
            "sh", "-c", "find / -xdev -iname '*srmd*' -not -path '/var/log/journal/*'"
        )
        assert left == ""
        assert machine.run("sh", "-c", "grep -c srmd /etc/nftables.conf || true").strip() == "0"
        assert machine.unit(UNIT, "LoadState") == {"LoadState": "not-found"}


def test_a_block_that_does_not_say_where_it_is_run_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Here: a block of 'sh' says not where"):
        guide.read("## Here\n\n```sh\nls\n```\n")
