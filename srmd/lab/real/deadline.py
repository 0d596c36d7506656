"""A beat at the deadline: held in the proxy, let go when the receiver is about to give up.

Exact in virtual time only.  Here it lands within some milliseconds of the deadline, on either side
of it: the story has to say what holds on both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from srmd.client import Client
from srmd.lab.real.network import Network
from srmd.lab.scenario.stage import VerbFailed
from srmd.lab.scenario.verbs import HoldUntilDeadline

RELEASE_S: Final = 0.004
"""Letting go takes about so long, so it begins earlier by that."""


def hold_until_deadline(
    network: Network, verb: HoldUntilDeadline, timers: Mapping[str, float], receiver: Client
) -> None:
    """Returns an interval after the deadline: the receiver has decided.

    Raises StageBroken, ClientError, or VerbFailed: the receiver watches no deadline.
    """
    network.do(verb, timers)
    try:
        asked_s = time.monotonic()
        left_s = receiver.status()["peer"]["seconds_to_peer_down"]
        answered_s = time.monotonic()
        if left_s is None:
            raise VerbFailed("no deadline runs: the receiver counts its peer as down already")
        deadline_s = (asked_s + answered_s) / 2 + left_s
        time.sleep(max(0.0, deadline_s - RELEASE_S - time.monotonic()))
    finally:
        network.lift(verb, timers)
    time.sleep(max(0.0, deadline_s + timers["keep_alive_interval"] - time.monotonic()))
