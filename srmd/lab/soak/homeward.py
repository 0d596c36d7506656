"""What an administrator does after the faults until the pair is in row 1, as `srmd status` offers.

A node that is off is started, a stopped SRM too; a node that failed over gets its services back, or
is rebooted when its database failed (row 13); then recover or fallback, as offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from srmd.client import ClientError, Json
from srmd.core.services import DATABASE_SERVICE, SRM_SERVICE
from srmd.core.states import State
from srmd.lab.chance.drawing import done, passing
from srmd.lab.real.wired import WiredPair
from srmd.lab.scenario.running import AT_HOME, Play, StoryFailed, missing
from srmd.lab.scenario.stage import Look, VerbFailed, VerbRefused

WAY_HOME_LIMIT_S: Final = 90.0
"""From the heal to row 1; ours.  Two nodes start one after the other, and a recovery follows."""
PATIENCE_S: Final = 1.5
"""So long the pair shows the same before anybody acts: what goes by itself is left alone."""


def go_home(play: Play, wired: WiredPair, repairs: Iterable[str]) -> None:
    """The pair is healed; in the end it is in row 1.  Raises StoryFailed or StageBroken."""
    stage = play.stage
    give_up_s = stage.now_s() + WAY_HOME_LIMIT_S
    left_to_repair = list(repairs)
    shown, since_s = "", stage.now_s()
    while missing(AT_HOME, look := _looked(play)) or left_to_repair:
        now_s = stage.now_s()
        if now_s >= give_up_s:
            raise StoryFailed(f"not at home within {WAY_HOME_LIMIT_S:g} s after the heal: {look}")
        if str(look) != shown:
            shown, since_s = str(look), now_s
        if now_s - since_s < PATIENCE_S:
            continue
        left_to_repair = [text for text in left_to_repair if not attempt(play, text)]
        for text in _advised(wired):
            attempt(play, text)
        since_s = stage.now_s()
    play.end()


def attempt(play: Play, text: str) -> bool:
    """Do this if it can be done just now; False when it could not.  Raises as `Play.step`."""
    try:
        play.step(done(text))
    except StoryFailed as failed:
        if isinstance(failed.__cause__, (VerbFailed, VerbRefused)):
            return False  # such as stopping what does not run
        raise
    return True


def _looked(play: Play) -> Look:
    play.step(passing("keep_alive_interval"))
    return play.stage.look()


def _advised(wired: WiredPair) -> list[str]:
    """Verbs, in the order in which they are to be done."""
    off = [name.value for name, node in wired.nodes.items() if node.pid is None]
    if off:
        return [f"start node {name}" for name in off]
    advice: list[str] = []
    for name, node in wired.nodes.items():
        try:
            advice += of_node(name.value, node.client.status())
        except ClientError:
            continue  # it starts, or ends: the next look knows more
    return list(dict.fromkeys(advice))


def of_node(name: str, status: Json) -> list[str]:
    """What the status of this node asks for; nothing: wait."""
    if status["srm"] != "STARTED":
        return [f"start srm on {name}"]
    if status["local"]["srm_state"] == State.FAILED_OVER_SERVICES_DOWN:
        if status["handbook"]["key"] == "database_failure":
            return [f"reboot node {name}"]
        return [f"start service '{service}' on {name}" for service in _down(status)]
    return [
        f"recover via {name}" if one["action"] == "recover" else f"fallback {one['node']}"
        for one in status["actions"]
        if one["action"] in {"recover", "fallback"}
    ]


def _down(status: Json) -> list[str]:
    return [
        one["name"]
        for one in status["services"]
        if one["state"] == "STOPPED"
        and one["critical"]
        and one["name"] not in {SRM_SERVICE, DATABASE_SERVICE}
    ]
