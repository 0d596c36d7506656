"""Two nodes of a group without their processes: configuration, log and objects for unit tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from srmd.config import (
    Address,
    AuthConfig,
    Config,
    ControlConfig,
    GroupConfig,
    HeartbeatConfig,
    LimitsConfig,
    LogConfig,
    LogFormat,
    NodeConfig,
    PeerConfig,
    ServicesConfig,
    UsersConfig,
    load,
)
from srmd.secret import Secret

HOST = "127.0.0.1"
KEY = Secret(b"sixteen bytes or more")
OTHER = {"a": "b", "b": "a"}
unread = partial(load, "no-folder/no-node.toml")
"""How a node reads its configuration again that has no file."""


def config_of(
    node: str, folder: Path, *, peer_port: int = 9, peer_control: str = f"http://{HOST}:9"
) -> Config:
    """No services; a heartbeat port that is free; a peer that nobody hears."""
    state = folder / node
    state.mkdir(exist_ok=True)
    return Config(
        node=NodeConfig(id=node, state_dir=state),
        group=GroupConfig(name="lab"),
        peer=PeerConfig(id=OTHER[node], heartbeat=Address(HOST, peer_port), control=peer_control),
        heartbeat=HeartbeatConfig(
            listen=Address(HOST, 0),
            keep_alive_interval_s=0.05,
            keep_alive_timeout_s=30.0,
            initialization_keep_alive_timeout_s=30.0,
        ),
        control=ControlConfig(call_timeout_s=0.3),
        auth=AuthConfig(active="k", keys={"k": KEY}),
        services=ServicesConfig(service=()),
        users=UsersConfig(database_check_interval_s=0.05),
        limits=LimitsConfig(shutdown_s=2.0),
        log=LogConfig(file=state / "log.jsonl", format=LogFormat.JSON),
    )


class Records:
    """Takes the place of a log, and keeps the records."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def names(self) -> list[str]:
        return [name for name, _ in self.records]

    def _take(self, name: str, **fields: Any) -> None:
        self.records.append((name, fields))

    debug = info = warning = error = _take
