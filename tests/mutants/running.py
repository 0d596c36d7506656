"""Each mutant in a process of its own, a few at once.

A process is forked from this one, which has read scenarios and imported pytest but not the rules:
so a mutant begins at once, and nothing that it breaks outlives it.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final

from tests.mutants.killers import ask_all, quieten, scenarios
from tests.mutants.planting import plant

CPU_S_MAX: Final = 60
"""Of one mutant: some four times what one takes that survives."""
WALL_S_MAX: Final = 600
"""The same for one that waits; a loaded machine is slower than its processor time."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What came of broken rules."""

    killer: str | None
    """Who noticed; None: they survived."""
    told: str
    cpu_s: float

    def __str__(self) -> str:
        return "survived" if self.killer is None else f"{self.killer}: {self.told}"


def fates(sources: Iterable[tuple[str, str]], at_once: int) -> Iterator[tuple[str, Fate]]:
    """The fate of each of these rules by name, in the order in which they end.

    Whoever stops listening ends the processes.
    """
    scenarios()
    todo = iter(sources)
    running: dict[Connection, _Run] = {}
    try:
        while True:
            while len(running) < at_once and (one := next(todo, None)) is not None:
                run = _Run(*one)
                running[run.ear] = run
            if not running:
                return
            for ear in list(wait(list(running))):
                assert isinstance(ear, Connection)
                fate = running[ear].hear()
                if fate is not None:
                    yield running.pop(ear).name, fate
    finally:
        for run in running.values():
            run.process.kill()
            run.process.join()


@dataclass
class _Run:
    """One process, and what it told so far."""

    name: str
    source: str
    ear: Connection = field(init=False)
    process: ForkProcess = field(init=False)
    asked: str = "import"
    killer: str | None = None
    told: str = ""

    def __post_init__(self) -> None:
        self.ear, mouth = multiprocessing.Pipe(duplex=False)
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=_live, args=(self.source, mouth), daemon=True)
        self.process.start()
        mouth.close()

    def hear(self) -> Fate | None:
        """The next thing that it tells; its fate, when that was the last."""
        try:
            said = self.ear.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit {code}"
            late = how in {"SIGXCPU", "SIGALRM"}
            return Fate(self.asked, "it does not end" if late else f"died ({how})", CPU_S_MAX)
        match said:
            case float(cpu_s):
                self.process.join()
                self.ear.close()
                return Fate(self.killer, self.told, cpu_s)
            case (str(killer), None):
                self.asked = killer
            case (str(killer), str(told)):
                self.killer, self.told = killer, told
            case _:
                raise AssertionError(f"a mutant said {said!r}")
        return None


def _live(source: str, mouth: Connection) -> None:
    """Ends with its processor seconds, or without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX + 1))
    signal.alarm(WALL_S_MAX)
    quieten()
    try:
        plant(source)
    except Exception as broken:  # noqa: BLE001 # whatever it is, nobody can use such rules
        mouth.send(("import", f"{type(broken).__name__}: {broken}"))
    else:
        for said in ask_all():
            mouth.send(said)
    used = resource.getrusage(resource.RUSAGE_SELF)
    mouth.send(used.ru_utime + used.ru_stime)
