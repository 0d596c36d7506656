"""The words of the command line, and what was probably meant by a wrong one."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

from srmd import __version__
from srmd.cli.exits import MEANINGS, Exit

TIMEOUT_S = 180.0
"""How long a command waits for its operation: the initialization timeout by Cisco's defaults
(120 s), and a minute for services and users; ours."""
TIMEOUT_S_MAX = 86_400.0
DIGITS_MAX = 9
GENERATE_MODES = ("balanced", "active-standby", "none")
STATES_FORMATS = ("text", "json", "mermaid", "md")
"""What srmd.tables can print; not imported from there, to be quick."""

EPILOG = """\
which node is asked:
  --api URL, or the control.listen of --config FILE, or the environment's SRMD_API,
  or http://127.0.0.1:20075
token, for what changes something:
  --token-file FILE, or the control.token of --config FILE, or the environment's SRMD_TOKEN
exit codes:
"""


class Parser(argparse.ArgumentParser):
    """argparse that says what was probably meant, and takes no abbreviated options."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # passed on as they came

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.metavar or action.dest
            raise argparse.ArgumentError(
                None, f"{name}: {value}: {did_you_mean(str(value), action.choices)}"
            )

    def error(self, message: str) -> NoReturn:
        print(f"srmd: {message}\n  {self.prog} --help tells more", file=sys.stderr)
        sys.exit(Exit.USAGE)


