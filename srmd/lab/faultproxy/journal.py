"""The event log: one JSON object a line, one line for each datagram that arrives.

    {"event":"datagram","at_s":1.25,"proxy":"hb_a_to_b","stream":"upstream","session":1,
     "ordinal":7,"bytes":212,"toxics":{"loss":"dropped"},"releases_s":[]}

Times are seconds since the log began, on the monotonic clock; `releases_s` says when it left, once
for each copy.  A line of the event `released` tells when a toxic gave up what it had parked.
The first line holds the seed: with it, the same traffic meets the same decisions.  It also says
when the log began, on the monotonic clock of the host (`mono_s`) and on the wall clock (`wall`), so
that the log can be laid beside others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from srmd.lab.faultproxy.pipeline import Happened
from srmd.line_writer import Descriptor, LineWriter, RotatedFile

JOURNAL_BYTES_MAX = 512 * 2**20
"""Bound of the log and the one before it; ours."""
STANDARD_OUTPUT = Path("-")
STDOUT_FD = 1
LINES_WAITING_MAX = 100_000
"""Lines that wait for the disk; what comes on top is lost, and the log says how many."""


class Journal:
    """Writes what happens, to a file or to standard output (`-`).

    Without a path it writes nothing and costs nothing.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float], *, seed: int) -> None:
        """Raises OSError when the file cannot be written."""
        self._clock = clock
        self._began_s = clock()
        self._writer: LineWriter | None = None
        if path is not None:
            self._writer = LineWriter(
                Descriptor(STDOUT_FD)
                if path == STANDARD_OUTPUT
                else RotatedFile(path, JOURNAL_BYTES_MAX),
                capacity=LINES_WAITING_MAX,
                name="fault proxy journal",
                lost=lambda count: _line("lines.lost", {"count": count}),
            )
        wall = datetime.now(UTC).isoformat(timespec="microseconds")
        self.tell("journal.began", seed=seed, mono_s=round(self._began_s, 6), wall=wall)

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def tell(self, event: str, **fields: object) -> None:
        """Something that happened to the proxies, not to a datagram."""
        if self._writer:
            at_s = round(self._clock() - self._began_s, 6)
            self._writer.write(_line(event, {"at_s": at_s, **fields}))

    def teller(self, proxy: str, stream: str) -> Callable[[Happened], None] | None:
        """What a pipeline tells its story to; None when nobody listens."""
        writer = self._writer
        if writer is None:
            return None

        def tell(happened: Happened) -> None:
            datagram = happened.datagram
            fields = {
                "at_s": round(happened.at_s - self._began_s, 6),
                "proxy": proxy,
                "stream": stream,
                "session": datagram.session,
                "ordinal": datagram.ordinal,
                "bytes": len(datagram.payload),
                "toxics": {step.toxic: step.decision.value for step in happened.steps},
                "releases_s": [round(at_s - self._began_s, 6) for at_s in happened.releases_s],
            }
            if happened.queue_dropped:
                fields["queue_dropped"] = happened.queue_dropped
            writer.write(_line("released" if happened.parked_before else "datagram", fields))

        return tell


def _line(event: str, fields: dict[str, object]) -> bytes:
    return json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
