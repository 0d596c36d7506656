"""Broken rules in place of the true ones, for everything that imports them in this process.

No file is changed.  The rules must not have been imported yet: whoever did has the true ones.
They are made here and now, not found later by an import hook: pytest has one of its own, which
comes first and reads the file.
"""

from __future__ import annotations

import importlib.util
import sys

import srmd.core
from tests.mutants.breaking import MODULE, SOURCE


def plant(source: str) -> None:
    """Raises what the broken rules raise when they are loaded."""
    assert MODULE not in sys.modules, f"{MODULE} was imported before it could be broken"
    spec = importlib.util.spec_from_file_location(MODULE, SOURCE)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(SOURCE), "exec"), module.__dict__)
    sys.modules[MODULE] = module
    setattr(srmd.core, MODULE.rpartition(".")[2], module)
