"""Compares a configuration with what its node uses: `srmd config check --running`, and after
commands that have the node read its files.

A node that reads copies (`srmd run --copies DIR`) reads them as they were made last; a command that
has it read them again must not report success when they are older than the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from srmd import __version__
from srmd.cli.asking import Options
from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json
from srmd.cli.target import config_of_environment

if TYPE_CHECKING:
    from srmd.config import Loaded
    from srmd.config.taking import Needs

RENEW = "srmd config copy FILE --to {copies}, or systemctl reload srmd.service, renews them"


def check(options: Options, file: str, loaded: Loaded) -> int:
    """One line for each key in which the files differ from what the node uses."""
    from srmd.config.running import NotKnown, NotRunning, differences, read
    from srmd.config.taking import Needs

    try:
        running = read(loaded.config.node.state_dir)
    except NotRunning as none:
        raise Failure(Exit.UNREACHABLE, f"{none}; srmd run --config {file} starts one") from none
    except NotKnown as error:
        raise Failure(Exit.USAGE, str(error)) from error
    found = differences(running, loaded)
    other = running.version != __version__
    if options.json:
        told = [
            {"key": one.key, "file": one.file, "running": one.running, "needs": one.needs.value}
            for one in found
        ]
        print(as_json({"version": running.version, "copies": running.copies, "differences": told}))
        return Exit.FAILED if found or other else Exit.OK
    if other:
        what = f"version {__version__} compares, version {running.version} runs"
        print(f"srmd: {what}; needs {Needs.PROCESS.value}")
    for one in found:
        print(one)
    if not found and not other:
        print(f"the node uses what {file} and its files hold")
        return Exit.OK
    if running.copies:
        way = RENEW.format(copies=running.copies)
        print(f"the node reads copies in {running.copies}; {way}", file=sys.stderr)
    return Exit.FAILED


def refuse_stale(options: Options, by: Needs) -> None:
    """After a command by which a node read its files: raises Failure when it read old copies.

    It can be seen only where the file is that of --config, by who may read the node's folder and
    the copies.
    """
    file = None if options.api else options.config or config_of_environment()
    if file is None:
        return
    from srmd.config import ConfigError, load
    from srmd.config.running import NotKnown, NotRunning, differing, read
    from srmd.config.taking import needs

    try:
        loaded = load(file)
        running = read(loaded.config.node.state_dir)
        if not running.copies:
            return
        copied = load(file, copies=Path(running.copies))
    except (ConfigError, NotKnown, NotRunning):
        return
    old = [key for key in differing(loaded, copied) if by.covers(needs(key))]
    if old:
        raise Failure(
            Exit.FAILED,
            f"the node has read old copies in {running.copies}, which lack {', '.join(old)} of "
            f"{file}\n  {RENEW.format(copies=running.copies)}",
        )
