"""Secrets of the node that its configuration takes from the environment, and no service shall see.

They leave the environment of the process, which every child inherits, when the configuration has
been read; what was taken answers when it is read again.  The environment belongs to the process, so
what was taken does too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from srmd import config
from srmd.config import Loaded

_taken: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Source:
    """The place from which the configuration of a node is read, each time anew."""

    path: Path
    copies: Path | None = None
    """A folder in which `srmd config copy` put copies of it; None: it is read in its own place."""


def load(source: Source) -> Loaded:
    """Read the file of a node, and take the secrets that it names.  Raises ConfigError."""
    loaded = config.load(source.path, {**_taken, **os.environ}, copies=source.copies)
    for name in loaded.secret_variables:
        if name in os.environ:
            _taken[name] = os.environ.pop(name)
    return loaded
