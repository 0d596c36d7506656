"""Secrets of the node that its configuration takes from the environment, and no service shall see.

They leave the environment of the process, which every child inherits, when the configuration has
been read; what was taken answers when it is read again.  The environment belongs to the process, so
what was taken does too.
"""

from __future__ import annotations

import os
from pathlib import Path

from srmd import config
from srmd.config import Loaded

_taken: dict[str, str] = {}


def load(path: Path) -> Loaded:
    """Read the file of a node, and take the secrets that it names.  Raises ConfigError."""
    loaded = config.load(path, {**_taken, **os.environ})
    for name in loaded.secret_variables:
        if name in os.environ:
            _taken[name] = os.environ.pop(name)
    return loaded
