"""What the commands do that neither wait nor show the pair: those are in operations and status.

The parser names these functions; each takes the parsed options.

Results go to stdout, progress and complaints to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

from srmd.cli.asking import Options, asks_node
from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json, services_table, table
from srmd.cli.target import config_of_environment, refuse_empty
from srmd.client import Client

IMPORT_BYTES_MAX = 8 * 1024 * 1024
"""What the node takes; asked here too, so that a wrong file is not sent."""


# ---------------------------------------------------------------------------- programs


def run(options: Options) -> int:
    from pathlib import Path

    file = _config_file(options.config, "run: --config FILE")
    _end_on_sigterm()
    from srmd.daemon.main import run as run_node  # no command on a node needs asyncio

    refuse_empty("--copies", options.copies)
    return run_node(Path(file), Path(options.copies) if options.copies else None)


def _config_file(given: str | None, needed: str) -> str:
    refuse_empty("--config" if "--config" in needed else "FILE", given)
    file = given or config_of_environment()
    if file is None:
        raise Failure(Exit.USAGE, f"{needed} is needed, or SRMD_CONFIG in the environment")
    return file


def faultproxy(options: Options) -> int:
    _end_on_sigterm()
    from srmd.lab.faultproxy.__main__ import main  # see above

    return main(options.arguments)


def prove(options: Options) -> int:
    from srmd.cli.reader import until_reader_goes
    from srmd.lab.proof.__main__ import main  # see above

    return until_reader_goes(lambda: main(options.arguments))


def _end_on_sigterm() -> None:
    """As process 1 of a container, until the program has a handler of its own.

    Process 1 ignores a SIGTERM that it has no handler for, and imports take a moment: whoever stops
    a container that has just started would wait in vain, and kill it.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        os._exit(Exit.OK)  # an exception can be lost: in callbacks of imports Python ignores it

    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, end)


# ---------------------------------------------------------------------------- the node


@asks_node
def power(options: Options, client: Client) -> int:
    print(client.power(options.action)["detail"])
    return Exit.OK


@asks_node
def fault(options: Options, client: Client) -> int:
    print(client.set_fault(options.fault, options.active)["detail"])
    return Exit.OK


# ---------------------------------------------------------------------------- services


@asks_node
def service_list(options: Options, client: Client) -> int:
    services = client.services()
    print(as_json(services) if options.json else services_table(services))
    return Exit.OK


@asks_node
def service(options: Options, client: Client) -> int:
    name = " ".join(options.name)  # the names have blanks; quotes are easily forgotten
    if not name.strip():
        right = "it is empty; `srmd service list` shows the names"
        raise Failure(Exit.USAGE, f"service {options.action}: SERVICE: {right}")
    print(client.service(name, options.action, options.timeout)["detail"])
    return Exit.OK


# ---------------------------------------------------------------------------- users


@asks_node
def users_import(options: Options, client: Client) -> int:
    return _print_change(client.import_users(_csv(options.file)))


def _csv(file: str) -> bytes:
    try:
        if file == "-":
            csv = sys.stdin.buffer.read(IMPORT_BYTES_MAX + 1)
        else:
            with open(file, "rb") as source:  # noqa: PTH123 - pathlib would be felt
                csv = source.read(IMPORT_BYTES_MAX + 1)
    except OSError as bad:
        raise Failure(Exit.USAGE, f"{file}: {bad.strerror}") from bad
    if not csv:
        right = "it is empty; its first line is the header, such as user_id,home_node"
        raise Failure(Exit.USAGE, f"{file}: {right}")
    if len(csv) > IMPORT_BYTES_MAX:
        right = f"at most {IMPORT_BYTES_MAX} bytes at once; import it in parts"
        raise Failure(Exit.USAGE, f"{file}: {right}")
    return csv


@asks_node
def users_generate(options: Options, client: Client) -> int:
    return _print_change(client.generate_users(options.count, options.mode, options.prefix))


@asks_node
def users_assign(options: Options, client: Client) -> int:
    if options.mode is not None and options.user is None:
        return _print_change(client.assign_mode(options.mode))
    if options.mode is None and options.home is not None:
        return _print_change(client.assign_user(options.user, options.home))
    raise Failure(Exit.USAGE, "users assign: either USER NODE, or --mode for all of them")


@asks_node
def users_unassign(options: Options, client: Client) -> int:
    if options.all == (options.user is not None):
        raise Failure(Exit.USAGE, "users unassign: either USER, or --all")
    return _print_change(client.unassign(options.user))


