"""The node's memory on its disk: saved, and saved again until the disk takes it.

A node decides and acts also while its disk is full, or it would be no use in an outage.  Until the
newest memory is durable a restart would bring back an older one: a manual failover would be
forgotten (R2), or a switch of high availability.  So it is said, and saved again as soon as can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from srmd.core.texts import Text
from srmd.daemon.upkeep import Backoff
from srmd.store import disk, nodestate
from srmd.store.nodestate import NodeMemory

AGAIN_LONGEST_S = 10.0
"""The longest pause between two tries: so long a freed disk may still hold an older memory."""


NOT_DURABLE: Final = Text(
    "The state of node {node} is not stored: {why}. A restart of the node would bring back an older"
    " state. Remove the cause, for instance free space on its file system: the state is stored as"
    " soon as the disk takes it.",
    "ノード {node} の状態が保存されていません: {why}。ノードを再起動すると、古い状態に戻ります。"
    "ファイル システムの空き容量を確保するなどして、原因を取り除きます。"
    "ディスクに書き込めるようになると、状態は自動的に保存されます。",
)


class Saving:
    """Saves in one thread, in the order of the calls."""

    def __init__(self, path: Path, newest: Callable[[], NodeMemory], log: Any) -> None:
        self.failure: OSError | None = None
        """The error for which the newest memory is not durable; None while it is."""
        self._path = path
        self._newest = newest
        self._log = log
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="node memory")
        self._again: asyncio.Task[None] | None = None

    async def save(self, memory: NodeMemory) -> None:
        """Returns when it is durable.  Raises OSError, and then goes on trying."""
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._disk, nodestate.save, self._path, memory
            )
        except OSError as error:
            self.failed(error)
            raise
        if memory == self._newest():
            self._is_durable()

    def failed(self, error: OSError) -> None:
        """The newest memory is not durable, as far as is known: also after the end of a wait."""
        before, self.failure = self.failure, error
        if before is None or disk.in_words(before) != disk.in_words(error):
            memory = self._newest()
            self._log.error(
                "node.save_failed",
                state=memory.state.name,
                op=memory.op,
                error=disk.in_words(error),
            )
        if self._again is None:
            self._again = asyncio.create_task(self._save_again(), name="save memory again")

    def notice(self, node: str) -> Text | None:
        """The notice for an operator."""
        if self.failure is None:
            return None
        return NOT_DURABLE.naming(node=node, why=disk.words_of(self.failure))

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._disk.shutdown(wait=False)

    def _is_durable(self) -> None:
        if self.failure is not None:
            self.failure = None
            memory = self._newest()
            self._log.info("node.saved", state=memory.state.name, op=memory.op)

    async def _save_again(self) -> None:
        """Without a bound: while a disk hangs, one more save waits for it and no second."""
        backoff = Backoff(longest_s=AGAIN_LONGEST_S)
        while self.failure is not None:
            await asyncio.sleep(backoff.failed())
            with suppress(OSError):
                await self.save(self._newest())
        self._again = None
