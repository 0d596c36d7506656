"""A command that asks a node: it is given a client, and a refusal becomes an exit code."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

from srmd.cli.exits import Exit, Failure
from srmd.cli.target import client_for
from srmd.client import (
    Client,
    ClientError,
    NoAnswer,
    NotBelieved,
    Rejected,
    Unauthorized,
    Unreachable,
    WrongNode,
)

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
        except WrongNode as other:
            way_out = (
                "name the file of the node that answers by --config, or stop it and start the one "
                f"that was meant; --api {client.url} asks whatever node is there"
            )
            raise Failure(Exit.UNREACHABLE, f"{other}\n  {way_out}") from other
        except NotBelieved as false:
            raise Failure(Exit.UNREACHABLE, str(false)) from false
        except Unreachable as gone:
            way_out = "start it (srmd run --config FILE), or name another by --api or --config"
            raise Failure(Exit.UNREACHABLE, f"{gone}\n  {way_out}") from gone
        except ClientError as no:
            raise _refusal(no, client) from no

    return run


def _refusal(no: ClientError, client: Client) -> Failure:
    if isinstance(no, Unauthorized):
        # 403 is no matter of the token, and says itself what to do.
        return Failure(Exit.UNAUTHORIZED, _token_refused(client) if no.status == 401 else str(no))
    if not isinstance(no, Rejected):
        return Failure(Exit.USAGE, str(no))
    told = (problem for problem in no.problems if str(problem["reason"]) not in no.detail)
    lines = [no.detail, *map(_problem, told)]
    if no.needed and no.needed not in no.detail:
        lines.append(f"needed: {no.needed}")
    return Failure(_code_of(no), "\n  ".join(lines))


def _code_of(no: Rejected) -> Exit:
    """Words and files that cannot be used are wrong usage, also where the node finds that out."""
    if no.status in (400, 404, 413, 415, 422):
        return Exit.USAGE
    return Exit.REFUSED if no.status in (409, 503) else Exit.FAILED


def _token_refused(client: Client) -> str:
    """The node speaks of HTTP headers; a person has given a file or a variable, or nothing."""
    right = "control.token of the node's configuration"
    if client.token is None:
        return (
            f"{client.url} wants a token for this\n"
            f"  give {right} by --config FILE, --token-file FILE or SRMD_TOKEN"
        )
    return (
        f"{client.url} does not take the token of {client.token_source or 'this command'}\n"
        f"  give {right} by --config FILE, --token-file FILE or SRMD_TOKEN; "
        "a token that was changed counts when the node has read its files again: by a SIGHUP "
        "(systemctl reload srmd.service), which needs no token"
    )


def _problem(problem: dict[str, Any]) -> str:
    place = f"line {problem['line']}" if "line" in problem else problem.get("field", "")
    if "line" in problem and not problem.get("value"):
        return f"{place} {problem['reason']}"
    return ": ".join(str(part) for part in (place, problem.get("value"), problem["reason"]) if part)
