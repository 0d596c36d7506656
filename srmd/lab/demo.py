"""`make demo`: two nodes on this machine fail over and back, told as it happens; under two minutes.

It is proof, not theatre: every step has the pair that must be reached and the node that must serve
everybody, and the exit code is 0 only if all came true and nothing is left behind.
`--stay` (`make lab`) leaves the pair running for you, until Ctrl-C.  At a terminal each step waits,
so that it can be read and watched; `--pace 0` does not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType

from srmd.client import ClientError
from srmd.core import handbook
from srmd.core.states import Reason, State
from srmd.core.texts import REASONS, display
from srmd.lab.leash import processes_of
from srmd.lab.pair import NORMAL, LabError, LabPair
from srmd.shown import Half
from srmd.terminal import width_of, wrap_all

USERS = 500
STEP_LIMIT_S = 15.0
"""How long a step may take until its pair is reached; ours."""
SERVICE = "Cisco XCP Router"
COLUMNS = "  {:<6}{:<48}{:<24}{:>6}{:>8}"
COLUMNS_WIDE = 95
"""A narrower terminal has a line for the state of each node, and one for its users."""
PACE_S = 4.0
"""Pause of a step at a terminal, for people."""
PACE_MAX_S = 60.0
INTERRUPTED = 130
BROKEN_PIPE = 141
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end us as Ctrl-C does: by whoever stops a job, or by closing the terminal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One scene: what is done, and what must come of it."""

    title: str
    do: Callable[[LabPair], object]
    a: Half | None
    """What each node has to show in the end; None: it has no process then."""
    b: Half | None
    served: tuple[int | None, int | None]
    """Users that a and b then serve."""


