"""The certificates that a running node uses, watched until they end.

Others are taken when the configuration is read again (`reloading`).  The wall clock decides
nothing here: OpenSSL refuses what has expired, we only warn before.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from typing import Any

from srmd import tls
from srmd.tls import Certificate, Contexts

WATCH_INTERVAL_S = 3600.0
"""How often the expiry is looked at."""
REFUSALS_LOGGED = (1, 10, 100, 1000, 10_000, 100_000)


class Tls:
    """Of one boot of a node; without contexts it is off, and every answer is None."""

    def __init__(self, contexts: Contexts | None, log: Any) -> None:
        self._log = log
        self.contexts = contexts
        self.peer: Certificate | None = None
        """What the peer showed last when we called it."""
        self._peer_shown_s = 0.0
        """The monotonic second at which it did."""
        self.refused_count = 0
        self._last_refused: tuple[str, str, float] | None = None
        """Source, reason and monotonic second of the last handshake that failed."""
        self._told: dict[tuple[str, int], int] = {}

    def use(self, contexts: Contexts | None) -> None:
        """Use these from the next connection on, in either direction."""
        self.contexts = contexts
        self.warn(time.time())

    def server(self) -> ssl.SSLContext | None:
        return self.contexts.server if self.contexts is not None else None

    def client(self) -> ssl.SSLContext | None:
        return self.contexts.client if self.contexts is not None else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of hosts in the certificate of this node."""
        return self.contexts.certificate.hosts if self.contexts is not None else ()

    def shown_by_peer(self, certificate: Certificate) -> None:
        """The peer answered a call of ours with this certificate."""
        self.peer, self._peer_shown_s = certificate, time.monotonic()

    def refused(self, source: str, why: str) -> None:
        """A handshake with somebody failed."""
        self.refused_count += 1
        self._last_refused = (source, why, time.monotonic())
        if self.refused_count in REFUSALS_LOGGED:
            self._log.warning("tls.refused", source=source, why=why, count=self.refused_count)

    async def watch(self) -> None:
        """Warn of what ends soon, until cancelled."""
        while self.contexts is not None:
            self.warn(time.time())
            await asyncio.sleep(WATCH_INTERVAL_S)

    def warn(self, now_s: float) -> None:
        """Each warning of a certificate is told once; a new certificate has its own."""
        for whose, ends_s in self._ends():
            days = tls.days_left(ends_s, now_s)
            due = tls.warning_due(days, self._told.get((whose, ends_s), math.inf))
            if due is not None:
                self._told[whose, ends_s] = due
                log = self._log.error if days <= 0 else self._log.warning
                log("tls.expires", whose=whose, at=tls.moment(ends_s), days_left=days)

    def status(self, now_s: float) -> dict[str, Any] | None:
        """Whose certificate ends when; None when TLS is off."""
        if self.contexts is None:
            return None
        moment_s = time.monotonic()
        last = self._last_refused
        return {
            "refused": self.refused_count,
            "last_refused": None
            if last is None
            else {"source": last[0], "why": last[1], "ago_s": round(moment_s - last[2], 3)},
            "certificates": [
                {
                    "whose": whose,
                    "at": tls.moment(ends_s),
                    "days_left": tls.days_left(ends_s, now_s),
                    "shown_ago_s": round(moment_s - self._peer_shown_s, 3)
                    if whose == "peer"
                    else None,
                }
                for whose, ends_s in self._ends()
            ],
        }

    def _ends(self) -> list[tuple[str, int]]:
        contexts = self.contexts
        if contexts is None:
            return []
        ends = [("node", contexts.certificate.not_after_s), ("ca", contexts.ca_not_after_s)]
        return [*ends, ("peer", self.peer.not_after_s)] if self.peer is not None else ends
