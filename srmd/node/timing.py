"""How long the timers of the machine run."""

from __future__ import annotations

from typing import assert_never

from srmd.config import Config
from srmd.core.node import Node, Timer
from srmd.core.states import State

TIMER_LATE_S = 1.0
"""A timer that rings so late tells that we were stopped, not that its time was used: it is counted
anew (R13).  Ours; a loaded machine is late by a tenth of it at most."""


def timer_s(timer: Timer, node: Node, config: Config) -> float:
    """In seconds, from the moment at which it is armed."""
    match timer:
        case Timer.FALLBACK:
            return config.group.automatic_fallback_wait_s
        case Timer.STAY:
            stay_s = config.limits.transition_s
            if node.state is State.INITIALIZING:
                # Services may need their delay, and the peer its own start, before we find our
                # place.
                stay_s += config.heartbeat.initialization_keep_alive_timeout_s + unwell_limit_s(
                    config
                )
            return stay_s
    assert_never(timer)


def unwell_limit_s(config: Config) -> float:
    """Time without a critical service after which that is a lasting failure: the delay,
    and a start that is under way when it is over."""
    return config.services.critical_service_delay_s + config.services.start_limit_s
