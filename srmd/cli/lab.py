"""`srmd lab`: scenarios, and a pair to break by hand.

    srmd lab list | run [FILE ...] | coverage        scenarios
    srmd lab soak                                    endurance
    srmd lab up | fault ... | heal | status | down   a lab that keeps running

A program of its own behind `srmd`, because nobody else needs what it imports.
"""

from __future__ import annotations

import argparse
import difflib
import json
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from srmd.cli import soak
from srmd.cli.exits import Exit, Failure
from srmd.cli.parser import Parser
from srmd.cli.reader import READER_GONE, until_reader_goes
from srmd.cli.target import client_for
from srmd.terminal import columns_of, width_of, wrap

if TYPE_CHECKING:
    from srmd.lab.real.elsewhere import ElsewhereStage
    from srmd.lab.real.stage import RealStage
    from srmd.lab.scenario import Scenario
    from srmd.lab.simulated.stage import SimulatedStage

USERS = 200
NEAR_MAX = 3
"""Names of scenarios that are offered for a wrong one."""
SEED_MAX = 2**31 - 1
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run as Ctrl-C does."""
UNFIT = Exit.USAGE
"""`srmd lab run`: a file is malformed, or the environment is not fit; nothing is known of the
pair."""

Options = argparse.Namespace


def lab(options: Options) -> int:
    """What the root parser hands on."""
    return main(options.arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = parser().parse_args(arguments)
    code = chosen.function(chosen)
    assert isinstance(code, int)
    return code


def parser() -> Parser:
    root = Parser(
        prog="srmd lab",
        description="Break a pair on purpose, and see that it does what it should.",
        epilog="docs/scenarios.md has the format and all verbs",
    )
    words = root.add_subparsers(metavar="COMMAND", title="commands", required=True)

    listing = words.add_parser("list", help="scenarios with their rows and titles")
    _add_files(listing)
    listing.add_argument("--lang", choices=("en", "ja"), default="en", help="language")
    listing.set_defaults(function=_list)

    run = words.add_parser("run", help="play scenarios on a pair of their own")
    _add_files(run)
    run.add_argument(
        "--stage",
        choices=("real", "simulated"),
        default="real",
        help="real: processes, sockets, fast timers; simulated: virtual time, Cisco's timers",
    )
    run.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    run.add_argument("--journal", type=Path, metavar="DIR", help="leave a JSON file for each play")
    run.add_argument("--seed", type=_seed, metavar="N", help="of the faults; shown at start")
    run.add_argument("--quiet", action="store_true", help="only the verdicts")
    elsewhere = run.add_argument_group("a pair that runs already")
    elsewhere.add_argument("--against", nargs=2, metavar=("URL_A", "URL_B"), help="its nodes")
    elsewhere.add_argument("--config", metavar="FILE", help="of one node: timers and token")
    elsewhere.add_argument("--token-file", metavar="FILE", help="holds the token of both")
    elsewhere.add_argument(
        "--faults",
        nargs=2,
        type=_url,
        metavar=("URL_HEARTBEATS", "URL_CONTROL"),
        help="APIs of the proxies between them; without, faults of the network are skipped",
    )
    elsewhere.add_argument(
        "--fault-prefix", metavar="TEXT", default="", help="before heartbeats_a_to_b and the others"
    )
    elsewhere.add_argument(
        "--containers",
        nargs=2,
        metavar=("NAME_A", "NAME_B"),
        help="of podman, that the nodes are; without, killing or freezing one is skipped",
    )
    run.set_defaults(function=_run)

    coverage = words.add_parser("coverage", help="which rows which scenarios reach")
    _add_files(coverage)
    coverage.add_argument(
        "--journal", type=Path, metavar="DIR", help="what passed in that run, not what files say"
    )
    coverage.set_defaults(function=_coverage)

    endurance = words.add_parser("soak", help="random faults for minutes, and what grows meanwhile")
    soak.add_to(endurance)
    endurance.set_defaults(function=_soak)

    up = words.add_parser("up", help="start a pair with proxies in between, and leave it running")
    up.add_argument("--users", type=_users, metavar="N", default=USERS, help=f"how many ({USERS})")
    up.add_argument(
        "--clocks", action="store_true", help="nodes whose clock can be put (needs a C compiler)"
    )
    up.set_defaults(function=_up)
    fault = words.add_parser("fault", help="do any verb of a scenario to the running lab")
    fault.add_argument(
        "words", nargs="+", metavar="WORD", help="such as: cut heartbeats a to b; kill node a"
    )
    fault.set_defaults(function=_fault)
    heal = words.add_parser("heal", help="end all faults of its network")
    heal.set_defaults(function=_heal)
    status = words.add_parser("status", help="its nodes, addresses and faults")
    status.add_argument("--json", action="store_true", help="JSON, for programs")
    status.set_defaults(function=_status)
    down = words.add_parser("down", help="end it, and leave nothing")
    down.set_defaults(function=_down)
    return root


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="SCENARIO",
        help="names of those that come with srmd, files or folders (all that come with srmd)",
    )


# ---------------------------------------------------------------------------- scenarios


def _list(options: Options) -> int:
    room = width_of(sys.stdout, default=0)
    for scenario in _scenarios(options):
        rows = ", ".join(map(str, scenario.shows))
        title = scenario.title.say(options.lang)
        line = f"{scenario.name:<44} {rows:<16} {title}"
        if room and columns_of(line) > room:
            line = "\n".join([scenario.name, *wrap(f"{rows}: {title}", room, indent="  ")])
        print(line)
    return Exit.OK


def _run(options: Options) -> int:
    return until_reader_goes(lambda: _play(options))


def _play(options: Options) -> int:
    from srmd.lab.scenario.stage import StageBroken
    from srmd.lab.suite import closing, junit, play_all

    scenarios = _scenarios(options)
    tell = _quiet if options.quiet else _say
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    stage = _stage(options)
    begun_s = time.perf_counter()
    with ExitStack() as ended:
        try:
            ended.enter_context(stage)
        except StageBroken as broken:
            raise Failure(UNFIT, str(broken)) from broken
        # Pushed last, so called first: cleaning up is not to be interrupted.
        ended.callback(_uninterrupted)
        results = play_all(scenarios, stage, tell, options.journal)
    print("\n" + closing(results))
    if isinstance(simulated := getattr(stage, "simulated_s", None), float):
        print(_speed(simulated, len(results), time.perf_counter() - begun_s))
    if options.junit is not None:
        try:
            options.junit.write_text(junit(results), encoding="utf-8")
        except OSError as failed:
            raise Failure(UNFIT, f"--junit {options.junit}: {failed.strerror}") from failed
    return _code({result.verdict.value for result in results})


def _soak(options: Options) -> int:
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    return until_reader_goes(lambda: soak.soak(options, _say, _uninterrupted))


def _code(verdicts: set[str]) -> Exit:
    """Nothing played is no proof: it counts as unfit."""
    if "failed" in verdicts:
        return Exit.FAILED
    return Exit.OK if "passed" in verdicts and "error" not in verdicts else UNFIT


def _speed(simulated_s: float, count: int, took_s: float) -> str:
    """What virtual time is worth here."""
    return (
        f"simulated {simulated_s / 3600:.2f} h in {took_s:.1f} s: "
        f"{simulated_s / 3600 / took_s:.2f} h a second, {count / took_s:.1f} scenarios a second"
    )


def _stage(options: Options) -> RealStage | ElsewhereStage | SimulatedStage:
    if options.stage == "simulated":
        return _simulated(options)
    if options.against is not None:
        return _elsewhere(options)
    from srmd.lab.real.stage import RealStage

    if options.faults is not None:
        raise Failure(UNFIT, "--faults: whose proxies are these? give --against URL_A URL_B too")
    if options.containers is not None:
        raise Failure(UNFIT, "--containers: where do they answer? give --against URL_A URL_B too")
    return RealStage(seed=options.seed, tell=_say)


def _simulated(options: Options) -> SimulatedStage:
    from srmd.lab.simulated.stage import SimulatedStage

    if options.against is not None:
        raise Failure(UNFIT, "--against: a pair that runs already is not simulated; leave --stage")
    if options.faults is not None:
        raise Failure(UNFIT, "--faults: the simulated network has no proxies; leave it out")
    if options.containers is not None:
        raise Failure(UNFIT, "--containers: simulated nodes are no containers; leave it out")
    seed = secrets.randbelow(SEED_MAX) + 1 if options.seed is None else options.seed
    _say(f"the simulation has seed {seed}: with --seed {seed} everything happens again")
    return SimulatedStage(seed=seed)


def _elsewhere(options: Options) -> ElsewhereStage:
    from srmd.config import load
    from srmd.lab.real.containers import Containers
    from srmd.lab.real.elsewhere import ElsewhereStage
    from srmd.lab.real.network import Network
    from srmd.lab.scenario.configured import timers_of
    from srmd.lab.scenario.stage import StageBroken
    from srmd.lab.scenario.verbs import NodeName

    if options.config is None:
        right = "the timers of the pair are needed: give the file of one of its nodes"
        raise Failure(UNFIT, f"--config: {right}")
    clients = {
        node: client_for(
            Options(api=url, config=options.config, token_file=options.token_file, ca=None)
        )
        for node, url in zip(NodeName, options.against, strict=True)
    }
    try:
        network = None
        if options.faults is not None:
            heartbeats_url, control_url = options.faults
            network = Network(heartbeats_url, control_url, options.fault_prefix)
        containers = None
        if options.containers is not None:
            containers = Containers(dict(zip(NodeName, options.containers, strict=True)), clients)
        timers = timers_of(load(options.config).config)
        return ElsewhereStage(clients, timers, network, containers)
    except StageBroken as broken:
        raise Failure(UNFIT, str(broken)) from broken


def _coverage(options: Options) -> int:
    from srmd.lab.coverage import BadJournal, of_journals, of_scenarios

    try:
        found = (
            of_scenarios(_scenarios(options))
            if options.journal is None
            else of_journals(options.journal)
        )
    except BadJournal as bad:
        raise Failure(UNFIT, str(bad)) from bad
    print(found.table())
    if found.missing:
        rows = ", ".join(map(str, found.missing))
        print(f"srmd: no scenario reaches row {rows}", file=sys.stderr)
    return Exit.FAILED if found.missing else Exit.OK


def _scenarios(options: Options) -> list[Scenario]:
    from srmd.config import shipped
    from srmd.lab.scenario import ScenarioError, load_all

    ours = shipped() / "scenarios"
    named = [_named(ours, file) for file in options.files]
    try:
        found = load_all(named or [ours])
    except ScenarioError as bad:
        raise Failure(UNFIT, str(bad)) from bad
    if not found:
        raise Failure(UNFIT, f"no scenario in {', '.join(map(str, options.files))}")
    return found


def _named(ours: Path, file: Path) -> Path:
    """A file or folder, or else a scenario of srmd by its name or the only beginning of one."""
    if file.exists() or len(file.parts) != 1 or file.suffix == ".toml":
        return file
    names = sorted(each.stem for each in ours.glob("*.toml"))
    begun = [name for name in names if name.startswith(file.name)]
    if file.name in names:
        begun = [file.name]
    if len(begun) == 1:
        return ours / f"{begun[0]}.toml"
    near = begun[:NEAR_MAX] or difflib.get_close_matches(file.name, names, n=NEAR_MAX)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise Failure(
        UNFIT, f"{file}: no such file, and no scenario has this name; {hint}srmd lab list has all"
    )


# ---------------------------------------------------------------------------- the running lab


def _up(options: Options) -> int:
    from srmd.lab import live

    try:
        status = live.up(options.users, clocks=options.clocks)
    except (live.LabRuns, live.CannotStart, live.SaidNo) as failed:
        raise Failure(Exit.FAILED, str(failed)) from failed
    _show(status)
    config = status["nodes"]["a"]["config"]
    print(
        "\ntry:\n"
        "  srmd lab fault cut heartbeats a to b\n"
        f"  srmd status --config {config}\n"
        "  srmd lab heal\n"
        "  srmd lab down"
    )
    return Exit.OK


def _fault(options: Options) -> int:
    from srmd.lab.scenario.phrases import NotAVerb, verb

    text = " ".join(options.words)
    try:
        verb(text)  # wrong words need no lab
    except NotAVerb as wrong:
        raise Failure(Exit.USAGE, f"lab fault: {wrong}") from wrong
    return _asked(text)


def _heal(_options: Options) -> int:
    return _asked("heal")


def _asked(text: str) -> int:
    from srmd.lab import live

    try:
        live.do(text)
        status = live.status()
    except live.NoLab as none:
        raise Failure(Exit.UNREACHABLE, str(none)) from none
    except live.SaidNo as no:
        raise Failure(Exit.REFUSED, str(no)) from no
    print(f"done: {text}\n{status['pair']}")
    return Exit.OK


def _status(options: Options) -> int:
    from srmd.lab import live

    try:
        status = live.status()
    except live.NoLab as none:
        raise Failure(Exit.UNREACHABLE, str(none)) from none
    except live.SaidNo as no:
        raise Failure(Exit.FAILED, str(no)) from no
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        _show(status)
    return Exit.OK


def _show(status: dict[str, object]) -> None:
    nodes, proxies, links = status["nodes"], status["proxies"], status["links"]
    assert isinstance(nodes, dict)
    assert isinstance(proxies, dict)
    assert isinstance(links, list)
    print(status["pair"])
    for name, node in nodes.items():
        print(f"node {name}: {node['api']}  heartbeats {node['heartbeat']}  pid {node['pid']}")
        print(f"        {node['config']}")
    print(*(f"proxies for {what}: {url}" for what, url in proxies.items()), sep="\n")
    print(*(f"  {link}" for link in links), sep="\n")
    print(f"  on their servers these names begin with {status['prefix']}")
    print(f"seed {status['seed']}, token in {status['token_file']}")


def _down(_options: Options) -> int:
    from srmd.lab import live

    try:
        live.down()
    except live.NoLab as none:
        raise Failure(Exit.UNREACHABLE, str(none)) from none
    except live.SaidNo as no:
        raise Failure(Exit.FAILED, str(no)) from no
    print("the lab has ended; nothing is left of it")
    return Exit.OK


# ---------------------------------------------------------------------------- small things


def _say(line: str) -> None:
    print(line, flush=True)


def _quiet(line: str) -> None:
    """The headings and the verdicts."""
    if line.startswith("\n==") or " verdict " in line:
        _say(line)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _uninterrupted() -> None:
    for number in (signal.SIGINT, *ENDINGS, READER_GONE):
        signal.signal(number, signal.SIG_IGN)


def _url(text: str) -> str:
    if text.startswith(("http://", "https://")):
        return text
    raise argparse.ArgumentTypeError(f"{text}: a URL is needed, such as http://127.0.0.1:8474")


def _seed(text: str) -> int:
    return _whole(text, 1, SEED_MAX)


def _users(text: str) -> int:
    return _whole(text, 2, 25_000)


def _whole(text: str, low: int, high: int) -> int:
    if text.isascii() and text.isdigit() and low <= int(text[:12]) <= high:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text}: a whole number from {low} to {high} is needed")
