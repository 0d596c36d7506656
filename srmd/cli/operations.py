"""The commands that set the pair going, and wait for it to arrive."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from srmd.cli.asking import Options, asks_node
from srmd.cli.exits import Exit, Failure
from srmd.cli.output import table
from srmd.cli.waiting import Ended, Wait, failed_over, ha_off, ha_on, restored, srm_settled
from srmd.client import Client
from srmd.shown import pair_of, written


@asks_node
def failover(options: Options, client: Client) -> int:
    order = functools.partial(client.act, "failover", options.node)
    return _operate(options, client, order, failed_over(options.node))


@asks_node
def fallback(options: Options, client: Client) -> int:
    return _operate(
        options, client, functools.partial(client.act, "fallback", options.node), restored
    )


@asks_node
def recover(options: Options, client: Client) -> int:
    return _operate(options, client, functools.partial(client.act, "recover"), restored)


@asks_node
def ha(options: Options, client: Client) -> int:
    order = functools.partial(client.set_ha, options.enabled)
    return _operate(options, client, order, ha_on if options.enabled else ha_off)


@asks_node
def srm(options: Options, client: Client) -> int:
    if options.action == "stop":
        print(client.srm("stop")["detail"])
        return Exit.OK
    refused: list[str] = []

    def order() -> dict[str, Any]:
        answer = client.srm(options.action)
        refused.extend(answer.get("refused", ()))
        return answer

    code = _operate(options, client, order, srm_settled)
    if refused:
        raise Failure(Exit.FAILED, "SRM runs, and not as the files say:\n  " + "\n  ".join(refused))
    from srmd.cli.running import refuse_stale  # the other commands have no file read
    from srmd.config.taking import Needs

    refuse_stale(options, Needs.SRM)
    return code


def _operate(
    options: Options, client: Client, order: Callable[[], dict[str, Any]], ended: Ended
) -> int:
    """Gives the order and, unless told otherwise, waits for its end."""
    wait = Wait(client, options.timeout)
    wait.begin()
    detail = order()["detail"]
    if options.no_wait:
        print(detail)
        return Exit.OK
    print(detail, file=sys.stderr, flush=True)
    halves = sorted(pair_of(wait.until(ended)), key=lambda half: half.node)
    print(table(("NODE", "STATE / REASON"), [(half.node, written(half.half)) for half in halves]))
    return Exit.OK
