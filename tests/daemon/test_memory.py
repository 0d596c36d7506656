"""What of a stored memory a node starts with, and what it refuses in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.daemon import main
from srmd.log import start as start_log
from srmd.node.memory import Boot, wake
from srmd.store import nodestate
from srmd.store.nodestate import DamagedMemory, NodeMemory
from tests.daemon.nodes import config_of

COUNTED: dict[str, Callable[[NodeMemory, int], NodeMemory]] = {
    "incarnation": lambda memory, number: replace(memory, incarnation=number),
    "op": lambda memory, number: replace(memory, op=number),
    "ha_stamp": lambda memory, number: replace(memory, ha_stamp=number),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_node_that_could_not_speak_any_more_says_so_and_how_to_go_on(
    tmp_path: Path, name: str
) -> None:
    """A stranger had driven its incarnation to the end of the numbers: no heartbeat could carry the
    next one, and the node was mute."""
    config = config_of("a", tmp_path)
    config.node.state_dir.mkdir(exist_ok=True)
    memory, _ = wake(None, config, Boot("boot", "os", ""), rebooted=False)
    log = start_log(config.log, "a")
    path = config.node.state_dir / nodestate.NODE_FILE
    nodestate.save(path, COUNTED[name](memory, 2**62))
    assert main._memory(config, log) is not None
    nodestate.save(path, COUNTED[name](memory, 2**63 - 1))
    with pytest.raises(DamagedMemory) as refused:
        main._memory(config, log)
    log.close()
    said = str(refused.value)
    assert f"{name}: 9223372036854775807 is more than a node counts to" in said
    assert "remove it and node.json.1: the node then starts as new" in said