def did_you_mean(meant: str, choices: Iterable[str]) -> str:
    known = list(choices)
    near = difflib.get_close_matches(meant, known, n=2)
    listed = f"one of {', '.join(known)}"
    return f"did you mean {' or '.join(near)}? ({listed})" if near else listed


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Ends the program, as argparse does, after --help, --version or a mistake."""
    options, left_over = _parser().parse_known_args(arguments)
    leaf: Parser = options.parser
    if left_over:
        # argparse has no public list of its options.
        known = [text for action in leaf._actions for text in action.option_strings]  # noqa: SLF001
        near = difflib.get_close_matches(left_over[0], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        leaf.error(f"{leaf.prog}: {left_over[0]} is not known here{hint}")
    if options.function is None:
        leaf.error(f"{leaf.prog}: which command? {', '.join(options.words.choices)}")
    return options


def _parser() -> Parser:
    codes = "".join(f"  {code.value:<4} {meaning}\n" for code, meaning in MEANINGS.items())
    root = Parser(
        prog="srmd",
        description="An emulator of Cisco's Server Recovery Manager.",
        epilog=EPILOG + codes,
    )
    root.add_argument("--version", action="version", version=f"srmd {__version__}")
    _add_target(root, default=None)
    words = _words(root)

    run = words.add_parser("run", help="run a node in the foreground")
    run.add_argument("--config", required=True, metavar="FILE", help="the node's TOML file")
    run.set_defaults(parser=run, module="commands", function="run")

    status = _command(words, "status", "state of both nodes, users, services, what to do")
    status.add_argument("--watch", action="store_true", help="go on, and show each change")
    _add_json(status)

    for word, function, place, help_text in (
        ("failover", "failover", "the node that is to fail", "move a node's users to its peer"),
        ("fallback", "fallback", "the home node", "bring a node's users back to it"),
    ):
        action = _command(words, word, help_text, function)
        action.add_argument("node", metavar="NODE", help=place)
        _add_wait(action)
    _add_wait(_command(words, "recover", "bring the pair out of Running in Failed Mode"))

    ha = _family(words, "ha", "high availability of the pair")
    for word in ("enable", "disable"):
        switch = _command(ha, word, f"{word} high availability", "ha")
        switch.set_defaults(enabled=word == "enable")
        _add_wait(switch)

    _add_services(words)
    _add_users(words)

    srm = _family(words, "srm", "the Server Recovery Manager itself, on this node")
    for word in ("stop", "start", "restart"):
        action = _command(srm, word, f"{word} SRM; services and sessions stay", "srm")
        action.set_defaults(action=word)
        if word != "stop":
            _add_wait(action)

    node = _family(words, "node", "power of this node")
    for word in ("shutdown", "reboot"):
        action = _command(node, word, f"{word} the node; its peer is told first", "power")
        action.set_defaults(action=word)

    fault = _family(words, "fault", "faults on command, for rehearsals")
    for word in ("set", "clear"):
        action = _command(fault, word, f"{word} a fault on this node", "fault")
        action.set_defaults(active=word == "set")
        action.add_argument("fault", choices=("database", "moves"), help="what fails")

    states = words.add_parser("states", help="all states and transitions, from the table itself")
    states.add_argument("--format", choices=STATES_FORMATS, default="text")
    states.set_defaults(parser=states, module="explain", function="states")

    explain = _command(words, "explain", "what a pair of states means, and what to do about it")
    explain.add_argument(
        "halves",
        nargs="*",
        metavar="STATE/REASON",
        help='such as "Idle/On Admin Request"; names, numbers (0-12) and identifiers are'
        " understood, and `down` for a silent node; without: the pair as it is now",
    )
    explain.set_defaults(module="explain")
    explain.add_argument("--lang", choices=("en", "ja"), default="en", help="language")
    _add_json(explain)

    config = _family(words, "config", "the configuration file")
    check = config.add_parser("check", help="all problems of a file, or its values in effect")
    check.add_argument("file", metavar="FILE")
    _add_json(check)
    check.set_defaults(parser=check, module="commands", function="config_check")
    return root


def _add_services(words: argparse._SubParsersAction[Parser]) -> None:
    service = _family(words, "service", "critical services of this node")
    _add_json(_command(service, "list", "services and their states", "service_list"))
    for word, help_text in (
        ("start", "start a service"),
        ("stop", "stop a service"),
        ("restart", "stop and start a service"),
        ("kill", "crash a service with SIGKILL"),
        ("hang", "make a service live on without answering"),
        ("block", "make a service refuse to start, over a reboot too"),
        ("unblock", "let a service start again"),
    ):
        action = _command(service, word, help_text, "service")
        action.add_argument("name", metavar="NAME", nargs="+", help='such as "Cisco XCP Router"')
        action.set_defaults(action=word)
        _add_timeout(action)


def _add_users(words: argparse._SubParsersAction[Parser]) -> None:
    users = _family(words, "users", "users of the group")
    load = _command(users, "import", "import users from CSV (user_id,home_node)", "users_import")
    load.add_argument("file", metavar="FILE", help="- is standard input")
    make = _command(users, "generate", "make up users", "users_generate")
    make.add_argument("count", metavar="N", type=_positive)
    make.add_argument("--mode", choices=GENERATE_MODES, default="balanced")
    make.add_argument("--prefix", default="user", help="their ids begin with this (user)")

    listing = _command(users, "list", "users, their home node and who serves them", "users_list")
    listing.add_argument("--home", metavar="NODE", help='only those of this home node; "": of none')
    listing.add_argument("--serving", metavar="NODE", help="only those served there")
    listing.add_argument("--after", metavar="USER", default="", help="begin behind this id")
    listing.add_argument("--limit", metavar="N", type=_positive, help="at most so many (all)")
    _add_json(listing)

    assign = _command(users, "assign", "give one user, or all, a home node", "users_assign")
    assign.add_argument("--mode", choices=GENERATE_MODES, help="all users by this rule")
    assign.add_argument("user", metavar="USER", nargs="?")
    assign.add_argument("home", metavar="NODE", nargs="?")
    unassign = _command(users, "unassign", "take the home node from users", "users_unassign")
    unassign.add_argument("--all", action="store_true", help="from all of them")
    unassign.add_argument("user", metavar="USER", nargs="?")
    _add_json(_command(users, "topology", "users assigned and served, by node", "users_topology"))


def _words(parser: Parser) -> argparse._SubParsersAction[Parser]:
    words = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command_word")
    parser.set_defaults(parser=parser, function=None, words=words)
    return words


def _family(
    words: argparse._SubParsersAction[Parser], name: str, help_text: str
) -> argparse._SubParsersAction[Parser]:
    return _words(words.add_parser(name, help=help_text, description=help_text))


def _command(
    words: argparse._SubParsersAction[Parser], name: str, help_text: str, function: str = ""
) -> Parser:
    """A command that talks to a node."""
    command = words.add_parser(name, help=help_text, description=help_text)
    command.set_defaults(parser=command, module="commands", function=function or name)
    # Given before the command too; what is not given here must not hide what was given there.
    _add_target(command, default=argparse.SUPPRESS)
    return command


def _add_target(parser: Parser, default: str | None) -> None:
    target = parser.add_argument_group("the node that is asked")
    target.add_argument("--api", metavar="URL", default=default, help="its control address")
    target.add_argument("--config", metavar="FILE", default=default, help="its TOML file")
    target.add_argument("--token-file", metavar="FILE", default=default, help="holds its token")


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON, for programs")


def _add_wait(parser: Parser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it has begun")
    _add_timeout(parser)


def _add_timeout(parser: Parser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=_seconds,
        default=TIMEOUT_S,
        help=f"wait at most so many seconds for its end ({TIMEOUT_S:g})",
    )


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is needed")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if 0 < seconds <= TIMEOUT_S_MAX:
        return seconds
    right = f"seconds are needed, more than 0 and at most {TIMEOUT_S_MAX:g}"
    raise argparse.ArgumentTypeError(f"{text}: {right}")
