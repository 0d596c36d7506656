"""What a node remembers and how it wakes: from its memory to its first value, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from srmd.config import Config
from srmd.core.node import Node, Policy
from srmd.core.states import Reason, Stage, Start, State
from srmd.store.nodestate import NodeMemory
from srmd.wire.keys import Keyring
from srmd.wire.replay import Mark, mark_from_json, mark_to_json


@dataclass(frozen=True, slots=True)
class Boot:
    """What the machine that a node runs on says of this start."""

    boot_id: str
    """The node's, should this be a new boot of it."""
    os_boot_id: str
    at: str
    """Wall-clock time, for people."""


def wake(
    memory: NodeMemory | None, config: Config, boot: Boot, *, rebooted: bool
) -> tuple[NodeMemory, Start]:
    """What the node knows when it boots, and how it came to start.

    It is the same boot only when the last run ended in good order (a restart of the service) on the
    same boot of the machine; a crash, like a loss of power, is a reboot (ours).
    """
    if memory is None:
        fresh = NodeMemory(
            node_id=config.node.id,
            state=State.INITIALIZING,
            reason=Reason.INITIALIZATION,
            cause=Reason.INITIALIZATION,
            op=0,
            since=boot.at,
            ha=config.group.ha_enabled,
            ha_stamp=0,
            incarnation=0,
            boot_id=boot.boot_id,
            os_boot_id=boot.os_boot_id,
            clean_stop=False,
        )
        return fresh, Start.REBOOT
    if memory.clean_stop and memory.os_boot_id == boot.os_boot_id and not rebooted:
        return memory, Start.RESTART
    return replace(memory, boot_id=boot.boot_id, os_boot_id=boot.os_boot_id), Start.REBOOT


def of_new_run(memory: NodeMemory, config: Config) -> NodeMemory:
    """The memory with which SRM starts once more: to be durable before it speaks."""
    memory = replace(memory, incarnation=memory.incarnation + 1, clean_stop=False)
    if memory.ha_stamp == 0:  # never switched by command: the configuration says
        memory = replace(memory, ha=config.group.ha_enabled)
    return memory


def remembered_node(memory: NodeMemory) -> Node:
    """The node as far as it is stored."""
    return Node(
        state=memory.state,
        reason=memory.reason,
        cause=memory.cause,
        op=memory.op,
        ha=memory.ha,
        ha_stamp=memory.ha_stamp,
    )


def waking(node: Node) -> Node:
    """The node as it is shown until SRM has decided where it begins: in Initializing (R1).

    The state that is remembered belongs to a former run, and the peer may have acted since.
    """
    return replace(
        node,
        state=State.INITIALIZING,
        reason=Reason.INITIALIZATION,
        cause=Reason.INITIALIZATION,
        stage=Stage.BEGUN,
    )


def first_node(memory: NodeMemory, config: Config, placement_op: int) -> Node:
    """The node with which a run of SRM begins, before it has booted.

    `placement_op` is 0 where the database tells none that can be counted on from, see
    `users.counted_op`.
    """
    return replace(
        remembered_node(memory),
        op=max(memory.op, placement_op),
        first=config.node.id < config.peer.id,
        policy=Policy(config.group.automatic_fallback, config.group.split_brain),
    )


def memory_of(node: Node, memory: NodeMemory, since: str) -> NodeMemory:
    """The memory after a transition, the marks left as they are."""
    return replace(
        memory,
        state=node.state,
        reason=node.reason,
        cause=node.cause,
        op=node.op,
        since=since,
        ha=node.ha,
        ha_stamp=node.ha_stamp,
    )


def with_marks(
    memory: NodeMemory, keyring: Keyring, *, heartbeat: Mark, control: Mark
) -> NodeMemory:
    """The memory with the newest marks; one that anyone could have moved is not kept."""
    durable = keyring.proves
    return replace(
        memory,
        peer_heartbeat_mark=mark_to_json(heartbeat) if durable else None,
        peer_control_mark=mark_to_json(control) if durable else None,
    )


def stored_mark(stored: dict[str, object] | None) -> Mark:
    return Mark() if stored is None else mark_from_json(stored)
