"""The certificates of a running node: read at each start of SRM, watched until they end.

What is wrong with new files is logged, and the old ones are kept: a rotation that fails is no
outage.  The wall clock decides nothing here: OpenSSL refuses what has expired, we only warn before.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srmd import tls
from srmd.tls import BadCertificate, Certificate, Contexts

WATCH_INTERVAL_S = 3600.0
"""How often the expiry is looked at."""
REFUSALS_LOGGED = (1, 10, 100, 1000, 10_000, 100_000)

Files = tuple[Path, Path, Path]


class Tls:
    """Of one boot of a node; without files it is off, and every answer is None."""

    def __init__(self, files: Files | None, log: Any, at: tls.Place = Path) -> None:
        """Raises BadCertificate."""
        self._log = log
        self._at = at
        self._contexts: Contexts | None = tls.read(*files, at=at) if files is not None else None
        self.peer: Certificate | None = None
        """What the peer showed last when we called it."""
        self.refused_count = 0
        self._told: dict[tuple[str, int], int] = {}

    def reload(self, files: Files | None) -> None:
        """Take what the files hold now, from the next connection on."""
        if files is None or self._contexts is None:
            return
        try:
            self._contexts = tls.read(*files, at=self._at)
        except BadCertificate as bad:
            self._log.warning("config.warning", key=f"tls.{bad.place}", problem=str(bad))
            return
        self.warn(time.time())

    def server(self) -> ssl.SSLContext | None:
        return self._contexts.server if self._contexts is not None else None

    def client(self) -> ssl.SSLContext | None:
        return self._contexts.client if self._contexts is not None else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of hosts in the certificate of this node."""
        return self._contexts.certificate.hosts if self._contexts is not None else ()

    def refused(self, source: str, why: str) -> None:
        """A handshake with somebody failed."""
        self.refused_count += 1
        if self.refused_count in REFUSALS_LOGGED:
            self._log.warning("tls.refused", source=source, why=why, count=self.refused_count)

    async def watch(self) -> None:
        """Warn of what ends soon, until cancelled."""
        while self._contexts is not None:
            self.warn(time.time())
            await asyncio.sleep(WATCH_INTERVAL_S)

    def warn(self, now_s: float) -> None:
        """Each warning of a certificate is told once; a new certificate has its own."""
        for whose, ends_s in self._ends():
            days = tls.days_left(ends_s, now_s)
            due = tls.warning_due(days, self._told.get((whose, ends_s), math.inf))
            if due is not None:
                self._told[whose, ends_s] = due
                self._log.warning("tls.expires", whose=whose, at=_text(ends_s), days_left=days)

    def status(self, now_s: float) -> dict[str, Any] | None:
        """Whose certificate ends when; None when TLS is off."""
        if self._contexts is None:
            return None
        return {
            "refused": self.refused_count,
            "certificates": [
                {"whose": whose, "at": _text(ends_s), "days_left": tls.days_left(ends_s, now_s)}
                for whose, ends_s in self._ends()
            ],
        }

    def _ends(self) -> list[tuple[str, int]]:
        contexts = self._contexts
        if contexts is None:
            return []
        ends = [("node", contexts.certificate.not_after_s), ("ca", contexts.ca_not_after_s)]
        return [*ends, ("peer", self.peer.not_after_s)] if self.peer is not None else ends


def _text(moment_s: int) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="seconds")
