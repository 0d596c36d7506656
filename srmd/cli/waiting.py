"""Waits for the end of an operation, and tells how the pair gets there.

The end is read from the status of the node that was asked, so it is what an administrator would
see.  Progress goes to stderr, one line for each change; stdout is for the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from srmd.cli.exits import Exit, Failure
from srmd.client import Client, NotBelieved, Unreachable
from srmd.core.states import PASSING, State
from srmd.shown import Shown, pair_of

POLL_S = 0.1
"""How often the status is read while waiting; ours."""
REST_S = 20.0
"""A pair that has left where it was and rests so long elsewhere will not get there; longer than one
of Cisco's heartbeat intervals, so that a lost heartbeat is no verdict; ours."""

Status = Mapping[str, Any]
Ended = Callable[[Status, Shown, Shown], bool]
"""Judges the status and its two halves: who answers, and its peer as it sees it."""


@dataclass(slots=True)
class Wait:
    """The wait of one command.  Begin it before the command is sent: it knows the pair as it was.

    A node may be away for a while (SRM restarts, reboots): only the timeout ends the wait then.
    """

    client: Client
    timeout_s: float
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
    before: dict[str, Shown] = field(default_factory=dict)
    _left: set[str] = field(default_factory=set)
    """Nodes seen outside Running in Failed Mode."""
    _said: str = ""
    _said_at_s: float = 0.0

    def begin(self) -> Status:
        status = self.client.status()
        self.before = {half.node: half for half in pair_of(status)}
        self._note_left(*pair_of(status))
        self._said = _line(*pair_of(status))
        self._said_at_s = time.monotonic()
        return status

    def until(self, ended: Ended) -> Status:
        """The status that shows the end.

        Raises Failure: the pair ended in Running in Failed Mode or elsewhere, or time is up.
        """
        give_up_s = time.monotonic() + self.timeout_s
        gone: Unreachable | None = None
        while True:
            try:
                status = self.client.status()
                gone = None
                mine, peer = pair_of(status)
                self._tell(_line(mine, peer))
                if ended(status, mine, peer):
                    return status
                self._judge(mine, peer)
            except NotBelieved:
                raise  # that does not pass
            except Unreachable as unreachable:
                gone = unreachable
                self._tell(f"  {unreachable.url} does not answer; still asking")
            if time.monotonic() >= give_up_s:
                raise self._too_late(gone)
            time.sleep(POLL_S)

    def _judge(self, *halves: Shown) -> None:
        """Raises Failure when the end cannot be reached any more."""
        if self._failed(*halves):
            advice = "`srmd explain` says what it means, `srmd recover` brings it back"
            raise Failure(Exit.FAILED, f"the pair is in Running in Failed Mode: {advice}")
        moved = any(half != self.before.get(half.node) for half in halves)
        resting = not any(half.state in PASSING for half in halves)
        if moved and resting and time.monotonic() - self._said_at_s > REST_S:
            advice = "`srmd explain` says what it means"
            raise Failure(Exit.FAILED, f"the pair has come to rest elsewhere: {advice}")

    def _failed(self, *halves: Shown) -> bool:
        """A node has come (back) to Running in Failed Mode since the command."""
        self._note_left(*halves)
        failed = [half for half in halves if half.state is State.FAILED_MODE]
        return any(half.node in self._left or self._passed_through(half) for half in failed)

    def _note_left(self, *halves: Shown) -> None:
        self._left |= {half.node for half in halves if half.state is not State.FAILED_MODE}

    def _passed_through(self, half: Shown) -> bool:
        """It left and came back between two looks: leaving and entering are a number each."""
        before = self.before.get(half.node)
        if before is None or before.op is None or half.op is None:
            return False
        return half.op >= before.op + 2

    def _tell(self, line: str) -> None:
        if line != self._said:
            self.say(line)
            self._said = line
            self._said_at_s = time.monotonic()

    def _too_late(self, gone: Unreachable | None) -> Failure:
        waited = f"not done within {self.timeout_s:g} s (--timeout)"
        if gone is not None:
            return Failure(Exit.UNREACHABLE, f"{waited}: {gone}")
        return Failure(
            Exit.TIMED_OUT,
            f"{waited}; the pair is now{self._said}\n  it may still get there: srmd status --watch",
        )


def _line(mine: Shown, peer: Shown) -> str:
    first, second = sorted((mine, peer), key=lambda half: half.node)
    return f"  {first}  |  {second}"


def failed_over(node: str) -> Ended:
    def ended(_: Status, mine: Shown, peer: Shown) -> bool:
        failing, backup = (mine, peer) if mine.node == node else (peer, mine)
        return failing.state is State.IDLE and backup.state is State.BACKUP

    return ended


def restored(_: Status, mine: Shown, peer: Shown) -> bool:
    """Both nodes serve their own; or one serves all, because its peer is silent (R12)."""
    alone = mine.state is State.BACKUP and peer.state is State.DOWN
    return alone or (mine.state is State.NORMAL and peer.state is State.NORMAL)


def ha_on(status: Status, mine: Shown, peer: Shown) -> bool:
    """The pair works: a silent peer is a matter of its own."""
    mine_settled = mine.state is not State.UNKNOWN and mine.state not in PASSING
    peer_settled = peer.state is not State.UNKNOWN and peer.state not in PASSING
    return bool(status.get("ha_enabled")) and mine_settled and peer_settled


def ha_off(status: Status, mine: Shown, peer: Shown) -> bool:
    off = {State.UNKNOWN, State.DOWN}
    return not status.get("ha_enabled") and mine.state in off and peer.state in off


def srm_settled(_: Status, mine: Shown, peer: Shown) -> bool:
    """SRM is back, has found its role and knows what became of its peer."""
    off = mine.state is State.UNKNOWN
    return off or (mine.state not in PASSING and peer.state is not State.UNKNOWN)