def story(users: int) -> tuple[Step, ...]:
    split = (users // 2 + users % 2, users // 2)
    backup = {
        reason: (State.BACKUP, reason)
        for reason in (Reason.ON_ADMIN_REQUEST, Reason.CRITICAL_SERVICE_DOWN, Reason.PEER_DOWN)
    }
    service_down = (State.FAILED_OVER_SERVICES_DOWN, Reason.CRITICAL_SERVICE_DOWN)
    to_a = "The administrator brings the users of a home: srmd fallback a"
    return (
        Step(
            title="The administrator fails node a over: srmd failover a",
            do=lambda pair: pair.a.failover(),
            a=(State.IDLE, Reason.ON_ADMIN_REQUEST),
            b=backup[Reason.ON_ADMIN_REQUEST],
            served=(0, users),
        ),
        Step(title=to_a, do=_fall_back, a=NORMAL, b=NORMAL, served=split),
        Step(
            title=f"{SERVICE} crashes on node a, and stays down for the critical service delay",
            do=lambda pair: pair.a.client.service(SERVICE, "kill"),
            a=service_down,
            b=backup[Reason.CRITICAL_SERVICE_DOWN],
            served=(0, users),
        ),
        Step(
            title=f'The administrator repairs it: srmd service start "{SERVICE}"',
            do=lambda pair: pair.a.client.service(SERVICE, "start"),
            a=(State.FAILED_OVER, Reason.CRITICAL_SERVICE_DOWN),
            b=backup[Reason.CRITICAL_SERVICE_DOWN],
            served=(0, users),
        ),
        Step(title=to_a, do=_fall_back, a=NORMAL, b=NORMAL, served=split),
        Step(
            title="kill -9 of node a: its heartbeat falls silent",
            do=lambda pair: pair.a.kill(),
            a=None,
            b=backup[Reason.PEER_DOWN],
            served=(None, users),
        ),
        Step(
            title="Node a comes back, and finds its users at b",
            do=lambda pair: pair.a.start(),
            a=(State.FAILED_OVER, Reason.INITIALIZATION),
            b=backup[Reason.PEER_DOWN],
            served=(0, users),
        ),
        Step(title=to_a, do=_fall_back, a=NORMAL, b=NORMAL, served=split),
    )


def _fall_back(pair: LabPair) -> None:
    """The peer may have to hear of the repair first: a refusal is asked again, within the bound."""
    pair.wait_until("srmd fallback a is possible", lambda: _can_fall_back(pair))
    pair.a.fallback()


def _can_fall_back(pair: LabPair) -> bool:
    actions = pair.a.status()["actions"]
    return {"action": "fallback", "node": "a"} in actions


def play(pair: LabPair, users: int, pace_s: float = 0.0) -> None:
    """The whole story.  Raises LabError or ClientError where it goes another way.

    Each step waits for half of `pace_s` before it is done, and for all of it after.
    """
    say(f"{users} users, each with a home node: srmd users generate {users}")
    pair.a.client.generate_users(users, "balanced", "user")
    steps = story(users)
    settle(pair, NORMAL, NORMAL, steps[1].served)
    for number, step in enumerate(steps, start=1):
        time.sleep(pace_s)
        say(f"\n{number} of {len(steps)}. {step.title}")
        time.sleep(pace_s / 2)
        began_s = time.monotonic()
        step.do(pair)
        settle(pair, step.a, step.b, step.served)
        say(f"  reached after {time.monotonic() - began_s:.1f} s")


def settle(
    pair: LabPair, a: Half | None, b: Half | None, served: tuple[int | None, int | None]
) -> None:
    """Wait for the pair and for the users, then show both and what the handbook says."""
    pair.wait_for(a=a, b=b, within_s=STEP_LIMIT_S)
    wanted = dict(zip("ab", served, strict=True))
    pair.wait_until(
        f"users served: {wanted}", lambda: pair.served() == wanted, within_s=STEP_LIMIT_S
    )
    assigned = pair.b.status()["users"]["assigned"]
    is_wide = width_of(sys.stdout) >= COLUMNS_WIDE
    if is_wide:
        say(COLUMNS.format("NODE", "STATE", "REASON", "USERS", "SERVED"))
    for node, half in (("a", a), ("b", b)):
        state, reason = ("(no process)", "") if half is None else _names(half)
        count = "-" if wanted[node] is None else wanted[node]
        home = "-" if assigned[node] is None else assigned[node]
        if is_wide:
            say(COLUMNS.format(node, state, reason, home, count))
        else:
            say(f"  node {node}: {state}{f' / {reason}' if reason else ''}")
            say(f"    users: {home}, served: {count}")
    assert b is not None, "the story never kills node b"
    match = handbook.find(b, a)
    row = f"Row {match.row.n}" if match.row.n else f"Not in Cisco's table ({match.row.key})"
    say(f"  {row}: {match.cause('b', 'a').en}")


def _names(half: Half) -> tuple[str, str]:
    return display(*half).en, REASONS[half[1]].en


def stay(pair: LabPair, users: int) -> None:
    """Tell how to play with the pair, and hold it until Ctrl-C."""
    pair.a.client.generate_users(users, "balanced", "user")
    config = pair.a.config_file
    say(f"The pair runs, with {users} users.  Everything is below {pair.folder}")
    for node in pair.nodes:
        say(f"  node {node.id}: {node.client.url}  pid {node.pid}  log {node.log_file}")
    say(f"  token: {pair.a.token_file}")
    say("\nTry, in another terminal:")
    for words in (
        "status --watch",
        "failover a",
        "fallback a",
        f'service kill "{SERVICE}"',
        f'service start "{SERVICE}"',
        "explain --lang ja",
        "node reboot",
    ):
        say(f"  {sys.executable} -m srmd {words} --config {config}")
    say(f"  kill -9 {pair.a.pid}    # a crash; start it again with: srmd run --config {config}")
    say("\nCtrl-C ends both nodes and removes all files.")
    while True:
        signal.pause()


def say(line: str) -> None:
    print(wrap_all(line, width_of(sys.stdout, default=0)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m srmd.lab.demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="leave the pair running until Ctrl-C")
    parser.add_argument("--users", type=int, default=USERS, help=f"how many ({USERS})")
    parser.add_argument(
        "--pace",
        type=_pace,
        metavar="S",
        default=PACE_S if sys.stdout.isatty() else 0.0,
        help=f"seconds that each step waits ({PACE_S:g} at a terminal, otherwise 0)",
    )
    options = parser.parse_args()
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    if options.stay:
        return perform(stay, options.users, endless=True)
    return perform(partial(play, pace_s=options.pace), options.users)


def _pace(text: str) -> float:
    try:
        pace_s = float(text)
    except ValueError:
        pace_s = -1.0
    if not 0.0 <= pace_s <= PACE_MAX_S:
        raise argparse.ArgumentTypeError(f"{text}: seconds from 0 to {PACE_MAX_S:g} are needed")
    return pace_s


def perform(scene: Callable[[LabPair, int], None], users: int, *, endless: bool = False) -> int:
    """Play a scene on a new pair and clean up; the exit code."""
    began_s = time.monotonic()
    code = 0
    pair = LabPair(on_change=lambda line: say(f"    {line}"))
    try:
        say("Starting two nodes ...")
        pair.start()
        scene(pair, users)
    except KeyboardInterrupt:
        say("\nEnding both nodes ...")
        code = 0 if endless else INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE  # the story has lost its reader
    except (LabError, ClientError) as failed:
        print(f"\nFAILED: {failed}", file=sys.stderr, flush=True)
        code = 1
    finally:
        for number in (signal.SIGINT, *ENDINGS):
            signal.signal(number, signal.SIG_IGN)  # cleaning up is not to be interrupted
        pair.close()
    return code or _nothing_left(pair) or _closing(time.monotonic() - began_s, endless=endless)


def _nothing_left(pair: LabPair) -> int:
    left = [*pair.left_behind, *processes_of(pair.mark).values()]
    if pair.folder.exists():
        left.append(str(pair.folder))
    if not left:
        return 0
    print("FAILED: left behind:", *left, sep="\n  ", file=sys.stderr, flush=True)
    return 1


def _closing(took_s: float, *, endless: bool) -> int:
    if not endless:
        say(f"\nEach pair was reached, no process and no file is left; {took_s:.0f} s.")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
