"""The real stage: everything a scenario may want, done to a pair of processes on this machine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from srmd.lab.pair import LabError
from srmd.lab.real import clocks, files
from srmd.lab.real.deadline import hold_until_deadline
from srmd.lab.real.looking import Looking, watching
from srmd.lab.real.orders import API_VERBS, Underway, begun, order
from srmd.lab.real.wired import WiredPair
from srmd.lab.records.cutting import since
from srmd.lab.scenario.running import AT_HOME, missing
from srmd.lab.scenario.stage import Look, StageBroken, VerbFailed, must_be_off
from srmd.lab.scenario.story import Settings
from srmd.lab.scenario.verbs import (
    NETWORK_FAULTS,
    Clone,
    Configure,
    DeleteDatabase,
    Heal,
    HoldUntilDeadline,
    KeepFiles,
    NodeName,
    Power,
    PowerAction,
    PutClock,
    SetKey,
    Verb,
)

GONE_LIMIT_S = 15.0
"""How long the process of a node that shuts down may take to end."""
UNDERWAY_LIMIT_S = 30.0
"""Longer than a node may take to start; what takes longer fails when its pair is gone."""
USERS_LIMIT_S = 15.0
POLL_S = 0.02
COPIES = "copies"
"""The folder of a node's copies, beside its state directory."""
Tell = Callable[[str], None]


