"""The configuration, read again while the process runs: by a reload, a start of SRM, a reboot.

All three go this way, and differ in what they take (`config.taking`).  A file that cannot be used
changes nothing.  A section of which a half would cut the pair or lock commands out is taken whole
or not at all, and neither does a certificate whose time is over replace another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srmd.config import AuthConfig, Config, ConfigError, Loaded, Problem
from srmd.config.taking import Needs, Taken, in_words, take
from srmd.tls import Contexts
from srmd.wire.keys import Keyring

READ_LIMIT_S = 5.0
"""Limit of a reading of the files."""

Load = Callable[[], Loaded]


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of one reading of the files."""

    taken: Taken
    contexts: Contexts | None
    """The certificates to use from now on."""

    @property
    def note(self) -> str:
        """In words, what is not used of the files; empty when all is."""
        notes = [*self.taken.refused]
        if self.taken.left:
            notes.append(f"changed and not used yet: {in_words(self.taken.left)}")
        return "; ".join(notes)


async def read(load: Load) -> Loaded:
    """The files as they are now; a slow disk holds nothing up.  Raises ConfigError."""
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            return await asyncio.to_thread(load)
    except TimeoutError:
        right = f"a disk that gives the files within {READ_LIMIT_S:g} s"
        raise ConfigError(Path("the configuration"), (Problem("", "no answer", right),)) from None


def judge(
    loaded: Loaded,
    running: Config,
    contexts: Contexts | None,
    by: Needs,
    *,
    now_s: float,
    keys_refused: str = "",
) -> Reading:
    """The part of the files that is used from now on.

    `contexts`: those in use.  `now_s` is of the wall clock.  `keys_refused`: the reason for which
    the keys stay as they are.
    """
    refusals = {"auth": keys_refused} if keys_refused else {}
    if why := _certificate_refused(loaded, contexts, now_s):
        refusals["tls"] = why
    taken = take(running, loaded.config, by, refusals)
    if taken.config.tls != loaded.config.tls or loaded.contexts is None or "tls" in refusals:
        return Reading(taken, contexts)
    changed = [*taken.changed]
    for place, digest in loaded.contexts.digests.items():
        if contexts is not None and digest != contexts.digests[place]:
            changed.append(f"tls.{place}")
    known = Taken(taken.config, tuple(dict.fromkeys(changed)), taken.refused, taken.left)
    return Reading(known, loaded.contexts)


def _certificate_refused(loaded: Loaded, used: Contexts | None, now_s: float) -> str:
    """Why the certificate in use stays; empty: the other one may replace it."""
    fresh = loaded.contexts
    if fresh is None or used is None:
        return ""
    if fresh.digests["certificate"] == used.digests["certificate"]:
        return ""
    why = fresh.certificate.untimely(now_s)
    if not why:
        return ""
    return (
        f"tls.certificate: {loaded.config.tls.certificate} {why}, so the certificate in use stays; "
        "put one that holds in its place, and reload"
    )


async def keys_refused(
    fresh: AuthConfig,
    used: AuthConfig,
    *,
    peer: str,
    peer_key: str,
    why_not_taken: Callable[[Keyring], Awaitable[str]],
) -> str:
    """Why other keys would cut the pair; empty: they may be taken.

    `peer_key`: the key by which the peer signs now; empty when that is not known.
    `why_not_taken` asks the peer whether it takes what a new key signs.
    """
    if fresh == used or fresh.mode is not used.mode:
        return ""
    if peer_key and fresh.keys.get(peer_key) != used.keys.get(peer_key):
        return (
            f"auth.keys.{peer_key}: node {peer} signs with it now, so all keys stay as they are; "
            f"have node {peer} sign with another key first (auth.active, then "
            f"{Needs.RELOAD.value}, there)"
        )
    signing = (fresh.active, fresh.keys.get(fresh.active))
    if not fresh.keyring().signs or signing == (used.active, used.keys.get(used.active)):
        return ""
    if why := await why_not_taken(fresh.keyring()):
        return (
            f"auth.active: node {peer} does not take what key {fresh.active} signs ({why}), so all "
            f"keys stay as they are; add the key on node {peer}, and reload there first"
        )
    return ""


def log_reading(log: Any, by: str, reading: Reading) -> None:
    """The one record of what was taken."""
    taken = reading.taken
    write = log.warning if taken.refused else log.info
    write(
        "config.reloaded",
        by=by,
        taken=list(taken.changed),
        refused=list(taken.refused),
        needs=in_words(taken.left),
    )


def log_kept(log: Any, by: str, error: ConfigError) -> None:
    """The one record of a configuration that cannot be used."""
    log.warning("config.kept", by=by, problems=[str(problem) for problem in error.problems])
