"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

import srmd.log

# An event outside the catalogue is a failing test, not a line in a log that nobody reads.
srmd.log.STRICT = True

# The build must not depend on luck: the same examples each time.  `HYPOTHESIS_PROFILE=search` looks
# for new ones, and prints how to repeat what it finds.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> None:
    """Whoever begins the tests in the background of a script has Ctrl-C ignored, and a command that
    cleans up ignores it too; what is ignored here is ignored by every child of the next test."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_DFL)