class RealStage:
    """Plays one scenario after the other; pairs of equal settings are used again while healthy.

    with RealStage() as stage:
        stage.prepare(scenario.settings)
        Play(name, scenario, stage, print).run()
    """

    name = "real"

    def __init__(self, *, seed: int | None = None, tell: Tell = lambda _line: None) -> None:
        self.left_behind: list[str] = []
        """Processes that did not end with their pair; none is right."""
        self._seed = seed
        self._tell = tell
        self._wired: WiredPair | None = None
        self._looking: Looking | None = None
        self._frozen: set[NodeName] = set()
        self._prepared_s = 0.0
        self._put: set[NodeName] = set()
        """Nodes whose clock was put."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-verb")
        self._underway: Underway | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def wired(self) -> WiredPair:
        assert self._wired is not None, "prepare comes first"
        return self._wired

    @property
    def timers(self) -> Mapping[str, float]:
        return self.wired.timers

    def unfit(self, settings: Settings) -> str | None:  # noqa: ARG002 -- other stages look at it
        """A pair of any settings can be started here."""
        return None

    def prepare(self, settings: Settings) -> None:
        """A pair of these settings runs, in row 1.  Raises StageBroken."""
        self._prepared_s = time.monotonic()
        if self._wired is not None and not self._fit_for(settings):
            self._drop()
        if self._wired is not None:
            for node in NodeName:
                shutil.rmtree(self._copies(node), ignore_errors=True)
            return
        try:
            self._wired = WiredPair(settings, seed=self._seed, tell=self._tell)
        except LabError as failed:
            raise StageBroken(f"the pair did not start: {failed}") from failed
        clients = {node: watching(lab.client) for node, lab in self._wired.nodes.items()}
        self._looking = Looking(clients)
        self._wait_for_users(settings.users.count)

    def evidence(self) -> dict[str, str]:
        """What the nodes and the fault proxy wrote since `prepare`, by file name."""
        if self._wired is None:
            return {}
        folder = self._wired.pair.folder
        patterns = ("*.jsonl", "*.log", "node-*/log.jsonl", "node-*/state/journal.jsonl")
        files = sorted(file for pattern in patterns for file in folder.glob(pattern))
        texts = {
            "-".join(file.relative_to(folder).parts): file.read_text(errors="replace")
            for file in files
        }
        stage = {
            "stage": self.name,
            "seed": self._wired.seed,
            "mono_s": time.monotonic(),
            "wall": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        return {
            **{name: since(text, self._prepared_s) for name, text in texts.items()},
            "stage.json": json.dumps(stage) + "\n",
        }

    def close(self) -> None:
        self._drop()
        self._executor.shutdown(cancel_futures=True)

    # ------------------------------------------------------------------ the Stage of scenarios

    def cannot(self, verb: Verb) -> str | None:
        """Everything can be done here, where the programs for it are installed."""
        return clocks.missing() if isinstance(verb, PutClock) else None

    def now_s(self) -> float:
        return time.monotonic()

    def look(self) -> Look:
        assert self._looking is not None, "prepare comes first"
        return self._looking.look(self._frozen)

    def begin(self, verb: Verb) -> Underway:
        self._underway = begun(self._executor, lambda: self._do(verb))
        return self._underway

    def lift(self, verb: Verb) -> Underway:
        assert isinstance(verb, NETWORK_FAULTS), verb
        return begun(self._executor, lambda: self.wired.network.lift(verb, self.timers))

    def heal(self) -> None:
        """Frozen nodes go on and clocks are right too: a fault must not outlive its story."""
        if self._wired is None:
            return
        for node in tuple(self._frozen):
            self._thaw(node)
        for node in tuple(self._put):
            self._put_clock(node, 0)
        self._wired.network.heal()

    # ------------------------------------------------------------------ verbs

    def _do(self, verb: Verb) -> None:
        """In the thread of the verbs.  Raises what `Underway` knows."""
        nodes = self.wired.nodes
        if isinstance(verb, HoldUntilDeadline):
            receiver = nodes[verb.direction.receiver].client
            hold_until_deadline(self.wired.network, verb, self.timers, receiver)
        elif isinstance(verb, NETWORK_FAULTS):
            self.wired.network.do(verb, self.timers)
        elif isinstance(verb, Heal):
            self.wired.network.heal(verb)
        elif isinstance(verb, API_VERBS):
            clients = {node: lab.client for node, lab in nodes.items()}
            order(verb, clients, {node: lab.id for node, lab in nodes.items()})
        elif isinstance(verb, Power):
            self._power(verb)
        elif isinstance(verb, Configure):
            self._configure(verb)
        elif isinstance(verb, PutClock):
            self._put_clock(verb.node, verb.ahead_s(self.timers))
        elif isinstance(verb, SetKey):
            (self.wired.right_key if verb.right else self.wired.spoil_key)(verb.node)
        elif isinstance(verb, Clone):
            self.wired.clone(verb.node, active=verb.active)
        elif isinstance(verb, KeepFiles):
            self._keep_files(verb)
        else:
            assert isinstance(verb, DeleteDatabase), verb
            for file in (nodes[verb.node].folder / "state").glob("users.sqlite3*"):
                file.unlink()

    def _power(self, verb: Power) -> None:
        node = self.wired.nodes[verb.node]
        runs = node.pid is not None
        if runs is (verb.action is PowerAction.START):
            raise VerbFailed(f"node {verb.node.value} {'runs already' if runs else 'does not run'}")
        match verb.action:
            case PowerAction.REBOOT:
                node.client.power("reboot")
            case PowerAction.SHUTDOWN:
                node.client.power("shutdown")
                self._wait_gone(verb.node)
            case PowerAction.KILL:
                node.kill()
            case PowerAction.TERMINATE:
                node.terminate()
            case PowerAction.START:
                node.start()
            case PowerAction.FREEZE:
                node.suspend()
                self._frozen.add(verb.node)
            case PowerAction.THAW:
                self._thaw(verb.node)

    def _thaw(self, node: NodeName) -> None:
        self._frozen.discard(node)
        if self.wired.nodes[node].pid is not None:
            self.wired.nodes[node].resume()

    def _put_clock(self, node: NodeName, ahead_s: float) -> None:
        """Raises StageBroken when the node tells another time."""
        self.wired.put_clock(node, ahead_s)
        self._put.add(node)
        lab = self.wired.nodes[node]
        answers = lab.pid is not None and node not in self._frozen
        if answers and not clocks.shows(lab.client.url, ahead_s):
            raise StageBroken(f"the clock of node {node.value} was put, and does not show it")
        if ahead_s == 0:
            self._put.discard(node)

    def _keep_files(self, verb: KeepFiles) -> None:
        node = self.wired.nodes[verb.node]
        if verb.needs_node_off and node.pid is not None:
            raise VerbFailed(must_be_off(verb))
        files.do(verb.action, verb.what, node.folder / "state", self._copies(verb.node))

    def _copies(self, node: NodeName) -> Path:
        return self.wired.nodes[node].folder / COPIES

    def _wait_gone(self, node: NodeName) -> None:
        give_up_s = time.monotonic() + GONE_LIMIT_S
        while self.wired.nodes[node].pid is not None:
            if time.monotonic() >= give_up_s:
                raise VerbFailed(f"node {node.value} does not end within {GONE_LIMIT_S:g} s")
            time.sleep(POLL_S)

    def _configure(self, verb: Configure) -> None:
        section, _, key = verb.key.rpartition(".")
        self.wired.nodes[verb.node].overrides.setdefault(section, {})[key] = verb.value
        self.wired.pair.write_configs()

    # ------------------------------------------------------------------ pairs

    def _fit_for(self, settings: Settings) -> bool:
        """The pair that runs can play another story: same settings, as it was begun, in row 1."""
        wired = self.wired
        if wired.settings != settings or not wired.as_begun() or not wired.network.is_well():
            return False
        look = self.look()
        count = settings.users.count
        return not missing(AT_HOME, look) and look.users_counts == [count, count]

    def _wait_for_users(self, count: int) -> None:
        """All users are at home, and both nodes know all of them."""
        give_up_s = time.monotonic() + USERS_LIMIT_S
        while True:
            look = self.look()
            if look.users_counts == [count, count] and not missing(AT_HOME, look):
                return
            if time.monotonic() >= give_up_s:
                raise StageBroken(
                    f"{count} users are not at home within {USERS_LIMIT_S:g} s: {look}"
                )

    def _drop(self) -> None:
        """What is underway ends first: a node that is just being started would stay behind."""
        if self._underway is not None:
            wait([self._underway.future], UNDERWAY_LIMIT_S)
        wired, self._wired, self._looking = self._wired, None, None
        self._frozen.clear()
        self._put.clear()
        if wired is not None:
            wired.close()
            self.left_behind += wired.left_behind
