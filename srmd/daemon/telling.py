"""Writes down what the node uses, for `srmd config check --running`, outside the loop.

What was written is removed before something else is taken: a disk that is full may then leave
nothing to compare with, and never a value that is not used any more.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from srmd import __version__
from srmd.config import Config
from srmd.config.running import RUNNING_FILE, written
from srmd.tls import Contexts

WRITE_LIMIT_S = 5.0
"""Limit of a write; a reload and a boot wait for it."""


class Telling:
    """The file of one process; it ends with `close`."""

    def __init__(self, state_dir: Path, copies: Path | None, log: Any) -> None:
        """`copies`: the folder with copies that are read in place of the configuration."""
        self._path = state_dir / RUNNING_FILE
        self.copies = copies
        self._log = log

    async def forget(self) -> None:
        """Something else is about to be taken."""
        await self._bounded(partial(self._path.unlink, missing_ok=True))

    async def tell(self, config: Config, contexts: Contexts | None) -> None:
        """This is used from now on."""
        content = written(config, contexts, version=__version__, copies=self.copies)
        await self._bounded(partial(_replace, self._path, content))

    def close(self) -> None:
        """The process ends."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    async def _bounded(self, work: Any) -> None:
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await asyncio.to_thread(work)
        except OSError as failed:  # TimeoutError is one
            why = failed.strerror or f"no answer within {WRITE_LIMIT_S:g} s"
            text = f"{self._path}: {why}; srmd config check --running cannot compare until a reload"
            self._log.warning("config.warning", key="node.state_dir", problem=text)


def _replace(path: Path, content: bytes) -> None:
    """Not synced: what it says is over when the machine stops."""
    fresh = path.with_name(path.name + ".tmp")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    fresh.replace(path)
