"""Looks at both nodes all the time, while something is done to them."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from srmd.client import Client, ClientError
from tests.machines.looking import CONTROL
from tests.systemd.installed import NORMAL, USERS, Installed

INTERVAL_S: Final = 0.5
ANSWER_LIMIT_S: Final = 30.0
"""Of a look, on a busy machine."""
LOOK_LIMIT_S: Final = 90.0
PEM: Final = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Watch:
    """A thread that looks; as a context it ends with a verdict.

    It trusts every CA that a node was ever given, as a program does that was told of a new one.
    """

    def __init__(self, pair: Installed, folder: Path) -> None:
        self._pair = pair
        self._ca = folder / "believed.crt"
        self._believed: list[str] = []
        self._first: dict[str, tuple[object, ...]] = {}
        self.looks_count = 0
        self.wrong: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            assert self.wrong == []

    def wait_for_look(self) -> None:
        """Until a look has ended that began after this call."""
        wanted, give_up_s = self.looks_count + 2, time.monotonic() + LOOK_LIMIT_S
        while self.looks_count < wanted and not self.wrong:
            assert time.monotonic() < give_up_s, "no look has ended"
            assert self._thread.is_alive(), "the looks have ended"
            time.sleep(0.05)

    def _look_on(self) -> None:
        while not self._ended.is_set():
            began_s = time.monotonic()
            self._believe()
            try:
                self._look()
            except (ClientError, KeyError) as error:
                self.wrong.append(f"look {self.looks_count}: {error!r}")
            self.looks_count += 1
            self._ended.wait(max(0.0, INTERVAL_S - (time.monotonic() - began_s)))

    def _look(self) -> None:
        """Each user is served by one node, and SRM is the one that ran before."""
        serving: list[str] = []
        for node in self._pair.machines:
            status, users = self._ask(node)
            local = status["local"]
            life = (local["boot_id"], local["incarnation"], local["op"])
            if self._first.setdefault(node, life) != life:
                self.wrong.append(f"look {self.looks_count}: {node} has started again: {local}")
            shown = f"{local['state']} / {local['reason']}"
            if shown != NORMAL:
                self.wrong.append(f"look {self.looks_count}: {node} is {shown}")
            mine = [user["user_id"] for user in users if user["serving_node"] == node]
            if status["users"]["served"][node] != len(mine):
                self.wrong.append(f"look {self.looks_count}: {node}: {status['users']}")
            serving += mine
        if not len(serving) == len(set(serving)) == USERS:
            self.wrong.append(f"look {self.looks_count}: {len(set(serving))} of {len(serving)}")

    def _ask(self, node: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        host = self._pair.machines[node].host
        client = Client(f"https://{host.address}:{CONTROL}", ca=str(self._ca))
        status = host.do(lambda: client.call("GET", "/api/v1/status", None, ANSWER_LIMIT_S))
        return dict(status), host.do(lambda: list(client.users()))

    def _believe(self) -> None:
        for text in PEM.findall((self._pair.a.disk / "etc/srmd/ca.crt").read_text()):
            if text not in self._believed:
                self._believed.append(text)
                self._ca.write_text("\n".join(self._believed) + "\n")
