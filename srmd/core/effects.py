"""Everything a node can order.  Effects are goals, safe to say twice.

Each carries the `op` of the operation that wants it; the answer brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from srmd.core.states import Destination


@dataclass(frozen=True, slots=True)
class StartServices:
    """All critical services shall run.  Answered by ServicesStarted or OperationFailed."""

    op: int


@dataclass(frozen=True, slots=True)
class StopServices:
    """All critical services shall be stopped, "Commanded out of service".  Answered by
    ServicesStopped or OperationFailed."""

    op: int


@dataclass(frozen=True, slots=True)
class MoveUsers:
    """The users of both home nodes shall be served here, or each at home.

    Answered, once durable, by UsersMoved or OperationFailed.
    """

    op: int
    to: Destination


Effect = Union[StartServices, StopServices, MoveUsers]
