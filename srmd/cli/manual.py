"""The manual page, srmd(1), from the parser: what it says is what the command takes.

`hatch_build.py` puts it into the wheel; nothing of it is kept in the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from srmd import __version__
from srmd.cli.exits import MEANINGS, codes_of
from srmd.cli.parser import root, whole

USAGE_COLUMNS = 72

HEAD = f"""\
.TH SRMD 1 "" "srmd {__version__}" "User Commands"
.SH NAME
srmd \\- an emulator of Cisco's Server Recovery Manager
.SH SYNOPSIS
.B srmd
.I COMMAND
.RI [ OPTION \\&...]
.SH DESCRIPTION
Two daemons form a presence redundancy group: they exchange heartbeats over UDP and control messages
over HTTP, run the node state machine, supervise their critical services, and move users to the
survivor when the peer goes down.
.B srmd run
is such a daemon; the other commands ask a running one, prepare its configuration, or break a pair
on purpose.
.PP
Which node is asked:
.B \\-\\-api
.IR URL ,
or the
.I control.listen
of
.B \\-\\-config
.IR FILE ,
or the environment's
.BR SRMD_API ,
or http://127.0.0.1:20075.
.PP
What changes something needs a token:
.B \\-\\-token\\-file
.IR FILE ,
or the
.I control.token
of
.B \\-\\-config
.IR FILE ,
or the environment's
.BR SRMD_TOKEN .
"""

TAIL = """\
.SH ENVIRONMENT
.TP
.B SRMD_API
Address of the node that is asked.
.TP
.B SRMD_CONFIG
Stands for
.BR \\-\\-config ,
unless
.B \\-\\-api
is given.
.TP
.B SRMD_TOKEN
Its token.
.TP
.B NO_COLOR
If it is set, the log at a terminal has no colours.
.TP
.B SRMD_DEBUG
When set, an internal error shows where it happened.
.SH EXAMPLES
A new pair for two hosts:
.PP
.RS
.nf
srmd init pair \\-\\-addresses 192.0.2.11 192.0.2.12
.fi
.RE
.PP
What the pair does, and what to do about it:
.PP
.RS
.nf
srmd status \\-\\-watch
srmd explain
.fi
.RE
.SH FILES
.TP
.I share/doc/srmd/README.md
Below the prefix of the installation (/opt/srmd): two machines, from their installation to their
removal.
.TP
.I share/doc/srmd/trouble.md
Trouble, by symptom: what you see, what it is, what to do.  In Japanese:
.IR trouble.ja.md .
.SH NOTES
srmd is not affiliated with, endorsed by or supported by Cisco.
"""


def page() -> str:
    """The page as the macros of man(7)."""
    parser = whole(root())
    parts = [HEAD, ".SH OPTIONS\n", *_arguments(parser), ".SH COMMANDS\n"]
    for path, command in _commands(parser, "srmd"):
        parts += _command(path, command)
    parts.append(".SH EXIT STATUS\n")
    for code, meaning in MEANINGS.items():
        parts.append(f".TP\n.B {code.value}\n{_text(meaning)}\n")
    return "".join([*parts, TAIL])


def _commands(
    parser: argparse.ArgumentParser, path: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands that do something, with their whole name, in the order of --help."""
    families = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001
    if not families:
        yield path, parser
    for words in families:
        for name, command in words.choices.items():
            yield from _commands(whole(command), f"{path} {name}")


def _command(path: str, command: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.SS "{_text(path)}"\n'
    usage = _Wide(command.prog)
    usage.add_usage(None, command._actions, command._mutually_exclusive_groups, prefix="")  # noqa: SLF001
    yield f".nf\n{_text(usage.format_help().rstrip())}\n.fi\n"
    if command.description:
        yield f".PP\n{_text(command.description)}\n"
    yield from _arguments(command)
    yield f".PP\nExit codes: {_text(_codes(path))}.\n"


def _codes(path: str) -> str:
    """Those of the command; with the meaning where it is not the general one."""
    return ", ".join(
        str(code.value) if meaning == MEANINGS[code] else f"{code.value} ({meaning})"
        for code, meaning in sorted(codes_of(path).items())
    )


class _Wide(argparse.HelpFormatter):
    """Of a width of our own: the page must not depend on the terminal it was made at."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=USAGE_COLUMNS)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = _Wide(parser.prog)
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list
        of_the_root = action.default == argparse.SUPPRESS  # --help, --version and the node asked
        if of_the_root or action.help in (None, argparse.SUPPRESS):
            continue
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name
            continue
        names = formatter._format_action_invocation(action)  # noqa: SLF001 - the words of --help
        yield f".TP\n.B {_text(names)}\n{_text(formatter._expand_help(action))}\n"  # noqa: SLF001


def _text(text: str) -> str:
    """As troff wants it: nothing is a command, a hyphen is the one that is typed."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    lines = [rf"\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines()]
    return "\n".join(lines)
