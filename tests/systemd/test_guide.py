"""Every command of the guide is run, in its order; afterwards the pair is at home."""

from __future__ import annotations

import pytest

from tests.machines import guide
from tests.systemd.installed import BACK, INSTALL, UNIT, Installed

REMOVAL = "Removal"
SECTIONS = guide.read().sections


def test_the_guide_installs_a_pair_in_ten_commands(pair: Installed) -> None:
    assert sum(len(block.commands) for block in SECTIONS[INSTALL]) == 10


@pytest.mark.parametrize(
    "title", [title for title in SECTIONS if title not in {INSTALL, BACK, REMOVAL}]
)
def test_each_section_works_and_leaves_the_pair_at_home(title: str, pair: Installed) -> None:
    pair.follow(SECTIONS[title])
    pair.is_home()


def test_the_old_key_is_gone_after_the_rotation(pair: Installed) -> None:
    for machine in pair.machines.values():
        text = (machine.disk / "etc/srmd/node.toml").read_text()
        assert 'active = "k2"' in text
        assert "k1.key" not in text


def test_after_the_removal_nothing_is_left(pair: Installed) -> None:
    pair.follow(SECTIONS[REMOVAL])
    for machine in pair.machines.values():
        left = machine.run("sh", "-c", "ls -d /opt/srmd /etc/srmd /var/lib/*/srmd || true")
        assert left == ""
        assert machine.unit(UNIT, "LoadState") == {"LoadState": "not-found"}


def test_a_block_that_does_not_say_where_it_is_run_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Here: a block of 'sh' says not where"):
        guide.read("## Here\n\n```sh\nls\n```\n")
