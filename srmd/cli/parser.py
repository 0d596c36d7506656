"""The words of the command line, and what was probably meant by a wrong one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from srmd import __version__
from srmd.cli.exits import Exit, told
from srmd.terminal import complain

TYPE_CHECKING = False  # `typing` would be felt in --help; type checkers know the name
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Build = Callable[["Parser"], None]
    Words = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - argparse has no public name

TIMEOUT_S = 180.0
"""How long a command waits for its operation: the initialization timeout by Cisco's defaults
(120 s), and a minute for services and users; ours."""
TIMEOUT_S_MAX = 86_400.0
DIGITS_MAX = 9
USERS_MAX = 75_000
"""As in store/database.py, which a command does not wait for."""
WIDTH = 80
"""Columns of a terminal that does not tell, or is none."""
GENERATE_MODES = ("balanced", "active-standby", "none")
STATES_FORMATS = ("text", "json", "mermaid", "md")
"""What srmd.tables can print; not imported from there, to be quick."""
TIMERS = ("cisco", "fast")
"""The shipped examples that srmd.cli.init knows."""
SHELLS = ("bash", "zsh", "fish")
"""Those that srmd.cli.completion has a script for."""
SEEDS = 200
"""Stories of `srmd sim` that ask every property."""
TIMELINE_FORMATS = ("text", "json", "html")
OF_THE_ROOT = argparse.SUPPRESS
"""Default of an option that may stand before the command too, and is not to be hidden then."""

EPILOG = """\
which node is asked:
  --api URL, or the control.listen of --config FILE, or the environment's SRMD_API,
  or http://127.0.0.1:20075; SRMD_CONFIG stands for --config where --api is not given
token, for what changes something:
  --token-file FILE, or the control.token of --config FILE, or the environment's SRMD_TOKEN
CA by which an https node is judged:
  --ca FILE, or the tls.ca of --config FILE, or the environment's SRMD_CA, or this machine's CAs
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal.  argparse would import shutil to find out, and that its archives."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width() - 2)


