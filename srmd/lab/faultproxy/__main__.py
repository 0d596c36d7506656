"""The fault proxy as a process: `python -m srmd.lab.faultproxy`.

Prints one line when it is ready, with address and seed; ends on SIGINT, SIGTERM and SIGQUIT, and on
SIGHUP when it has a terminal.  What is done about other signals is said on standard error.
With `--events -` standard output is the event log alone, and that line is on standard error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from srmd import descriptors, orphans
from srmd.lab.faultproxy.journal import STANDARD_OUTPUT
from srmd.lab.faultproxy.server import CannotStart, Settings, serving
from srmd.lab.faultproxy.words import TOKEN_VARIABLE, parse
from srmd.library_log import Complaint, LibraryLog, take_over
from srmd.line_writer import Descriptor, LineWriter
from srmd.secret import Secret
from srmd.signals import STOPS, WOULD_KILL, Handler, Signals, has_terminal, name_of

READY = "faultproxy: listening on {url} seed {seed} {manner}"
"""The line that says that the API answers; programs that start us read the address from it."""
DESCRIPTORS_WANTED = 8192
"""Descriptors that are asked of the system for; each connection through a proxy has two."""
LINES_WAITING_MAX = 1000
"""Lines that wait for a slow reader of standard error; what comes on top is counted."""
STDERR_FD = 2
LOCAL = ("localhost", "127.0.0.1", "::1")


def main(args: list[str]) -> int:
    """Runs until it is told to end.  0: ended as asked; 1: could not start; 2: bad arguments."""
    descriptors.reserve_standard()
    try:
        settings = _settings(args)
    except SystemExit as done:  # argparse has said what is wrong, or shown the help
        return int(done.code or 0)
    try:
        asyncio.run(_run(settings))
    except CannotStart as failed:
        print(f"faultproxy: {failed}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    descriptors.raised(DESCRIPTORS_WANTED)
    async with serving(settings) as server:
        ended = asyncio.Event()
        # A reader that does not read our output must not stop the proxies.
        said = LineWriter(
            Descriptor(STDERR_FD),
            capacity=LINES_WAITING_MAX,
            name="standard error",
            lost=lambda count: _line(f"{count} lines are missing here"),
        )
        take_over(LibraryLog(lambda complaint: said.write(_line(_in_words(complaint)))))
        signals = _signals(ended, said)
        try:
            manner = "strict" if settings.strict else "lenient"
            ready = READY.format(url=server.url, seed=server.seed, manner=manner)
            out = sys.stderr if settings.events == STANDARD_OUTPUT else sys.stdout
            with suppress(OSError):  # closed or full: the proxies are what counts
                print(ready, file=out, flush=True)
            if settings.token is None and settings.host not in LOCAL:
                warning = f"anybody who reaches {settings.host} can use it; set {TOKEN_VARIABLE}"
                said.write(_line(warning))
            await ended.wait()
        finally:
            signals.close()
            said.close()


def _line(text: str) -> bytes:
    return f"faultproxy: {text}\n".encode(errors="backslashreplace")


def _in_words(complaint: Complaint) -> str:
    why = f": {complaint.error!r}" if complaint.error is not None else ""
    if descriptors.is_exhausted(complaint.error):
        why += "; no descriptor is free: raise the limit of open files (ulimit -n, LimitNOFILE)"
    again = f" ({complaint.left_out_count} times more before)" if complaint.left_out_count else ""
    return f"{complaint.logger}: {complaint.text}{why}{again}"


def _signals(ended: asyncio.Event, said: LineWriter) -> Signals:
    def end(_number: int) -> None:
        ended.set()

    def go_on(number: int) -> None:
        done = "a moved event log is opened anew" if number == signal.SIGHUP else "ignored"
        said.write(_line(f"{name_of(number)} received: {done}"))

    ends = {*STOPS, signal.SIGHUP} if has_terminal() else {*STOPS}
    handlers: dict[int, Handler] = dict.fromkeys(WOULD_KILL, go_on)
    if orphans.is_theirs():
        handlers[signal.SIGCHLD] = lambda _number: orphans.reap(())
        orphans.reap(())
    return Signals(handlers | dict.fromkeys(ends, end))


def _settings(args: list[str]) -> Settings:
    chosen = parse(args)
    token = os.environ.get(TOKEN_VARIABLE)
    return Settings(
        host=chosen.host,
        port=chosen.port,
        seed=chosen.seed,
        strict=not chosen.lenient,
        config=chosen.config,
        events=chosen.events,
        token=Secret(token) if token else None,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
