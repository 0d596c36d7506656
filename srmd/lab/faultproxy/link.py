"""One direction of a TCP connection: a queue behind each toxic, in order, and nothing overtakes.

Pure.  Toxicity is drawn once for a connection, and again when the toxic is changed.
Source: Toxiproxy, `link.go`; a change of toxics reaches connections that are already there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from random import Random

from srmd.lab.faultproxy.datagrams import happens
from srmd.lab.faultproxy.streams import Ending, Piece, StreamToxic


@dataclass(slots=True)
class _Stage:
    name: str
    toxic: StreamToxic
    rng: Random
    active: bool
    over: bool = False
    """It has closed the connection: nothing more comes through."""
    waiting: deque[tuple[float, Piece]] = field(default_factory=deque)

    @property
    def deadline_s(self) -> float | None:
        return self.toxic.deadline_s if self.active and not self.over else None


class Link:
    """Pieces come in by `feed`, and go out by `advance` when they are due."""

    def __init__(self) -> None:
        self._stages: list[_Stage] = []
        self._out: list[Piece] = []
        self._ended: Ending | None = None
        self.waiting_bytes = 0
        """Bytes under way: whoever feeds slows down when there are too many."""

    @property
    def next_due_s(self) -> float | None:
        """When `advance` has something to do, if nothing is fed before."""
        moments = [stage.waiting[0][0] for stage in self._stages if stage.waiting]
        moments += [at_s for stage in self._stages if (at_s := stage.deadline_s) is not None]
        return min(moments, default=None)

    def add(
        self, now_s: float, name: str, toxic: StreamToxic, toxicity: float, rng: Random
    ) -> None:
        own = replace(toxic)  # the same attributes, a state of its own
        own.start(now_s)
        self._stages.append(_Stage(name, own, rng, happens(rng, toxicity)))

    def change(self, now_s: float, name: str, toxic: StreamToxic, toxicity: float) -> None:
        stage = self._stages[self._index(name)]
        stage.toxic.adopt(toxic)
        stage.toxic.start(now_s)
        stage.active = happens(stage.rng, toxicity)

    def remove(self, now_s: float, name: str) -> None:
        """Takes a toxic out; what it delays goes on at once."""
        index = self._index(name)
        stage = self._stages.pop(index)
        while stage.waiting:
            self._into(index, now_s, self._unwait(stage))
        if stage.active and (ending := stage.toxic.removed()):
            self._into(index, now_s, ending)

    def feed(self, now_s: float, piece: Piece) -> None:
        self._into(0, now_s, piece)

    def advance(self, now_s: float) -> list[Piece]:
        """What leaves, in order; nothing follows an ending."""
        for index, stage in enumerate(self._stages):
            while stage.waiting and stage.waiting[0][0] <= now_s:
                at_s = stage.waiting[0][0]
                self._into(index + 1, at_s, self._unwait(stage))
            deadline_s = stage.deadline_s
            if deadline_s is not None and deadline_s <= now_s:
                stage.over = True
                self._into(index + 1, deadline_s, Ending.CLOSED)
        out, self._out = self._out, []
        return out

    def _into(self, index: int, now_s: float, piece: Piece) -> None:
        """A piece reaches stage `index`; behind the last one it is out."""
        if index == len(self._stages):
            if self._may_follow(piece):
                self._out.append(piece)
                self._ended = piece if isinstance(piece, Ending) else None
            return
        stage = self._stages[index]
        if stage.over:
            return
        releases = [(now_s, piece)]
        if stage.active:
            releases = stage.toxic.admit(now_s, stage.rng, piece)
        for at_s, part in releases:
            if at_s <= now_s and not stage.waiting:
                self._into(index + 1, now_s, part)
            else:
                last_s = stage.waiting[-1][0] if stage.waiting else at_s
                stage.waiting.append((max(at_s, last_s), part))
                self.waiting_bytes += _size_bytes(part)

    def _may_follow(self, piece: Piece) -> bool:
        """Nothing follows an ending, but for a worse one behind an orderly one."""
        orderly = self._ended is Ending.FINISHED and piece in {Ending.CLOSED, Ending.RESET}
        return self._ended is None or orderly

    def _unwait(self, stage: _Stage) -> Piece:
        piece = stage.waiting.popleft()[1]
        self.waiting_bytes -= _size_bytes(piece)
        return piece

    def _index(self, name: str) -> int:
        return next(i for i, stage in enumerate(self._stages) if stage.name == name)


def _size_bytes(piece: Piece) -> int:
    return 0 if isinstance(piece, Ending) else len(piece)
