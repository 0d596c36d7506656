"""What we tell the service manager: ready, how we are, that we live, that we stop.

A datagram to the socket that NOTIFY_SOCKET names; without it nothing is told.
Source: systemd, sd_notify(3) and sd_watchdog_enabled(3).  PyPI's `sdnotify` has been without a
release since 2017, and systemd's own binding needs a compiler; the protocol is a line of text.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping

from srmd import __version__

WATCHDOG_SHARE = 3
"""We report in so many parts of the time after which the manager loses patience: one late report
must not be the end."""
STATUS_CHARACTERS_MAX = 200


class Notify:
    """The service manager's socket, or none."""

    def __init__(self, path: str | None, watchdog_s: float | None = None) -> None:
        """`path` may name an abstract socket (`@name`)."""
        self._address = "\0" + path[1:] if path is not None and path.startswith("@") else path
        self.watchdog_s = watchdog_s if self._address is not None else None
        """After so many seconds without a sign of life we are killed; None: nobody watches."""
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_env(cls, env: MutableMapping[str, str] = os.environ) -> Notify:
        """As the environment says, which forgets it: our services are not watched in our place."""
        path = env.pop("NOTIFY_SOCKET", None) or None
        usec, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
        is_ours = not pid or pid == str(os.getpid())
        watchdog_s = int(usec) / 1e6 if is_ours and usec.isdecimal() and int(usec) > 0 else None
        return cls(path, watchdog_s)

    def ready(self) -> None:
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`, with the version that runs."""
        line = f"{' '.join(text.split())[:STATUS_CHARACTERS_MAX]} (srmd {__version__})"
        self._tell(f"STATUS={line}")

    def stopping(self, limit_s: float) -> None:
        """We end, within so many seconds from now."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(limit_s * 1e6)}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    async def watch(self, proof: Callable[[], Awaitable[None]]) -> None:
        """Give a sign of life each time that `proof` has returned, until cancelled.

        There is no limit on the proof: the service manager is that limit.
        """
        if self.watchdog_s is None:
            return
        while True:
            await proof()
            self.alive()
            await asyncio.sleep(self.watchdog_s / WATCHDOG_SHARE)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(text.encode(errors="replace"), self._address)
        except OSError:
            pass  # A manager that does not listen is no reason to fail; the next report follows.