def _width() -> int:
    """As shutil.get_terminal_size finds it."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:
        return WIDTH  # no terminal


class Parser(argparse.ArgumentParser):
    """argparse that says what was probably meant, and takes no abbreviated options.

    `build` adds the words of a command when the command has been chosen: nobody waits for others.
    What `hands_on` is a program of its own: it gets all that follows its name, --help too.
    """

    def __init__(
        self, *args: Any, build: Build | None = None, hands_on: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", _Help)
        super().__init__(*args, **kwargs)
        self._build = build
        self._hands_on = hands_on

    def whole(self) -> argparse.ArgumentParser:
        """With its own words; those of a program that it hands on to are that program's."""
        self._build_words()
        program = self.get_default("program")
        if program is None:
            return self
        import importlib  # no parsing needs it

        parser = importlib.import_module(program).parser()
        assert isinstance(parser, argparse.ArgumentParser)
        return parser

    def _build_words(self) -> None:
        if self._build is not None:
            build, self._build = self._build, None
            build(self)

    def parse_known_args(  # type: ignore[override] # argparse's overloads are of no use here
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self._build_words()
        if self._hands_on:
            options, _ = super().parse_known_args([], namespace)
            options.arguments = list(args or ())
            return options, []
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.metavar or action.dest
            raise argparse.ArgumentError(
                None, f"{name}: {value}: {did_you_mean(str(value), action.choices)}"
            )

    def format_help(self) -> str:
        """Its last lines are the exit codes."""
        return f"{super().format_help()}\n{told(self.prog)}"

    def error(self, message: str) -> NoReturn:
        complain(f"srmd: {message}\n  {self.prog} --help tells more")
        sys.exit(Exit.USAGE)


def did_you_mean(meant: str, choices: Iterable[str]) -> str:
    import difflib  # late: a right word does not wait for it

    known = list(choices)
    near = difflib.get_close_matches(meant, known, n=2)
    listed = f"one of {', '.join(known)}"
    return f"did you mean {' or '.join(near)}? ({listed})" if near else listed


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Ends the program, as argparse does, after --help, --version or a mistake."""
    options, left_over = root().parse_known_args(arguments)
    leaf: Parser = options.parser
    if left_over:
        import difflib  # late, see did_you_mean

        # argparse has no public list of its options.
        known = [text for action in leaf._actions for text in action.option_strings]  # noqa: SLF001
        near = difflib.get_close_matches(left_over[0], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        leaf.error(f"{leaf.prog}: {left_over[0]} is not known here{hint}")
    if options.function is None:
        leaf.error(f"{leaf.prog}: which command? {', '.join(options.words.choices)}")
    return options


def whole(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser with all its words, for whoever reads the grammar rather than parses by it."""
    return parser.whole() if isinstance(parser, Parser) else parser


def root() -> Parser:
    root = Parser(
        prog="srmd",
        description="An emulator of Cisco's Server Recovery Manager.",
        epilog=EPILOG,
    )
    root.add_argument("--version", action="version", version=f"srmd {__version__}")
    _add_target(root, default=None)
    words = _words(root)
    _word(words, "run", "run a node in the foreground", _run)
    _command(words, "status", "state of both nodes, users, services, what to do", _status)
    _command(words, "failover", "move a node's users to its peer", _failover)
    _command(words, "fallback", "bring a node's users back to it", _fallback)
    _command(words, "recover", "bring the pair out of Running in Failed Mode", _recover)
    _family(words, "ha", "high availability of the pair", _ha)
    _family(words, "service", "critical services of this node", _service)
    _family(words, "users", "users of the group", _users)
    _family(words, "srm", "the Server Recovery Manager itself, on this node", _srm)
    _family(words, "node", "power of this node", _node)
    _family(words, "fault", "faults on command, for rehearsals", _fault)
    _word(words, "states", "all states and transitions, from the table itself", _states)
    _command(words, "explain", "what a pair of states means, and what to do about it", _explain)
    _family(words, "config", "the configuration file", _config)
    _word(words, "init", "write the files of a new pair: configuration, key, token", _init)
    _word(words, "backup", "the state of a node into one file, while it runs", _backup)
    _word(words, "completion", "completion of these words by a shell", _completion)
    _word(words, "replay", "feed a journal through the machine again", _replay)
    _word(words, "why", "why a node changed its state, back to what began it", _why)
    _word(words, "timeline", "logs of both nodes and of the faults on one time line", _timeline)
    _word(words, "sim", "stories drawn from seeds, in which nothing wrong may happen", _sim)
    _program(
        words,
        "faultproxy",
        "UDP and TCP proxies that do harm on order",
        program="srmd.lab.faultproxy.words",
    )
    _program(
        words,
        "prove",
        "search all that can happen to a pair, with the rules themselves",
        program="srmd.lab.proof.__main__",
    )
    _program(
        words,
        "sweep",
        "other timers, worse lines: what would come of it in years",
        module="sweep",
        program="srmd.cli.sweep",
    )
    _program(
        words,
        "lab",
        "a pair to break on purpose, and scenarios that do",
        module="lab",
        program="srmd.cli.lab",
    )
    return root


def _run(run: Parser) -> None:
    run.add_argument(
        "--config",
        default=OF_THE_ROOT,
        metavar="FILE",
        help="the node's TOML file (the environment's SRMD_CONFIG)",
    )
    run.add_argument(
        "--copies",
        metavar="DIR",
        help="read the copies that `srmd config copy` made there, not the files themselves",
    )
    run.epilog = (
        "signals:\n"
        "  SIGTERM, SIGINT, SIGQUIT  stop; the peer is not told, as when the service restarts\n"
        "  SIGPWR   the machine goes down; the peer is told, and takes over at once\n"
        "  SIGHUP   stop, where the node has a terminal; without one, and under nohup, the\n"
        "           configuration is read again (as by `srmd config reload`), and log and\n"
        "           journal go on in new files when they were moved\n"
        "  others   ignored; the log has a record of the first of each"
    )
    _does(run, "commands", "run")


def _status(status: Parser) -> None:
    status.add_argument(
        "--watch",
        action="store_true",
        help="go on: a compact page that is drawn anew; in a pipe a line for each change",
    )
    status.add_argument(
        "--check", action="store_true", help="one line with figures, for monitoring plugins"
    )
    _add_json(status)
    _add_language(status)
    status.epilog = (
        "exit codes of --check, and no other:\n"
        "  0  all is well\n"
        "  1  a state that passes, a suspect peer, high availability off,\n"
        "     failed over with all users served\n"
        "  2  users served by no node or by both, Running in Failed Mode,\n"
        "     SRM stopped, a node that does not answer\n"
        "  3  usage, configuration, token, internal error"
    )
    _does(status, "status", "status")


def _failover(failover: Parser) -> None:
    failover.add_argument("node", metavar="NODE", help="the node that is to fail")
    _add_wait(failover)
    _does(failover, "operations", "failover")


def _fallback(fallback: Parser) -> None:
    fallback.add_argument("node", metavar="NODE", help="the home node")
    _add_wait(fallback)
    _does(fallback, "operations", "fallback")


def _recover(recover: Parser) -> None:
    _add_wait(recover)
    _does(recover, "operations", "recover")


def _ha(words: Words) -> None:
    for word in ("enable", "disable"):
        switch = _command(words, word, f"{word} high availability")
        _add_wait(switch)
        _does(switch, "operations", "ha", enabled=word == "enable")


def _service(words: Words) -> None:
    listing = _command(words, "list", "services and their states")
    _add_json(listing)
    _does(listing, "commands", "service_list")
    for word, help_text in (
        ("start", "start a service"),
        ("stop", "stop a service"),
        ("restart", "stop and start a service"),
        ("kill", "crash a service with SIGKILL"),
        ("hang", "make a service live on without answering"),
        ("block", "make a service refuse to start, over a reboot too"),
        ("unblock", "let a service start again"),
    ):
        action = _command(words, word, help_text)
        action.add_argument(
            "name",
            metavar="SERVICE",
            nargs="+",
            help='such as "Cisco XCP Router", or its beginning: xcp router, sip',
        )
        _add_timeout(action)
        _does(action, "commands", "service", action=word)


def _users(words: Words) -> None:
    load = _command(words, "import", "import users from CSV (columns user_id and home_node)")
    load.add_argument("file", metavar="FILE", help="- is standard input")
    _does(load, "commands", "users_import")

    make = _command(words, "generate", "make up users")
    make.add_argument(
        "count", metavar="N", type=_users_count, help=f"how many, at most {USERS_MAX}"
    )
    make.add_argument("--mode", choices=GENERATE_MODES, default="balanced")
    make.add_argument("--prefix", default="user", help="their ids begin with this (user)")
    _does(make, "commands", "users_generate")

    listing = _command(words, "list", "users, their home node and who serves them")
    listing.add_argument("--home", metavar="NODE", help='only those of this home node; "": of none')
    listing.add_argument("--serving", metavar="NODE", help="only those served there")
    listing.add_argument("--after", metavar="USER", default="", help="begin behind this id")
    listing.add_argument("--limit", metavar="N", type=_positive, help="at most so many (all)")
    _add_json(listing)
    _does(listing, "commands", "users_list")

    assign = _command(words, "assign", "give one user, or all, a home node")
    assign.add_argument("--mode", choices=GENERATE_MODES, help="all users by this rule")
    assign.add_argument("user", metavar="USER", nargs="?")
    assign.add_argument("home", metavar="NODE", nargs="?")
    _does(assign, "commands", "users_assign")

    unassign = _command(words, "unassign", "take the home node from users")
    unassign.add_argument("--all", action="store_true", help="from all of them")
    unassign.add_argument("user", metavar="USER", nargs="?")
    _does(unassign, "commands", "users_unassign")

    delete = _command(words, "delete", "delete users, on both nodes")
    delete.add_argument("--all", action="store_true", help="all of them")
    delete.add_argument("user", metavar="USER", nargs="?")
    _does(delete, "commands", "users_delete")

    export = _command(words, "export", "all users as CSV, as `import` takes it, to standard output")
    _does(export, "commands", "users_export")

    topology = _command(words, "topology", "users assigned and served, by node")
    _add_json(topology)
    _does(topology, "commands", "users_topology")


def _srm(words: Words) -> None:
    for word in ("stop", "start", "restart"):
        again = "" if word == "stop" else "; the configuration is read again"
        action = _command(words, word, f"{word} SRM; services and sessions stay{again}")
        if word != "stop":
            _add_wait(action)
        _does(action, "operations", "srm", action=word)


def _node(words: Words) -> None:
    for word in ("shutdown", "reboot"):
        again = "; it reads its configuration again" if word == "reboot" else ""
        action = _command(words, word, f"{word} the node; its peer is told first{again}")
        _does(action, "commands", "power", action=word)


def _fault(words: Words) -> None:
    for word in ("set", "clear"):
        action = _command(words, word, f"{word} a fault on this node")
        action.add_argument("fault", choices=("database", "moves"), help="what fails")
        _does(action, "commands", "fault", active=word == "set")


def _states(states: Parser) -> None:
    states.add_argument("--format", choices=STATES_FORMATS, default="text")
    _does(states, "explain", "states")


def _explain(explain: Parser) -> None:
    explain.add_argument(
        "halves",
        nargs="*",
        metavar="STATE/REASON",
        help='such as "Idle/On Admin Request"; names, numbers (0-12) and identifiers are'
        " understood, and `down` for a silent node; without: the pair as it is now",
    )
    explain.add_argument(
        "--row", metavar="ROW", help="a row by its number in Cisco's table (1-24), or by its key"
    )
    _add_language(explain)
    _add_json(explain)
    _does(explain, "explain", "explain")


def _config(words: Words) -> None:
    check = words.add_parser("check", help="all problems of a file, or its values in effect")
    check.description = (
        "All problems of a file, also folders, files and programs that are not on this machine; or"
        " the values in effect, and for each key what has to start again when it changes."
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="(the environment's SRMD_CONFIG)")
    check.add_argument(
        "--running",
        action="store_true",
        help="only keys in which the files differ from what the node uses that runs here, and what"
        " each needs; for root, or the user of the node",
    )
    _add_json(check)
    _does(check, "commands", "config_check")
    copying = words.add_parser("copy", help="copy a file and all that it names, for a service")
    copying.description = (
        "Copies the file, and every file that it names, into a folder from which `srmd run --copies"
        " DIR` reads them: a privileged step of a service, whose user cannot read the files"
        " themselves.  All copies are put in place at once, and only if they can be used."
    )
    copying.add_argument("file", metavar="FILE", nargs="?", help="(the environment's SRMD_CONFIG)")
    copying.add_argument("--to", metavar="DIR", required=True, help="a folder for the copies alone")
    copying.add_argument(
        "--owner-of", metavar="PATH", help="the copies are for the user who owns this (yourself)"
    )
    copying.add_argument(
        "--as-is",
        action="store_true",
        help="copy what there is, though it cannot be used: srmd run says then what is wrong",
    )
    _does(copying, "commands", "config_copy")
    reload = _command(words, "reload", "have the node read its files again, without a restart")
    reload.description = (
        "The node reads its configuration and all files that it names again, and takes keys,"
        " tokens, certificates, allowed hosts and the log's level.  SRM runs on: heartbeats, roles"
        " and users are not touched.  What needs more is named.  SIGHUP does the same, and needs"
        " neither token nor certificate."
    )
    _does(reload, "commands", "config_reload")


def _init(init: Parser) -> None:
    init.add_argument("folder", metavar="DIR", help="gets a folder for each node")
    pair = init.add_argument_group("the pair (a comes first)")
    names, addresses = ("NAME_A", "NAME_B"), ("ADDR_A", "ADDR_B")
    pair.add_argument("--names", nargs=2, metavar=names, default=["a", "b"], help="(a b)")
    pair.add_argument(
        "--addresses",
        nargs=2,
        metavar=addresses,
        default=["127.0.0.1", "127.0.0.1"],
        help="where each reaches the other: IP address or name (both on this machine)",
    )
    pair.add_argument(
        "--ports",
        nargs=2,
        metavar=("UDP", "TCP"),
        help="for heartbeats and control; b has the next ones where both are at one address"
        " (22001 20075)",
    )
    pair.add_argument(
        "--free-ports", action="store_true", help="ports of this machine that nothing uses now"
    )
    pair.add_argument("--group", metavar="NAME", default="pair", help="of both nodes (pair)")
    pair.add_argument(
        "--timers",
        choices=TIMERS,
        default="cisco",
        help="cisco: its defaults; fast: a failover in a second (cisco)",
    )
    pair.add_argument(
        "--state-dir",
        metavar="DIR",
        default="state",
        help="of each node; relative to its configuration (state)",
    )
    pair.add_argument(
        "--tls", action="store_true", help="encrypt the control channel, by a CA of the pair's own"
    )
    pair.add_argument(
        "--tls-days", metavar="N", default="825", help="how long a node's certificate holds (825)"
    )
    pair.add_argument("--tls-ca", metavar="DIR", help="an earlier DIR/ca, to sign again (a new CA)")
    _does(init, "init", "init")


def _backup(backup: Parser) -> None:
    backup.description = (
        "Writes the memory of a node and its users into a file of DIR, while the node runs, and"
        " removes the oldest backups there.  Configuration and keys are not in it."
    )
    backup.add_argument("folder", metavar="DIR", help="where the backups lie; made if missing")
    backup.add_argument(
        "--state-dir",
        metavar="DIR",
        default="/var/lib/srmd",
        help="node.state_dir of the node (/var/lib/srmd)",
    )
    backup.add_argument("--keep", metavar="N", default="14", help="so many backups stay (14)")
    _does(backup, "backup", "backup")


def _completion(completion: Parser) -> None:
    completion.description = (
        "Prints a script for the shell; it completes commands, options and values.\n"
        "  bash: source <(srmd completion bash)\n"
        "  zsh:  source <(srmd completion zsh)       after compinit\n"
        "  fish: srmd completion fish | source"
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    # What the script asks.
    completion.add_argument("--words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    _does(completion, "completion", "completion")


def _replay(replay: Parser) -> None:
    replay.description = (
        "Feeds the inputs in a journal through the state machine, and tells the first one on which"
        " log and machine disagree."
    )
    _add_records(replay)
    _add_json(replay)
    _does(replay, "records", "replay")


def _why(why: Parser) -> None:
    why.description = (
        "Tells why a node changed its state: the heartbeats heard last and those missing, the rule,"
        " what the peer reported and why it did, and what would have prevented it.  Without --op"
        " and --at: the last change of each node."
    )
    _add_records(why)
    which = why.add_mutually_exclusive_group()
    which.add_argument("--op", metavar="N", type=_positive, help="the change with this number")
    which.add_argument(
        "--at",
        metavar="TIME",
        help="the last change until then: 2026-11-22T14:33:22.1, 14:33:22.1 (both UTC),"
        " or +1.5 (seconds from the begin)",
    )
    why.add_argument("--node", metavar="NODE", help="only of this node")
    _add_language(why)
    _add_json(why)
    _does(why, "records", "why")


def _timeline(timeline: Parser) -> None:
    timeline.description = (
        "Lays the journals and logs of both nodes, the event log of the fault proxy and the story"
        " of a scenario on one time line."
    )
    _add_records(timeline)
    timeline.add_argument("--format", choices=TIMELINE_FORMATS, default="text")
    timeline.add_argument("--output", metavar="FILE", help="write there, not to standard output")
    _add_language(timeline)
    timeline.set_defaults(lang=None)  # a page then opens in the language of the browser
    _does(timeline, "records", "timeline")


def _sim(sim: Parser) -> None:
    sim.description = (
        "Plays stories that nobody wrote, in virtual time: anything may fail, and nothing wrong may"
        " happen; then an operator does what the handbook recommends, and everybody has to be home."
    )
    sim.epilog = "docs/search.md tells more"
    sim.add_argument(
        "files", nargs="*", metavar="FILE", help="play these scenarios this way; with --seed"
    )
    sim.add_argument("--seeds", type=_positive, metavar="N", help=f"how many stories ({SEEDS})")
    sim.add_argument(
        "--from", dest="first", type=_positive, metavar="N", help="the first seed (a fresh one)"
    )
    sim.add_argument(
        "--seed", type=_positive, metavar="N", help="this story alone, with all that was seen"
    )
    sim.add_argument("--jobs", type=_positive, metavar="N", help="processes (one for each core)")
    sim.add_argument(
        "--executor", metavar="dask://HOST:PORT", help="on the workers of a Dask cluster"
    )
    sim.add_argument(
        "--keep", metavar="DIR", help="each failure as a scenario file, the shortest that fails"
    )
    sim.add_argument("--no-shrink", action="store_true", help="failures as they were drawn")
    _add_json(sim)
    _does(sim, "sim", "sim")


def _add_records(command: Parser) -> None:
    command.add_argument(
        "files",
        nargs="+",
        metavar="LOG",
        help="a journal, a log, a state_dir, or what `srmd lab run --journal` left of a play",
    )


def _words(parser: Parser) -> Words:
    # argparse would format a whole usage to find `prog`.
    words = parser.add_subparsers(
        metavar="COMMAND", title="commands", dest="command_word", prog=parser.prog
    )
    parser.set_defaults(parser=parser, function=None, words=words)
    return words


def _word(words: Words, name: str, help_text: str, build: Build) -> None:
    """A command that talks to no node."""
    words.add_parser(name, help=help_text, build=build)


def _family(words: Words, name: str, help_text: str, build: Callable[[Words], None]) -> None:
    words.add_parser(
        name,
        help=help_text,
        description=help_text,
        build=lambda family: build(_words(family)),
    )


def _program(
    words: Words, name: str, help_text: str, *, program: str, module: str = "commands"
) -> None:
    """`program` is the module whose `parser()` knows what follows the name."""
    word = words.add_parser(name, help=help_text, hands_on=True)
    _does(word, module, name, program=program)


def _command(words: Words, name: str, help_text: str, build: Build | None = None) -> Parser:
    """A command that talks to a node.  Without `build`, the caller adds its words at once."""
    if build is None:
        command = words.add_parser(name, help=help_text, description=help_text)
        _add_target(command, default=OF_THE_ROOT)
        return command

    def build_all(command: Parser) -> None:
        _add_target(command, default=OF_THE_ROOT)
        build(command)

    return words.add_parser(name, help=help_text, description=help_text, build=build_all)


def _does(command: Parser, module: str, function: str, **more: object) -> None:
    """What is called with the options: a function of a module of srmd.cli."""
    command.set_defaults(parser=command, module=module, function=function, **more)


def _add_target(parser: Parser, default: str | None) -> None:
    target = parser.add_argument_group("the node that is asked")
    target.add_argument("--api", metavar="URL", default=default, help="its control address")
    target.add_argument("--config", metavar="FILE", default=default, help="its TOML file")
    target.add_argument("--token-file", metavar="FILE", default=default, help="holds its token")
    target.add_argument("--ca", metavar="FILE", default=default, help="signed its certificate")


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON, for programs")


def _add_language(parser: Parser) -> None:
    parser.add_argument("--lang", choices=("en", "ja"), default="en", help="language")


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
    return _whole(text, 10**DIGITS_MAX - 1)


def _users_count(text: str) -> int:
    return _whole(text, USERS_MAX)


def _whole(text: str, most: int) -> int:
    is_short = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    if is_short and 1 <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 to {most} is needed")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if 0 < seconds <= TIMEOUT_S_MAX:
        return seconds
    right = f"seconds are needed, more than 0 and at most {TIMEOUT_S_MAX:g}"
    raise argparse.ArgumentTypeError(f"{text}: {right}")
