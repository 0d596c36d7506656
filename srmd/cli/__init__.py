"""The command line.  Commands only parse, ask the node over HTTP, and print.

    parser.py     the words: commands, options, --help
    exits.py      exit codes, and the one way to end with a message
    target.py     which node is asked, and with which token
    asking.py     what a node's refusal is as an exit code
    status.py     `srmd status`, once and as a watch
    check.py      `srmd status --check`, one line for monitoring
    operations.py what sets the pair going, and waits for it
    waiting.py    the wait for an operation's end
    commands.py   everything else that a node is asked
    explain.py    `srmd states` and `srmd explain`: the handbook at the prompt
    completion.py what the TAB key offers
    manual.py     the manual page, which the wheel gets
    init.py       `srmd init`: the files of a new pair
    records.py    `srmd replay`, `srmd why`, `srmd timeline`: files, and no node
    sim.py        `srmd sim`: random search in virtual time
    streams.py    standard streams that are closed, full, or without a reader
    reader.py     ends a long command when its output has no reader
    output.py     tables for people, JSON for programs

A command has to feel instant.  So nothing here imports the daemon, or anything slow, before it is
needed; `srmd --help` costs argparse and no more.  tests/test_cli.py keeps it true.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from srmd import __version__
from srmd.cli import streams
from srmd.cli.exits import Exit, Failure
from srmd.terminal import complain

__all__ = ["Exit", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code.  Never a traceback, unless SRMD_DEBUG is set."""
    streams.begin()
    words = sys.argv[1:] if arguments is None else arguments
    if "--check" in words:
        from srmd.cli.check import checked, is_check  # only monitoring asks so

        if is_check(words):
            return checked(lambda: _run(words))
    return streams.end(_code(words))


def _code(words: Sequence[str]) -> int:
    try:
        return _run(words)
    except Failure as failure:
        if not streams.is_broken():  # otherwise it may be made of that
            complain(f"srmd: {failure}")
        return failure.code
    except streams.ReaderGone:
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt:
        print(file=sys.stderr)  # The terminal has just printed ^C.
        return Exit.INTERRUPTED
    except SystemExit as end:  # argparse, after --help or a wrong word
        return end.code if isinstance(end.code, int) else Exit.USAGE
    except Exception as bug:  # the last resort: one line instead of a traceback
        if streams.is_broken() or isinstance(bug, BrokenPipeError):
            return Exit.BROKEN_PIPE
        if isinstance(bug, UnicodeError) and (no_text := _no_text(words)):
            print(f"srmd: {no_text}: it holds bytes that are not text", file=sys.stderr)
            return Exit.USAGE
        if os.environ.get("SRMD_DEBUG"):
            raise
        name = type(bug).__name__
        complain(f"srmd: internal error: {name}: {bug} (SRMD_DEBUG=1 shows where)")
        return Exit.INTERNAL


def _no_text(words: Sequence[str]) -> str:
    """The argument or the variable of ours whose bytes are not text; empty when all are."""
    for word in words:
        if not _is_text(word):
            return word
    names = (name for name, value in os.environ.items() if not _is_text(value))
    return next((name for name in names if name.startswith("SRMD_")), "")


def _is_text(word: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def _run(words: Sequence[str]) -> int:
    if list(words) == ["--version"]:
        print(f"srmd {__version__}")  # at once; among other words argparse answers it
        return Exit.OK

    import importlib

    from srmd.cli.parser import parse  # inside the guard: Ctrl-C is quiet there too

    options = parse(words)
    module = importlib.import_module(f"srmd.cli.{options.module}")
    code = getattr(module, options.function)(options)
    assert isinstance(code, int), options.function
    return code