@asks_node
def users_delete(options: Options, client: Client) -> int:
    if options.all == (options.user is not None):
        raise Failure(Exit.USAGE, "users delete: either USER, or --all")
    return _print_change(client.delete_users(options.user))


@asks_node
def users_export(_options: Options, client: Client) -> int:
    print(client.export_users().decode(), end="")
    return Exit.OK


def _print_change(answer: dict[str, Any]) -> int:
    counts = ", ".join(f"{key}: {value}" for key, value in answer.items() if key != "detail")
    print(f"{answer['detail']} ({counts})" if counts else answer["detail"])
    return Exit.OK


@asks_node
def users_list(options: Options, client: Client) -> int:
    found = client.users(options.after, options.limit, options.home, options.serving)
    if options.json:
        print(as_json(list(found)))
        return Exit.OK
    rows = [(user["user_id"], user["home_node"], user["serving_node"]) for user in found]
    print(table(("USER", "HOME", "SERVED BY"), rows))
    return Exit.OK


@asks_node
def users_topology(options: Options, client: Client) -> int:
    topology = client.topology()
    if options.json:
        print(as_json({key: value for key, value in topology.items() if key != "detail"}))
        return Exit.OK
    placement = topology["placement"]
    rows = [
        (node, counts["assigned"], counts["served"], placement.get(node, node))
        for node, counts in sorted(topology["nodes"].items())
    ]
    print(table(("NODE", "ASSIGNED", "SERVED", "ITS USERS ARE SERVED BY"), rows))
    if topology["total"] is None:
        print("\nThe users are not known: the database has not been opened since the node started.")
    else:
        print(f"\n{topology['total']} users, {topology['unassigned']} of them without a home node")
    return Exit.OK


# ---------------------------------------------------------------------------- the configuration


def config_check(options: Options) -> int:
    from srmd.config import ConfigError, load, needs, plain, rows  # no other command

    file = _config_file(
        options.config if options.file is None else options.file, "config check: FILE"
    )
    try:
        loaded = load(file, on_this_machine=True, now_s=time.time())
    except ConfigError as bad:
        if options.json:
            print(as_json({"problems": [_as_dict(problem) for problem in bad.problems]}))
            return Exit.CONFIG_BAD
        raise Failure(Exit.CONFIG_BAD, str(bad)) from bad
    if options.running:
        from srmd.cli.running import check

        return check(options, file, loaded)
    found = [(key, value, needs(key).value) for key, value in rows(loaded.config)]
    if options.json:
        values = {"values": plain(loaded.config), "changes": {key: what for key, _, what in found}}
        warnings = [_as_dict(warning) for warning in loaded.warnings]
        print(as_json({"problems": [], "warnings": warnings, **values}))
        return Exit.OK
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(table(("KEY", "VALUE IN EFFECT", "A CHANGE NEEDS"), found))
    return Exit.OK


def config_copy(options: Options) -> int:
    from pathlib import Path

    from srmd.config import ConfigError  # as in config_check
    from srmd.config.copies import CopyError, Owner, copy

    file = Path(
        _config_file(options.config if options.file is None else options.file, "config copy: FILE")
    )
    refuse_empty("--to", options.to)
    refuse_empty("--owner-of", options.owner_of)
    try:
        owner = Owner.of(Path(options.owner_of)) if options.owner_of else Owner.of_this_process()
        warnings = copy(file, Path(options.to), owner, as_is=options.as_is)
    except ConfigError as bad:
        raise Failure(Exit.CONFIG_BAD, str(bad)) from bad
    except CopyError as error:
        raise Failure(Exit.FAILED, str(error)) from error
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return Exit.OK


@asks_node
def config_reload(options: Options, client: Client) -> int:
    from srmd.cli.running import refuse_stale  # no other command
    from srmd.config.taking import Needs

    answer = client.reload()
    print(answer["detail"], file=sys.stderr, flush=True)
    taken = ", ".join(answer["taken"])
    print(f"taken: {taken}" if taken else "nothing has changed that a reload takes")
    for each in answer["needs"]:
        print(f"not used yet: {each['key']} needs {each['command']}")
    if answer["refused"]:
        raise Failure(Exit.FAILED, "not taken:\n  " + "\n  ".join(answer["refused"]))
    refuse_stale(options, Needs.RELOAD)
    return Exit.OK


def _as_dict(problem: Any) -> dict[str, Any]:
    from dataclasses import asdict  # see above

    return asdict(problem)
