"""Randomness that can be had again: one substream for each name, all from one seed.

Adding a toxic, or more traffic in one direction, changes nothing for the others.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from random import Random

SEED_MAX = 2**63 - 1


def fresh_seed() -> int:
    """A seed that nobody chose; whoever draws it prints it."""
    return secrets.randbelow(SEED_MAX) + 1


def substream(seed: int, *names: str | int) -> Random:
    """The random numbers that belong to these names, the same in every run with this seed.

    The names of a toxic are its proxy, direction and name; for TCP also the connection's ordinal.
    """
    text = json.dumps([seed, *names])
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
