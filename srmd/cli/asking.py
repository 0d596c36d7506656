"""A command that asks a node: it is given a client, and a refusal becomes an exit code."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

from srmd.cli.exits import Exit, Failure
from srmd.cli.target import client_for
from srmd.client import Client, ClientError, NoAnswer, Rejected, Unauthorized, Unreachable

Options = argparse.Namespace
Command = Callable[[Options], int]


def asks_node(command: Callable[[Options, Client], int]) -> Command:
    """Gives the command its client, and turns what the client raises into exit codes."""

    @functools.wraps(command)
    def run(options: Options) -> int:
        client = client_for(options)
        try:
            return command(options, client)
        except NoAnswer as late:
            raise Failure(Exit.TIMED_OUT, f"{late}; what was asked may still be done") from late
        except Unreachable as gone:
            way_out = "start it (srmd run --config FILE), or name another by --api or --config"
            raise Failure(Exit.UNREACHABLE, f"{gone}\n  {way_out}") from gone
        except ClientError as no:
            raise _refusal(no) from no

    return run


def _refusal(no: ClientError) -> Failure:
    if isinstance(no, Unauthorized):
        # 403 is no matter of the token, and says itself what to do.
        way_out = "\n  give the token by --token-file, --config or SRMD_TOKEN"
        return Failure(Exit.UNAUTHORIZED, f"{no}{way_out if no.status == 401 else ''}")
    if not isinstance(no, Rejected):
        return Failure(Exit.USAGE, str(no))
    lines = [no.detail, *(_problem(problem) for problem in no.problems)]
    if no.needed and no.needed not in no.detail:
        lines.append(f"needed: {no.needed}")
    codes = {404: Exit.USAGE, 409: Exit.REFUSED, 503: Exit.REFUSED}
    return Failure(codes.get(no.status, Exit.FAILED), "\n  ".join(lines))


def _problem(problem: dict[str, Any]) -> str:
    place = f"line {problem['line']}" if "line" in problem else problem.get("field", "")
    return ": ".join(str(part) for part in (place, problem.get("value"), problem["reason"]) if part)
