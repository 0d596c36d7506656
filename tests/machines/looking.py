"""What the nodes on two machines say of themselves, asked from the machines' own network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from srmd.client import Client, ClientError, Json
from srmd.secret import Secret
from tests.machines.debian import MachineError
from tests.netns.hosts import Host

CONTROL = 20075
POLL_S = 0.05
ANSWER_LIMIT_S = 3.0


class HostClient(Client):
    """Asks from a host, on whose network the machine is."""

    def __init__(self, address: str, host: Host, token: str, ca: Path | None = None) -> None:
        """`ca`: by which it judges the node; None: the node has no TLS."""
        url = f"http{'s' if ca else ''}://{address}:{CONTROL}"
        super().__init__(url, Secret(token), ca=str(ca) if ca else None)
        self._host = host

    def call(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        ask = super().call
        limit_s = ANSWER_LIMIT_S if timeout_s is None else timeout_s
        return self._host.do(lambda: ask(method, path, body, limit_s))


class Nodes:
    """Both nodes, by their clients."""

    def __init__(self, clients: Mapping[str, HostClient]) -> None:
        self.clients = clients

    def status(self, node: str) -> dict[str, Any] | None:
        """What `srmd status --json` shows; None while it does not answer."""
        try:
            return dict(self.clients[node].status())
        except ClientError:
            return None

    def shown(self, node: str) -> str | None:
        """`state / reason`."""
        status = self.status(node)
        if status is None:
            return None
        local = status["local"]
        return f"{local['state']} / {local['reason']}"

    def wait_for(self, a: str | None, b: str | None, *, within_s: float = 60.0) -> None:
        """Both show this; None: whatever it shows, or whether it lives.  Raises MachineError."""
        wanted = {node: text for node, text in (("a", a), ("b", b)) if text is not None}
        seen: dict[str, str | None] = {}

        def holds() -> bool:
            seen.update({node: self.shown(node) for node in wanted})
            return seen == wanted

        try:
            self.wait_until(f"{wanted}", holds, within_s=within_s)
        except MachineError as error:
            raise MachineError(f"{error}; they show {seen}") from None

    def wait_for_row(self, number: int, *nodes: str, within_s: float = 60.0) -> None:
        """These nodes name this row of the handbook."""

        def holds() -> bool:
            found = [self.status(node) for node in nodes]
            return all(status and status["handbook"]["row"] == number for status in found)

        self.wait_until(f"row {number} on {', '.join(nodes)}", holds, within_s=within_s)

    def does(self, action: str, node: str) -> None:
        """An action of the administrator, asked of this node once it offers it."""
        wanted = {"action": action, "node": node}

        def offered() -> bool:
            status = self.status(node)
            return status is not None and wanted in status["actions"]

        self.wait_until(f"{node} offers {action}", offered)
        self.clients[node].act(action, node)

    def wait_until(self, what: str, holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
        give_up_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() >= give_up_s:
                raise MachineError(f"not within {within_s:g} s: {what}")
            time.sleep(POLL_S)
